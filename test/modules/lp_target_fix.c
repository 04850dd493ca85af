// SPDX-License-Identifier: LGPL-2.1-or-later
// A livepatch of a function in the module lp_target, which may be loaded before or after it.
#include "livepatch-test.h"

static int fixed_target_show(struct seq_file *m, void *v)
{
        seq_puts(m, "lp_target: fixed by lp_target_fix\n");
        return 0;
}

LIVEPATCH_TEST_PATCH("lp_target", "lp_target_show", fixed_target_show)
LIVEPATCH_TEST_MODULE();
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: lp_target_show of the module lp_target");
