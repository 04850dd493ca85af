/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Applying: stage as belonging to this boot only -> load -> follow -> make it last.
 *
 * The manifest is written before the load, marked with the boot id: a daemon that is killed finds what it began, and
 * a machine that loses power forgets it. When the transition is complete the mark is taken off (unless the patch is for
 * this boot only), which is the moment from which the patch is there for good. */

#include <string.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/operation-internal.h"

/* The very build that is on record for good: its manifest is not touched before the end. */
static bool build_is_kept(const Patch *patch, const char *sha256) {
        return patch->record && !patch->record->transient_boot_id && streq_ptr(patch->record->sha256, sha256);
}

static int record_of_candidate(Operation *operation, const Patch *patch, PatchRecord **ret) {
        const Candidate *candidate = operation->candidate;
        const char *sha256 = module_image_sha256(candidate->image);
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;
        const PatchRecord *old = patch->record;
        int r = patch_record_new(candidate->info, verified_module_signature(candidate->verified), sha256, &record);

        if (r < 0)
                return r;
        record->origin = old && streq_ptr(old->sha256, sha256) ? old->origin : ORIGIN_LOCAL;
        record->staged_at = old ? old->staged_at : now_realtime_usec();
        record->staged_by = old ? old->staged_by : operation->uid;
        record->reapply = old && old->reapply;
        record->order = old ? old->order : manager_next_order(operation->manager);
        if (!build_is_kept(patch, sha256)) {
                r = free_and_strdup(&record->transient_boot_id, operation->manager->kernel->boot_id);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(record);
        return 0;
}

/* What stands when all has gone well. */
static int record_of_applied(Operation *operation, PatchRecord **ret) {
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;
        Patch *patch = operation_patch(operation);
        int r = 0;

        *ret = NULL;
        if (!patch)
                return -ENOENT;
        if (!operation->runtime && patch->record && (!patch->record->reapply || patch->record->transient_boot_id))
                r = patch_record_copy(patch->record, &record);
        if (r < 0 || !record)
                return r; /* nothing to write: the manifest says it all */
        if (!operation->runtime) {
                /* Applied again after it was off: it goes to the end of the order. */
                if (!record->reapply)
                        record->order = manager_next_order(operation->manager);
                record->reapply = true;
                free(record->transient_boot_id);
                record->transient_boot_id = NULL;
        }
        *ret = TAKE_PTR(record);
        return 0;
}

static void log_applied(const Operation *operation, const Patch *patch) {
        const PatchRecord *record = patch->record;
        bool trusted = record && record->signature_status == SIGNATURE_TRUSTED;
        LogField fields[] = {
                { LP_FIELD_PATCH, operation->name },
                { LP_FIELD_OPERATION, operation->manager->reapplying_at_boot ? "reapply" : "apply" },
                { LP_FIELD_KERNEL, operation->release },
                { LP_FIELD_SHA256, record ? record->sha256 : NULL },
                { LP_FIELD_SIGNER, record ? record->signer : NULL },
                {},
        };

        if (trusted)
                log_event(LOG_NOTICE, LP_MESSAGE_APPLIED, fields, "Applied '%s' to kernel %s, signed by %s",
                          operation->name, operation->release, strempty(record->signer));
        else
                log_event(LOG_WARNING, LP_MESSAGE_UNVERIFIED_APPLIED, fields,
                          "Applied '%s' to kernel %s although its signature is %s: SignaturePolicy=%s allows it",
                          operation->name, operation->release,
                          record ? signature_status_to_string(record->signature_status) : "unknown",
                          signature_policy_to_string(operation->manager->config->signature_policy));
}

static void end_failed(Operation *operation, const Failure *failure) {
        log_event(LOG_ERR, LP_MESSAGE_APPLY_FAILED,
                  ((LogField[]){ { LP_FIELD_PATCH, operation->name },
                                 { LP_FIELD_OPERATION, "apply" },
                                 { LP_FIELD_KERNEL, operation->release },
                                 { LP_FIELD_ERROR, failure_dbus_name(failure->code) },
                                 {} }),
                  "Failed to apply '%s': %s", operation->name, failure_text(failure));
        operation_end(operation, JOB_RESULT_FAILED, failure);
}

static void take_runtime(Operation *operation, Transaction *transaction) {
        RuntimeRecord *runtime = NULL;

        if (transaction->failure.code != 0)
                runtime = TAKE_PTR(transaction->runtime_on_failure);
        else if (!transaction->forget_runtime)
                runtime = transaction->runtime_after ? TAKE_PTR(transaction->runtime_after) :
                                                       TAKE_PTR(transaction->runtime_before);
        manager_set_runtime(operation->manager, operation->patch_id, runtime);
}

static void on_finished(void *userdata, Transaction *transaction) {
        Operation *operation = userdata;
        Patch *patch;

        operation->in_step = false;
        if (transaction->failure.code != 0)
                /* It is applied, but will not last: say so as a failure. */
                return end_failed(operation, &transaction->failure);
        take_runtime(operation, transaction);
        if (transaction->record_after)
                manager_set_record(operation->manager, operation->patch_id,
                                   TAKE_PTR(transaction->record_after));
        patch = operation_patch(operation);
        if (patch)
                log_applied(operation, patch);
        operation_end(operation, JOB_RESULT_DONE, NULL);
}

static void finish(Operation *operation) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r = operation_transaction(operation, &transaction);

        operation->past_return = true;
        if (r >= 0)
                r = record_of_applied(operation, &transaction->record_after);
        if (r >= 0)
                r = operation_new_runtime(operation, false, &transaction->runtime_after);
        if (r < 0)
                return operation_end_errno(operation, r);
        transaction->runtime_after->applied_at = now_realtime_usec();
        transaction->runtime_after->applied_by = operation->uid;
        operation_submit(operation, TAKE_PTR(transaction), on_finished);
}

