/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Applying everything that is to be reapplied, one after the other, whatever happens to any of them.
 *
 * Every patch goes the whole way again: its file is read, verified against the trust anchors of now, judged by policy,
 * and only then loaded. The next one is read and verified while the one before it is in transition. */

#include <string.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/job-internal.h"
#include "daemon/operation.h"
#include "daemon/policy.h"
#include "daemon/reapply.h"
#include "daemon/transaction.h"

/* One patch's file on its way through verification. */
typedef struct Preparation {
        Reapply *reapply; /* NULL when it was freed meanwhile */
        size_t index;
        int fd;
        char *sha256;
        IngestRequest request;
        Candidate *candidate;
        Failure failure;
        bool ready;
} Preparation;

struct Reapply {
        Manager *manager;
        Job *job;
        char **ids;
        size_t n_ids;
        size_t current;          /* index of the patch that is being applied */
        Preparation *preparing;  /* of index current, or current + 1 while current is applied */
        Operation *operation;
        sd_event_source *next;
        unsigned n_applied;
        unsigned n_gone; /* removed, or not to be reapplied any more */
        unsigned n_notes; /* reasons on their way to the disk: the process may end with the job */
        char **failed;
        bool canceled;
};

static Preparation *preparation_free(Preparation *p) {
        if (!p)
                return NULL;
        safe_close(p->fd);
        candidate_free(p->candidate);
        failure_done(&p->failure);
        free(p->sha256);
        free(p);
        return NULL;
}
DEFINE_CLEANUP(Preparation *, preparation_free)

static void proceed_later(Reapply *reapply) {
        (void) sd_event_source_set_enabled(reapply->next, SD_EVENT_ONESHOT);
}

static void preparation_run(void *context) {
        Preparation *p = context;

        p->failure.code = ingest(&p->request, &p->candidate, &p->failure);
}

static void preparation_done(void *context, bool canceled) {
        Preparation *p = context;

        if (!p->reapply || canceled || p->reapply->manager->stopping) {
                if (p->reapply)
                        p->reapply->preparing = NULL;
                preparation_free(p);
                return;
        }
        p->ready = true;
        if (!p->reapply->operation)
                proceed_later(p->reapply);
}

static int preparation_new(Reapply *reapply, size_t index, Preparation **ret) {
        _cleanup_(preparation_freep) Preparation *p = calloc(1, sizeof(Preparation));
        Manager *manager = reapply->manager;
        const Patch *patch = manager_patch_by_id(manager, reapply->ids[index]);

        if (!p)
                return -ENOMEM;
        p->reapply = reapply;
        p->index = index;
        p->fd = -EBADF;
        if (!patch || !patch->record) {
                (void) failure_set(&p->failure, REFUSED_NO_SUCH_PATCH, "The patch was removed meanwhile");
                *ret = TAKE_PTR(p);
                return 0;
        }
        if (patch_is_quarantined(patch)) {
                (void) guard_record_refuse(patch_quarantine(patch), &p->failure);
                p->sha256 = strdup(patch->record->sha256);
                *ret = TAKE_PTR(p);
                return (*ret)->sha256 ? 0 : -ENOMEM;
        }
        p->sha256 = strdup(patch->record->sha256);
        if (!p->sha256)
                return -ENOMEM;
        p->fd = store_open_module(manager->store, patch->record, &p->failure);
        p->request = manager_ingest_stored(manager, patch->record, p->fd, p->sha256);
        *ret = TAKE_PTR(p);
        return 0;
}

static int prepare(Reapply *reapply, size_t index) {
        Preparation *p;
        int r;

        if (index >= reapply->n_ids || reapply->preparing)
                return 0;
        r = preparation_new(reapply, index, &p);
        if (r < 0)
                return r;
        if (p->fd < 0) {
                p->ready = true;
                if (p->failure.code == 0)
                        p->failure.code = p->fd;
                reapply->preparing = p;
                if (!reapply->operation)
                        proceed_later(reapply);
                return 0;
        }
        r = worker_submit(reapply->manager->reader, preparation_run, preparation_done, p);
        if (r < 0) {
                preparation_free(p);
                return r;
        }
        reapply->preparing = p;
        return 0;
}

