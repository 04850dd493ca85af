// SPDX-License-Identifier: LGPL-2.1-or-later
// A livepatch whose transition stalls as long as the thread of lp_busy sleeps in the function it replaces.
#include <linux/sched.h>

#include "livepatch-test.h"

static bool hold;
module_param(hold, bool, 0644);
MODULE_PARM_DESC(hold, "Y: the new function sleeps too, so that reverting stalls as well");

static noinline void patched_sleep(void)
{
        do
                schedule_timeout_interruptible(HZ / 20);
        while (READ_ONCE(hold));
        barrier(); /* no tail call: the function has to stay on the stack */
}

LIVEPATCH_TEST_PATCH("lp_busy", "lp_busy_sleep", patched_sleep)
LIVEPATCH_TEST_MODULE();
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: lp_busy_sleep of the module lp_busy");
