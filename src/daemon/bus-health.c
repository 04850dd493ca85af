/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs the unit that HealthCheckUnit= names, through the service manager (org.freedesktop.systemd1(5)).
 *
 *     StartUnit(unit, "replace") -> job       an error: the unit is not there, or must not be started
 *     JobRemoved(id, job, unit, result)       "done" for a service of Type=oneshot: its commands have succeeded
 *     Properties.Get ActiveState              of one that has started, and may have failed since
 *     Properties.Get Result                   of one that has failed, for people
 *
 * The signal is sent to clients that have called Subscribe(), and after the reply to StartUnit(): jobs run from the
 * service manager's event loop. */

#include "common/log.h"
#include "common/string-util.h"
#include "daemon/bus-health.h"

#define SYSTEMD_NAME "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER SYSTEMD_NAME ".Manager"

struct BusHealth {
        sd_bus *bus;
        sd_bus_slot *subscription;
};

typedef struct HealthRun {
        BusHealth *health;
        HealthCheck *check;
        char *unit;
        char *job;
        sd_bus_slot *match;
        sd_bus_slot *call;
} HealthRun;

static HealthRun *run_free(HealthRun *run) {
        if (!run)
                return NULL;
        sd_bus_slot_unref(run->match);
        sd_bus_slot_unref(run->call);
        free(run->unit);
        free(run->job);
        free(run);
        return NULL;
}
DEFINE_CLEANUP(HealthRun *, run_free)

/* Frees the run. Returns what a bus callback does. */
static int run_end(HealthRun *run, HealthResult result, const char *detail) {
        _cleanup_(run_freep) _unused_ HealthRun *owned = run;

        health_check_ended(owned->check, result, detail);
        return 0;
}

static int run_end_errno(HealthRun *run, int error) {
        return run_end(run, HEALTH_UNKNOWN, strerror(-error));
}

/* ---- How it has ended -------------------------------------------------------------------------------------- */

static int run_get(HealthRun *run, const char *interface, const char *property, sd_bus_message_handler_t handler) {
        _cleanup_free_ char *path = NULL;
        int r = sd_bus_path_encode(SYSTEMD_PATH "/unit", run->unit, &path);

        run->call = sd_bus_slot_unref(run->call);
        if (r < 0)
                return r;
        return sd_bus_call_method_async(run->health->bus, &run->call, SYSTEMD_NAME, path,
                                        "org.freedesktop.DBus.Properties", "Get", handler, run, "ss", interface,
                                        property);
}

static const char *read_text(sd_bus_message *reply) {
        const char *text;

        if (sd_bus_message_is_method_error(reply, NULL) > 0 || sd_bus_message_read(reply, "v", "s", &text) < 0)
                return NULL;
        return text;
}

static int on_result(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        _cleanup_free_ char *detail = NULL;
        HealthRun *run = userdata;
        const char *result = read_text(reply);

        if (asprintf(&detail, "its result is '%s'; 'journalctl -u %s' shows what it says", result ?: "unknown",
                     run->unit) < 0)
                detail = NULL;
        return run_end(run, HEALTH_FAILED, detail ?: "for a reason that could not be told");
}

static int run_failed(HealthRun *run) {
        int r = run_get(run, SYSTEMD_NAME ".Service", "Result", on_result);

        return r < 0 ? run_end(run, HEALTH_FAILED, "its result could not be read") : 0;
}

static int on_active_state(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        HealthRun *run = userdata;
        const char *state = read_text(reply);

        if (!state)
                return run_end(run, HEALTH_UNKNOWN, "its state could not be read");
        return streq(state, "failed") ? run_failed(run) : run_end(run, HEALTH_PASSED, NULL);
}

static int run_judge(HealthRun *run, const char *result) {
        _cleanup_free_ char *detail = NULL;
        int r;

        if (streq(result, "done")) {
                r = run_get(run, SYSTEMD_NAME ".Unit", "ActiveState", on_active_state);
                return r < 0 ? run_end_errno(run, r) : 0;
        }
        if (streq(result, "failed") || streq(result, "timeout"))
                return run_failed(run);
        /* "canceled" by somebody, "dependency", "skipped", ...: it has not run, or not to its end. */
        if (asprintf(&detail, "the service manager ended its start as '%s'", result) < 0)
                detail = NULL;
        return run_end(run, HEALTH_UNKNOWN, detail ?: result);
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        const char *job, *result;
        HealthRun *run = userdata;
        int r = sd_bus_message_read(m, "uoss", NULL, &job, NULL, &result);

        if (r < 0 || !streq_ptr(job, run->job))
                return 0;
        free(run->job);
        run->job = NULL;
        return run_judge(run, result);
}

/* ---- Starting it ------------------------------------------------------------------------------------------- */

static int on_started(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        const sd_bus_error *failure = sd_bus_message_get_error(reply);
        HealthRun *run = userdata;
        const char *job;
        int r;

        if (failure) {
                _cleanup_free_ char *why = sanitize_text(failure->message ?: failure->name, 256);

                return run_end(run, HEALTH_UNKNOWN, why ?: "it could not be started");
        }
        r = sd_bus_message_read(reply, "o", &job);
        if (r >= 0)
                r = free_and_strdup(&run->job, job);
        return r < 0 ? run_end_errno(run, r) : 0;
}

static int start(HealthRun *run) {
        int r = sd_bus_match_signal_async(run->health->bus, &run->match, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER,
                                          "JobRemoved", on_job_removed, NULL, run);

        if (r < 0)
                return r;
        return sd_bus_call_method_async(run->health->bus, &run->call, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER,
                                        "StartUnit", on_started, run, "ss", run->unit, "replace");
}

static int health_start(void *userdata, const char *unit, HealthCheck *check, void **ret) {
        _cleanup_(run_freep) HealthRun *run = calloc(1, sizeof(HealthRun));
        int r;

        if (!run)
                return -ENOMEM;
        run->health = userdata;
        run->check = check;
        run->unit = strdup(unit);
        if (!run->unit)
                return -ENOMEM;
        r = start(run);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(run);
        return 0;
}

/* The unit runs on: it is the administrator's. */
static void health_cancel(void *userdata _unused_, void *run) {
        run_free(run);
}

const HealthRunner bus_health_runner = {
        .start = health_start,
        .cancel = health_cancel,
};

/* ---- Life -------------------------------------------------------------------------------------------------- */

static int on_subscribed(sd_bus_message *reply, void *userdata _unused_, sd_bus_error *error _unused_) {
        const sd_bus_error *failure = sd_bus_message_get_error(reply);

        /* Then nothing can be started, either, which is told when it matters. */
        if (failure)
                log_debug("The service manager does not tell its news: %s", strempty(failure->message));
        return 0;
}

int bus_health_new(sd_bus *bus, BusHealth **ret) {
        _cleanup_(bus_health_freep) BusHealth *health = calloc(1, sizeof(BusHealth));
        int r;

        if (!health)
                return -ENOMEM;
        health->bus = sd_bus_ref(bus);
        r = sd_bus_call_method_async(bus, &health->subscription, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER,
                                     "Subscribe", on_subscribed, NULL, NULL);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(health);
        return 0;
}

BusHealth *bus_health_free(BusHealth *health) {
        if (!health)
                return NULL;
        sd_bus_slot_unref(health->subscription);
        sd_bus_unref(health->bus);
        free(health);
        return NULL;
}
