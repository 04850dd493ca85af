/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can safely be done about a task that holds up a transition. */

#include <stdarg.h>

#include "common/string-util.h"
#include "kmod/klp-blockers.h"

const char *klp_advice_to_string(KlpAdvice advice) {
        static const char *const klp_advice_table[_KLP_ADVICE_MAX] = {
                [KLP_ADVICE_NONE] = "none",
                [KLP_ADVICE_WAIT] = "wait",
                [KLP_ADVICE_RESTART_UNIT] = "restart-unit",
        };

        return (unsigned) advice < _KLP_ADVICE_MAX ? klp_advice_table[advice] : NULL;
}

/* Units whose restart takes the whole system or everybody's session along. */
static bool is_vital(const char *unit) {
        static const char *const vital[] = { "init.scope", "dbus.service", "dbus-broker.service" };

        for (size_t i = 0; i < ELEMENTSOF(vital); i++)
                if (streq(unit, vital[i]))
                        return true;
        return false;
}

static int _printf_(3, 4) advise(KlpBlocker *b, KlpAdvice advice, const char *format, ...) {
        va_list ap;
        int r;

        free(b->advice_text);
        va_start(ap, format);
        r = vasprintf(&b->advice_text, format, ap);
        va_end(ap);
        if (r < 0) {
                b->advice_text = NULL;
                return -ENOMEM;
        }
        b->advice = advice;
        return 0;
}

static int advise_unit(KlpBlocker *b, const char *unit) {
        if (is_vital(unit))
                return advise(b, KLP_ADVICE_NONE,
                              "%s cannot be restarted while the system runs: wait, or cancel the transition", unit);
        if (!endswith(unit, ".service"))
                return advise(b, KLP_ADVICE_WAIT,
                              "It belongs to %s, which systemd cannot restart: wait, or end the program", unit);
        return advise(b, KLP_ADVICE_RESTART_UNIT, "Restart its service: systemctl restart %s", unit);
}

static int advise_user(KlpBlocker *b) {
        if (b->cgroup.user_unit && endswith(b->cgroup.user_unit, ".service"))
                return advise(b, KLP_ADVICE_WAIT,
                              "It is a service of user %u, who can restart it: systemctl --user restart %s",
                              b->uid, b->cgroup.user_unit);
        return advise(b, KLP_ADVICE_WAIT,
                      "It belongs to a session of user %u: wait, or ask for the program to be ended", b->uid);
}

int klp_blocker_advise(KlpBlocker *b) {
        const char *unit = b->cgroup.unit;
        bool of_user = unit && (startswith(unit, "user@") || startswith(unit, "session-"));

        if (b->kernel_thread)
                return advise(b, KLP_ADVICE_NONE,
                              "A kernel thread cannot be restarted: wait until it leaves the function, or cancel the "
                              "transition");
        /* TASK_UNINTERRUPTIBLE, or TASK_KILLABLE, which the kernel shows as the same (fs/proc/array.c): a restart may
         * wait as long as the transition does. */
        if (b->state == 'D')
                return advise(b, KLP_ADVICE_NONE,
                              "It waits for a device or a file system and may not be interruptible: wait for the end "
                              "of that, or cancel the transition");
        if (b->pid == 1)
                return advise_unit(b, "init.scope");
        /* A container that is a service is restarted as one. */
        if (b->cgroup.container && (of_user || !unit || !endswith(unit, ".service")))
                return advise(b, KLP_ADVICE_WAIT, "It runs in the %s container %.12s: wait, or restart the container",
                              b->cgroup.runtime, b->cgroup.container);
        if (of_user)
                return advise_user(b);
        if (unit)
                return advise_unit(b, unit);
        return advise(b, KLP_ADVICE_WAIT, "It belongs to no unit: wait, or end the program");
}
