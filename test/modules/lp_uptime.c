// SPDX-License-Identifier: LGPL-2.1-or-later
// A livepatch of a second kernel function, to stack upon or beside lp_cmdline.
#include "livepatch-test.h"

static int patched_uptime_show(struct seq_file *m, void *v)
{
        seq_puts(m, "12345.00 67890.00 lp_uptime\n");
        return 0;
}

LIVEPATCH_TEST_PATCH(NULL, "uptime_proc_show", patched_uptime_show)
LIVEPATCH_TEST_MODULE();
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: /proc/uptime names lp_uptime");