static void log_skipped(Reapply *reapply, const char *id, const Failure *failure) {
        log_event(LOG_ERR,
                  failure->code == REFUSED_QUARANTINED ? LP_MESSAGE_QUARANTINED : LP_MESSAGE_REAPPLY_SKIPPED,
                  ((LogField[]){ { LP_FIELD_PATCH, id },
                                 { LP_FIELD_OPERATION, "reapply" },
                                 { LP_FIELD_KERNEL, reapply->manager->kernel->release },
                                 { LP_FIELD_ERROR, failure_dbus_name(failure->code) },
                                 {} }),
                  "Did not reapply '%s': %s", id, failure_text(failure));
}

static void on_noted(void *userdata, Transaction *transaction _unused_) {
        Reapply *reapply = userdata;

        if (--reapply->n_notes == 0)
                proceed_later(reapply);
}

/* What was applied earlier in this boot, and was to be mended, is still to be. */
static int runtime_of_failed(const Patch *patch, const Failure *failure, RuntimeRecord **ret) {
        _cleanup_(runtime_record_freep) RuntimeRecord *runtime = NULL;
        int r = patch->runtime ? runtime_record_copy(patch->runtime, &runtime) :
                                 runtime_record_new(patch->name, &runtime);

        if (r >= 0)
                r = free_and_strdup(&runtime->failure_error, failure_dbus_name(failure->code));
        if (r >= 0)
                r = free_and_strdup(&runtime->failure_text, failure_text(failure));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(runtime);
        return 0;
}

/* The reason stays visible in this boot, with the patch. */
static void note_failure(Reapply *reapply, Patch *patch, const Failure *failure) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        _cleanup_(runtime_record_freep) RuntimeRecord *runtime = NULL;

        if (runtime_of_failed(patch, failure, &runtime) < 0 ||
            transaction_new(reapply->manager, patch->name, patch->kernel_release, &transaction) < 0 ||
            runtime_of_failed(patch, failure, &transaction->runtime_after) < 0)
                return;
        if (transaction_submit(TAKE_PTR(transaction), on_noted, reapply) >= 0)
                reapply->n_notes++;
        manager_set_runtime(reapply->manager, patch->id, TAKE_PTR(runtime));
}

static void go_on(Reapply *reapply) {
        reapply->current++;
        reapply->job->progress = (double) reapply->current / (double) reapply->n_ids;
        job_changed(reapply->job);
        proceed_later(reapply);
}

/* The one that is being read is not the next one any more. */
static void drop_preparation(Reapply *reapply) {
        if (reapply->preparing && reapply->preparing->ready)
                preparation_free(reapply->preparing);
        else if (reapply->preparing)
                reapply->preparing->reapply = NULL; /* frees itself when the worker is done */
        reapply->preparing = NULL;
}

/* What a cumulative patch has taken the place of protects better than nothing: its turn is next. */
static void fall_back(Reapply *reapply, const Patch *patch) {
        _cleanup_strv_free_ char **level = NULL;
        size_t n;

        if (patch->klp || reapply_list_level_below(reapply->manager, patch, &level) < 0 || !level)
                return;
        n = strv_length(level);
        if (strv_insert(&reapply->ids, reapply->current + 1, level) < 0)
                return;
        reapply->n_ids += n;
        drop_preparation(reapply);
        log_event(LOG_WARNING, LP_MESSAGE_FELL_BACK,
                  ((LogField[]){ { LP_FIELD_PATCH, patch->id },
                                 { LP_FIELD_OPERATION, "reapply" },
                                 { LP_FIELD_KERNEL, patch->kernel_release },
                                 {} }),
                  "Reapplying what '%s' has superseded in its stead: %zu patches", patch->id, n);
}

static void one_has_failed(Reapply *reapply, const Failure *failure) {
        const char *id = reapply->ids[reapply->current];
        const Patch *patch = manager_patch_by_id(reapply->manager, id);

        log_skipped(reapply, id, failure);
        (void) strv_append(&reapply->failed, id);
        if (patch && patch->record)
                fall_back(reapply, patch);
        go_on(reapply);
}

