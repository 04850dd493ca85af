/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One change of one patch in the kernel: what applying and reverting have in common. */

#include <string.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/confirm.h"
#include "daemon/job-internal.h"
#include "daemon/operation-internal.h"

/* Between two looks at somebody else's transition, the kernel runs one at a time: often when its log has news, and
 * ever more rarely when it has none. */
#define FOREIGN_FIRST_USEC (2 * USEC_PER_MSEC)
#define FOREIGN_LAST_USEC USEC_PER_SEC

/* Between two looks at the disk worker. */
#define DISK_BUSY_USEC (5 * USEC_PER_MSEC)

Patch *operation_patch(Operation *operation) {
        return manager_patch_by_id(operation->manager, operation->patch_id);
}

int operation_transaction(Operation *operation, Transaction **ret) {
        return transaction_new(operation->manager, operation->name, operation->release, ret);
}

void operation_submit(Operation *operation, Transaction *transaction, TransactionDone done) {
        int r;

        operation->in_step = true;
        r = transaction_submit(transaction, done, operation);
        if (r < 0)
                operation_end_errno(operation, r);
}

/* An apply that has begun notes what will have to be confirmed; anything else leaves that as it is. */
static void note_confirmation(const Operation *operation, const Patch *patch, RuntimeRecord *runtime) {
        const RuntimeRecord *now = patch ? patch->runtime : NULL;

        if (operation->type == JOB_APPLY) {
                runtime->confirm_within = runtime->pending ? operation->options.confirm_within_usec : 0;
                runtime->confirm_runtime = operation->options.runtime;
        } else if (now) {
                confirm_carry_over(runtime, now);
                runtime->confirm_expired = runtime->pending && operation->options.expired;
        }
}

int operation_new_runtime(Operation *operation, bool pending, RuntimeRecord **ret) {
        _cleanup_(runtime_record_freep) RuntimeRecord *runtime = NULL;
        Patch *patch = operation_patch(operation);
        const char *sha256 = NULL;
        int r = runtime_record_new(operation->name, &runtime);

        if (r < 0)
                return r;
        if (operation->candidate)
                sha256 = module_image_sha256(operation->candidate->image);
        else if (patch && patch->record)
                sha256 = patch->record->sha256;
        r = free_and_strdup(&runtime->sha256, sha256);
        if (r < 0)
                return r;
        runtime->applied_at = patch ? patch_applied_at(patch) : 0;
        runtime->applied_by = patch ? patch_applied_by(patch) : UID_UNKNOWN;
        if (patch && patch->runtime && free_and_strdup(&runtime->drift, patch->runtime->drift) < 0)
                return -ENOMEM;
        runtime->pending = pending;
        runtime->pending_type = operation->type;
        runtime->pending_options = operation->options;
        runtime->pending_by = operation->uid;
        note_confirmation(operation, patch, runtime);
        *ret = TAKE_PTR(runtime);
        return 0;
}

int operation_disarm_guard(Operation *operation, Transaction *transaction) {
        const Patch *patch = operation_patch(operation);

        if (!patch || !patch->guard || patch->guard->phase != GUARD_QUARANTINED) {
                transaction->guard_step = GUARD_STEP_DISARM;
                return 0;
        }
        /* Reverted because it was found to be bad: if that could not be written before, it is now. */
        transaction->guard_step = GUARD_STEP_QUARANTINE;
        return free_and_strdup(&transaction->guard_reason, patch->guard->reason);
}

void operation_take_runtime(Operation *operation, Transaction *transaction) {
        RuntimeRecord *runtime = NULL;

        if (transaction->failure.code != 0)
                runtime = TAKE_PTR(transaction->runtime_on_failure);
        else if (!transaction->forget_runtime)
                runtime = transaction->runtime_after ? TAKE_PTR(transaction->runtime_after) :
                                                       TAKE_PTR(transaction->runtime_before);
        manager_set_runtime(operation->manager, operation->patch_id, runtime);
}

void operation_end(Operation *operation, JobResult result, const Failure *failure) {
        operation->transition = transition_free(operation->transition);
        operation->end(operation->userdata, result, failure);
}

void operation_end_errno(Operation *operation, int error) {
        _cleanup_failure_ Failure failure = {};

        (void) failure_set(&failure, error,
                           "livepatchd could not go on with '%s': %s. 'livepatchctl status' shows what state it is in",
                           operation->name, strerror(-error));
        operation_end(operation, JOB_RESULT_FAILED, &failure);
}

