// SPDX-License-Identifier: LGPL-2.1-or-later
// A livepatch that hangs everybody who reads /proc/cmdline, which is everybody who boots a machine.
#include <linux/delay.h>

#include "livepatch-test.h"

static int hang_on_show(struct seq_file *m, void *v)
{
        pr_emerg("lp_hang: %s does not come back\n", current->comm);
        for (;;)
                msleep(1000);
        return 0;
}

LIVEPATCH_TEST_PATCH(NULL, "cmdline_proc_show", hang_on_show)
LIVEPATCH_TEST_MODULE();
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: hangs the boot");
