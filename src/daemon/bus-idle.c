/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Leaves the bus without losing a call, and ends the event loop, when nobody has called for a while.
 *
 * Exiting at once would lose the calls that are on their way. So the service manager is told first (STOPPING=1: an
 * activation from now on starts a new process after this one), then the name is given back. The bus daemon delivers in
 * order: when its answer is here, every call that was sent to the name before has been received, and waits for its turn
 * at most (bus-queue.c). Those calls and what they began are finished, and only then does the loop end. */

#include <systemd/sd-daemon.h>

#include "common/log.h"
#include "common/names.h"
#include "daemon/bus-idle.h"

/* How often to look whether the last work is done, between giving the name back and the exit. */
#define DRAIN_INTERVAL_USEC (50 * USEC_PER_MSEC)

struct BusIdle {
        sd_bus *bus;
        sd_event *event;
        sd_event_source *timer;
        sd_bus_slot *filter;
        sd_bus_slot *release;
        uint64_t timeout_usec;
        uint64_t last_call_usec; /* CLOCK_MONOTONIC */
        uint64_t last_work_usec;
        bool released;
        bool (*busy)(void *userdata);
        void *userdata;
};

BusIdle *bus_idle_free(BusIdle *idle) {
        if (!idle)
                return NULL;
        sd_event_source_disable_unref(idle->timer);
        sd_bus_slot_unref(idle->filter);
        sd_bus_slot_unref(idle->release);
        sd_bus_unref(idle->bus);
        sd_event_unref(idle->event);
        free(idle);
        return NULL;
}

bool bus_idle_is_leaving(const BusIdle *idle) {
        return idle->release;
}

static uint64_t now_usec(const BusIdle *idle) {
        uint64_t now = 0;

        (void) sd_event_now(idle->event, CLOCK_MONOTONIC, &now);
        return now;
}

/* Signals and replies do not count: somebody who just watches does not keep the daemon running. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        BusIdle *idle = userdata;

        if (sd_bus_message_is_method_call(m, NULL, NULL) > 0)
                idle->last_call_usec = now_usec(idle);
        return 0;
}

static int rearm(BusIdle *idle, uint64_t usec) {
        int r;

        r = sd_event_source_set_time(idle->timer, usec);
        return r < 0 ? r : sd_event_source_set_enabled(idle->timer, SD_EVENT_ONESHOT);
}

static int on_released(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        BusIdle *idle = userdata;

        if (sd_bus_message_is_method_error(reply, NULL) > 0)
                log_debug("The bus name could not be given back, exiting anyway");
        idle->released = true;
        return rearm(idle, now_usec(idle));
}

static int begin_exit(BusIdle *idle) {
        log_debug("Nobody has called for a while, exiting");
        (void) sd_notify(false, "STOPPING=1\nSTATUS=Idle, exiting; the next call starts the daemon again");
        return sd_bus_release_name_async(idle->bus, &idle->release, LP_BUS_NAME, on_released, idle);
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        BusIdle *idle = userdata;
        uint64_t now = now_usec(idle);
        bool busy = idle->busy(idle->userdata);
        uint64_t idle_since;

        if (idle->released)
                return busy ? rearm(idle, now + DRAIN_INTERVAL_USEC) : sd_event_exit(idle->event, EXIT_SUCCESS);
        if (busy)
                idle->last_work_usec = now;
        /* Whoever has waited for the end of some work may have a question about it. */
        idle_since = MAX(idle->last_call_usec, idle->last_work_usec);
        if (now - idle_since < idle->timeout_usec)
                return rearm(idle, idle_since + idle->timeout_usec);
        return begin_exit(idle);
}

int bus_idle_new(sd_bus *bus, sd_event *event, uint64_t timeout_usec, bool (*busy)(void *userdata), void *userdata,
                 BusIdle **ret) {
        _cleanup_(bus_idle_freep) BusIdle *idle = calloc(1, sizeof(*idle));
        int r;

        if (!idle)
                return -ENOMEM;
        *idle = (BusIdle) {
                .bus = sd_bus_ref(bus),
                .event = sd_event_ref(event),
                .timeout_usec = timeout_usec,
                .busy = busy,
                .userdata = userdata,
        };
        idle->last_call_usec = now_usec(idle);
        if (timeout_usec != USEC_INFINITY) {
                r = sd_bus_add_filter(bus, &idle->filter, on_message, idle);
                if (r < 0)
                        return r;
                r = sd_event_add_time_relative(event, &idle->timer, CLOCK_MONOTONIC, timeout_usec, 0, on_timer, idle);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(idle);
        return 0;
}
