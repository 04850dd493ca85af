/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Confirming: what was applied on condition (confirm.c) stays.
 *
 * To confirm is to end an apply: first the runtime record says that an apply is pending, without any condition, then
 * the manifest loses its mark. Killed in between, the next start ends that apply. */

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/confirm.h"
#include "daemon/manager-internal.h"
#include "daemon/supersede.h"
#include "daemon/transaction.h"

typedef struct Confirmation {
        Manager *manager;
        char *patch_id;
        Reply reply;
} Confirmation;

static Confirmation *confirmation_free(Confirmation *confirmation) {
        if (!confirmation)
                return NULL;
        free(confirmation->patch_id);
        free(confirmation);
        return NULL;
}
DEFINE_CLEANUP(Confirmation *, confirmation_free)

static void on_confirmed(void *userdata, Transaction *transaction) {
        _cleanup_(confirmation_freep) Confirmation *confirmation = userdata;
        bool failed = transaction->failure.code != 0;
        Manager *manager = confirmation->manager;
        Patch *patch = manager_patch_by_id(manager, confirmation->patch_id);

        if (patch)
                patch->confirming = false;
        manager_set_runtime(manager, confirmation->patch_id, failed ? TAKE_PTR(transaction->runtime_on_failure) :
                                                                      TAKE_PTR(transaction->runtime_after));
        if (failed)
                return reply_call(&confirmation->reply, &transaction->failure, NULL, NULL);
        log_event(LOG_NOTICE, LP_MESSAGE_CONFIRMED,
                  ((LogField[]){ { LP_FIELD_PATCH, transaction->name },
                                 { LP_FIELD_OPERATION, "confirm" },
                                 { LP_FIELD_KERNEL, transaction->release },
                                 {} }),
                  "Confirmed '%s' on kernel %s: it stays applied", transaction->name, transaction->release);
        if (transaction->record_after)
                manager_set_record(manager, confirmation->patch_id, TAKE_PTR(transaction->record_after));
        /* What it superseded was still wanted at the next boot. */
        supersede_settle(manager, NULL, NULL);
        reply_call(&confirmation->reply, NULL, manager_patch_by_id(manager, confirmation->patch_id), NULL);
}

static void on_dropped(void *userdata) {
        _cleanup_(confirmation_freep) Confirmation *confirmation = userdata;
        _cleanup_failure_ Failure failure = {};

        (void) failure_set(&failure, REFUSED_CANCELED,
                           "livepatchd is stopping, and '%s' may or may not have been confirmed. Try again",
                           confirmation->patch_id);
        reply_call(&confirmation->reply, &failure, NULL, NULL);
}

static int refuse_confirmation(const Patch *patch, Failure *f) {
        const RuntimeRecord *runtime = patch->runtime;

        if (runtime && refusal_from_dbus_name(runtime->failure_error) == REFUSED_NOT_CONFIRMED)
                return failure_set(f, REFUSED_NOT_CONFIRMED, "It is too late to confirm '%s'. %s", patch->id,
                                   strempty(runtime->failure_text));
        if (patch->klp)
                return failure_set(f, REFUSED_ALREADY_APPLIED, "'%s' is applied and needs no confirmation. Nothing was "
                                   "changed", patch->id);
        return failure_set(f, REFUSED_NOT_APPLIED, "'%s' is not applied, so that there is nothing to confirm. Nothing "
                           "was changed", patch->id);
}

static int check_confirmation(const Patch *patch, Failure *f) {
        if (!patch_is_unconfirmed(patch))
                return refuse_confirmation(patch, f);
        if (patch->job || patch->confirming)
                return failure_set(f, REFUSED_BUSY,
                                   "'%s' cannot be confirmed while a job works on it. Nothing was changed. Try again "
                                   "when that has ended", patch->id);
        if (!patch->klp || !patch->klp->enabled || patch->klp->transition)
                return failure_set(f, REFUSED_NOT_APPLIED,
                                   "'%s' is not applied any more: something other than livepatchd has switched it "
                                   "off. It was not confirmed", patch->id);
        if (!patch->record || patch_loaded_is_recorded(patch) == TRISTATE_NO)
                return failure_set(f, REFUSED_CONFLICT,
                                   "Another build of '%s' is loaded than the one on record. It was not confirmed",
                                   patch->id);
        return 0;
}

static int copy_runtime(const Patch *patch, RuntimeRecord **ret) {
        const RuntimeRecord *now = patch->runtime;
        int r = runtime_record_new(patch->name, ret);

        if (r < 0)
                return r;
        (*ret)->applied_at = now->applied_at;
        (*ret)->applied_by = now->applied_by;
        return free_and_strdup(&(*ret)->sha256, now->sha256);
}

/* The note that an apply is pending comes first: whoever finds it makes the patch last. */
static int make_it_last(const Manager *manager, const Patch *patch, uid_t uid, Transaction *transaction) {
        int r;

        r = copy_runtime(patch, &transaction->runtime_before);
        if (r < 0)
                return r;
        transaction->runtime_before->pending = true;
        transaction->runtime_before->pending_type = JOB_APPLY;
        transaction->runtime_before->pending_by = uid;
        return manager_lasting_record(manager, patch, &transaction->record_after);
}

static int confirmation_transaction(Manager *manager, const Patch *patch, uid_t uid, Transaction **ret) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r = transaction_new(manager, patch->name, patch->kernel_release, &transaction);

        if (r >= 0)
                r = copy_runtime(patch, &transaction->runtime_after);
        if (r >= 0)
                r = copy_runtime(patch, &transaction->runtime_on_failure);
        if (r >= 0 && !patch->runtime->confirm_runtime)
                r = make_it_last(manager, patch, uid, transaction);
        if (r >= 0)
                r = transaction_set_unrecorded(transaction, "'%s' was not confirmed: it still waits for that, and is "
                                               "reverted when its time is over", patch->id);
        if (r < 0)
                return r;
        confirm_carry_over(transaction->runtime_on_failure, patch->runtime);
        *ret = TAKE_PTR(transaction);
        return 0;
}

int manager_confirm(Manager *manager, const char *patch_id, uid_t uid, ManagerReply reply, void *userdata, Failure *f) {
        _cleanup_(confirmation_freep) Confirmation *confirmation = NULL;
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        Patch *patch = manager_find_patch(manager, patch_id);
        int r;

        if (!patch)
                return manager_no_such_patch(patch_id, f);
        r = check_confirmation(patch, f);
        if (r != 0)
                return r;
        confirmation = malloc(sizeof(Confirmation));
        if (!confirmation)
                return failure_oom(f);
        *confirmation = (Confirmation) {
                .manager = manager,
                .patch_id = strdup(patch->id),
                .reply = { reply, userdata },
        };
        if (!confirmation->patch_id || confirmation_transaction(manager, patch, uid, &transaction) < 0)
                return failure_oom(f);
        transaction->dropped = on_dropped;
        if (transaction_submit(TAKE_PTR(transaction), on_confirmed, confirmation) < 0)
                return failure_oom(f);
        patch->confirming = true;
        TAKE_PTR(confirmation);
        return 0;
}
