/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a rollback begins: everything is read and judged before anything is changed. */

#include "common/string-util.h"
#include "daemon/job-internal.h"
#include "daemon/rollback-internal.h"

static void reading_free(Reading *reading) {
        level_done(&reading->level);
        free(reading);
}

static void refuse(Rollback *rollback, const Failure *why) {
        rollback_undo(rollback, JOB_RESULT_FAILED, why);
}

static void on_noted(void *userdata, Transaction *transaction) {
        Rollback *rollback = userdata;

        if (transaction->failure.code != 0)
                return refuse(rollback, &transaction->failure);
        manager_set_runtime(rollback->manager, rollback->patch_id, TAKE_PTR(transaction->runtime_after));
        rollback_proceed_later(rollback);
}

static int claim(Rollback *rollback, Failure *f) {
        const Patch *patch = rollback_present(rollback);

        for (size_t i = 0; patch->record && i < patch->record->n_supersedes; i++) {
                const char *name = patch->record->supersedes[i].name;
                Patch *other = manager_patch_by_id(rollback->manager, name);

                if (!other)
                        continue;
                if (other->job && other->job != rollback->job)
                        return failure_set(f, REFUSED_BUSY, "Another job works on '%s'. Try again when that has ended",
                                           name);
                if (strv_append(&rollback->claimed, name) < 0)
                        return failure_oom(f);
                other->job = rollback->job;
        }
        return 0;
}

static void reading_run(void *context) {
        Reading *reading = context;

        level_read(&reading->level);
}

static void reading_done(void *context, bool canceled) {
        Reading *reading = context;
        Rollback *rollback = reading->rollback;
        _cleanup_failure_ Failure failure = {};
        int r;

        if (!rollback || canceled || rollback->manager->stopping) {
                if (rollback)
                        rollback->reading = NULL;
                reading_free(reading);
                return;
        }
        rollback->level = reading->level;
        rollback->reading = NULL;
        free(reading);
        manager_refresh_kernel(rollback->manager);
        r = rollback->level.failure.code;
        if (r != 0)
                (void) failure_move(&failure, &rollback->level.failure);
        else
                r = level_judge(rollback->manager, &rollback->level, &failure);
        if (r == 0)
                r = claim(rollback, &failure);
        if (r == 0) {
                r = rollback_note(rollback, true, on_noted);
                if (r < 0)
                        (void) failure_oom(&failure);
        }
        if (r != 0)
                refuse(rollback, &failure);
}

/* What an earlier process has loaded of the level already. */
static int list_applied(Rollback *rollback, const Patch *patch) {
        for (size_t i = 0; i < patch->record->n_supersedes; i++) {
                const SupersededPatch *entry = &patch->record->supersedes[i];
                const Patch *other = manager_patch_by_id(rollback->manager, entry->name);

                if (rollback->job->options.expired && !entry->applied)
                        continue;
                if (other && other->klp && strv_append(&rollback->applied, other->id) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int start_reading(Rollback *rollback, const Patch *patch, Failure *f) {
        Reading *reading = calloc(1, sizeof(Reading));
        int r;

        if (!reading)
                return failure_oom(f);
        reading->rollback = rollback;
        r = level_list(rollback->manager, patch, rollback->job->options.expired, &reading->level, f);
        if (r == 0 && worker_submit(rollback->manager->reader, reading_run, reading_done, reading) < 0)
                r = failure_oom(f);
        if (r != 0) {
                reading_free(reading);
                return r;
        }
        rollback->reading = reading;
        return 0;
}

/* An earlier process came to the end of it, or almost: only the module, and the records, may be left. */
static bool is_almost_done(const Rollback *rollback, const Patch *patch) {
        const PatchRecord *record = patch->record;

        if (!rollback->job->resumed || patch->klp)
                return false;
        if (!record)
                return true;
        /* The record that was of this boot only has been taken back. */
        if (rollback->job->options.expired)
                return !record->transient_boot_id;
        return record->rolled_back || record->n_supersedes == 0;
}

int rollback_begin(Rollback *rollback) {
        _cleanup_failure_ Failure failure = {};
        const Patch *patch;
        int r;

        manager_refresh_patches(rollback->manager);
        patch = rollback_present(rollback);
        if (!patch)
                return -ENOENT;
        if (is_almost_done(rollback, patch)) {
                rollback_proceed_later(rollback);
                return 0;
        }
        if (!patch->record)
                return -ENOENT;
        if (rollback->job->resumed) {
                r = list_applied(rollback, patch);
                if (r < 0)
                        return r;
        } else
                r = rollback_check(rollback->manager, patch, &failure);
        if (r == 0)
                r = start_reading(rollback, patch, &failure);
        if (r != 0)
                refuse(rollback, &failure);
        return 0;
}

int manager_rollback(Manager *manager, const char *patch_id, const OperationOptions *options, uid_t uid,
                     ManagerReply reply, void *userdata, Failure *f) {
        Patch *patch = manager_find_patch(manager, patch_id);
        JobParameters parameters = {
                .type = JOB_ROLLBACK,
                .uid = uid,
                .options = *options,
                .queued = { reply, userdata },
        };
        Job *job;
        int r;

        if (!patch)
                return manager_no_such_patch(patch_id, f);
        manager_refresh_patches(manager);
        patch = manager_find_patch(manager, patch_id);
        if (!patch)
                return manager_no_such_patch(patch_id, f);
        r = rollback_check(manager, patch, f);
        if (r != 0)
                return r;
        parameters.patch_id = patch->id;
        return job_enqueue(manager, &parameters, &job, f);
}
