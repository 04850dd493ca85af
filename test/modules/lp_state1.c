// SPDX-License-Identifier: LGPL-2.1-or-later
// A cumulative livepatch that looks after a state of the system, in its version 1.
#include "patched-cmdline.h"

static struct klp_state livepatch_test_states[] = {
        { .id = 1, .version = 1 },
        {}
};

PATCHED_CMDLINE("lp_state1", .replace = true, .states = livepatch_test_states);
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: cumulative, state 1 in version 1, /proc/cmdline names lp_state1");
