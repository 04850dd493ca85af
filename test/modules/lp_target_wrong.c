// SPDX-License-Identifier: LGPL-2.1-or-later
// A livepatch of a function that the module lp_target does not have: as long as it is applied, the kernel refuses to
// load lp_target.
#include "livepatch-test.h"

static int never_called(struct seq_file *m, void *v)
{
        return 0;
}

LIVEPATCH_TEST_PATCH("lp_target", "lp_target_no_such_function", never_called)
LIVEPATCH_TEST_MODULE();
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: keeps the module lp_target from being loaded");
