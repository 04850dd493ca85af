/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connects to the bus, registers the objects, and ties the bus layer to the manager. */

#include "common/log.h"
#include "common/names.h"
#include "daemon/bus-internal.h"

#define ITERATION_NONE UINT64_MAX

/* How long a process stays that has begun on a read-only state directory: without work, so that scripts do not meet
 * StartLimitBurst= of the unit; and with something to watch. */
#define READ_ONLY_IDLE_USEC (2 * USEC_PER_SEC)
#define READ_ONLY_STAY_USEC (60 * USEC_PER_SEC)

static bool iteration_is_new(Bus *bus, uint64_t *last) {
        uint64_t iteration;

        if (!bus->manager || bus->changes.announcing > 0)
                return false;
        if (sd_event_get_iteration(bus->event, &iteration) >= 0) {
                if (iteration == *last)
                        return false;
                *last = iteration;
        }
        return true;
}

void bus_refresh_patches(Bus *bus) {
        if (iteration_is_new(bus, &bus->patches_refreshed_at))
                manager_refresh_patches(bus->manager);
}

void bus_refresh_kernel(Bus *bus) {
        if (iteration_is_new(bus, &bus->kernel_refreshed_at))
                manager_refresh_kernel(bus->manager);
}

/* A call that came in while the name was being given back is finished, but not stayed for: livepatch-settle.path starts
 * the next process. */
static bool is_watching(const Bus *bus) {
        return bus->idle && !bus_idle_is_leaving(bus->idle) && manager_is_watching(bus->manager);
}

static bool has_work(const Bus *bus) {
        return !bus->manager || !bus_queue_is_empty(bus->queue) || bus->requests || !manager_is_idle(bus->manager) ||
               bus_polkit_is_busy(bus->polkit);
}

/* A file system that has become writable is seen by the next process only. So this one leaves as soon as it can: its
 * jobs are not kept readable, since their ends have been announced with the reasons; and what it stays for otherwise
 * goes on with the next one, which livepatch-settle.path starts, or a subscriber that sees the name come back. That is
 * no use before a write has failed, and not worth more than one start a minute. */
static bool is_needed_read_only(const Bus *bus) {
        uint64_t now = 0;

        if (!bus->subscribers && !is_watching(bus))
                return false;
        (void) sd_event_now(bus->event, CLOCK_MONOTONIC, &now);
        return !manager_has_failed_to_write(bus->manager) || now - bus->began_usec < READ_ONLY_STAY_USEC;
}

/* A job that has ended keeps the daemon as long as its object is promised to be readable (JOB_RETENTION_USEC). */
static bool is_busy(void *userdata) {
        const Bus *bus = userdata;

        if (has_work(bus))
                return true;
        if (manager_began_read_only(bus->manager))
                return is_needed_read_only(bus);
        return bus->subscribers || manager_n_jobs(bus->manager) > 0 || is_watching(bus);
}

static uint64_t idle_usec(const Bus *bus) {
        uint64_t usec = manager_config(bus->manager)->exit_idle_usec;

        return manager_began_read_only(bus->manager) ? MIN(usec, READ_ONLY_IDLE_USEC) : usec;
}

static int register_objects(Bus *bus) {
        int r;

        r = sd_bus_add_object_manager(bus->bus, NULL, LP_OBJECT_MANAGER);
        if (r < 0)
                return r;
        r = bus_manager_register(bus);
        if (r < 0)
                return r;
        r = bus_patch_register(bus);
        if (r < 0)
                return r;
        r = bus_job_register(bus);
        if (r < 0)
                return r;
        return bus_log_control_register(bus);
}

/* One rule for all callers, because the bus counts rules (max_match_rules_per_connection in dbus-daemon(1)), and
 * sd-bus takes one that is refused for the end of the connection. */
#define MATCH_LEFT                                                                                                   \
        "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',"    \
        "arg2=''"

static int on_left(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        const char *name;
        Bus *bus = userdata;

        if (sd_bus_message_read_basic(m, 's', &name) <= 0 || *name != ':')
                return 0;
        bus_queue_leave(bus->queue, name);
        bus_polkit_leave(bus->polkit, name);
        bus_subscribers_leave(bus, name);
        return 0;
}

