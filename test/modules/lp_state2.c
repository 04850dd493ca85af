// SPDX-License-Identifier: LGPL-2.1-or-later
// A cumulative livepatch that looks after a state of the system, in its version 2.
#include "patched-cmdline.h"

static struct klp_state livepatch_test_states[] = {
        { .id = 1, .version = 2 },
        {}
};

PATCHED_CMDLINE("lp_state2", .replace = true, .states = livepatch_test_states);
MODULE_VERSION("2");
MODULE_DESCRIPTION("test livepatch: cumulative, state 1 in version 2, /proc/cmdline names lp_state2");
