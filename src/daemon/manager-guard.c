/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The crash guard while it runs: settle times, and lifting a quarantine. */

#include <string.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/confirm.h"
#include "daemon/guard-store.h"
#include "daemon/health-internal.h"
#include "daemon/transaction.h"

/* How often to look at a patch that nobody follows to the end of its transition. */
#define LOOK_INTERVAL_USEC (5 * USEC_PER_SEC)
/* The same, of one that is to be reverted when the job that works on it has ended. */
#define CONDEMNED_INTERVAL_USEC (200 * USEC_PER_MSEC)

static uint64_t now_monotonic(const Manager *manager) {
        uint64_t now = 0;

        (void) sd_event_now(manager->event, CLOCK_MONOTONIC, &now);
        return now;
}

static Patch *find(const Manager *manager, const char *name, const char *release) {
        for (size_t i = 0; i < manager->n_patches; i++)
                if (streq(manager->patches[i]->name, name) && streq(manager->patches[i]->kernel_release, release))
                        return manager->patches[i];
        return NULL;
}

bool manager_patch_is_settling(const Manager *manager, const Patch *patch) {
        return patch->guard && guard_record_is_armed(patch->guard) &&
               streq(patch->guard->boot_id, manager->kernel->boot_id);
}

bool manager_is_settling(const Manager *manager) {
        for (size_t i = 0; i < manager->n_patches; i++)
                if (manager_patch_is_settling(manager, manager->patches[i]) ||
                    manager_is_condemned(manager, manager->patches[i]))
                        return true;
        return false;
}

bool manager_is_watching(const Manager *manager) {
        return manager_is_settling(manager) || manager_has_unconfirmed(manager);
}

void manager_flag_watching(Manager *manager) {
        store_flag_watching(manager->store, manager_is_watching(manager));
}

/* Loaded anew: what was found out about it before is of an earlier load. */
static void begin_anew(Patch *patch) {
        patch->health = health_check_free(patch->health);
        patch->revert_tried = false;
}

void manager_set_guard(Manager *manager, Patch *patch, GuardRecord *guard) {
        if (guard && guard_record_is_armed(guard) && (!patch->guard || patch->guard->armed_at != guard->armed_at))
                begin_anew(patch);
        else if (!guard || !guard_record_is_armed(guard))
                patch->health = health_check_free(patch->health);
        guard_record_free(patch->guard);
        patch->guard = guard;
        patch->guard_step_pending = false;
        (void) patch_update(patch);
        manager_notify_patch(manager, patch, PATCH_CHANGED_STATE);
}

/* It was condemned while this was written, and the quarantine is on its way to the disk. */
static bool is_outdated(const Patch *patch, const GuardRecord *guard) {
        return patch->guard && patch->guard->phase == GUARD_QUARANTINED && guard && guard_record_is_armed(guard) &&
               guard->armed_at == patch->guard->armed_at;
}

void manager_take_guard(Manager *manager, Transaction *transaction) {
        Patch *patch = find(manager, transaction->name, transaction->release);

        if (!patch)
                return;
        if (transaction->guard_step != GUARD_STEP_NONE)
                patch->guard_step_pending = false;
        if (!transaction->guard_changed || is_outdated(patch, transaction->guard))
                return;
        manager_set_guard(manager, patch, TAKE_PTR(transaction->guard));
        manager_schedule_guard(manager);
}

int manager_check_quarantine(const Manager *manager, const char *name, const char *sha256, const char *build_id,
                             Failure *f) {
        const Patch *patch = find(manager, name, manager->kernel->release);
        const GuardRecord *quarantine = patch ? guard_record_quarantine_of(patch->guard, sha256, build_id) : NULL;

        return quarantine ? guard_record_refuse(quarantine, f) : 0;
}

/* ---- The settle time --------------------------------------------------------------------------------------- */

static void on_stepped(void *userdata _unused_, Transaction *transaction _unused_) {
}