static void one_is_applied(Reapply *reapply) {
        reapply->n_applied++;
        go_on(reapply);
}

static void one_is_gone(Reapply *reapply) {
        reapply->n_gone++;
        go_on(reapply);
}

/* While it is worked on, nobody else may stage, remove or apply it. */
static void claim_current(Reapply *reapply, bool claim) {
        Manager *manager = reapply->manager;
        Patch *patch = manager_patch_by_id(manager, reapply->ids[reapply->current]);

        if (!patch)
                return;
        patch->job = claim ? reapply->job : NULL;
        manager_refresh_patch(manager, patch);
        if (!claim)
                manager_schedule_guard(manager);
}

static void on_operation_end(void *userdata, JobResult result, const Failure *failure) {
        Reapply *reapply = userdata;
        _cleanup_failure_ Failure copy = {};

        if (failure)
                (void) failure_copy(&copy, failure);
        reapply->operation = operation_free(reapply->operation);
        claim_current(reapply, false);
        switch (result) {
        case JOB_RESULT_DONE:
                return one_is_applied(reapply);
        case JOB_RESULT_CANCELED:
                return go_on(reapply);
        case JOB_RESULT_FAILED:
        case JOB_RESULT_STALLED:
        case JOB_RESULT_NONE:
        case _JOB_RESULT_MAX:
        case _JOB_RESULT_INVALID:
                return one_has_failed(reapply, &copy);
        }
}

static int apply_prepared(Reapply *reapply, const Patch *patch, Candidate *candidate) {
        OperationParameters parameters = {
                .type = JOB_APPLY,
                .job = reapply->job,
                .patch_id = patch->id,
                .uid = reapply->job->uid,
                .options = {
                        /* What is of this boot only stays so, and so does what stands in for another one. */
                        .runtime = patch_is_unconfirmed(patch) ?
                                           patch->runtime->confirm_runtime :
                                           patch->record->transient_boot_id || !patch->record->reapply,
                        /* And what waits for its confirmation does so, from the beginning. */
                        .confirm_within_usec = patch->runtime ? patch->runtime->confirm_within : 0,
                },
                .candidate = candidate,
                .end = on_operation_end,
                .userdata = reapply,
        };

        return operation_start(reapply->manager, &parameters, &reapply->operation);
}

/* Or about to be. What is being switched off by somebody else is waited for, and loaded anew. */
static bool is_in_force(const Patch *patch) {
        return patch->klp && patch->klp->enabled;
}

static int judge(Reapply *reapply, Preparation *p, const Patch *patch) {
        const KernelInfo *kernel = reapply->manager->kernel;
        int r = p->failure.code;

        if (r == 0 && is_in_force(patch))
                r = failure_set(&p->failure, REFUSED_CONFLICT,
                                "Something other than livepatchd has loaded another build of it (build-id %s), which "
                                "stays in force. To have the one on record: livepatchctl revert %s, then livepatchctl "
                                "apply %s", patch->module.build_id ?: "unknown", patch->name, patch->name);
        if (r == 0)
                r = policy_check_module(kernel, p->candidate->info, &p->failure);
        if (r == 0 && !streq(p->candidate->info->name, patch->name))
                r = failure_set(&p->failure, REFUSED_MALFORMED_MODULE,
                                "The file holds the module '%s' and not '%s'. It was not loaded",
                                p->candidate->info->name, patch->name);
        return r;
}

static void apply_or_skip(Reapply *reapply, Preparation *p, Patch *patch) {
        int r = judge(reapply, p, patch);

        if (r == 0) {
                r = apply_prepared(reapply, patch, TAKE_PTR(p->candidate));
                if (r == 0) {
                        claim_current(reapply, true);
                        (void) prepare(reapply, reapply->current + 1);
                        return;
                }
                (void) failure_set(&p->failure, r, "It could not be started: %s", strerror(-r));
        }
        if (r != REFUSED_QUARANTINED) /* which speaks for itself, in every boot */
                note_failure(reapply, patch, &p->failure);
        one_has_failed(reapply, &p->failure);
}