static int serve(Bus *bus) {
        const Config *config = manager_config(bus->manager);
        int r;

        r = bus_queue_new(bus->bus, bus->event, &bus->queue);
        if (r < 0)
                return r;
        r = bus_polkit_new(bus->bus, bus->event, bus->queue, config->pending_authorizations_per_user_max, &bus->polkit);
        if (r < 0)
                return r;
        r = sd_bus_add_match_async(bus->bus, &bus->left, MATCH_LEFT, on_left, NULL, bus);
        if (r < 0)
                return r;
        r = register_objects(bus);
        if (r < 0)
                return r;
        r = bus_changes_init(bus);
        if (r < 0)
                return r;
        r = bus_idle_new(bus->bus, bus->event, idle_usec(bus), is_busy, bus, &bus->idle);
        if (r < 0)
                return r;
        r = sd_bus_set_exit_on_disconnect(bus->bus, true);
        return r < 0 ? r : sd_bus_attach_event(bus->bus, bus->event, SD_EVENT_PRIORITY_NORMAL);
}

static int take_health_checks(Bus *bus) {
        int r;

        if (!manager_config(bus->manager)->health_check_unit)
                return 0;
        r = bus_health_new(bus->bus, &bus->health);
        if (r < 0)
                return r;
        manager_set_health_runner(bus->manager, &bus_health_runner, bus->health);
        return 0;
}

static int take_name(Bus *bus, Failure *f) {
        int r;

        r = sd_bus_request_name(bus->bus, LP_BUS_NAME, 0);
        if (r == -EEXIST || r == -EALREADY)
                return failure_set(f, r, "The bus name '%s' is taken: another livepatchd is running. Nothing was "
                                   "changed; end the other one first", LP_BUS_NAME);
        if (r < 0) {
                errno = -r;
                return failure_set(f, r, "The bus name '%s' cannot be taken: %m. Is the bus policy file installed, "
                                   "and is this running as root?", LP_BUS_NAME);
        }
        return 0;
}

int bus_new(sd_event *event, Manager *manager, int root_fd, Bus **ret, Failure *f) {
        _cleanup_(bus_freep) Bus *bus = calloc(1, sizeof(*bus));
        int r;

        if (!bus)
                return failure_oom(f);
        *bus = (Bus) {
                .event = sd_event_ref(event),
                .manager = manager,
                .root_fd = root_fd,
                .patches_refreshed_at = ITERATION_NONE,
                .kernel_refreshed_at = ITERATION_NONE,
        };
        (void) sd_event_now(event, CLOCK_MONOTONIC, &bus->began_usec);
        r = sd_bus_open_system(&bus->bus);
        if (r < 0) {
                errno = -r;
                return failure_set(f, r, "Failed to connect to the system bus: %m");
        }
        r = serve(bus);
        if (r >= 0)
                r = take_health_checks(bus);
        if (r < 0) {
                errno = -r;
                return failure_set(f, r, "Failed to register the bus objects: %m");
        }
        r = take_name(bus, f);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

static void leave_manager(Bus *bus) {
        manager_set_health_runner(bus->manager, NULL, NULL);
        manager_set_observer(bus->manager, NULL, NULL);
        bus->manager = NULL;
}

void bus_stop(Bus *bus) {
        bus_changes_flush(bus);
        leave_manager(bus);
}

Bus *bus_free(Bus *bus) {
        if (!bus)
                return NULL;
        if (bus->manager)
                leave_manager(bus);
        (void) bus_health_free(bus->health);
        bus_changes_done(bus);
        bus_subscribers_done(bus);
        sd_bus_slot_unref(bus->left);
        (void) bus_idle_free(bus->idle);
        (void) bus_polkit_free(bus->polkit);
        (void) bus_queue_free(bus->queue);
        sd_bus_flush_close_unref(bus->bus);
        sd_event_unref(bus->event);
        free(bus);
        return NULL;
}
