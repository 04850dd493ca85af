/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What applying and reverting have in common. */
#pragma once

#include "daemon/operation.h"
#include "daemon/transaction.h"
#include "daemon/transition.h"

struct Operation {
        Manager *manager;
        JobType type;
        Job *job;
        char *patch_id;
        char *name;
        char *release;
        uid_t uid;
        OperationOptions options;
        bool keep_record;
        Candidate *candidate;

        Transition *transition;
        sd_event_source *timer; /* first step, and waiting for somebody else's transition */
        uint64_t foreign_interval_usec; /* of the looks at that; 0: it does not wait for one */
        uint64_t foreign_since_usec;
        bool in_step;           /* a transaction is under way */
        bool past_return;       /* the transition is over, only records are left to write */
        bool cancel_wanted;
        JobResult cancel_result;
        bool entry_created; /* this operation made the store's entry; canceled, it goes again */
        PatchRecord *replaced;  /* what was on record for good before, of another build; canceled, it stands again */
        Failure failure;        /* what it ends with when that has been noted */

        OperationEnd end;
        void *userdata;
};

/* operation.c */
Patch *operation_patch(Operation *operation); /* NULL when it is gone */
int operation_transaction(Operation *operation, Transaction **ret);
/* Submits; a failure to do so ends the operation. */
void operation_submit(Operation *operation, Transaction *transaction, TransactionDone done);
void operation_follow(Operation *operation);
/* Looks again when the transition that is in the way may be over. */
void operation_begin_later(Operation *operation);
void operation_end(Operation *operation, JobResult result, const Failure *failure);
void operation_end_errno(Operation *operation, int error);
int operation_new_runtime(Operation *operation, bool pending, RuntimeRecord **ret);
/* The module leaves the kernel with this transaction: no suspect any more. */
int operation_disarm_guard(Operation *operation, Transaction *transaction);
/* Puts in place which of the transaction's runtime records holds from now on. */
void operation_take_runtime(Operation *operation, Transaction *transaction);

/* operation-stall.c */
uint64_t operation_stall_timeout(const Operation *operation);
/* Whether a stall is answered by taking back what the job began. */
bool operation_reverts_stall(const Operation *operation);
/* Another patch's transition, which livepatchd did not begin, is in the way. True: it was for too long, and the
 * operation has ended. */
bool operation_gives_up_on(Operation *operation, const char *owner);
/* For TransitionCallbacks. */
void operation_stalled(void *userdata);

/* operation-apply.c, operation-revert.c */
void operation_apply_begin(Operation *operation, Patch *patch);
void operation_apply_ended(Operation *operation, TransitionEnd how);
void operation_revert_begin(Operation *operation, Patch *patch);
void operation_revert_ended(Operation *operation, TransitionEnd how);
/* Writes `enabled` the other way, then follows that. */
void operation_reverse(Operation *operation);
