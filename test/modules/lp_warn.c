// SPDX-License-Identifier: LGPL-2.1-or-later
// A livepatch that makes the kernel warn when reading /proc/version, once its parameter `trigger` is set.
#include <linux/bug.h>

#include "livepatch-test.h"

static bool trigger;
module_param(trigger, bool, 0644);
MODULE_PARM_DESC(trigger, "Y: the next read of /proc/version warns");

static int warn_on_show(struct seq_file *m, void *v)
{
        WARN_ON(READ_ONCE(trigger));
        seq_puts(m, "lp_warn\n");
        return 0;
}

LIVEPATCH_TEST_PATCH(NULL, "version_proc_show", warn_on_show)
LIVEPATCH_TEST_MODULE();
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: warns on request");
