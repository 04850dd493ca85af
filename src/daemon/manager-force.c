/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Forcing a transition to its end, which nothing but a person's request does. */

#include <string.h>

#include "common/log.h"
#include "common/names.h"
#include "daemon/job-internal.h"
#include "daemon/operation.h"
#include "daemon/transaction.h"

typedef struct Forcing {
        Manager *manager;
        char *patch_id;
        uid_t uid;
        bool patching;
        Reply reply;
} Forcing;

static void forcing_free(Forcing *forcing) {
        free(forcing->patch_id);
        free(forcing);
}

static void log_forced(const Forcing *forcing, const Transaction *transaction) {
        _cleanup_free_ char *uid = NULL;

        if (asprintf(&uid, "%u", forcing->uid) < 0)
                uid = NULL;
        log_event(LOG_WARNING, LP_MESSAGE_FORCED,
                  ((LogField[]){ { LP_FIELD_PATCH, transaction->name },
                                 { LP_FIELD_OPERATION, "force" },
                                 { LP_FIELD_KERNEL, transaction->release },
                                 { LP_FIELD_CALLER_UID, uid },
                                 {} }),
                  "Forced the %s transition of '%s' to its end, as user %s asked; what it switches off stays loaded "
                  "until the next reboot", forcing->patching ? "patching" : "unpatching", transaction->name,
                  uid ?: "?");
}

static void on_forced(void *userdata, Transaction *transaction) {
        Forcing *forcing = userdata;
        Manager *manager = forcing->manager;
        bool failed = transaction->failure.code != 0;

        if (!failed)
                log_forced(forcing, transaction);
        if (!failed && manager->running && manager->running->operation)
                operation_wake(manager->running->operation);
        reply_call(&forcing->reply, failed ? &transaction->failure : NULL,
                   manager_patch_by_id(manager, forcing->patch_id), NULL);
        forcing_free(forcing);
}

static void on_force_dropped(void *userdata) {
        _cleanup_failure_ Failure failure = {};
        Forcing *forcing = userdata;

        (void) failure_set(&failure, REFUSED_CANCELED,
                           "livepatchd is stopping, and the transition may or may not have been forced. Look at "
                           "'livepatchctl status'");
        reply_call(&forcing->reply, &failure, NULL, NULL);
        forcing_free(forcing);
}

static int forcing_new(Manager *manager, const Patch *patch, uid_t uid, const Reply *reply, Forcing **ret) {
        Forcing *forcing = malloc(sizeof(Forcing));

        if (!forcing)
                return -ENOMEM;
        *forcing = (Forcing) {
                .manager = manager,
                .patch_id = strdup(patch->id),
                .uid = uid,
                .patching = patch->klp->enabled,
                .reply = *reply,
        };
        if (!forcing->patch_id) {
                free(forcing);
                return -ENOMEM;
        }
        *ret = forcing;
        return 0;
}

int manager_force(Manager *manager, const char *patch_id, uid_t uid, ManagerReply reply, void *userdata, Failure *f) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        Patch *patch = manager_find_patch(manager, patch_id);
        Forcing *forcing;

        if (!patch)
                return manager_no_such_patch(patch_id, f);
        manager_refresh_patch(manager, patch);
        patch = manager_find_patch(manager, patch_id);
        if (!patch || !patch_in_transition(patch))
                return failure_set(f, REFUSED_NOT_IN_TRANSITION,
                                   "'%s' is not in transition, so there is nothing to force. Nothing was changed. "
                                   "'livepatchctl status' shows what state it is in", patch_id);
        if (transaction_new(manager, patch->name, patch->kernel_release, &transaction) < 0 ||
            forcing_new(manager, patch, uid, &(Reply) { reply, userdata }, &forcing) < 0)
                return failure_oom(f);
        transaction->action = KERNEL_ACTION_FORCE;
        transaction->dropped = on_force_dropped;
        if (transaction_submit(TAKE_PTR(transaction), on_forced, forcing) < 0) {
                forcing_free(forcing);
                return failure_oom(f);
        }
        return 0;
}
