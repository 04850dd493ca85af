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
#include "daemon/confirm.h"
#include "daemon/operation-internal.h"
#include "daemon/record-level.h"
#include "daemon/supersede.h"

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
        record->staged_at = now_realtime_usec();
        record->staged_by = operation->uid;
        record->reapply = old && old->reapply;
        record->order = old ? old->order : manager_next_order(operation->manager);
        if (old && streq_ptr(old->sha256, sha256)) {
                record->staged_at = old->staged_at;
                record->staged_by = old->staged_by;
        }
        r = free_and_strdup(&record->transient_boot_id, operation->manager->kernel->boot_id);
        if (r >= 0 && operation->keep_record)
                r = old && streq_ptr(old->sha256, sha256) ? record_copy_level(record, old) : 0;
        else if (r >= 0 && candidate->info->replace != TRISTATE_NO)
                r = supersede_capture(operation->manager, patch, record);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(record);
        return 0;
}

/* What stands when all has gone well; NULL: the manifest says it all. With this write, what it supersedes is
 * superseded. What waits for its confirmation does not last before. */
static int record_of_applied(Operation *operation, PatchRecord **ret) {
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;
        Patch *patch = operation_patch(operation);
        bool lasting = !operation->options.runtime && operation->options.confirm_within_usec == 0;
        int changed, r;

        if (!patch)
                return -ENOENT;
        if (!patch->record || operation->keep_record)
                return 0;
        r = patch_record_copy(patch->record, &record);
        if (r < 0)
                return r;
        changed = supersede_review(operation->manager, record);
        if (lasting && (!record->reapply || record->transient_boot_id)) {
                /* Applied again after it was off: it goes to the end of the order. */
                if (!record->reapply)
                        record->order = manager_next_order(operation->manager);
                record->reapply = true;
                free(record->transient_boot_id);
                record->transient_boot_id = NULL;
                changed = 1;
        }
        if (changed)
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

static void on_settled(void *userdata) {
        operation_end(userdata, JOB_RESULT_DONE, NULL);
}

static void on_finished(void *userdata, Transaction *transaction) {
        Operation *operation = userdata;
        Patch *patch;

        operation->in_step = false;
        operation_take_runtime(operation, transaction);
        if (transaction->failure.code != 0)
                /* It is applied, but will not last: say so as a failure. */
                return end_failed(operation, &transaction->failure);
        if (transaction->record_after)
                manager_set_record(operation->manager, operation->patch_id,
                                   TAKE_PTR(transaction->record_after));
        patch = operation_patch(operation);
        if (patch)
                log_applied(operation, patch);
        supersede_settle(operation->manager, on_settled, operation);
}

static int runtime_of_applied(Operation *operation, RuntimeRecord **ret) {
        int r = operation_new_runtime(operation, false, ret);

        if (r < 0)
                return r;
        (*ret)->applied_at = now_realtime_usec();
        (*ret)->applied_by = operation->uid;
        confirm_begin(*ret, operation->options.confirm_within_usec, operation->options.runtime);
        return 0;
}

static void finish(Operation *operation) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r = operation_transaction(operation, &transaction);

        operation->past_return = true;
        if (r >= 0)
                transaction->guard_step = GUARD_STEP_SETTLE;
        if (r >= 0)
                r = record_of_applied(operation, &transaction->record_after);
        if (r >= 0)
                r = runtime_of_applied(operation, &transaction->runtime_after);
        if (r >= 0)
                r = runtime_of_applied(operation, &transaction->runtime_on_failure);
        if (r >= 0)
                r = transaction_set_unrecorded(transaction,
                                               "'%s' is applied to the running kernel, but its record could not be "
                                               "changed, so that the next boot will not apply it", operation->name);
        if (r < 0)
                return operation_end_errno(operation, r);
        operation_submit(operation, TAKE_PTR(transaction), on_finished);
}

/* ---- Canceled ---------------------------------------------------------------------------------------------- */

