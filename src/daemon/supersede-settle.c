/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What follows from the lists of superseded patches: modules are unloaded, manifests say what the next boot does. */

#include <string.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/record-level.h"
#include "daemon/supersede-internal.h"
#include "daemon/transaction.h"

typedef struct Settling {
        Manager *manager;
        SupersedeDone done;
        void *userdata;
        size_t n_pending; /* transactions, and the function that submits them */
        bool any;
        bool failed;
} Settling;

typedef struct Step {
        Settling *settling;
        char *patch_id;
} Step;

static void settling_leave(Settling *settling);

static void step_free(Step *step) {
        free(step->patch_id);
        free(step);
}

static void on_step(void *userdata, Transaction *transaction) {
        Step *step = userdata;
        Settling *settling = step->settling;
        Manager *manager = settling->manager;

        if (transaction->failure.code != 0) {
                settling->failed = true;
                log_warning("%s", failure_text(&transaction->failure));
        } else {
                if (transaction->forget_runtime)
                        manager_set_runtime(manager, step->patch_id, NULL);
                if (transaction->record_after)
                        manager_set_record(manager, step->patch_id, TAKE_PTR(transaction->record_after));
                else {
                        Patch *patch = manager_patch_by_id(manager, step->patch_id);

                        if (patch)
                                manager_refresh_patch(manager, patch);
                }
        }
        step_free(step);
        settling_leave(settling);
}

static void on_dropped(void *userdata) {
        Step *step = userdata;
        Settling *settling = step->settling;

        step_free(step);
        if (--settling->n_pending == 0)
                free(settling);
}

static int submit(Settling *settling, const Patch *patch, Transaction *transaction) {
        Step *step = malloc(sizeof(Step));

        if (!step) {
                transaction_free(transaction);
                return -ENOMEM;
        }
        *step = (Step) { .settling = settling, .patch_id = strdup(patch->id) };
        transaction->dropped = on_dropped;
        if (!step->patch_id || transaction_submit(transaction, on_step, step) < 0) {
                step_free(step);
                return -ENOMEM;
        }
        settling->n_pending++;
        settling->any = true;
        return 0;
}

/* ---- Superseded -------------------------------------------------------------------------------------------- */

/* What is superseded for this boot only is still wanted at the next one. */
static bool is_lasting(const Manager *manager, const Patch *by) {
        return !by->record->transient_boot_id && (by->record->reapply || supersede_by_record(manager, by));
}

/* The kernel's reference is dropped a moment after the transition, and that to a patch that was forced never is: nobody
 * waits for it in vain at every start. */
static bool can_be_unloaded(const Settling *settling, const Patch *patch) {
        return settling->done || patch->module.refcnt <= 0;
}

static int settle_superseded(Settling *settling, const Patch *patch, const Patch *by) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        bool off = patch->record && patch->record->reapply && is_lasting(settling->manager, by);
        /* Somebody else's module is left alone: it is idle, and whoever loaded it may look for it. */
        bool unload = patch->module.present && can_be_unloaded(settling, patch) && patch_is_ours(patch);
        bool forget = patch->runtime && !patch->runtime->pending && patch->runtime->applied_at != 0 &&
                      (unload || !patch->module.present);
        int r;

        if (!off && !unload && !forget)
                return 0;
        r = transaction_new(settling->manager, patch->name, patch->kernel_release, &transaction);
        if (r >= 0 && off) {
                r = patch_record_copy(patch->record, &transaction->record_after);
                if (r >= 0)
                        r = free_and_strdup(&transaction->record_after->transient_boot_id, NULL);
                if (r >= 0)
                        transaction->record_after->reapply = false;
        }
        if (r < 0)
                return r;
        transaction->action = unload ? KERNEL_ACTION_UNLOAD : KERNEL_ACTION_NONE;
        transaction->guard_step = unload ? GUARD_STEP_DISARM : GUARD_STEP_NONE;
        transaction->forget_runtime = forget;
        log_event(LOG_NOTICE, LP_MESSAGE_SUPERSEDED,
                  ((LogField[]){ { LP_FIELD_PATCH, patch->id },
                                 { LP_FIELD_OPERATION, "supersede" },
                                 { LP_FIELD_KERNEL, patch->kernel_release },
                                 {} }),
                  "'%s' is superseded by '%s'%s%s", patch->id, by->id, unload ? "; its module is unloaded" : "",
                  off ? "; it is not reapplied at boot any more" : "");
        return submit(settling, patch, TAKE_PTR(transaction));
}

/* ---- Rolled back ------------------------------------------------------------------------------------------- */

static int wish_again(Settling *settling, const Patch *patch) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r = transaction_new(settling->manager, patch->name, patch->kernel_release, &transaction);

        if (r >= 0)
                r = patch_record_copy(patch->record, &transaction->record_after);
        if (r < 0)
                return r;
        transaction->record_after->reapply = true;
        return submit(settling, patch, TAKE_PTR(transaction));
}

static int forget_list(Settling *settling, const Patch *patch) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r = transaction_new(settling->manager, patch->name, patch->kernel_release, &transaction);

        if (r >= 0)
                r = patch_record_copy(patch->record, &transaction->record_after);
        if (r < 0)
                return r;
        record_clear_level(transaction->record_after);
        return submit(settling, patch, TAKE_PTR(transaction));
}

static int settle_rolled_back(Settling *settling, const Patch *by) {
        size_t n_before = settling->n_pending;

        for (size_t i = 0; i < by->record->n_supersedes; i++) {
                const SupersededPatch *entry = &by->record->supersedes[i];
                const Patch *patch = manager_patch_by_id(settling->manager, entry->name);
                int r;

                if (!entry->reapply || !patch || !patch->record || patch->record->reapply ||
                    !supersede_entry_is_of(entry, patch))
                        continue;
                r = wish_again(settling, patch);
                if (r < 0)
                        return r;
        }
        return settling->n_pending == n_before ? forget_list(settling, by) : 0;
}

/* ---- All of them ------------------------------------------------------------------------------------------- */

static int settle_one(Settling *settling, const Patch *patch) {
        const Patch *by;

        if (!patch->this_kernel)
                return 0;
        if (patch->record && patch->record->rolled_back)
                return settle_rolled_back(settling, patch);
        by = patch->klp || patch->job ? NULL : supersede_by_record(settling->manager, patch);
        return by ? settle_superseded(settling, patch, by) : 0;
}

/* Nothing is taken off the table while this goes through it: all that happens is submitted. */
static void settle_all(Settling *settling) {
        Manager *manager = settling->manager;

        settling->n_pending = 1;
        settling->any = false;
        for (size_t i = 0; i < manager->n_patches; i++)
                if (settle_one(settling, manager->patches[i]) < 0)
                        settling->failed = true;
        settling_leave(settling);
}

/* Each round has less to do than the one before it, or fails. */
static void settling_leave(Settling *settling) {
        if (--settling->n_pending > 0)
                return;
        if (settling->any && !settling->failed)
                return settle_all(settling);
        if (settling->done)
                settling->done(settling->userdata);
        free(settling);
}

void supersede_settle(Manager *manager, SupersedeDone done, void *userdata) {
        Settling *settling = calloc(1, sizeof(Settling));

        supersede_update(manager);
        if (!settling) {
                log_debug("Out of memory, leaving superseded patches for the next start");
                if (done)
                        done(userdata);
                return;
        }
        *settling = (Settling) { .manager = manager, .done = done, .userdata = userdata };
        settle_all(settling);
}
