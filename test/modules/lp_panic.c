// SPDX-License-Identifier: LGPL-2.1-or-later
// A livepatch that panics the kernel when the patched function is called: reading /proc/version.
#include <linux/panic.h>

#include "livepatch-test.h"

static int panic_on_show(struct seq_file *m, void *v)
{
        panic("lp_panic: the patched function was called");
        return 0;
}

LIVEPATCH_TEST_PATCH(NULL, "version_proc_show", panic_on_show)
LIVEPATCH_TEST_MODULE();
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: reading /proc/version panics");
