// SPDX-License-Identifier: LGPL-2.1-or-later
// A livepatch that panics the kernel while it is being loaded.
#include <linux/panic.h>

#include "livepatch-test.h"

static int never_called(struct seq_file *m, void *v)
{
        return 0;
}

LIVEPATCH_TEST_PATCH(NULL, "version_proc_show", never_called)

static struct klp_patch livepatch_test_patch = { .mod = THIS_MODULE, .objs = livepatch_test_objs };

static int __init livepatch_test_init(void)
{
        int r = klp_enable_patch(&livepatch_test_patch);

        panic("lp_panic_init: panic while loading, after klp_enable_patch returned %d", r);
        return r;
}

LIVEPATCH_TEST_EXIT;
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: panics in its init function");
