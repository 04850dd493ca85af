/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One blocking step on the disk worker: records before, one kernel call, records after.
 *
 * Declarative, so that the order that crash safety depends on stands in one place (transaction_run()): module file and
 * manifest, then the note that an operation is pending, then the crash guard, then the kernel, then what is true
 * now. */
#pragma once

#include "daemon/guard.h"
#include "daemon/ingest.h"
#include "daemon/manager-internal.h"

typedef enum KernelAction {
        KERNEL_ACTION_NONE,
        KERNEL_ACTION_INSERT, /* candidate; unloads a disabled module of the name first */
        KERNEL_ACTION_DISABLE,
        KERNEL_ACTION_ENABLE, /* only to reverse an unpatching transition */
        KERNEL_ACTION_UNLOAD, /* what is off, and kept by the kernel nevertheless, is left_loaded */
        KERNEL_ACTION_FORCE,  /* the transition that is under way */
} KernelAction;

typedef struct Transaction Transaction;
/* transaction: what it holds may be taken. */
typedef void (*TransactionDone)(void *userdata, Transaction *transaction);
/* Instead of done, when the manager is being freed: userdata is to be freed, whoever waits to be told. */
typedef void (*TransactionDropped)(void *userdata);

struct Transaction {
        /* Filled in by the caller; all owned by the transaction. */
        char *name;
        char *release;
        char *boot_id;
        VerifiedModule *module; /* a reference: a thread that hangs outlives everybody else */
        char *build_id;         /* its own, for the crash guard; NULL: it has none */
        bool put_module;
        PatchRecord *record_before;
        RuntimeRecord *runtime_before;
        KernelAction action;
        bool reversing; /* the action takes a transition back: done only while that runs */
        GuardStep guard_step;
        char *guard_reason;
        PatchRecord *record_after;
        RuntimeRecord *runtime_after;
        PatchRecord *record_on_failure; /* takes the place of record_before again when the kernel says no */
        bool forget_on_failure;         /* record_before goes again when the kernel was not even asked */
        RuntimeRecord *runtime_on_failure; /* failure_* are filled in */
        char *unrecorded; /* how things are when all went well but the records afterwards; begins the failure's text */
        bool forget_record;
        bool take_back; /* what is of this boot only; record_after becomes what stands again, if anything does */
        bool forget_runtime;
        TransactionDone done;
        TransactionDropped dropped; /* may be NULL */
        void *userdata;

        /* The outcome. */
        Failure failure; /* code 0: all done, but perhaps for the runtime record */
        bool left_loaded; /* the kernel keeps the module: its patch was forced, or something else uses it */
        bool record_is_gone;       /* forgotten, or taken back and nothing stood behind it */
        bool record_before_stands; /* it was written, and not taken back */
        GuardRecord *guard;        /* what is on disk now, if guard_changed; NULL: nothing */
        bool guard_changed;
        GuardRecord *guard_before; /* a load */
        unsigned n_lifted;         /* quarantines */

        Manager *manager;
        Store *store;
        int root_fd;
};

int transaction_new(Manager *manager, const char *name, const char *release, Transaction **ret);
int transaction_set_unrecorded(Transaction *transaction, const char *format, ...) _printf_(2, 3);
/* Takes the transaction over in every case; done is called from the loop, or dropped when the manager is being freed.
 * On failure to submit neither is called. */
int transaction_submit(Transaction *transaction, TransactionDone done, void *userdata);
Transaction *transaction_free(Transaction *transaction);
DEFINE_CLEANUP(Transaction *, transaction_free)
