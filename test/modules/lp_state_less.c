// SPDX-License-Identifier: LGPL-2.1-or-later
// A cumulative livepatch that knows of no state.
#include "patched-cmdline.h"

PATCHED_CMDLINE("lp_state_less", .replace = true);
MODULE_VERSION("3");
MODULE_DESCRIPTION("test livepatch: cumulative, without states, /proc/cmdline names lp_state_less");
