/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HealthCheckUnit=: begun when a patch is applied, and what follows from its end. */

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/health-internal.h"

struct HealthCheck {
        Manager *manager;
        char *patch_id;
        char *unit;
        void *run; /* the runner's; NULL when it has ended */
        HealthResult result;
        sd_event_source *deadline;
};

/* "NAME@.service" is a template: its instance is the patch. Module names need no escaping (systemd.unit(5)). */
static int unit_of(const Manager *manager, const Patch *patch, char **ret) {
        const char *unit = manager->config->health_check_unit, *suffix = strrchr(unit, '.');
        bool template = suffix > unit && suffix[-1] == '@';

        if (asprintf(ret, "%.*s%s%s", (int) (suffix - unit), unit, template ? patch->name : "", suffix) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

HealthCheck *health_check_free(HealthCheck *check) {
        if (!check)
                return NULL;
        if (check->run)
                check->manager->health_runner->cancel(check->manager->health_userdata, check->run);
        (void) sd_event_source_disable_unref(check->deadline);
        free(check->patch_id);
        free(check->unit);
        free(check);
        return NULL;
}

static void log_unknown(const HealthCheck *check, const Patch *patch, const char *detail) {
        log_event(LOG_WARNING, LP_MESSAGE_HEALTH_UNKNOWN,
                  ((LogField[]){ { LP_FIELD_PATCH, patch->name },
                                 { LP_FIELD_OPERATION, "settle" },
                                 { LP_FIELD_KERNEL, patch->kernel_release },
                                 {} }),
                  "The health of '%s' could not be checked by %s: %s. It stays applied, and this boot does not prove "
                  "it. Mend the unit, or HealthCheckUnit=", patch->name, check->unit, detail);
        (void) manager_add_problem(check->manager, "The health of '%s' could not be checked by %s (HealthCheckUnit=): "
                                   "%s", patch->name, check->unit, detail);
}

/* The check may be gone afterwards. */
static void conclude(HealthCheck *check, HealthResult result, const char *detail) {
        Manager *manager = check->manager;
        Patch *patch = manager_patch_by_id(manager, check->patch_id);
        _cleanup_free_ char *reason = NULL;

        check->result = result;
        check->deadline = sd_event_source_disable_unref(check->deadline);
        if (!patch || patch->health != check)
                return;
        if (result == HEALTH_PASSED)
                log_info("%s finds nothing wrong with '%s'", check->unit, patch->id);
        else if (result == HEALTH_UNKNOWN)
                log_unknown(check, patch, detail);
        else if (asprintf(&reason, "%s, the health check, failed after '%s' had been applied: %s", check->unit,
                          patch->name, detail) >= 0)
                return manager_condemn(manager, patch, reason);
        else
                reason = NULL;
        manager_schedule_guard(manager);
}

void health_check_ended(HealthCheck *check, HealthResult result, const char *detail) {
        check->run = NULL;
        conclude(check, result, detail);
}

static int on_deadline(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        HealthCheck *check = userdata;
        Manager *manager = check->manager;

        manager->health_runner->cancel(manager->health_userdata, check->run);
        check->run = NULL;
        conclude(check, HEALTH_FAILED, "it had not ended when the settle time was over");
        return 0;
}

static int check_new(Manager *manager, const Patch *patch, HealthCheck **ret) {
        HealthCheck *check = calloc(1, sizeof(HealthCheck));
        int r;

        if (!check)
                return -ENOMEM;
        check->manager = manager;
        check->patch_id = strdup(patch->id);
        r = check->patch_id ? unit_of(manager, patch, &check->unit) : -ENOMEM;
        /* From here on, rather than from the end of the transition: at boot nobody could begin earlier. */
        if (r >= 0)
                r = sd_event_add_time_relative(manager->event, &check->deadline, CLOCK_MONOTONIC,
                                               manager->config->settle_time_usec, 0, on_deadline, check);
        if (r < 0) {
                health_check_free(check);
                return r;
        }
        *ret = check;
        return 0;
}

bool manager_health_is_due(const Manager *manager, const Patch *patch) {
        return manager->config->health_check_unit && manager->health_runner && !patch->health;
}

void manager_begin_health_check(Manager *manager, Patch *patch) {
        HealthCheck *check;
        int r = check_new(manager, patch, &check);

        if (r < 0) {
                (void) log_warning_errno(r, "Failed to begin the health check of '%s', trying again later: %m",
                                         patch->id);
                return;
        }
        patch->health = check;
        r = manager->health_runner->start(manager->health_userdata, check->unit, check, &check->run);
        if (r < 0)
                conclude(check, HEALTH_UNKNOWN, strerror(-r));
        else
                log_info("Checking the health of '%s' with %s", patch->id, check->unit);
}

HealthResult manager_health(const Manager *manager, const Patch *patch) {
        if (!manager->config->health_check_unit)
                return HEALTH_PASSED;
        return patch->health ? patch->health->result : HEALTH_PENDING;
}

/* What the runner that leaves has begun is begun again by the next one. */
void manager_set_health_runner(Manager *manager, const HealthRunner *runner, void *userdata) {
        for (size_t i = 0; i < manager->n_patches; i++)
                if (manager->patches[i]->health && manager->patches[i]->health->result == HEALTH_PENDING)
                        manager->patches[i]->health = health_check_free(manager->patches[i]->health);
        manager->health_runner = runner;
        manager->health_userdata = userdata;
        if (runner)
                manager_schedule_guard(manager);
}
