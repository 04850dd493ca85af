/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Patch.ListBlockers: the tasks that hold up a transition. */

#include "common/string-util.h"
#include "daemon/bus-error.h"
#include "daemon/bus-message.h"
#include "daemon/bus-request.h"

static int append_texts(sd_bus_message *m, const KlpBlocker *b) {
        const char state[] = { b->state, '\0' };
        const BusText texts[] = {
                { "comm", b->comm },
                { "command-line", b->command_line },
                { "state", state },
                { "unit", b->cgroup.unit },
                { "user-unit", b->cgroup.user_unit },
                { "container", b->cgroup.container },
                { "container-runtime", b->cgroup.runtime },
                { "cgroup", b->cgroup.path },
                { "stack-status", klp_stack_status_to_string(b->stack_status) },
                { "wait-channel", b->wchan },
                { "function", b->function },
                { "object", b->object },
                { "advice", klp_advice_to_string(b->advice) },
                { "advice-text", b->advice_text },
                {},
        };

        return bus_message_append_text_entries(m, texts);
}

static int append_stack(sd_bus_message *m, const void *userdata) {
        const KlpBlocker *b = userdata;

        return bus_message_append_text_array(m, b->stack);
}

static int append_blocker(sd_bus_message *m, const KlpBlocker *b, unsigned total) {
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}",
                                  "tid", "u", (uint32_t) b->tid,
                                  "pid", "u", (uint32_t) b->pid,
                                  "uid", "u", (uint32_t) b->uid,
                                  "kernel-thread", "b", b->kernel_thread,
                                  "total", "u", (uint32_t) total);
        if (r < 0)
                return r;
        r = append_texts(m, b);
        if (r < 0)
                return r;
        r = bus_message_append_entry(m, "stack", "as", append_stack, b);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_blockers(sd_bus_message *m, const void *userdata) {
        const KlpBlockerList *list = userdata;
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "a{sv}");
        if (r < 0)
                return r;
        for (size_t i = 0; i < list->n; i++) {
                r = append_blocker(m, list->blockers + i, list->n_pending);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

static void reply_blockers(void *userdata, const Failure *failure, const KlpBlockerList *list) {
        bus_request_reply(userdata, failure, append_blockers, list);
}

/* Kernel stacks are root's own (proc_pid_stack(5)), and with hidepid= so are command lines (proc(5)): whoever may not
 * inspect is not told. */
int bus_method_list_blockers(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(bus_request_freep) BusRequest *request = NULL;
        _cleanup_failure_ Failure failure = {};
        _cleanup_free_ char *id = NULL;
        uid_t uid;
        Bus *bus;
        int r;

        r = bus_patch_begin(userdata, m, &bus, &id, &uid, &request, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_list_blockers(bus->manager, id, reply_blockers, request, &failure);
        return bus_request_begun(&request, r, &failure, error);
}
