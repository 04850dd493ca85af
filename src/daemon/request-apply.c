/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* May this module be applied, as things are now? If so, a job is queued. */

#include "common/string-util.h"
#include "daemon/confirm.h"
#include "daemon/job-internal.h"
#include "daemon/policy.h"
#include "daemon/request-internal.h"

static void on_made_lasting(void *userdata, const Failure *failure, const Patch *patch _unused_,
                            const Job *job _unused_) {
        Request *request = userdata;

        if (failure)
                (void) failure_copy(&request->failure, failure);
        else
                (void) failure_set(&request->failure, REFUSED_ALREADY_APPLIED,
                                   "'%s' is applied already; from now on it is reapplied at boot, too",
                                   request->candidate->info->name);
        request_refuse(request);
}

bool request_is_recorded(const Request *request, const Patch *patch) {
        return patch->record &&
               streq_ptr(patch->record->sha256, module_image_sha256(request->candidate->image));
}

bool request_is_loaded(const Request *request, const Patch *patch) {
        const char *build_id = request->candidate->info->build_id;

        if (patch->module.build_id || build_id)
                return streq_ptr(patch->module.build_id, build_id);
        return request_is_recorded(request, patch);
}

/* Nothing to do but perhaps to make it last. Returns 1 when the request lives on. */
static int judge_applied(Request *request, const Patch *patch) {
        int r;

        if (patch_is_unconfirmed(patch))
                return confirm_refuse_again(patch, &request->failure);
        /* The same build signed anew is another file: what is on record is the one that is made to last. */
        if (!patch->record || patch_loaded_is_recorded(patch) == TRISTATE_NO)
                return failure_set(&request->failure, REFUSED_ALREADY_APPLIED,
                                   "'%s' is applied already; something other than livepatchd loaded it, so livepatchd "
                                   "does not reapply it at boot. To have it manage the patch, revert it and apply it "
                                   "again", patch->name);
        if (request->options.confirm_within_usec != 0)
                return failure_set(&request->failure, REFUSED_ALREADY_APPLIED,
                                   "'%s' is applied already, without a condition: there is nothing to confirm, and "
                                   "nothing was changed", patch->name);
        if (request->options.runtime || (patch->record->reapply && !patch->record->transient_boot_id))
                return failure_set(&request->failure, REFUSED_ALREADY_APPLIED, "'%s' is applied already", patch->name);
        r = manager_set_reapply(request->manager, patch->id, true, request->uid, on_made_lasting, request,
                                &request->failure);
        return r == 0 ? 1 : r;
}

/* Two modules of a name cannot be loaded at a time, so that nothing could take this one's place without a moment in
 * which nothing is patched. */
static int refuse_another_build(Request *request, const Patch *patch) {
        const char *name = patch->name;

        return failure_set(&request->failure, REFUSED_CONFLICT,
                           "Another build of '%s' is loaded (build-id %s, and this module has %s), and the kernel "
                           "loads no second module of that name. Nothing was changed. Revert it with 'livepatchctl "
                           "revert %s', then apply this one: in between, nothing is patched. To upgrade without that "
                           "moment, have a cumulative patch built under a name of its own, with the version in it, as "
                           "vendors do: it replaces the loaded one atomically", name,
                           patch->module.build_id ?: "unknown", request->candidate->info->build_id ?: "none", name);
}

/* It is loaded, and no job works on it. */
static int judge_loaded(Request *request, const Patch *patch) {
        if (patch->klp->transition || !patch->klp->enabled)
                return failure_set(&request->failure, REFUSED_BUSY,
                                   "'%s' is in transition. Nothing was changed. Try again when that has ended",
                                   patch->name);
        return judge_applied(request, patch);
}

/* Another module of the name cannot be loaded as long as this one is there (add_unformed_module() in
 * kernel/module/main.c). */
static int refuse_kept(Request *request, const Patch *patch) {
        return failure_set(&request->failure, REFUSED_CONFLICT,
                           "The kernel keeps the module of '%s' although its patch is switched off. That passes in a "
                           "moment, unless its transition was forced: then no build of '%s' can be applied before the "
                           "next reboot. Nothing was changed. If 'livepatchctl show %s' still says so in a minute, "
                           "reboot, or apply a fix under another name", patch->name, patch->name, patch->name);
}

static int queue_apply(Request *request, const char *patch_id) {
        JobParameters parameters = {
                .type = JOB_APPLY,
                .patch_id = patch_id,
                .uid = request->uid,
                .options = request->options,
                .candidate = request->candidate,
        };
        Job *job;
        int r = job_enqueue(request->manager, &parameters, &job, &request->failure);

        if (r != 0)
                return r;
        request->candidate = NULL;
        request_reply(request, NULL, manager_patch_by_id(request->manager, patch_id), job);
        return 1;
}

/* What is known against the build comes before what stands in its way. */
static int judge_build(Request *request, const Patch *patch) {
        const ModuleInfo *info = request->candidate->info;
        bool loaded = patch->klp && !patch->job;
        int r;

        if (loaded && request_is_loaded(request, patch))
                return judge_loaded(request, patch);
        r = manager_check_quarantine(request->manager, info->name, module_image_sha256(request->candidate->image),
                                     info->build_id, &request->failure);
        if (r != 0)
                return r;
        if (loaded)
                return refuse_another_build(request, patch);
        if (!patch->job && patch_is_kept_by_kernel(patch))
                return refuse_kept(request, patch);
        return confirm_check_apply(request->manager, request->candidate, request->options.confirm_within_usec != 0,
                                   &request->failure);
}

int request_judge_apply(Request *request) {
        Manager *manager = request->manager;
        const ModuleInfo *info = request->candidate->info;
        Patch *patch;
        int r;

        manager_refresh_kernel(manager);
        r = policy_check_kernel(manager->kernel, &request->failure);
        if (r == 0)
                r = policy_check_module(manager->kernel, info, &request->failure);
        if (r != 0)
                return r;
        if (request->patch_id && !streq(info->name, request->patch_id))
                return failure_set(&request->failure, REFUSED_MALFORMED_MODULE,
                                   "The file on record as '%s' holds the module '%s'. It was not loaded. Remove the "
                                   "patch and apply the right file", request->patch_id, info->name);
        patch = manager_patch_by_id(manager, info->name);
        if (request->options.confirm_within_usec != 0) /* what it would replace is looked at, too */
                manager_refresh_patches(manager);
        else if (patch)
                manager_refresh_patch(manager, patch);
        patch = manager_patch_by_id(manager, info->name);
        if (!patch || !patch->klp) {
                r = preflight_check(manager, &request->preflight, &request->failure);
                if (r != 0)
                        return r;
        }
        r = manager_make_patch(manager, info->name, info->kernel_release, &patch);
        if (r < 0)
                return failure_oom(&request->failure);
        r = judge_build(request, patch);
        if (r == 0)
                r = queue_apply(request, patch->id);
        if (r != 1)
                manager_refresh_patch(manager, patch); /* drops it if it was made just now */
        return r;
}
