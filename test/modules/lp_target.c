// SPDX-License-Identifier: LGPL-2.1-or-later
// An ordinary module with a function worth patching, seen in /proc/lp_target.
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

static noinline int lp_target_show(struct seq_file *m, void *v)
{
        seq_puts(m, "lp_target: original\n");
        return 0;
}

static int __init lp_target_init(void)
{
        return proc_create_single("lp_target", 0444, NULL, lp_target_show) ? 0 : -ENOMEM;
}

static void __exit lp_target_exit(void)
{
        remove_proc_entry("lp_target", NULL);
}

module_init(lp_target_init);
module_exit(lp_target_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("test module whose function lp_target_show a livepatch replaces");