static void on_canceled(void *userdata, Transaction *transaction) {
        Operation *operation = userdata;
        _cleanup_failure_ Failure failure = {};
        JobResult result = operation->cancel_result;

        operation->in_step = false;
        operation_take_runtime(operation, transaction);
        if (transaction->failure.code != 0)
                return end_failed(operation, &transaction->failure);
        if (transaction->record_is_gone || transaction->record_after)
                manager_set_record(operation->manager, operation->patch_id, TAKE_PTR(transaction->record_after));
        if (transaction->guard_step == GUARD_STEP_QUARANTINE) {
                result = JOB_RESULT_FAILED;
                (void) failure_set(&failure, REFUSED_QUARANTINED,
                                   "'%s' was found to be bad while it was being applied, and is quarantined. %s. The "
                                   "transition was reversed: the kernel is as it was before. To let it try again: "
                                   "livepatchctl unquarantine %s", operation->name, strempty(transaction->guard_reason),
                                   operation->name);
        } else if (result == JOB_RESULT_STALLED)
                (void) failure_set(&failure, REFUSED_STALLED,
                                   "The transition of '%s' stalled and was reversed, as OnStall=revert or the caller's "
                                   "option says. The kernel is as it was before. Try again when the tasks that stood "
                                   "in the way are gone", operation->name);
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
        if (r >= 0)
                r = operation_new_runtime(operation, false, &transaction->runtime_on_failure);
        if (r >= 0)
                r = transaction_set_unrecorded(transaction,
                                               "Applying '%s' was canceled and the kernel is as it was before, but "
                                               "what was recorded of it could not be taken back", operation->name);
        if (r >= 0)
                r = operation_disarm_guard(operation, transaction);
        if (r < 0)
                return operation_end_errno(operation, r);
        transaction->action = KERNEL_ACTION_UNLOAD;
        transaction->forget_runtime = true;
        transaction->forget_record = operation->entry_created;
        transaction->record_after = TAKE_PTR(operation->replaced);
        /* Put there by an earlier process, which alone knew what was there before. */
        transaction->take_back = operation->options.put_record && !transaction->forget_record &&
                                 !transaction->record_after;
        operation_submit(operation, TAKE_PTR(transaction), on_canceled);
}

/* ---- Not done by us ---------------------------------------------------------------------------------------- */

static void on_failure_noted(void *userdata, Transaction *transaction) {
        Operation *operation = userdata;

        operation->in_step = false;
        operation_take_runtime(operation, transaction);
        end_failed(operation, &operation->failure);
}

/* The reason in operation->failure stays with the patch for this boot, and the note that an operation is pending goes,
 * before the job ends with it. */
static void fail(Operation *operation) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r = operation_transaction(operation, &transaction);

        operation->past_return = true;
        if (r >= 0)
                r = operation_new_runtime(operation, false, &transaction->runtime_after);
        if (r >= 0)
                r = operation_disarm_guard(operation, transaction);
        if (r < 0)
                return operation_end_errno(operation, r);
        transaction->runtime_after->failure_error = strdup(failure_dbus_name(operation->failure.code));
        transaction->runtime_after->failure_text = strdup(failure_text(&operation->failure));
        operation_submit(operation, TAKE_PTR(transaction), on_failure_noted);
}

void operation_apply_ended(Operation *operation, TransitionEnd how) {
        switch (how) {
        case TRANSITION_PATCHED:
                return finish(operation);
        case TRANSITION_UNPATCHED:
        case TRANSITION_VANISHED:
                if (operation->cancel_wanted)
                        return clean_up(operation);
                (void) failure_set(&operation->failure, REFUSED_CONFLICT,
                                   "Something other than livepatchd reverted '%s' while it was being applied. It is "
                                   "not applied. Find out who did, then apply it again", operation->name);
                return fail(operation);
        }
}

/* ---- Loading ----------------------------------------------------------------------------------------------- */