void manager_submit_guard_step(Manager *manager, Patch *patch, GuardStep step, const char *reason) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r = transaction_new(manager, patch->name, patch->kernel_release, &transaction);

        if (r >= 0)
                r = free_and_strdup(&transaction->guard_reason, reason);
        if (r >= 0) {
                transaction->guard_step = step;
                r = transaction_submit(TAKE_PTR(transaction), on_stepped, NULL);
        }
        if (r < 0) {
                (void) log_warning_errno(r, "Failed to note how '%s' settles, trying again later: %m", patch->id);
                return;
        }
        patch->guard_step_pending = true;
}

static bool is_in_force(const Patch *patch) {
        return patch->klp && patch->klp->enabled && !patch->klp->transition;
}

/* When to look at the patch again. */
static uint64_t settle_deadline(const Manager *manager, Patch *patch, uint64_t now) {
        /* Nobody noted the end of the transition: an earlier process ended before it. */
        if (patch->guard->settling_since == 0 && is_in_force(patch) && !patch->job)
                patch->guard->settling_since = now;
        if (patch->guard->settling_since == 0 || !is_in_force(patch))
                return now + LOOK_INTERVAL_USEC;
        return patch->guard->settling_since + manager->config->settle_time_usec;
}

/* The settle time is over. */
static void judge_settled(Manager *manager, Patch *patch) {
        switch (manager_health(manager, patch)) {
        case HEALTH_PASSED:
                log_info("'%s' has settled: nothing in the kernel's log speaks against it", patch->id);
                return manager_submit_guard_step(manager, patch, GUARD_STEP_PROVE, NULL);
        case HEALTH_UNKNOWN:
                /* It has not taken the machine down, but nobody could say that it works: what it was before. */
                return manager_submit_guard_step(manager, patch, GUARD_STEP_DISARM, NULL);
        case HEALTH_FAILED: /* memory was short when it was to be condemned for a better reason */
                return manager_condemn(manager, patch, "The health check failed after it had been applied");
        case HEALTH_PENDING:
                return;
        }
}

static void judge_settling(Manager *manager, Patch *patch, uint64_t now) {
        uint64_t deadline;

        if (patch->job)
                return;
        if (!patch->klp) {
                /* Unloaded or replaced by something else: no suspect any more, and nothing is proven. */
                manager_submit_guard_step(manager, patch, GUARD_STEP_DISARM, NULL);
                return;
        }
        if (!is_in_force(patch))
                return;
        deadline = settle_deadline(manager, patch, now);
        if (manager_health_is_due(manager, patch))
                manager_begin_health_check(manager, patch);
        if (deadline <= now && manager_patch_is_settling(manager, patch))
                judge_settled(manager, patch);
}

static int on_settled(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Manager *manager = userdata;
        uint64_t now = now_monotonic(manager);

        manager_refresh_patches(manager);
        for (size_t i = 0; i < manager->n_patches; i++) {
                Patch *patch = manager->patches[i];

                if (manager_is_condemned(manager, patch))
                        manager_take_out(manager, patch);
                else if (manager_patch_is_settling(manager, patch) && !patch->guard_step_pending)
                        judge_settling(manager, patch, now);
        }
        manager_schedule_guard(manager);
        return 0;
}

static uint64_t next_look(const Manager *manager, Patch *patch, uint64_t now) {
        HealthResult health;
        uint64_t deadline;

        if (manager_is_condemned(manager, patch))
                return patch->job ? now + CONDEMNED_INTERVAL_USEC : now;
        if (!manager_patch_is_settling(manager, patch))
                return USEC_INFINITY;
        deadline = settle_deadline(manager, patch, now);
        if (patch->guard_step_pending || patch->job)
                return MAX(deadline, now + LOOK_INTERVAL_USEC);
        if (is_in_force(patch) && manager_health_is_due(manager, patch))
                return now;
        health = manager_health(manager, patch);
        if (deadline <= now && health != HEALTH_PASSED && health != HEALTH_UNKNOWN)
                return now + LOOK_INTERVAL_USEC;
        return MAX(deadline, now);
}

