/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Returning to the level before a cumulative patch: one operation after the other, or all of them back. */

#include "common/log.h"
#include "common/string-util.h"
#include "daemon/confirm.h"
#include "daemon/job-internal.h"
#include "daemon/operation.h"
#include "daemon/rollback-internal.h"
#include "daemon/supersede.h"
#include "daemon/transaction.h"

Patch *rollback_present(const Rollback *rollback) {
        return manager_patch_by_id(rollback->manager, rollback->patch_id);
}

void rollback_proceed_later(Rollback *rollback) {
        (void) sd_event_source_set_enabled(rollback->next, SD_EVENT_ONESHOT);
}

/* ---- The end ----------------------------------------------------------------------------------------------- */

static void release_claims(Rollback *rollback) {
        for (char **id = rollback->claimed; id && *id; id++) {
                Patch *patch = manager_patch_by_id(rollback->manager, *id);

                if (!patch || patch->job != rollback->job)
                        continue;
                patch->job = NULL;
                manager_refresh_patch(rollback->manager, patch);
        }
        strv_free(rollback->claimed);
        rollback->claimed = NULL;
}

/* Frees the rollback. */
static void conclude(Rollback *rollback) {
        _cleanup_failure_ Failure failure = {};
        JobResult result = rollback->result;

        (void) failure_move(&failure, &rollback->failure);
        release_claims(rollback);
        job_finish(rollback->job, result, &failure);
}

static void on_settled(void *userdata) {
        conclude(userdata);
}

static void on_unnoted(void *userdata, Transaction *transaction) {
        Rollback *rollback = userdata;

        manager_set_runtime(rollback->manager, rollback->patch_id, TAKE_PTR(transaction->runtime_after));
        conclude(rollback);
}

static int pending_note(const Rollback *rollback, bool pending, RuntimeRecord **ret) {
        const Patch *patch = rollback_present(rollback);
        const RuntimeRecord *before = patch ? patch->runtime : NULL;
        _cleanup_(runtime_record_freep) RuntimeRecord *note = NULL;
        int r;

        if (!patch)
                return -ENOENT;
        r = runtime_record_new(patch->name, &note);
        if (r >= 0)
                r = free_and_strdup(&note->sha256, before ? before->sha256 : NULL);
        if (r < 0)
                return r;
        note->applied_at = patch_applied_at(patch);
        note->applied_by = patch_applied_by(patch);
        note->pending = pending;
        note->pending_type = JOB_ROLLBACK;
        note->pending_options = rollback->job->options;
        note->pending_by = rollback->job->uid;
        if (before) {
                confirm_carry_over(note, before);
                note->confirm_expired = pending && rollback->job->options.expired;
        }
        *ret = TAKE_PTR(note);
        return 0;
}

int rollback_note(Rollback *rollback, bool pending, TransactionDone done) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        const Patch *patch = rollback_present(rollback);
        int r = patch ? 0 : -ENOENT;

        if (r >= 0)
                r = transaction_new(rollback->manager, patch->name, patch->kernel_release, &transaction);
        if (r >= 0)
                r = pending_note(rollback, pending, &transaction->runtime_after);
        return r < 0 ? r : transaction_submit(TAKE_PTR(transaction), done, rollback);
}

/* The present level is as it was, or as near as could be: the note that a rollback was begun goes. */
static void end_undone(Rollback *rollback) {
        const Patch *patch = rollback_present(rollback);
        _cleanup_free_ char *why = strdup(failure_text(&rollback->failure));

        (void) failure_set(&rollback->failure, rollback->failure.code, "'%s' was not rolled back%s. %s",
                           rollback->patch_id, patch && patch->klp ? ", and is applied as before" : "",
                           strempty(why));
        if (!patch || !patch->runtime || !patch->runtime->pending || rollback_note(rollback, false, on_unnoted) < 0)
                conclude(rollback);
}

/* ---- Back -------------------------------------------------------------------------------------------------- */

void rollback_undo(Rollback *rollback, JobResult result, const Failure *why) {
        rollback->undoing = true;
        rollback->result = result;
        (void) failure_copy(&rollback->failure, why);
        rollback->undo = strv_length(rollback->applied);
        rollback_proceed_later(rollback);
}