static void on_transition_ended(void *userdata, TransitionEnd how) {
        Operation *operation = userdata;

        operation->transition = transition_free(operation->transition);
        /* All: a cumulative patch supersedes the others. */
        manager_refresh_patches(operation->manager);
        switch (operation->type) {
        case JOB_APPLY:
                operation_apply_ended(operation, how);
                break;
        case JOB_REVERT:
        case JOB_REMOVE:
        case JOB_ROLLBACK:
                operation_revert_ended(operation, how);
                break;
        case JOB_REAPPLY:
        case _JOB_TYPE_MAX:
        case _JOB_TYPE_INVALID:
                operation_end_errno(operation, -EINVAL);
                break;
        }
}

static void on_transition_progress(void *userdata, unsigned total, unsigned pending) {
        Operation *operation = userdata;

        job_set_tasks(operation->job, total, pending);
}

void operation_follow(Operation *operation) {
        static const TransitionCallbacks callbacks = {
                .ended = on_transition_ended,
                .progress = on_transition_progress,
                .stalled = operation_stalled,
        };
        Manager *manager = operation->manager;
        int r = transition_new(manager->event, manager->root_fd, manager->counter, operation->name,
                               operation_stall_timeout(operation), &callbacks, operation, &operation->transition);

        if (r < 0)
                operation_end_errno(operation, r);
}

static void on_reversed(void *userdata, Transaction *transaction) {
        Operation *operation = userdata;

        operation->in_step = false;
        /* It came to the end that it was heading for: canceled too late, the job ends as if nobody had. */
        if (transaction->failure.code == REFUSED_BUSY)
                operation->cancel_wanted = false;
        /* -EINVAL, -ENOENT: it came to some end just before the write. Following shows which end. */
        if (transaction->failure.code != 0)
                log_debug("Reversing the transition of '%s': %s", operation->name,
                          failure_text(&transaction->failure));
        else
                operation_take_runtime(operation, transaction);
        operation_follow(operation);
}

/* What a process that takes over from here shall do: clean up behind an apply that was taken back, and leave a patch
 * alone that stays. */
static int note_reversal(Operation *operation, RuntimeRecord **ret) {
        bool applying = operation->type == JOB_APPLY;
        int r = operation_new_runtime(operation, applying, ret);

        if (r < 0 || !applying)
                return r;
        (*ret)->pending_type = operation->entry_created ? JOB_REMOVE : JOB_REVERT;
        (*ret)->pending_options.runtime = true;
        /* What is being taken back is not to be taken back again. */
        (*ret)->pending_options.on_stall_given = true;
        (*ret)->pending_options.on_stall = ON_STALL_WAIT;
        (*ret)->confirm_within = 0;
        return 0;
}

void operation_reverse(Operation *operation) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r;

        operation->transition = transition_free(operation->transition);
        job_set_stalled(operation->job, false);
        r = operation_transaction(operation, &transaction);
        if (r >= 0)
                r = note_reversal(operation, &transaction->runtime_after);
        if (r < 0)
                return operation_end_errno(operation, r);
        transaction->action = operation->type == JOB_APPLY ? KERNEL_ACTION_DISABLE : KERNEL_ACTION_ENABLE;
        transaction->reversing = true;
        operation_submit(operation, TAKE_PTR(transaction), on_reversed);
}

int operation_cancel(Operation *operation, Failure *f) {
        if (operation->cancel_wanted)
                return 0;
        if (operation->past_return)
                return failure_set(f, REFUSED_BUSY,
                                   "The job is past the point where it could be canceled; it will end in a moment");
        operation->cancel_wanted = true;
        operation->cancel_result = JOB_RESULT_CANCELED;
        if (operation->transition)
                operation_reverse(operation);
        else if (!operation->in_step)
                /* Waiting for somebody else's transition: nothing was changed yet. */
                (void) sd_event_source_set_time_relative(operation->timer, 0);
        return 0;
}

static void begin_again_in(Operation *operation, uint64_t usec) {
        (void) sd_event_source_set_time_relative(operation->timer, usec);
        (void) sd_event_source_set_enabled(operation->timer, SD_EVENT_ONESHOT);
}

