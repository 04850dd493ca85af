/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting: what is on disk and in the kernel becomes the tables, and what an earlier process left half done is ended.
 *
 * The daemon is crash-only: this is the path of every start, not one for accidents. */

#include <string.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/job-internal.h"
#include "daemon/supersede.h"
#include "daemon/vendor.h"

static void report_damage(Manager *manager, char *const *lines) {
        for (; lines && *lines; lines++) {
                log_event(LOG_WARNING, LP_MESSAGE_STORE_DAMAGED, ((LogField[]){ { LP_FIELD_OPERATION, "load" }, {} }),
                          "%s", *lines);
                (void) manager_add_problem(manager, "%s", *lines);
        }
}

static int take_records(Manager *manager, RecordList *list) {
        for (size_t i = 0; i < list->n; i++) {
                PatchRecord *record = list->records[i];
                Patch *patch;
                int r = manager_make_patch(manager, record->name, record->kernel_release, &patch);

                if (r < 0)
                        return r;
                patch->record = TAKE_PTR(list->records[i]);
                (void) patch_update(patch);
        }
        return 0;
}

/* Switched off by an earlier process, which did not come to unload it: without a directory in /sys/kernel/livepatch and
 * without a record, only its note tells of it. */
static bool is_left_loaded(const Manager *manager, const RuntimeRecord *runtime) {
        _cleanup_(kernel_module_done) KernelModule module = {};

        return runtime->pending && kernel_module_read(manager->root_fd, runtime->name, &module) >= 0 && module.present;
}

static int take_runtime_records(Manager *manager) {
        _cleanup_strv_free_ char **names = NULL, **problems = NULL;
        int r = store_list_runtime(manager->store, &names);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        for (char **name = names; name && *name; name++) {
                _cleanup_(runtime_record_freep) RuntimeRecord *runtime = NULL;
                Patch *patch = manager_patch_by_id(manager, *name);

                if (store_load_runtime(manager->store, *name, &runtime, &problems) < 0)
                        continue;
                if (!patch && !is_left_loaded(manager, runtime)) {
                        /* Of a patch that is forgotten and not loaded, nothing is to be told. */
                        (void) store_remove_runtime(manager->store, *name);
                        continue;
                }
                if (!patch && manager_make_patch(manager, *name, manager->kernel->release, &patch) < 0)
                        return -ENOMEM;
                runtime_record_free(patch->runtime);
                patch->runtime = TAKE_PTR(runtime);
                (void) patch_update(patch);
        }
        report_damage(manager, problems);
        return 0;
}

static void note_configuration(Manager *manager) {
        _cleanup_(trust_store_unrefp) TrustStore *trust = NULL;

        for (char **line = manager->config->problems; line && *line; line++)
                (void) manager_add_problem(manager, "%s", *line);
        if (trust_store_new(manager->root_fd, &trust, NULL) == 0)
                for (char *const *line = trust_store_problems(trust); line && *line; line++)
                        (void) manager_add_problem(manager, "%s", *line);
        if (manager->config->signature_policy == SIGNATURE_POLICY_KERNEL &&
            manager->kernel->sig_enforce == TRISTATE_NO)
                (void) manager_add_problem(manager,
                                           "SignaturePolicy=kernel leaves signatures to the kernel, and the running "
                                           "kernel does not enforce them: unsigned modules are applied");
}

int manager_load_patches(Manager *manager, Failure *f) {
        _cleanup_strv_free_ char **problems = NULL;
        RecordList list = {};
        int r = store_load(manager->store, manager->kernel->boot_id, &list, &problems, f);

        if (r == 0) {
                r = take_records(manager, &list);
                if (r < 0)
                        (void) failure_set(f, r, "Failed to take the records over: %s", strerror(-r));
        }
        manager->n_lost_records = list.n_lost;
        record_list_done(&list);
        report_damage(manager, problems);
        if (r != 0)
                return r;
        note_configuration(manager);
        manager_refresh_patches(manager);
        r = manager_take_vendor_patches(manager);
        if (r >= 0)
                r = supersede_take_external(manager);
        if (r >= 0)
                r = take_runtime_records(manager);
        return r < 0 ? failure_set(f, r, "Failed to read the state directories: %s", strerror(-r)) : 0;
}

static int resume(Manager *manager, const Patch *patch, Failure *f) {
        JobParameters parameters = {
                .type = patch->runtime->pending_type,
                .patch_id = patch->id,
                .uid = patch->runtime->pending_by,
                .options = patch->runtime->pending_options,
                .resumed = true,
        };
        Job *job;

        parameters.options.confirm_within_usec = patch->runtime->confirm_within;
        parameters.options.expired = patch->runtime->confirm_expired;
        log_info("Going on with the %s of '%s' that an earlier process began",
                 job_type_to_string(parameters.type), patch->id);
        return job_enqueue(manager, &parameters, &job, f);
}

int manager_converge(Manager *manager, Failure *f) {
        for (size_t i = 0; i < manager->n_patches; i++) {
                const Patch *patch = manager->patches[i];
                int r;

                if (!patch->runtime || !patch->runtime->pending || patch->job ||
                    patch->runtime->pending_type == JOB_REAPPLY)
                        continue;
                r = resume(manager, patch, f);
                if (r != 0)
                        return r;
        }
        supersede_settle(manager, NULL, NULL);
        return 0;
}
