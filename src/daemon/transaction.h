/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One blocking step on the disk worker: records before, one kernel call, records after.
 *
 * Declarative, so that the order that crash safety depends on stands in one place (transaction_run()): module file and
 * manifest, then the note that an operation is pending, then the kernel, then what is true now. */
#pragma once

#include "daemon/ingest.h"
#include "daemon/manager-internal.h"

typedef enum KernelAction {
        KERNEL_ACTION_NONE,
        KERNEL_ACTION_INSERT, /* candidate; unloads a disabled module of the name first */
        KERNEL_ACTION_DISABLE,
        KERNEL_ACTION_ENABLE, /* only to reverse an unpatching transition */
        KERNEL_ACTION_UNLOAD,
} KernelAction;

typedef struct Transaction Transaction;
/* transaction: what it holds may be taken. */
typedef void (*TransactionDone)(void *userdata, Transaction *transaction);

struct Transaction {
        /* Filled in by the caller; all owned by the transaction. */
        char *name;
        char *release;
        Candidate *candidate; /* borrowed: outlives the transaction */
        bool put_module;
        PatchRecord *record_before;
        RuntimeRecord *runtime_before;
        KernelAction action;
        PatchRecord *record_after;
        RuntimeRecord *runtime_after;
        RuntimeRecord *runtime_on_failure; /* failure_* are filled in */
        bool forget_record;
        bool forget_runtime;
        TransactionDone done;
        void *userdata;

        /* The outcome. */
        Failure failure; /* code 0: all done */
        bool kernel_changed;

        Manager *manager;
        Store *store;
        int root_fd;
};

int transaction_new(Manager *manager, const char *name, const char *release, Transaction **ret);
/* Takes the transaction over in every case; done is called from the loop, or never when the manager is being freed.
 * On failure to submit done is not called. */
int transaction_submit(Transaction *transaction, TransactionDone done, void *userdata);
Transaction *transaction_free(Transaction *transaction);
DEFINE_CLEANUP(Transaction *, transaction_free)
