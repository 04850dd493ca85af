/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reverting: switch off -> follow -> unload -> no longer reapply, or forget. */

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/confirm.h"
#include "daemon/operation-internal.h"
#include "daemon/record-level.h"
#include "daemon/vendor.h"

static void end_failed(Operation *operation, const Failure *failure) {
        log_event(LOG_ERR, LP_MESSAGE_REVERT_FAILED,
                  ((LogField[]){ { LP_FIELD_PATCH, operation->name },
                                 { LP_FIELD_OPERATION, job_type_to_string(operation->type) },
                                 { LP_FIELD_KERNEL, operation->release },
                                 { LP_FIELD_ERROR, failure_dbus_name(failure->code) },
                                 {} }),
                  "Failed to %s '%s': %s", job_type_to_string(operation->type), operation->name,
                  failure_text(failure));
        operation_end(operation, JOB_RESULT_FAILED, failure);
}

static void on_revealed(void *userdata) {
        Operation *operation = userdata;

        operation->in_step = false;
        operation_end(operation, JOB_RESULT_DONE, NULL);
}

/* Before the job ends: who looks then sees all that there is. */
static void end_removed(Operation *operation) {
        const Patch *patch = operation_patch(operation);
        int r = 0;

        if (patch && patch->this_kernel)
                r = manager_reveal_vendor(operation->manager, operation->name, on_revealed, operation);
        if (r < 0)
                log_debug_errno(r, "Failed to look for a package's build of '%s', ignoring: %m", operation->name);
        operation->in_step = r > 0;
        if (r <= 0)
                operation_end(operation, JOB_RESULT_DONE, NULL);
}

static void log_reverted(const Operation *operation, bool left_loaded) {
        const char *kept = left_loaded ? "; the kernel keeps its module until the next reboot" : "";
        bool removed = operation->type == JOB_REMOVE;
        LogField fields[] = {
                { LP_FIELD_PATCH, operation->name },
                { LP_FIELD_OPERATION, job_type_to_string(operation->type) },
                { LP_FIELD_KERNEL, operation->release },
                {},
        };

        if (operation->options.expired)
                log_event(LOG_WARNING, LP_MESSAGE_NOT_CONFIRMED, fields,
                          "Reverted '%s' on kernel %s, because nobody confirmed it in time%s%s", operation->name,
                          operation->release,
                          operation->type == JOB_ROLLBACK ? ": what it had superseded is applied again" : "", kept);
        else if (operation->type == JOB_ROLLBACK)
                log_event(LOG_NOTICE, LP_MESSAGE_ROLLED_BACK, fields,
                          "Rolled back '%s' on kernel %s: what it had superseded is applied again", operation->name,
                          operation->release);
        else
                log_event(left_loaded ? LOG_WARNING : LOG_NOTICE, removed ? LP_MESSAGE_REMOVED : LP_MESSAGE_REVERTED,
                          fields, "%s '%s' %s kernel %s%s", removed ? "Removed" : "Reverted", operation->name,
                          removed ? "of" : "on", operation->release, kept);
}

static void on_forgotten(void *userdata, Transaction *transaction) {
        Operation *operation = userdata;
        Manager *manager = operation->manager;

        operation->in_step = false;
        operation_take_runtime(operation, transaction);
        if (transaction->failure.code != 0)
                return end_failed(operation, &transaction->failure);
        log_reverted(operation, transaction->left_loaded);
        if (transaction->record_is_gone) {
                manager_set_record(manager, operation->patch_id, NULL);
                return end_removed(operation);
        }
        if (transaction->record_after)
                manager_set_record(manager, operation->patch_id, TAKE_PTR(transaction->record_after));
        operation_end(operation, JOB_RESULT_DONE, NULL);
}

/* What the list has is wanted again, instead of this one. Of one for this boot only that is all to be said. */
static int record_of_rolled_back(const Operation *operation, const Patch *patch, PatchRecord **ret) {
        int r;

        if (operation->options.runtime || !patch || !patch->record)
                return 0;
        r = patch_record_copy(patch->record, ret);
        if (r < 0)
                return r;
        (*ret)->reapply = false;
        (*ret)->rolled_back = (*ret)->n_supersedes > 0;
        return 0;
}

/* What the next boot shall do. A record of this boot only may stand in front of one that lasts, with the same wish in
 * it: the one that is written takes the place of both. */
static int record_of_reverted(const Operation *operation, const Patch *patch, PatchRecord **ret) {
        int r;

        if (operation->options.runtime || !patch || !patch->record || !patch->record->reapply)
                return 0;
        r = patch_record_copy(patch->record, ret);
        if (r < 0)
                return r;
        (*ret)->reapply = false;
        record_clear_level(*ret);
        return free_and_strdup(&(*ret)->transient_boot_id, NULL);
}

/* Nothing of it is to last: how things were before stands again, and says why. */
static int expire(Operation *operation, Transaction *transaction) {
        const Patch *patch = operation_patch(operation);
        int r = operation_new_runtime(operation, false, &transaction->runtime_after);

        if (r < 0)
                return r;
        transaction->take_back = true;
        transaction->forget_runtime = false;
        return confirm_note_expired(transaction->runtime_after, patch ? patch->id : operation->name);
}