void manager_schedule_guard(Manager *manager) {
        uint64_t now = now_monotonic(manager), next = USEC_INFINITY;

        for (size_t i = 0; i < manager->n_patches; i++)
                next = MIN(next, next_look(manager, manager->patches[i], now));
        manager_flag_watching(manager);
        if (next == USEC_INFINITY) {
                (void) sd_event_source_set_enabled(manager->guard_timer, SD_EVENT_OFF);
                return;
        }
        (void) sd_event_source_set_time(manager->guard_timer, next);
        (void) sd_event_source_set_enabled(manager->guard_timer, SD_EVENT_ONESHOT);
}

int manager_init_guard(Manager *manager) {
        int r = sd_event_add_time(manager->event, &manager->guard_timer, CLOCK_MONOTONIC, 0, 0, on_settled, manager);

        return r < 0 ? r : sd_event_source_set_enabled(manager->guard_timer, SD_EVENT_OFF);
}

/* ---- Lifting ----------------------------------------------------------------------------------------------- */

typedef struct Lifting {
        Manager *manager;
        char *patch_id;
        Reply reply;
} Lifting;

static void lifting_end(Lifting *lifting, const Failure *failure, const Patch *patch) {
        reply_call(&lifting->reply, failure, patch, NULL);
        free(lifting->patch_id);
        free(lifting);
}

static void on_lifted(void *userdata, Transaction *transaction) {
        Lifting *lifting = userdata;
        Manager *manager = lifting->manager;
        char which[STRLEN("4294967295 builds of ") + 1] = "";
        Patch *patch;

        if (transaction->failure.code != 0)
                return lifting_end(lifting, &transaction->failure, NULL);
        if (transaction->n_lifted > 1)
                (void) snprintf(which, sizeof(which), "%u builds of ", transaction->n_lifted);
        log_event(LOG_NOTICE, LP_MESSAGE_QUARANTINE_LIFTED,
                  ((LogField[]){ { LP_FIELD_PATCH, transaction->name },
                                 { LP_FIELD_OPERATION, "unquarantine" },
                                 { LP_FIELD_KERNEL, transaction->release },
                                 {} }),
                  "Lifted the quarantine of %s'%s' for kernel %s", which, transaction->name, transaction->release);
        patch = manager_patch_by_id(manager, lifting->patch_id);
        if (patch)
                manager_refresh_patch(manager, patch); /* nothing may be left of it */
        lifting_end(lifting, NULL, manager_patch_by_id(manager, lifting->patch_id));
}

static void on_lifting_dropped(void *userdata) {
        _cleanup_failure_ Failure failure = {};

        (void) failure_set(&failure, REFUSED_CANCELED,
                           "livepatchd is stopping, and the quarantine may or may not have been lifted. Try again");
        lifting_end(userdata, &failure, NULL);
}

int manager_clear_quarantine(Manager *manager, const char *patch_id, uid_t uid _unused_, ManagerReply reply,
                             void *userdata, Failure *f) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        const Patch *patch = manager_find_patch(manager, patch_id);
        Lifting *lifting;

        if (!patch)
                return manager_no_such_patch(patch_id, f);
        if (!guard_record_any_quarantine(patch->guard))
                return failure_set(f, REFUSED_CONFLICT, "'%s' is not quarantined. Nothing was changed", patch->id);
        if (transaction_new(manager, patch->name, patch->kernel_release, &transaction) < 0)
                return failure_oom(f);
        transaction->guard_step = GUARD_STEP_LIFT;
        transaction->dropped = on_lifting_dropped;
        lifting = malloc(sizeof(Lifting));
        if (!lifting)
                return failure_oom(f);
        *lifting = (Lifting) {
                .manager = manager,
                .patch_id = strdup(patch->id),
                .reply = { reply, userdata },
        };
        if (!lifting->patch_id || transaction_submit(TAKE_PTR(transaction), on_lifted, lifting) < 0) {
                free(lifting->patch_id);
                free(lifting);
                return failure_oom(f);
        }
        return 0;
}
