// SPDX-License-Identifier: LGPL-2.1-or-later
// A livepatch for a function that no kernel has, that each has several of, or that ftrace leaves alone (Kbuild says
// which): the kernel refuses it with EINVAL.
#include "livepatch-test.h"

static int never_called(struct seq_file *m, void *v)
{
        return 0;
}

LIVEPATCH_TEST_PATCH(NULL, __stringify(MISSING_FUNCTION), never_called)
LIVEPATCH_TEST_MODULE();
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: names a function that cannot be patched");
