/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commit-confirm: what was applied on condition is reverted when nobody confirms it in time.
 *
 *     Apply(confirm-within) -> in transition -> waits -> Confirm()  -> lasts
 *                                                 |
 *                                                 +--> time is over -> revert, or rollback -> as it was before
 *
 * While it waits, the manifest says nothing that a boot would follow (transient_boot_id, record.h), so that a crash or
 * a reboot counts as not confirmed; the time until which it waits is in the runtime record, so that another process
 * goes on where this one was killed. It is one of CLOCK_BOOTTIME: setting the clock does not move it, and a suspended
 * machine is one that nobody can log in to, for which this is made.
 *
 * A cumulative patch supersedes others only for this boot while it waits (supersede.h): they are still wanted at the
 * next one, and a rollback brings them back. To confirm it makes that last. */

#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/confirm.h"
#include "daemon/job-internal.h"

/* To look again at one that a job works on, and to try again when reverting has failed. */
#define LOOK_INTERVAL_USEC USEC_PER_SEC
#define RETRY_INTERVAL_USEC (60 * USEC_PER_SEC)
#define ACCURACY_USEC (50 * USEC_PER_MSEC)

static uint64_t now_boottime(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_BOOTTIME, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

/* ---- Records ----------------------------------------------------------------------------------------------- */

void confirm_begin(RuntimeRecord *runtime, uint64_t within_usec, bool for_this_boot) {
        runtime->confirm_within = within_usec;
        runtime->confirm_deadline = within_usec > 0 ? now_boottime() + within_usec : 0;
        runtime->confirm_runtime = within_usec > 0 && for_this_boot;
        runtime->confirm_expired = false;
}

int confirm_note_expired(RuntimeRecord *runtime, const char *patch_id) {
        char within[FORMAT_DURATION_MAX];
        int r;

        (void) format_duration(runtime->confirm_within, within, sizeof(within));
        confirm_begin(runtime, 0, false);
        runtime->applied_at = 0;
        r = free_and_strdup(&runtime->failure_error, failure_dbus_name(REFUSED_NOT_CONFIRMED));
        if (r < 0)
                return r;
        free(runtime->failure_text);
        if (asprintf(&runtime->failure_text,
                     "It was not confirmed within %s of being applied, and was reverted. Apply it again, and confirm "
                     "it in time: livepatchctl confirm %s", within, patch_id) < 0) {
                runtime->failure_text = NULL;
                return -ENOMEM;
        }
        return 0;
}

uint64_t manager_confirm_before(const Patch *patch) {
        uint64_t now = now_boottime(), deadline;

        if (!patch_is_unconfirmed(patch) || patch->runtime->confirm_deadline == 0)
                return 0;
        deadline = patch->runtime->confirm_deadline;
        return now_realtime_usec() + (deadline > now ? deadline - now : 0);
}

bool manager_has_unconfirmed(const Manager *manager) {
        for (size_t i = 0; i < manager->n_patches; i++)
                if (patch_is_unconfirmed(manager->patches[i]))
                        return true;
        return false;
}

void confirm_carry_over(RuntimeRecord *runtime, const RuntimeRecord *before) {
        runtime->confirm_within = before->confirm_within;
        runtime->confirm_deadline = before->confirm_deadline;
        runtime->confirm_runtime = before->confirm_runtime;
}

/* ---- When the time is over --------------------------------------------------------------------------------- */

/* CLOCK_BOOTTIME. */
static uint64_t next_look(Patch *patch, uint64_t now) {
        RuntimeRecord *runtime = patch->runtime;

        /* Nobody noted the end of the transition: it begins to run when somebody sees it. */
        if (runtime->confirm_deadline == 0 && !patch->job && patch->klp && !patch->klp->transition)
                runtime->confirm_deadline = now + runtime->confirm_within;
        if (patch->job || patch->confirming || runtime->confirm_deadline == 0)
                return now + LOOK_INTERVAL_USEC;
        return MAX(runtime->confirm_deadline, patch->confirm_again_at);
}

/* What the list of a record that lasts has was not in force when this one was applied. */
bool confirm_has_superseded(const Patch *patch) {
        const PatchRecord *record = patch->record;

        for (size_t i = 0; record && record->transient_boot_id && i < record->n_supersedes; i++)
                if (record->supersedes[i].applied)
                        return true;
        return false;
}

static void revert(Manager *manager, Patch *patch, uint64_t now) {
        JobParameters parameters = {
                .type = confirm_has_superseded(patch) ? JOB_ROLLBACK : JOB_REVERT,
                .patch_id = patch->id,
                .uid = patch->runtime->applied_by,
                .options = {
                        .runtime = true,
                        .expired = true,
                        .on_stall_given = true,
                        .on_stall = ON_STALL_WAIT,
                },
                .resumed = true, /* promised when it was applied: no limit stands in its way */
        };
        _cleanup_failure_ Failure failure = {};
        Job *job;

        patch->confirm_again_at = now + RETRY_INTERVAL_USEC;
        if (job_enqueue(manager, &parameters, &job, &failure) != 0)
                log_warning("Failed to revert '%s', which nobody has confirmed, trying again later: %s", patch->id,
                            failure_text(&failure));
}

static int on_due(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Manager *manager = userdata;
        uint64_t now = now_boottime();

        for (size_t i = 0; i < manager->n_patches; i++) {
                Patch *patch = manager->patches[i];

                if (patch_is_unconfirmed(patch) && next_look(patch, now) <= now)
                        revert(manager, patch, now);
        }
        manager_schedule_confirm(manager);
        return 0;
}

void manager_schedule_confirm(Manager *manager) {
        uint64_t now = now_boottime(), next = USEC_INFINITY;

        for (size_t i = 0; i < manager->n_patches; i++)
                if (patch_is_unconfirmed(manager->patches[i]))
                        next = MIN(next, next_look(manager->patches[i], now));
        manager_flag_watching(manager);
        if (next != USEC_INFINITY)
                (void) sd_event_source_set_time(manager->confirm_timer, next);
        (void) sd_event_source_set_enabled(manager->confirm_timer,
                                           next != USEC_INFINITY ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

int manager_init_confirm(Manager *manager) {
        int r = sd_event_add_time(manager->event, &manager->confirm_timer, CLOCK_BOOTTIME, 0, ACCURACY_USEC, on_due,
                                  manager);

        return r < 0 ? r : sd_event_source_set_enabled(manager->confirm_timer, SD_EVENT_OFF);
}