static void note_undo_failure(Rollback *rollback, const Failure *why) {
        _cleanup_free_ char *before = strdup(failure_text(&rollback->failure));

        (void) failure_set(&rollback->failure, rollback->failure.code ?: -EIO,
                           "%s. Returning to where it began has failed, too: %s. 'livepatchctl status' shows what is "
                           "applied now", strempty(before), failure_text(why));
}

static void on_undone(void *userdata, JobResult result, const Failure *failure) {
        Rollback *rollback = userdata;

        if (result != JOB_RESULT_DONE && failure)
                note_undo_failure(rollback, failure);
        rollback->operation = operation_free(rollback->operation);
        rollback_proceed_later(rollback);
}

/* What the job is told is about the present patch. A step on another one is for this boot, and without a condition. */
static OperationOptions options_of(const Rollback *rollback, JobType type, const char *patch_id) {
        const Patch *patch = streq(patch_id, rollback->patch_id) ? rollback_present(rollback) : NULL;
        OperationOptions options = rollback->job->options;

        if (type == JOB_ROLLBACK)
                return options;
        options.runtime = true;
        options.expired = false;
        options.confirm_within_usec = 0;
        if (patch && patch_is_unconfirmed(patch)) { /* put back, it waits as before */
                options.confirm_within_usec = patch->runtime->confirm_within;
                options.runtime = patch->runtime->confirm_runtime;
        }
        if (rollback->undoing) { /* what was there before is waited for */
                options.on_stall_given = true;
                options.on_stall = ON_STALL_WAIT;
        }
        return options;
}

static int start(Rollback *rollback, JobType type, const char *patch_id, Candidate *candidate, OperationEnd end) {
        OperationParameters parameters = {
                .type = type,
                .job = rollback->job,
                .patch_id = patch_id,
                .uid = rollback->job->uid,
                .options = options_of(rollback, type, patch_id),
                .keep_record = type != JOB_ROLLBACK,
                .candidate = candidate,
                .end = end,
                .userdata = rollback,
        };

        return operation_start(rollback->manager, &parameters, &rollback->operation);
}

/* First the present patch, if it was replaced, then what was loaded over it, the last one first. */
static int undo_next(Rollback *rollback) {
        Patch *patch = rollback_present(rollback);

        if (patch && !patch->klp && rollback->level.present.candidate)
                return start(rollback, JOB_APPLY, rollback->patch_id, TAKE_PTR(rollback->level.present.candidate),
                             on_undone);
        /* Without it, what there is of the former level is better than nothing. */
        while (patch && patch->klp && rollback->undo > 0) {
                const char *id = rollback->applied[--rollback->undo];

                if (manager_patch_by_id(rollback->manager, id))
                        return start(rollback, JOB_REVERT, id, NULL, on_undone);
        }
        end_undone(rollback);
        return 0;
}

/* ---- Forth ------------------------------------------------------------------------------------------------- */

/* It is not there any more, which counts; but not all of the level may be. */
static void end_left(Rollback *rollback) {
        const Failure *why = &rollback->level.left_out;

        rollback->result = why->code == 0 ? JOB_RESULT_DONE : JOB_RESULT_FAILED;
        if (why->code == 0)
                return;
        (void) failure_set(&rollback->failure, why->code, "'%s' was reverted, because nobody confirmed it in time, but "
                           "not all that it had replaced could be applied again, and that protects no more. %s",
                           rollback->patch_id, failure_text(why));
        log_warning("%s", failure_text(&rollback->failure));
        (void) manager_add_problem(rollback->manager, "%s", failure_text(&rollback->failure));
}

static void on_left(void *userdata, JobResult result, const Failure *failure) {
        Rollback *rollback = userdata;
        _cleanup_failure_ Failure why = {};

        if (failure)
                (void) failure_copy(&why, failure);
        rollback->operation = operation_free(rollback->operation);
        manager_refresh_patches(rollback->manager);
        if (result == JOB_RESULT_DONE) {
                end_left(rollback);
                return supersede_settle(rollback->manager, on_settled, rollback);
        }
        if (rollback_present(rollback) && rollback_present(rollback)->klp)
                return rollback_undo(rollback, result, &why);
        /* It is gone from the kernel, and the former level is in force: only the records are behind. */
        rollback->result = result;
        (void) failure_move(&rollback->failure, &why);
        conclude(rollback);
}

