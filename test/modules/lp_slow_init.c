// SPDX-License-Identifier: LGPL-2.1-or-later
// A livepatch whose init function takes its time: `seconds`, 10 unless told.
#include <linux/delay.h>

#include "livepatch-test.h"

static unsigned int seconds = 10;
module_param(seconds, uint, 0444);
MODULE_PARM_DESC(seconds, "how long loading takes");

static int patched_version_show(struct seq_file *m, void *v)
{
        seq_puts(m, "lp_slow_init\n");
        return 0;
}

LIVEPATCH_TEST_PATCH(NULL, "version_proc_show", patched_version_show)

static struct klp_patch livepatch_test_patch = { .mod = THIS_MODULE, .objs = livepatch_test_objs };

static int __init livepatch_test_init(void)
{
        ssleep(seconds);
        return klp_enable_patch(&livepatch_test_patch);
}

LIVEPATCH_TEST_EXIT;
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: slow to load");
