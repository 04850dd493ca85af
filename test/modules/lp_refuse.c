// SPDX-License-Identifier: LGPL-2.1-or-later
// A livepatch whose own callback refuses to be applied, with ENODEV.
#include "livepatch-test.h"

static int refuse(struct klp_object *obj)
{
        pr_info("lp_refuse: this patch does not want to be applied\n");
        return -ENODEV;
}

static int never_called(struct seq_file *m, void *v)
{
        return 0;
}

LIVEPATCH_TEST_PATCH(NULL, "cmdline_proc_show", never_called, .callbacks = { .pre_patch = refuse })
LIVEPATCH_TEST_MODULE();
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: its pre_patch callback returns ENODEV");