static void on_loaded(void *userdata, Transaction *transaction) {
        Operation *operation = userdata;

        operation->in_step = false;
        operation_take_runtime(operation, transaction);
        if (transaction->record_before_stands)
                manager_set_record(operation->manager, operation->patch_id, TAKE_PTR(transaction->record_before));
        else {
                Patch *patch = operation_patch(operation);

                if (patch)
                        manager_refresh_patch(operation->manager, patch);
        }
        if (transaction->failure.code != 0)
                return end_failed(operation, &transaction->failure);
        if (operation->cancel_wanted)
                return operation_reverse(operation);
        operation_follow(operation);
}

static int prepare_records(Operation *operation, const Patch *patch, Transaction *transaction) {
        const Candidate *candidate = operation->candidate;
        bool kept = build_is_kept(patch, module_image_sha256(candidate->image));
        int r;

        /* All of them: what it replaces is written down before it does. */
        manager_refresh_patches(operation->manager);
        if (!kept || (!operation->keep_record &&
                      supersede_may(operation->manager, patch, candidate->info->replace))) {
                r = record_of_candidate(operation, patch, &transaction->record_before);
                if (r < 0)
                        return r;
                transaction->put_module = !kept;
                transaction->forget_on_failure = operation->entry_created = !patch->record;
                if (patch->record && !patch->record->transient_boot_id) {
                        r = patch_record_copy(patch->record, &operation->replaced);
                        if (r >= 0)
                                r = patch_record_copy(patch->record, &transaction->record_on_failure);
                        if (r < 0)
                                return r;
                }
                operation->options.put_record = operation->entry_created || operation->replaced;
        }
        r = operation_new_runtime(operation, true, &transaction->runtime_before);
        if (r < 0)
                return r;
        return operation_new_runtime(operation, false, &transaction->runtime_on_failure);
}

static void load(Operation *operation, const Patch *patch) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r = operation_transaction(operation, &transaction);

        if (r >= 0)
                r = prepare_records(operation, patch, transaction);
        if (r >= 0)
                r = free_and_strdup(&transaction->build_id, operation->candidate->info->build_id);
        if (r < 0)
                return operation_end_errno(operation, r);
        transaction->module = verified_module_ref(operation->candidate->verified);
        transaction->action = KERNEL_ACTION_INSERT;
        operation_submit(operation, TAKE_PTR(transaction), on_loaded);
}

/* Loaded since the module was judged: by an earlier job of ours, whose record says so, or by somebody else. The same
 * build signed anew is another file. */
static bool is_what_was_asked_for(const Operation *operation, const Patch *patch) {
        const char *build_id = operation->candidate ? operation->candidate->info->build_id : NULL;

        if (!operation->candidate)
                return true;
        if (!patch->record || patch_loaded_is_recorded(patch) == TRISTATE_NO)
                return false;
        if (build_id || patch->module.build_id)
                return streq_ptr(build_id, patch->module.build_id);
        return streq_ptr(patch->record->sha256, module_image_sha256(operation->candidate->image));
}

void operation_apply_begin(Operation *operation, Patch *patch) {
        if (!patch->klp && operation->candidate)
                return load(operation, patch);
        /* Somebody else is switching it off: it can only be loaded anew, when that has ended. */
        if (patch->klp && !patch->klp->enabled && operation->candidate)
                return operation_begin_later(operation);
        if (patch->klp && is_what_was_asked_for(operation, patch))
                return operation_follow(operation);
        if (patch->klp)
                (void) failure_set(&operation->failure, REFUSED_CONFLICT,
                                   "Something other than livepatchd loaded '%s' while the job waited. Nothing was "
                                   "changed. Find out who did, revert it, then apply this one again", operation->name);
        else
                /* An earlier process noted that it was about to load. */
                (void) failure_set(&operation->failure, REFUSED_CANCELED,
                                   "livepatchd was interrupted before the kernel had taken '%s'. It is not applied. "
                                   "Apply it again", operation->name);
        fail(operation);
}
