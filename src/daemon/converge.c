/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting: what is on disk and in the kernel becomes the tables, and what an earlier process left half done is ended.
 *
 * The daemon is crash-only: this is the path of every start, not one for accidents. */

#include <string.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/ingest.h"
#include "daemon/job-internal.h"
#include "daemon/policy.h"

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

static int ingest_vendor(Manager *manager, const char *name, Candidate **ret, Failure *f) {
        _cleanup_close_ int fd = store_open_vendor(manager->store, manager->kernel->release, name, f);
        IngestRequest request = {
                .root_fd = manager->root_fd,
                .fd = fd,
                .size_max = manager->config->module_size_max,
                .policy = manager->config->signature_policy,
                .skip_validity = true, /* installed with a package: judged by trust and revocation */
        };
        int r;

        if (fd < 0)
                return f->code != 0 ? f->code : fd;
        r = ingest(&request, ret, f);
        if (r != 0)
                return r;
        r = policy_check_module(manager->kernel, (*ret)->info, f);
        if (r == 0 && !streq((*ret)->info->name, name))
                r = failure_set(f, REFUSED_MALFORMED_MODULE, "The file holds the module '%s'", (*ret)->info->name);
        return r;
}

/* The vendor's file decides what the patch is; a manifest of ours, only whether it is reapplied and when. */
static int take_vendor(Manager *manager, const char *name) {
        _cleanup_(candidate_freep) Candidate *candidate = NULL;
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;
        _cleanup_failure_ Failure failure = {};
        Patch *patch = manager_patch_by_id(manager, name);
        int r;

        if (patch && patch->record && patch->record->origin != ORIGIN_VENDOR)
                return 0; /* the administrator's own build of the name comes first */
        r = ingest_vendor(manager, name, &candidate, &failure);
        if (r != 0)
                return manager_add_problem(manager, "/usr/lib/livepatch/patches/%s/%s.ko is left out: %s",
                                           manager->kernel->release, name, failure_text(&failure));
        r = patch_record_new(candidate->info, verified_module_signature(candidate->verified),
                             module_image_sha256(candidate->image), &record);
        if (r < 0)
                return r;
        r = manager_make_patch(manager, name, manager->kernel->release, &patch);
        if (r < 0)
                return r;
        record->origin = ORIGIN_VENDOR;
        record->reapply = patch->record ? patch->record->reapply : true;
        record->order = patch->record ? patch->record->order : 0; /* before what the administrator added */
        record->staged_by = UID_UNKNOWN;
        patch_record_free(patch->record);
        patch->record = TAKE_PTR(record);
        (void) patch_update(patch);
        return 0;
}

static bool is_among(char *const *names, const char *name) {
        for (; names && *names; names++)
                if (streq(*names, name))
                        return true;
        return false;
}
        manager->n_lost_records = list.n_lost;

/* The package is gone: what was decided about its patch stays on the disk, for when it comes back, but there is nothing
 * to apply. */
static void leave_out_missing(Manager *manager, char *const *names) {
        for (size_t i = 0; i < manager->n_patches; i++) {
                Patch *patch = manager->patches[i];

                if (patch->this_kernel && patch->record && patch->record->origin == ORIGIN_VENDOR &&
                    !patch->module.present && !is_among(names, patch->name))
                        patch->record = patch_record_free(patch->record);
        }
}

static int take_vendor_patches(Manager *manager) {
        _cleanup_strv_free_ char **names = NULL;
        int r = store_list_vendor(manager->store, manager->kernel->release, &names);

        if (r < 0 && r != -ENOENT)
                return r;
        for (char **name = names; name && *name; name++) {
                r = take_vendor(manager, *name);
                if (r < 0)
                        return r;
        }
        leave_out_missing(manager, names);
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
        record_list_done(&list);
        report_damage(manager, problems);
        if (r != 0)
                return r;
        note_configuration(manager);
        manager_refresh_patches(manager);
        r = take_vendor_patches(manager);
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
        return 0;
}
