/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager's operations on patches that are known already: revert, remove, reapply, at boot or not. */

#include <string.h>

#include "common/names.h"
#include "common/string-util.h"
#include "daemon/job-internal.h"
#include "daemon/policy.h"
#include "daemon/transaction.h"

static int no_such_patch(const char *patch_id, Failure *f) {
        _cleanup_free_ char *shown = sanitize_text(patch_id, 128);

        return failure_set(f, REFUSED_NO_SUCH_PATCH,
                           "There is no patch named '%s'. 'livepatchctl list' shows those that there are",
                           strempty(shown));
}

/* Queues a job and answers with it, later, as all operations do: out of a deferred source. */
typedef struct DeferredReply {
        Manager *manager;
        sd_event_source *source;
        Reply reply;
        uint32_t job_id;
} DeferredReply;

static int on_deferred_reply(sd_event_source *source, void *userdata) {
        DeferredReply *deferred = userdata;
        Job *job = manager_find_job(deferred->manager, deferred->job_id);
        Reply reply = deferred->reply;

        (void) sd_event_source_unref(source);
        free(deferred);
        reply_call(&reply, NULL, NULL, job);
        return 0;
}

static int reply_later(Manager *manager, const Job *job, ManagerReply reply, void *userdata, Failure *f) {
        DeferredReply *deferred = malloc(sizeof(DeferredReply));
        int r;

        if (!deferred)
                return failure_oom(f);
        *deferred = (DeferredReply) {
                .manager = manager,
                .reply = { reply, userdata },
                .job_id = job->id,
        };
        r = sd_event_add_defer(manager->event, &deferred->source, on_deferred_reply, deferred);
        if (r >= 0)
                /* Before the job runs and may end. */
                r = sd_event_source_set_priority(deferred->source, SD_EVENT_PRIORITY_IMPORTANT);
        if (r < 0) {
                (void) sd_event_source_unref(deferred->source);
                free(deferred);
                return failure_set(f, r, "The job was queued, but its path could not be sent: %s", strerror(-r));
        }
        return 0;
}

static int enqueue_and_reply(Manager *manager, const JobParameters *parameters, ManagerReply reply, void *userdata,
                             Failure *f) {
        Job *job;
        int r = job_enqueue(manager, parameters, &job, f);

        return r != 0 ? r : reply_later(manager, job, reply, userdata, f);
}

int manager_revert(Manager *manager, const char *patch_id, bool runtime, uid_t uid, ManagerReply reply, void *userdata,
                   Failure *f) {
        Patch *patch = manager_find_patch(manager, patch_id);
        JobParameters parameters = { .type = JOB_REVERT, .uid = uid, .runtime = runtime };

        if (!patch)
                return no_such_patch(patch_id, f);
        /* Not applied, but to be applied at the next boot: then that is what is taken back. */
        if (!patch_is_loaded(patch) && !patch->klp && !patch->job &&
            (runtime || !patch->record || !patch->record->reapply))
                return failure_set(f, REFUSED_NOT_APPLIED, "'%s' is not applied. Nothing was changed", patch->id);
        parameters.patch_id = patch->id;
        return enqueue_and_reply(manager, &parameters, reply, userdata, f);
}

int manager_remove(Manager *manager, const char *patch_id, uid_t uid, ManagerReply reply, void *userdata, Failure *f) {
        Patch *patch = manager_find_patch(manager, patch_id);
        JobParameters parameters = { .type = JOB_REMOVE, .uid = uid, .finished = { reply, userdata } };
        Job *job;

        if (!patch)
                return no_such_patch(patch_id, f);
        if (patch->record && patch->record->origin == ORIGIN_VENDOR)
                return failure_set(f, REFUSED_READ_ONLY,
                                   "'%s' belongs to a package, in /usr/lib/livepatch/patches. Nothing was changed. "
                                   "Remove the package, or use 'livepatchctl revert %s' to switch it off for good",
                                   patch->id, patch->id);
        parameters.patch_id = patch->id;
        return job_enqueue(manager, &parameters, &job, f);
}

int manager_reapply(Manager *manager, uid_t uid, ManagerReply reply, void *userdata, Failure *f) {
        JobParameters parameters = { .type = JOB_REAPPLY, .patch_id = "", .uid = uid };
        int r;

        manager_refresh_kernel(manager);
        r = policy_check_kernel(manager->kernel, f);
        return r != 0 ? r : enqueue_and_reply(manager, &parameters, reply, userdata, f);
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

        if (!failed)
                manager_set_record(set->manager, set->patch_id, TAKE_PTR(transaction->record_before));
        reply_call(&set->reply, failed ? &transaction->failure : NULL,
                   manager_find_patch(set->manager, set->patch_id), NULL);
        free(set->patch_id);
        free(set);
}

static int changed_record(const Manager *manager, const Patch *patch, bool reapply, PatchRecord **ret) {
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;
        int r = patch_record_copy(patch->record, &record);

        if (r < 0)
                return r;
        if (reapply && !record->reapply)
                record->order = manager_next_order(manager);
        record->reapply = reapply;
        if (reapply) {
                free(record->transient_boot_id);
                record->transient_boot_id = NULL;
        }
        *ret = TAKE_PTR(record);
        return 0;
}

static int check_reapply(const Patch *patch, Failure *f) {
        if (!patch->record)
                return failure_set(f, REFUSED_CONFLICT,
                                   "'%s' was loaded by something other than livepatchd, which has no file of it to "
                                   "apply at boot. Nothing was changed. Apply its file with livepatchctl", patch->id);
        if (patch->job && job_state(patch->job) != JOB_QUEUED)
                return failure_set(f, REFUSED_BUSY,
                                   "A job works on '%s'. Nothing was changed. Try again when it has ended", patch->id);
        return 0;
}

int manager_set_reapply(Manager *manager, const char *patch_id, bool reapply, uid_t uid _unused_, ManagerReply reply,
                        void *userdata, Failure *f) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        Patch *patch = manager_find_patch(manager, patch_id);
        SetReapply *set;
        int r;

        if (!patch)
                return no_such_patch(patch_id, f);
        r = check_reapply(patch, f);
        if (r != 0)
                return r;
        if (transaction_new(manager, patch->name, patch->kernel_release, &transaction) < 0 ||
            changed_record(manager, patch, reapply, &transaction->record_before) < 0)
                return failure_oom(f);
        set = malloc(sizeof(SetReapply));
        if (!set)
                return failure_oom(f);
        *set = (SetReapply) { .manager = manager, .patch_id = strdup(patch->id), .reply = { reply, userdata } };
        if (!set->patch_id || transaction_submit(TAKE_PTR(transaction), on_reapply_set, set) < 0) {
                free(set->patch_id);
                free(set);
                return failure_oom(f);
        }
        return 0;
}
