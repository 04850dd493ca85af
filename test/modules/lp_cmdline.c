// SPDX-License-Identifier: LGPL-2.1-or-later
// A livepatch of the kernel itself: /proc/cmdline names it.
#include "patched-cmdline.h"

PATCHED_CMDLINE("lp_cmdline");
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: /proc/cmdline names lp_cmdline");