static void on_loaded(void *userdata, JobResult result, const Failure *failure) {
        Rollback *rollback = userdata;
        _cleanup_failure_ Failure why = {};

        if (failure)
                (void) failure_copy(&why, failure);
        rollback->operation = operation_free(rollback->operation);
        manager_refresh_patches(rollback->manager);
        if (result == JOB_RESULT_DONE)
                (void) strv_append(&rollback->applied, rollback->level.items[rollback->current].patch_id);
        else if (rollback->level.partly && !rollback->canceled)
                level_leave_out(&rollback->level, &why);
        else
                return rollback_undo(rollback, result, &why);
        rollback->current++;
        rollback->job->progress = (double) rollback->current / (double) (rollback->level.n_items + 1);
        job_changed(rollback->job);
        rollback_proceed_later(rollback);
}

static int forth_next(Rollback *rollback) {
        _cleanup_failure_ Failure canceled = {};
        LevelItem *item;

        if (rollback->canceled) {
                (void) failure_set(&canceled, REFUSED_CANCELED, "The job was canceled");
                rollback_undo(rollback, JOB_RESULT_CANCELED, &canceled);
                return 0;
        }
        while (rollback->current < rollback->level.n_items && !rollback->level.items[rollback->current].candidate)
                rollback->current++;
        if (rollback->current >= rollback->level.n_items) {
                rollback->leaving = true;
                return start(rollback, JOB_ROLLBACK, rollback->patch_id, NULL, on_left);
        }
        item = &rollback->level.items[rollback->current];
        return start(rollback, JOB_APPLY, item->patch_id, TAKE_PTR(item->candidate), on_loaded);
}

static int on_next(sd_event_source *source _unused_, void *userdata) {
        Rollback *rollback = userdata;
        _cleanup_failure_ Failure failure = {};
        bool undoing = rollback->undoing;
        int r = undoing ? undo_next(rollback) : forth_next(rollback);

        if (r >= 0)
                return 0;
        (void) failure_set(&failure, r, "It could not be gone on with: %s", strerror(-r));
        if (!undoing)
                rollback_undo(rollback, JOB_RESULT_FAILED, &failure);
        else {
                note_undo_failure(rollback, &failure);
                conclude(rollback);
        }
        return 0;
}

/* ---- Life -------------------------------------------------------------------------------------------------- */

int rollback_start(Manager *manager, Job *job, Rollback **ret) {
        _cleanup_(rollback_freep) Rollback *rollback = calloc(1, sizeof(Rollback));
        int r;

        if (!rollback)
                return -ENOMEM;
        rollback->manager = manager;
        rollback->job = job;
        rollback->patch_id = strdup(job->patch_id);
        if (!rollback->patch_id)
                return -ENOMEM;
        r = sd_event_add_defer(manager->event, &rollback->next, on_next, rollback);
        if (r >= 0)
                r = sd_event_source_set_enabled(rollback->next, SD_EVENT_OFF);
        if (r >= 0)
                r = rollback_begin(rollback);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(rollback);
        return 0;
}

Rollback *rollback_free(Rollback *rollback) {
        if (!rollback)
                return NULL;
        if (rollback->reading)
                rollback->reading->rollback = NULL; /* frees itself when the worker is done */
        operation_free(rollback->operation);
        (void) sd_event_source_disable_unref(rollback->next);
        level_done(&rollback->level);
        failure_done(&rollback->failure);
        strv_free(rollback->claimed);
        strv_free(rollback->applied);
        free(rollback->patch_id);
        free(rollback);
        return NULL;
}

int rollback_cancel(Rollback *rollback, Failure *f) {
        int r = 0;

        if (rollback->undoing)
                return failure_set(f, REFUSED_BUSY, "The job is returning to where it began; it will end in a moment");
        if (rollback->leaving)
                return rollback->operation ? operation_cancel(rollback->operation, f) :
                        failure_set(f, REFUSED_BUSY, "The job is past the point where it could be canceled");
        rollback->canceled = true;
        if (rollback->operation)
                r = operation_cancel(rollback->operation, f);
        /* Too late for the one that is being loaded: it is taken back. */
        if (r != 0)
                failure_done(f);
        return 0;
}

void rollback_wake(Rollback *rollback) {
        if (rollback->operation)
                operation_wake(rollback->operation);
}
