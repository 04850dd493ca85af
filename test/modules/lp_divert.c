// SPDX-License-Identifier: LGPL-2.1-or-later
// An ordinary module that tells ftrace that it changes where a function goes on: no livepatch can have that one then.
#include <linux/ftrace.h>
#include <linux/module.h>

static char *symbol = "cmdline_proc_show";
module_param(symbol, charp, 0444);
MODULE_PARM_DESC(symbol, "the function to divert");

static void notrace lp_divert_handler(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
                                      struct ftrace_regs *regs)
{
}

static struct ftrace_ops lp_divert_ops = {
        .func = lp_divert_handler,
        .flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY,
};

static int __init lp_divert_init(void)
{
        int r = ftrace_set_filter(&lp_divert_ops, symbol, strlen(symbol), 1);

        return r ? r : register_ftrace_function(&lp_divert_ops);
}

static void __exit lp_divert_exit(void)
{
        unregister_ftrace_function(&lp_divert_ops);
}

module_init(lp_divert_init);
module_exit(lp_divert_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("test module that diverts a function, so that ftrace gives it to nobody else");
