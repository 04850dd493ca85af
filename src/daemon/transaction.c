/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One blocking step on the disk worker: records before, one kernel call, records after. */

#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "daemon/transaction-internal.h"
#include "kmod/module-loader.h"

/* A module's reference is dropped by a work item of the kernel shortly after its sysfs directory went away. */
#define UNLOAD_ATTEMPTS 40
#define UNLOAD_INTERVAL_NSEC (50L * 1000 * 1000)

int transaction_new(Manager *manager, const char *name, const char *release, Transaction **ret) {
        _cleanup_(transaction_freep) Transaction *transaction = calloc(1, sizeof(Transaction));

        if (!transaction)
                return -ENOMEM;
        transaction->manager = manager;
        transaction->store = manager->store;
        transaction->root_fd = manager->root_fd;
        transaction->name = strdup(name);
        transaction->release = strdup(release);
        transaction->boot_id = strdup(manager->kernel->boot_id);
        if (!transaction->name || !transaction->release || !transaction->boot_id)
                return -ENOMEM;
        *ret = TAKE_PTR(transaction);
        return 0;
}

Transaction *transaction_free(Transaction *transaction) {
        if (!transaction)
                return NULL;
        patch_record_free(transaction->record_before);
        patch_record_free(transaction->record_after);
        patch_record_free(transaction->record_on_failure);
        runtime_record_free(transaction->runtime_before);
        runtime_record_free(transaction->runtime_after);
        runtime_record_free(transaction->runtime_on_failure);
        verified_module_unref(transaction->module);
        failure_done(&transaction->failure);
        guard_record_free(transaction->guard);
        guard_record_free(transaction->guard_before);
        free(transaction->guard_reason);
        free(transaction->unrecorded);
        free(transaction->name);
        free(transaction->release);
        free(transaction->boot_id);
        free(transaction->build_id);
        free(transaction);
        return NULL;
}

int transaction_set_unrecorded(Transaction *transaction, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&transaction->unrecorded, format, ap);
        va_end(ap);
        if (r < 0)
                transaction->unrecorded = NULL;
        return r < 0 ? -ENOMEM : 0;
}

static int unload(Transaction *t, Failure *f) {
        const struct timespec interval = { .tv_nsec = UNLOAD_INTERVAL_NSEC };

        for (unsigned i = 1;; i++) {
                int r = module_loader_remove(t->root_fd, t->name, f);

                if (r == -ENOENT) {
                        failure_done(f);
                        return 0;
                }
                if (r != REFUSED_BUSY || i >= UNLOAD_ATTEMPTS)
                        return r;
                (void) nanosleep(&interval, NULL);
        }
}

/* A patch that was switched off by force keeps its module for good (klp_force_transition() in
 * kernel/livepatch/transition.c): its functions are not in use, which is what matters. */
static int unload_or_leave(Transaction *t, Failure *f) {
        _cleanup_(kernel_module_done) KernelModule module = {};
        int r = unload(t, f);
        bool enabled, in_transition;

        if (r != REFUSED_BUSY || klp_sysfs_read_state(t->root_fd, t->name, &enabled, &in_transition) != -ENOENT ||
            kernel_module_read(t->root_fd, t->name, &module) < 0 || module.refcnt <= 0)
                return r;
        t->left_loaded = true;
        failure_done(f);
        return 0;
}

static int insert(Transaction *t, Failure *f) {
        KernelModule module = {};
        int r = kernel_module_read(t->root_fd, t->name, &module);

        if (r < 0)
                return failure_set(f, r, "Failed to see whether module '%s' is loaded: %s. Nothing was loaded", t->name,
                                   strerror(-r));
        /* A disabled livepatch cannot be enabled again, only unloaded and loaded (klp_enable_patch() is called from
         * a module's init alone). */
        r = module.present ? unload(t, f) : 0;
        kernel_module_done(&module);
        if (r != 0)
                return r;
        r = transaction_arm_guard(t, f);
        if (r != 0)
                return r;
        r = module_loader_insert(t->root_fd, t->module, t->name, NULL, f);
        transaction_note_insert(t, r == 0);
        return r;
}

/* Written a moment after the end of the transition, it would begin another one. What a cumulative patch has replaced is
 * gone then for good (klp_unpatch_replaced_patches() in kernel/livepatch/core.c), and nothing would be patched any
 * more. So the last look is right before the write. */
static int too_late_to_reverse(Transaction *t, bool enabled, Failure *f) {
        bool now, in_transition;
        int r = klp_sysfs_read_state(t->root_fd, t->name, &now, &in_transition);

        if (r < 0)
                return failure_set(f, r, "The transition of '%s' was not reversed: %s", t->name, strerror(-r));
        if (in_transition || now == enabled)
                return 0;
        return failure_set(f, REFUSED_BUSY, "The transition of '%s' ended just before it could be reversed", t->name);
}

static int set_enabled(Transaction *t, bool enabled, Failure *f) {
        int r = t->reversing ? too_late_to_reverse(t, enabled, f) : 0;

        return r != 0 ? r : klp_sysfs_set_enabled(t->root_fd, t->name, enabled, f);
}