void operation_begin_later(Operation *operation) {
        uint64_t usec = MIN(operation->foreign_interval_usec * 3 / 2, FOREIGN_LAST_USEC);

        operation->foreign_interval_usec = MAX(usec, FOREIGN_FIRST_USEC);
        begin_again_in(operation, operation->foreign_interval_usec);
}

void operation_wake(Operation *operation) {
        if (operation->transition)
                transition_wake(operation->transition);
        else if (operation->foreign_interval_usec > 0 && !operation->in_step && !operation->past_return) {
                /* The line comes just before the state is in place: a short series of looks follows. */
                operation->foreign_interval_usec = FOREIGN_FIRST_USEC;
                begin_again_in(operation, FOREIGN_FIRST_USEC);
        }
}

/* Another patch is in transition. What is not in the kernel needs not wait for it to be forgotten. */
static bool foreign_transition_is_in_the_way(Operation *operation, const Patch *patch, char **ret_owner) {
        _cleanup_free_ char *owner = NULL;

        if (operation->type != JOB_APPLY && patch && !patch->klp && !patch->module.present)
                return false;
        if (klp_sysfs_transition_owner(operation->manager->root_fd, &owner) < 0 || !owner ||
            streq(owner, operation->name))
                return false;
        *ret_owner = TAKE_PTR(owner);
        return true;
}

static void begin(Operation *operation, Patch *patch) {
        operation->foreign_interval_usec = 0;
        job_set_stalled(operation->job, false);
        if (!patch)
                operation_end_errno(operation, -ENOENT);
        else if (operation->type == JOB_APPLY)
                operation_apply_begin(operation, patch);
        else
                operation_revert_begin(operation, patch);
}

static void end_before_beginning(Operation *operation) {
        _cleanup_failure_ Failure failure = {};

        (void) failure_set(&failure, REFUSED_CANCELED, "The job was canceled before it began. Nothing was changed");
        operation_end(operation, operation->cancel_result, &failure);
}

static int on_begin(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        _cleanup_free_ char *owner = NULL;
        Operation *operation = userdata;
        Patch *patch;

        if (operation->cancel_wanted) {
                end_before_beginning(operation);
                return 0;
        }
        /* What is being staged or decided about is known to the tables when it is on the disk. */
        if (!worker_is_idle(operation->manager->disk)) {
                begin_again_in(operation, DISK_BUSY_USEC);
                return 0;
        }
        patch = operation_patch(operation);
        if (patch)
                manager_refresh_patch(operation->manager, patch);
        patch = operation_patch(operation);
        if (!foreign_transition_is_in_the_way(operation, patch, &owner))
                begin(operation, patch);
        else if (!operation_gives_up_on(operation, owner))
                operation_begin_later(operation);
        return 0;
}

int operation_start(Manager *manager, const OperationParameters *parameters, Operation **ret) {
        _cleanup_(operation_freep) Operation *operation = calloc(1, sizeof(Operation));
        Candidate *candidate = parameters->candidate;
        Patch *patch;
        int r;

        if (!operation) {
                candidate_free(candidate);
                return -ENOMEM;
        }
        operation->manager = manager;
        operation->type = parameters->type;
        operation->job = parameters->job;
        operation->uid = parameters->uid;
        operation->options = parameters->options;
        operation->keep_record = parameters->keep_record;
        operation->candidate = candidate;
        operation->end = parameters->end;
        operation->userdata = parameters->userdata;
        patch = manager_patch_by_id(manager, parameters->patch_id);
        if (!patch)
                return -ENOENT;
        operation->patch_id = strdup(patch->id);
        operation->name = strdup(patch->name);
        operation->release = strdup(patch->kernel_release);
        if (!operation->patch_id || !operation->name || !operation->release)
                return -ENOMEM;
        r = sd_event_add_time_relative(manager->event, &operation->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_begin,
                                       operation);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(operation);
        return 0;
}

Operation *operation_free(Operation *operation) {
        if (!operation)
                return NULL;
        transition_free(operation->transition);
        (void) sd_event_source_disable_unref(operation->timer);
        candidate_free(operation->candidate);
        patch_record_free(operation->replaced);
        failure_done(&operation->failure);
        free(operation->patch_id);
        free(operation->name);
        free(operation->release);
        free(operation);
        return NULL;
}
