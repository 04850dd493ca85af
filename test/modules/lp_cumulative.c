// SPDX-License-Identifier: LGPL-2.1-or-later
// A cumulative livepatch: takes the place of every patch applied before it.
#include "patched-cmdline.h"

PATCHED_CMDLINE("lp_cumulative", .replace = true);
MODULE_VERSION("10");
MODULE_DESCRIPTION("test livepatch: cumulative, /proc/cmdline names lp_cumulative");