/* Unloads what may still be loaded, then writes what the next boot shall do. */
static void unload_and_forget(Operation *operation) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        const Patch *patch = operation_patch(operation);
        bool here = !patch || patch->this_kernel, removing = operation->type == JOB_REMOVE;
        int r = operation_transaction(operation, &transaction);

        operation->past_return = true;
        if (r >= 0 && here)
                r = operation_new_runtime(operation, false, &transaction->runtime_on_failure);
        if (r >= 0 && removing)
                r = transaction_set_unrecorded(transaction, "'%s' is not loaded any more, but its files could not be "
                                               "removed", operation->name);
        else if (r >= 0) {
                r = operation->type == JOB_ROLLBACK ?
                        record_of_rolled_back(operation, patch, &transaction->record_after) :
                        record_of_reverted(operation, patch, &transaction->record_after);
                if (r >= 0)
                        r = transaction_set_unrecorded(transaction,
                                                       "'%s' is not loaded any more, but its record could not be "
                                                       "changed, so that the next boot will apply it again",
                                                       operation->name);
        }
        if (r >= 0 && here)
                r = operation_disarm_guard(operation, transaction);
        if (r < 0)
                return operation_end_errno(operation, r);
        transaction->action = here ? KERNEL_ACTION_UNLOAD : KERNEL_ACTION_NONE;
        transaction->forget_runtime = here; /* runtime records are of the running kernel */
        transaction->forget_record = removing;
        transaction->take_back = here && operation->options.put_record && !removing;
        if (operation->options.expired) {
                r = expire(operation, transaction);
                if (r < 0)
                        return operation_end_errno(operation, r);
        }
        operation_submit(operation, TAKE_PTR(transaction), on_forgotten);
}

static void on_noted(void *userdata, Transaction *transaction) {
        Operation *operation = userdata;
        _cleanup_failure_ Failure failure = {};

        operation->in_step = false;
        operation_take_runtime(operation, transaction);
        if (operation->cancel_wanted && operation->cancel_result == JOB_RESULT_STALLED)
                (void) failure_set(&failure, REFUSED_STALLED,
                                   "Reverting '%s' stalled and was reversed, as OnStall=revert or the caller's option "
                                   "says. It is still applied. Try again when the tasks that stood in the way are gone",
                                   operation->name);
        else if (operation->cancel_wanted)
                (void) failure_set(&failure, REFUSED_CANCELED,
                                   "Reverting '%s' was canceled and the transition reversed. It is still applied",
                                   operation->name);
        if (operation->cancel_wanted)
                return operation_end(operation, operation->cancel_result, &failure);
        (void) failure_set(&failure, REFUSED_CONFLICT,
                           "Something other than livepatchd switched '%s' on again while it was being reverted. It is "
                           "still applied. Find out who did, then revert it again", operation->name);
        end_failed(operation, &failure);
}

/* It is patched again: the note that a revert is pending goes. */
static void note_still_applied(Operation *operation) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r = operation_transaction(operation, &transaction);

        if (r >= 0)
                r = operation_new_runtime(operation, false, &transaction->runtime_after);
        if (r < 0)
                return operation_end_errno(operation, r);
        operation_submit(operation, TAKE_PTR(transaction), on_noted);
}

void operation_revert_ended(Operation *operation, TransitionEnd how) {
        switch (how) {
        case TRANSITION_PATCHED:
                return note_still_applied(operation);
        case TRANSITION_UNPATCHED:
        case TRANSITION_VANISHED:
                return unload_and_forget(operation);
        }
}

/* -ENOENT, -ENODEV, -EINVAL: somebody else switched it off just now. Following shows where it ends. */
static bool is_off_already(int error) {
        return error == -ENOENT || error == -ENODEV || error == -EINVAL;
}

static void on_disabled(void *userdata, Transaction *transaction) {
        Operation *operation = userdata;
        int error = transaction->failure.code;
        Patch *patch;

        operation->in_step = false;
        if (error == 0)
                manager_set_runtime(operation->manager, operation->patch_id, TAKE_PTR(transaction->runtime_before));
        else
                operation_take_runtime(operation, transaction);
        patch = operation_patch(operation);
        if (patch)
                manager_refresh_patch(operation->manager, patch);
        /* Another transition began between the look and the write. */
        if (error == REFUSED_BUSY)
                return operation_begin_later(operation);
        if (error != 0 && !is_off_already(error))
                return end_failed(operation, &transaction->failure);
        if (operation->cancel_wanted)
                return operation_reverse(operation);
        operation_follow(operation);
}

static void disable(Operation *operation, const Patch *patch) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r = operation_transaction(operation, &transaction);

        if (r >= 0)
                r = operation_new_runtime(operation, true, &transaction->runtime_before);
        if (r >= 0)
                r = operation_new_runtime(operation, false, &transaction->runtime_on_failure);
        if (r < 0)
                return operation_end_errno(operation, r);
        transaction->action = patch->klp->enabled ? KERNEL_ACTION_DISABLE : KERNEL_ACTION_NONE;
        operation_submit(operation, TAKE_PTR(transaction), on_disabled);
}

void operation_revert_begin(Operation *operation, Patch *patch) {
        if (patch->klp)
                disable(operation, patch);
        else
                unload_and_forget(operation);
}
