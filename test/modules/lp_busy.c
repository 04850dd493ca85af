// SPDX-License-Identifier: LGPL-2.1-or-later
// An ordinary module with a thread that sleeps inside lp_busy_sleep() until its parameter `release` is written. So does
// every process that reads /proc/lp_busy, unless it is killed.
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>

static bool release;
module_param(release, bool, 0644);
MODULE_PARM_DESC(release, "Y: the thread leaves lp_busy_sleep() and stays out of it");

static struct task_struct *thread;

static bool should_end(void)
{
        return current->flags & PF_KTHREAD ? kthread_should_stop() : fatal_signal_pending(current);
}

/* Woken before its time (livepatch nudges tasks), it goes back to sleep without returning. */
static noinline void lp_busy_sleep(void)
{
        while (!READ_ONCE(release) && !should_end())
                schedule_timeout_interruptible(HZ / 20);
        barrier(); /* no tail call: the function has to stay on the stack */
}

static int lp_busy_main(void *unused)
{
        while (!kthread_should_stop()) {
                lp_busy_sleep();
                schedule_timeout_interruptible(HZ / 20);
        }
        return 0;
}

static int lp_busy_show(struct seq_file *m, void *v)
{
        lp_busy_sleep();
        seq_puts(m, "lp_busy: released\n");
        return 0;
}

static int __init lp_busy_init(void)
{
        if (!proc_create_single("lp_busy", 0444, NULL, lp_busy_show))
                return -ENOMEM;
        thread = kthread_run(lp_busy_main, NULL, "lp_busy");
        if (IS_ERR(thread))
                remove_proc_entry("lp_busy", NULL);
        return PTR_ERR_OR_ZERO(thread);
}

static void __exit lp_busy_exit(void)
{
        remove_proc_entry("lp_busy", NULL);
        kthread_stop(thread);
}

module_init(lp_busy_init);
module_exit(lp_busy_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("test module whose thread holds up the transition of lp_stall");