static int act(Transaction *t, Failure *f) {
        switch (t->action) {
        case KERNEL_ACTION_NONE:
                return 0;
        case KERNEL_ACTION_INSERT:
                return insert(t, f);
        case KERNEL_ACTION_DISABLE:
                return set_enabled(t, false, f);
        case KERNEL_ACTION_ENABLE:
                return set_enabled(t, true, f);
        case KERNEL_ACTION_UNLOAD:
                return unload_or_leave(t, f);
        case KERNEL_ACTION_FORCE:
                return klp_sysfs_force_transition(t->root_fd, t->name, f);
        }
        return -EINVAL;
}

static int write_before(Transaction *t, Failure *f) {
        int r = 0;

        if (t->put_module)
                r = store_put_module(t->store, t->release, t->name, verified_module_image(t->module), f);
        if (r == 0 && t->record_before) {
                r = store_put(t->store, t->record_before, f);
                t->record_before_stands = r == 0;
        }
        if (r == 0 && t->runtime_before)
                r = store_put_runtime(t->store, t->runtime_before, f);
        return r;
}

/* The kernel and the manifest are what counts. Without this note the next start reads the kernel alone, which is
 * better than a note that is no longer true; but the one that something waits for its confirmation still is. */
static void write_runtime_after(Transaction *t) {
        _cleanup_failure_ Failure why = {};
        int r = 0;

        if (t->runtime_after && !t->forget_runtime)
                r = store_put_runtime(t->store, t->runtime_after, &why);
        if (r != 0)
                log_warning("%s", failure_text(&why));
        if ((r != 0 && t->runtime_after->confirm_within == 0) || t->forget_runtime)
                (void) store_remove_runtime(t->store, t->name);
}

static int explain_unrecorded(Transaction *t, int error, Failure *f) {
        _cleanup_failure_ Failure why = {};

        if (!t->unrecorded)
                return error;
        (void) failure_move(&why, f);
        return failure_set(f, error, "%s. %s", t->unrecorded, failure_text(&why));
}

static int take_record_back(Transaction *t, Failure *f) {
        bool changed;
        int r = store_take_back(t->store, t->release, t->name, &t->record_after, &changed, f);

        /* Of a patch that is not there, nothing is to be told. */
        if (r == 0 && changed && !t->record_after)
                t->record_is_gone = t->forget_runtime = true;
        return r;
}

static int write_after(Transaction *t, Failure *f) {
        int r = 0;

        t->record_is_gone = t->forget_record;
        if (t->take_back)
                r = take_record_back(t, f);
        else if (t->forget_record)
                r = store_remove(t->store, t->release, t->name, f);
        else if (t->record_after)
                r = store_put(t->store, t->record_after, f);
        if (r != 0)
                return explain_unrecorded(t, r, f);
        write_runtime_after(t);
        return 0;
}

static void take_back(Transaction *t, bool asked_kernel) {
        if (!t->record_before_stands)
                return;
        if (t->record_on_failure)
                t->record_before_stands = store_put(t->store, t->record_on_failure, NULL) != 0;
        else if (t->forget_on_failure && !asked_kernel)
                t->record_before_stands = store_remove(t->store, t->release, t->name, NULL) != 0;
}

static void note_failure(Transaction *t) {
        if (!t->runtime_on_failure)
                return;
        /* Of a patch that is not there, nothing is to be told. */
        if (t->forget_on_failure && !t->record_before_stands) {
                (void) store_remove_runtime(t->store, t->name);
                return;
        }
        t->runtime_on_failure->failure_error = strdup(failure_dbus_name(t->failure.code));
        t->runtime_on_failure->failure_text = strdup(failure_text(&t->failure));
        (void) store_put_runtime(t->store, t->runtime_on_failure, NULL);
}

static void transaction_run(void *context) {
        Transaction *t = context;
        bool asked_kernel;
        int r = write_before(t, &t->failure);

        asked_kernel = r == 0 && t->action != KERNEL_ACTION_NONE;
        if (r == 0)
                r = act(t, &t->failure);
        if (r == 0)
                r = transaction_take_guard_step(t, &t->failure);
        if (r != 0)
                take_back(t, asked_kernel);
        else
                r = write_after(t, &t->failure);
        t->failure.code = r;
        if (r != 0)
                note_failure(t);
}

static void transaction_done(void *context, bool canceled) {
        _cleanup_(transaction_freep) Transaction *t = context;

        if (!canceled && !t->manager->stopping) {
                t->manager->failed_to_write |= t->failure.code == REFUSED_STORE_FAILED;
                manager_take_guard(t->manager, t);
                t->done(t->userdata, t);
        }
        else if (t->dropped)
                t->dropped(t->userdata);
}

int transaction_submit(Transaction *transaction, TransactionDone done, void *userdata) {
        int r;

        transaction->done = done;
        transaction->userdata = userdata;
        r = worker_submit(transaction->manager->disk, transaction_run, transaction_done, transaction);
        if (r < 0)
                transaction_free(transaction);
        return r;
}