static void on_canceled(void *userdata, Transaction *transaction) {
        Operation *operation = userdata;
        _cleanup_failure_ Failure failure = {};
        JobResult result = operation->cancel_result;

        operation->in_step = false;
        if (transaction->failure.code != 0)
                return end_failed(operation, &transaction->failure);
        manager_set_runtime(operation->manager, operation->patch_id, NULL);
        if (transaction->forget_record || transaction->record_after)
                manager_set_record(operation->manager, operation->patch_id, TAKE_PTR(transaction->record_after));
        if (result == JOB_RESULT_STALLED)
                (void) failure_set(&failure, REFUSED_STALLED,
                                   "The transition of '%s' stalled and was reversed, as OnStall=revert says. The "
                                   "function is as it was before. Try again when the tasks that stood in the way are "
                                   "gone", operation->name);
        else
                (void) failure_set(&failure, REFUSED_CANCELED,
                                   "Applying '%s' was canceled and the transition reversed. The kernel is as it was "
                                   "before", operation->name);
        operation_end(operation, result, &failure);
}

static void clean_up(Operation *operation) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r = operation_transaction(operation, &transaction);

        operation->past_return = true;
        if (r < 0)
                return operation_end_errno(operation, r);
        transaction->action = KERNEL_ACTION_UNLOAD;
        transaction->forget_runtime = true;
        transaction->forget_record = operation->entry_created;
        transaction->record_after = TAKE_PTR(operation->replaced);
        operation_submit(operation, TAKE_PTR(transaction), on_canceled);
}

static void on_undone_by_others(Operation *operation) {
        _cleanup_failure_ Failure failure = {};

        (void) failure_set(&failure, REFUSED_CONFLICT,
                           "Something other than livepatchd reverted '%s' while it was being applied. It is not "
                           "applied. Find out who did, then apply it again", operation->name);
        end_failed(operation, &failure);
}

void operation_apply_ended(Operation *operation, TransitionEnd how) {
        switch (how) {
        case TRANSITION_PATCHED:
                return finish(operation);
        case TRANSITION_UNPATCHED:
        case TRANSITION_VANISHED:
                if (operation->cancel_wanted)
                        return clean_up(operation);
                return on_undone_by_others(operation);
        }
}

static void on_loaded(void *userdata, Transaction *transaction) {
        Operation *operation = userdata;
        Patch *patch;

        operation->in_step = false;
        take_runtime(operation, transaction);
        patch = operation_patch(operation);
        if (patch)
                manager_refresh_patch(operation->manager, patch);
        if (transaction->failure.code != 0)
                return end_failed(operation, &transaction->failure);
        if (operation->cancel_wanted)
                return operation_reverse(operation);
        operation_follow(operation);
}

static int prepare_records(Operation *operation, Patch *patch, Transaction *transaction) {
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;
        int r = record_of_candidate(operation, patch, &record);

        if (r < 0)
                return r;
        if (!build_is_kept(patch, record->sha256)) {
                transaction->put_module = true;
                operation->entry_created = !patch->record;
                if (patch->record && !patch->record->transient_boot_id)
                        operation->replaced = TAKE_PTR(patch->record);
                r = patch_record_copy(record, &transaction->record_before);
                if (r < 0)
                        return r;
                manager_set_record(operation->manager, operation->patch_id, TAKE_PTR(record));
        }
        r = operation_new_runtime(operation, true, &transaction->runtime_before);
        if (r < 0)
                return r;
        return operation_new_runtime(operation, false, &transaction->runtime_on_failure);
}

static void load(Operation *operation, Patch *patch) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r = operation_transaction(operation, &transaction);

        if (r >= 0)
                r = prepare_records(operation, patch, transaction);
        if (r < 0)
                return operation_end_errno(operation, r);
        transaction->candidate = operation->candidate;
        transaction->action = KERNEL_ACTION_INSERT;
        operation_submit(operation, TAKE_PTR(transaction), on_loaded);
}

static void on_interruption_noted(void *userdata, Transaction *transaction) {
        Operation *operation = userdata;
        _cleanup_failure_ Failure failure = {};

        operation->in_step = false;
        (void) failure_set(&failure, REFUSED_CANCELED,
                           "livepatchd was interrupted before the kernel had taken '%s'. It is not applied. Apply it "
                           "again", operation->name);
        take_runtime(operation, transaction);
        end_failed(operation, &failure);
}

/* An earlier process noted that it was about to load, and the module is not there. */
static void note_interruption(Operation *operation) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r = operation_transaction(operation, &transaction);

        if (r >= 0)
                r = operation_new_runtime(operation, false, &transaction->runtime_after);
        if (r < 0)
                return operation_end_errno(operation, r);
        transaction->runtime_after->failure_error = strdup(failure_dbus_name(REFUSED_CANCELED));
        transaction->runtime_after->failure_text = strdup("livepatchd was interrupted before the kernel had taken it");
        operation_submit(operation, TAKE_PTR(transaction), on_interruption_noted);
}

void operation_apply_begin(Operation *operation) {
        Patch *patch = operation_patch(operation);

        if (!patch)
                return operation_end_errno(operation, -ENOENT);
        if (patch->klp)
                return operation_follow(operation);
        if (!operation->candidate)
                return note_interruption(operation);
        load(operation, patch);
}
