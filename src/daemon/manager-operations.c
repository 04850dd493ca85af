/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager's operations on patches that are known already: revert, remove, reapply, at boot or not. */

#include <string.h>

#include "common/names.h"
#include "common/string-util.h"
#include "daemon/job-internal.h"
#include "daemon/policy.h"
#include "daemon/request.h"
#include "daemon/supersede.h"
#include "daemon/transaction.h"

int manager_no_such_patch(const char *patch_id, Failure *f) {
        _cleanup_free_ char *shown = sanitize_text(patch_id, 128);

        return failure_set(f, REFUSED_NO_SUCH_PATCH,
                           "There is no patch named '%s'. 'livepatchctl list' shows those that there are",
                           strempty(shown));
}

int manager_revert(Manager *manager, const char *patch_id, const OperationOptions *options, uid_t uid,
                   ManagerReply reply, void *userdata, Failure *f) {
        Patch *patch = manager_find_patch(manager, patch_id);
        JobParameters parameters = {
                .type = JOB_REVERT,
                .uid = uid,
                .options = *options,
                .queued = { reply, userdata },
        };
        Job *job;

        if (!patch)
                return manager_no_such_patch(patch_id, f);
        /* Not applied, but to be applied at the next boot: then that is what is taken back. */
        if (!patch_is_loaded(patch) && !patch->klp && !patch->job &&
            (options->runtime || !patch->record || !patch->record->reapply))
                return failure_set(f, REFUSED_NOT_APPLIED, "'%s' is not applied. Nothing was changed", patch->id);
        parameters.patch_id = patch->id;
        return job_enqueue(manager, &parameters, &job, f);
}

int manager_remove(Manager *manager, const char *patch_id, uid_t uid, ManagerReply reply, void *userdata, Failure *f) {
        Patch *patch = manager_find_patch(manager, patch_id);
        JobParameters parameters = { .type = JOB_REMOVE, .uid = uid, .finished = { reply, userdata } };
        Job *job;

        if (!patch)
                return manager_no_such_patch(patch_id, f);
        if (patch->record && patch->record->origin == ORIGIN_VENDOR)
                return failure_set(f, REFUSED_READ_ONLY,
                                   "'%s' belongs to a package, in /usr/lib/livepatch/patches. Nothing was changed. "
                                   "Remove the package, or use 'livepatchctl revert %s' to switch it off for good",
                                   patch->id, patch->id);
        parameters.patch_id = patch->id;
        return job_enqueue(manager, &parameters, &job, f);
}

int manager_reapply(Manager *manager, uid_t uid, ManagerReply reply, void *userdata, Failure *f) {
        JobParameters parameters = { .type = JOB_REAPPLY, .patch_id = "", .uid = uid, .queued = { reply, userdata } };
        Job *job;
        int r;

        manager_refresh_kernel(manager);
        r = policy_check_kernel(manager->kernel, f);
        return r != 0 ? r : job_enqueue(manager, &parameters, &job, f);
}

/* ---- What the next boot does ------------------------------------------------------------------------------- */

typedef struct SetReapply {
        Manager *manager;
        char *patch_id;
        Reply reply;
} SetReapply;

static void on_reapply_set(void *userdata, Transaction *transaction) {
        SetReapply *set = userdata;
        bool failed = transaction->failure.code != 0;
        Patch *patch = manager_patch_by_id(set->manager, set->patch_id);

        if (patch && patch->n_wishes > 0)
                patch->n_wishes--;
        if (!failed) {
                manager_set_record(set->manager, set->patch_id, TAKE_PTR(transaction->record_before));
                /* What was superseded for this boot only may be so for good now. */
                supersede_settle(set->manager, NULL, NULL);
        }
        reply_call(&set->reply, failed ? &transaction->failure : NULL,
                   manager_patch_by_id(set->manager, set->patch_id), NULL);
        free(set->patch_id);
        free(set);
}

static void on_reapply_dropped(void *userdata) {
        _cleanup_failure_ Failure failure = {};
        SetReapply *set = userdata;

        (void) failure_set(&failure, REFUSED_CANCELED,
                           "livepatchd is stopping, and what the next boot shall do may or may not have been written. "
                           "Try again");
        reply_call(&set->reply, &failure, NULL, NULL);
        free(set->patch_id);
        free(set);
}

static int changed_record(const Manager *manager, const Patch *patch, bool reapply, PatchRecord **ret) {
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;
        int r = patch_record_copy(patch->record, &record);

        if (r < 0)
                return r;
        /* A record of this boot only may stand in front of one that lasts and is to be reapplied, as its own 'reapply'
         * then says: the one that is written takes the place of both. */
        if (reapply || record->reapply) {
                r = free_and_strdup(&record->transient_boot_id, NULL);
                if (r < 0)
                        return r;
        }
        if (reapply && !record->reapply)
                record->order = manager_next_order(manager);
        record->reapply = reapply;
        *ret = TAKE_PTR(record);
        return 0;
}

int manager_lasting_record(const Manager *manager, const Patch *patch, PatchRecord **ret) {
        *ret = NULL;
        if (!patch->record || (patch->record->reapply && !patch->record->transient_boot_id))
                return 0;
        return changed_record(manager, patch, true, ret);
}

/* What is written would be the record from before, whose file is about to go. */
static int check_reapply(const Manager *manager, const Patch *patch, Failure *f) {
        if (requests_stage(manager, patch->id))
                return failure_set(f, REFUSED_BUSY, "'%s' is being staged anew. Nothing was changed. Try again when "
                                   "that has ended", patch->id);
        if (patch->job && (job_state(patch->job) != JOB_QUEUED || !patch->record))
                return failure_set(f, REFUSED_BUSY,
                                   "A job works on '%s'. Nothing was changed. Try again when it has ended", patch->id);
        if (!patch->record)
                return failure_set(f, REFUSED_CONFLICT,
                                   "'%s' was loaded by something other than livepatchd, which has no file of it to "
                                   "apply at boot. Nothing was changed. Apply its file with livepatchctl", patch->id);
        if (patch_is_unconfirmed(patch))
                return failure_set(f, REFUSED_CONFLICT,
                                   "'%s' waits for its confirmation, which decides what the next boot does. Nothing "
                                   "was changed. Use 'livepatchctl confirm %s', or revert it", patch->id, patch->id);
        return 0;
}

int manager_set_reapply(Manager *manager, const char *patch_id, bool reapply, uid_t uid _unused_, ManagerReply reply,
                        void *userdata, Failure *f) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        Patch *patch = manager_find_patch(manager, patch_id);
        SetReapply *set;
        int r;

        if (!patch)
                return manager_no_such_patch(patch_id, f);
        r = check_reapply(manager, patch, f);
        if (r != 0)
                return r;
        if (transaction_new(manager, patch->name, patch->kernel_release, &transaction) < 0 ||
            changed_record(manager, patch, reapply, &transaction->record_before) < 0)
                return failure_oom(f);
        transaction->dropped = on_reapply_dropped;
        set = malloc(sizeof(SetReapply));
        if (!set)
                return failure_oom(f);
        *set = (SetReapply) { .manager = manager, .patch_id = strdup(patch->id), .reply = { reply, userdata } };
        if (!set->patch_id || transaction_submit(TAKE_PTR(transaction), on_reapply_set, set) < 0) {
                free(set->patch_id);
                free(set);
                return failure_oom(f);
        }
        patch->n_wishes++;
        return 0;
}
