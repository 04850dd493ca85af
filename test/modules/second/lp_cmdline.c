// SPDX-License-Identifier: LGPL-2.1-or-later
// Another build of lp_cmdline: same name, other contents, next version.
#include "../patched-cmdline.h"

PATCHED_CMDLINE("lp_cmdline.second_build");
MODULE_VERSION("2");
MODULE_DESCRIPTION("test livepatch: /proc/cmdline names the second build of lp_cmdline");
