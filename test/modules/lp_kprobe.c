// SPDX-License-Identifier: LGPL-2.1-or-later
// An ordinary module with a kprobe that has a post handler: its ftrace entry is IPMODIFY, and excludes livepatches.
#include <linux/kprobes.h>
#include <linux/module.h>

static char *symbol = "cmdline_proc_show";
module_param(symbol, charp, 0444);
MODULE_PARM_DESC(symbol, "the function to probe");

static bool post = true;
module_param(post, bool, 0444);
MODULE_PARM_DESC(post, "N: a plain probe, which a livepatch can live with");

static int lp_kprobe_pre(struct kprobe *p, struct pt_regs *regs)
{
        return 0;
}

static void lp_kprobe_post(struct kprobe *p, struct pt_regs *regs, unsigned long flags)
{
}

static struct kprobe lp_kprobe = { .pre_handler = lp_kprobe_pre };

static int __init lp_kprobe_init(void)
{
        lp_kprobe.symbol_name = symbol;
        if (post)
                lp_kprobe.post_handler = lp_kprobe_post;
        return register_kprobe(&lp_kprobe);
}

static void __exit lp_kprobe_exit(void)
{
        unregister_kprobe(&lp_kprobe);
}

module_init(lp_kprobe_init);
module_exit(lp_kprobe_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("test module that probes a function, so that ftrace gives it to nobody else");