static void try_current(Reapply *reapply) {
        _cleanup_(preparation_freep) Preparation *p = TAKE_PTR(reapply->preparing);
        Patch *patch = manager_patch_by_id(reapply->manager, reapply->ids[p->index]);

        if (patch)
                manager_refresh_patch(reapply->manager, patch);
        patch = manager_patch_by_id(reapply->manager, reapply->ids[p->index]);
        if (!patch || !patch->record || patch->job ||
            (!reapply_wants(reapply->manager, patch) && !reapply_stands_in(reapply->manager, patch)))
                return one_is_gone(reapply);
        if (reapply_is_done(patch))
                return one_is_applied(reapply);
        if (!streq_ptr(p->sha256, patch->record->sha256))
                return proceed_later(reapply); /* staged anew meanwhile: from the beginning */
        apply_or_skip(reapply, p, patch);
}

static char *list_failed(const Reapply *reapply) {
        char *names = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&names, &size);

        if (!f)
                return NULL;
        for (char **i = reapply->failed; *i; i++)
                (void) fprintf(f, "%s'%s'", i == reapply->failed ? "" : ", ", *i);
        (void) fclose(f);
        return names;
}

/* Frees the reapply. */
static void conclude(Reapply *reapply) {
        _cleanup_failure_ Failure failure = {};
        _cleanup_free_ char *names = NULL;
        JobResult result = JOB_RESULT_DONE;

        if (reapply->canceled) {
                result = JOB_RESULT_CANCELED;
                (void) failure_set(&failure, REFUSED_CANCELED,
                                   "Reapplying was canceled after %u of %zu patches, which stay applied",
                                   reapply->n_applied, reapply->n_ids);
        } else if (reapply->failed) {
                result = JOB_RESULT_FAILED;
                names = list_failed(reapply);
                (void) failure_set(&failure, -EIO,
                                   "%zu of %zu patches could not be reapplied: %s. The other %u are applied. "
                                   "'livepatchctl show NAME' tells the reason of each", strv_length(reapply->failed),
                                   reapply->n_ids - reapply->n_gone, strempty(names), reapply->n_applied);
        }
        job_finish(reapply->job, result, &failure);
}

static int on_next(sd_event_source *source _unused_, void *userdata) {
        Reapply *reapply = userdata;

        if (reapply->operation)
                return 0;
        if (reapply->canceled || reapply->current >= reapply->n_ids) {
                if (reapply->n_notes == 0)
                        conclude(reapply);
                return 0;
        }
        if (reapply->preparing && reapply->preparing->ready)
                try_current(reapply);
        else if (!reapply->preparing && prepare(reapply, reapply->current) < 0) {
                Failure failure = { .code = -ENOMEM };

                one_has_failed(reapply, &failure);
        }
        return 0;
}

int reapply_start(Manager *manager, Job *job, Reapply **ret) {
        _cleanup_(reapply_freep) Reapply *reapply = calloc(1, sizeof(Reapply));
        int r;

        if (!reapply)
                return -ENOMEM;
        reapply->manager = manager;
        reapply->job = job;
        r = reapply_list(manager, &reapply->ids);
        if (r < 0)
                return r;
        reapply->n_ids = strv_length(reapply->ids);
        r = sd_event_add_defer(manager->event, &reapply->next, on_next, reapply);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(reapply);
        return 0;
}

Reapply *reapply_free(Reapply *reapply) {
        if (!reapply)
                return NULL;
        drop_preparation(reapply);
        operation_free(reapply->operation);
        (void) sd_event_source_disable_unref(reapply->next);
        strv_free(reapply->ids);
        strv_free(reapply->failed);
        free(reapply);
        return NULL;
}

int reapply_cancel(Reapply *reapply, Failure *f) {
        reapply->canceled = true;
        /* Too late for the one that is being applied: it is the last one. */
        if (!reapply->operation)
                proceed_later(reapply);
        else if (operation_cancel(reapply->operation, f) != 0)
                failure_done(f);
        return 0;
}

void reapply_cancel_current(Reapply *reapply) {
        if (reapply->operation)
                (void) operation_cancel(reapply->operation, NULL);
}

void reapply_wake(Reapply *reapply) {
        if (reapply->operation)
                operation_wake(reapply->operation);
}
