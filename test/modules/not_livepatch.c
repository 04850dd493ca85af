// SPDX-License-Identifier: LGPL-2.1-or-later
// An ordinary module: no livepatch at all.
#include <linux/module.h>

static int __init not_livepatch_init(void)
{
        pr_info("not_livepatch: loaded\n");
        return 0;
}

static void __exit not_livepatch_exit(void)
{
}

module_init(not_livepatch_init);
module_exit(not_livepatch_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION("1");
MODULE_DESCRIPTION("test module that is no livepatch");
