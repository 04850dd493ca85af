/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One change of one patch in the kernel: apply, or revert (with or without forgetting it). */
#pragma once

#include "daemon/ingest.h"
#include "daemon/manager-internal.h"

typedef struct Operation Operation;

/* Called once, from the loop, never from within operation_start(). The operation may be freed in it. */
typedef void (*OperationEnd)(void *userdata, JobResult result, const Failure *failure);

typedef struct OperationParameters {
        JobType type; /* JOB_APPLY, JOB_REVERT, JOB_REMOVE or JOB_ROLLBACK (its last step) */
        Job *job;     /* for progress; outlives the operation */
        const char *patch_id;
        uid_t uid;
        OperationOptions options;
        bool keep_record; /* JOB_APPLY as a step of a rollback: what is superseded is not for this step to say */
        Candidate *candidate; /* JOB_APPLY: taken over in every case; NULL: only follow what an earlier process began */
        OperationEnd end;
        void *userdata;
} OperationParameters;

int operation_start(Manager *manager, const OperationParameters *parameters, Operation **ret);
Operation *operation_free(Operation *operation);
DEFINE_CLEANUP(Operation *, operation_free)

/* Reverses; the end is reported later with JOB_RESULT_CANCELED. REFUSED_BUSY: too late. */
int operation_cancel(Operation *operation, Failure *f);

/* The kernel's log has news. */
void operation_wake(Operation *operation);
