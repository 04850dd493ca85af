/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* May this module be staged, as things are now? If so, it is written to the disk. */

#include <fcntl.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/policy.h"
#include "daemon/record-level.h"
#include "daemon/request-internal.h"

static void log_staged(const Request *request, const Patch *patch, bool adopted) {
        const PatchRecord *record = patch->record;
        LogField fields[] = {
                { LP_FIELD_PATCH, patch->name },
                { LP_FIELD_OPERATION, request->kind == REQUEST_ADOPT ? "adopt" : "stage" },
                { LP_FIELD_KERNEL, patch->kernel_release },
                { LP_FIELD_SHA256, record->sha256 },
                { LP_FIELD_SIGNER, record->signer },
                {},
        };

        if (adopted)
                log_event(LOG_NOTICE, LP_MESSAGE_ADOPTED, fields,
                          "Adopted '%s', which something other than livepatchd had loaded%s", patch->name,
                          record->reapply ? ", to be applied at boot" : "");
        else
                log_event(LOG_NOTICE, LP_MESSAGE_STAGED, fields, "Staged '%s' for kernel %s%s", patch->name,
                          patch->kernel_release, record->reapply ? ", to be applied at boot" : "");
}

static void on_staged(void *userdata, Transaction *transaction) {
        Request *request = userdata;
        Manager *manager = request->manager;
        _cleanup_free_ char *id = NULL;
        bool adopted;
        Patch *patch;

        if (transaction->failure.code != 0) {
                (void) failure_copy(&request->failure, &transaction->failure);
                return request_refuse(request);
        }
        if (manager_make_patch(manager, transaction->name, transaction->release, &patch) >= 0)
                id = strdup(patch->id);
        if (!id) {
                (void) failure_oom(&request->failure);
                return request_refuse(request);
        }
        patch = manager_patch_by_id(manager, id);
        adopted = transaction->runtime_after && patch->state == PATCH_EXTERNAL;
        if (transaction->forget_runtime || transaction->runtime_after)
                manager_set_runtime(manager, id, TAKE_PTR(transaction->runtime_after));
        manager_set_record(manager, id, TAKE_PTR(transaction->record_before));
        patch = manager_patch_by_id(manager, id);
        log_staged(request, patch, adopted);
        request_reply(request, NULL, patch, NULL);
}

static int check_staged_before(Request *request, const Patch *patch) {
        if (!patch)
                return 0;
        if (patch->job)
                return failure_set(&request->failure, REFUSED_BUSY,
                                   "A job works on '%s'. Nothing was staged. Try again when it has ended", patch->id);
        /* The record of this boot, which its end takes back, would be one that lasts. */
        if (patch_is_unconfirmed(patch))
                return failure_set(&request->failure, REFUSED_CONFLICT,
                                   "'%s' waits for its confirmation, which decides what the next boot does. Nothing "
                                   "was staged. Use 'livepatchctl confirm %s', or revert it", patch->id, patch->id);
        /* Its record would be taken from the one from before, and the wish be lost. */
        if (patch->n_wishes > 0)
                return failure_set(&request->failure, REFUSED_BUSY,
                                   "What the next boot shall do with '%s' is just being written. Nothing was staged. "
                                   "Try again", patch->id);
        /* The file of what somebody else has loaded is welcome. */
        if (patch->module.present && !request_is_recorded(request, patch) && !request_is_loaded(request, patch))
                return failure_set(&request->failure, REFUSED_CONFLICT,
                                   "Another build of '%s' is loaded. Nothing was staged. Revert it first with "
                                   "'livepatchctl revert %s'", patch->name, patch->name);
        return 0;
}

static int stage_record(Request *request, const Patch *patch, PatchRecord **ret) {
        const Candidate *candidate = request->candidate;
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;
        int r = patch_record_new(candidate->info, verified_module_signature(candidate->verified),
                                 module_image_sha256(candidate->image), &record);

        if (r < 0)
                return failure_oom(&request->failure);
        record->origin = ORIGIN_LOCAL;
        record->reapply = request->reapply || (patch && patch->record && patch->record->reapply);
        /* One that is to be reapplied from now on comes last. */
        record->order = patch && patch->record && patch->record->reapply == record->reapply ?
                                patch->record->order :
                                manager_next_order(request->manager);
        record->staged_at = now_realtime_usec();
        record->staged_by = request->uid;
        /* The same build once more has superseded what it has. */
        if (patch && request_is_recorded(request, patch) && record_copy_level(record, patch->record) < 0)
                return failure_oom(&request->failure);
        *ret = TAKE_PTR(record);
        return 0;
}

/* What somebody else loaded is ours from now on, as if it had been applied now: should it go, that is drift. */
static int runtime_of_taken_over(const Request *request, const Patch *patch, RuntimeRecord **ret) {
        _cleanup_(runtime_record_freep) RuntimeRecord *runtime = NULL;
        int r = patch->runtime ? runtime_record_copy(patch->runtime, &runtime) :
                                 runtime_record_new(patch->name, &runtime);

        if (r >= 0)
                r = free_and_strdup(&runtime->sha256, module_image_sha256(request->candidate->image));
        if (r < 0)
                return r;
        if (runtime->applied_at == 0) {
                runtime->applied_at = now_realtime_usec();
                runtime->applied_by = request->uid;
        }
        *ret = TAKE_PTR(runtime);
        return 0;
}

static bool is_in_force(const Request *request, const Patch *patch) {
        return patch && patch->klp && patch->klp->enabled && request_is_loaded(request, patch);
}

int request_write_record(Request *request, const char *id, const Patch *patch) {
        Manager *manager = request->manager;
        const ModuleInfo *info = request->candidate->info;
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        _cleanup_free_ char *staging_id = strdup(id);
        int r;

        if (!staging_id)
                return failure_oom(&request->failure);
        if (transaction_new(manager, info->name, info->kernel_release, &transaction) < 0)
                return failure_oom(&request->failure);
        r = stage_record(request, patch, &transaction->record_before);
        if (r != 0)
                return r;
        transaction->module = verified_module_ref(request->candidate->verified);
        transaction->put_module = true;
        /* What an earlier try in this boot failed of is no longer what it is about. */
        transaction->forget_runtime = manager_is_this_kernel(manager, info->kernel_release) &&
                                      !(patch && patch->module.present);
        if (is_in_force(request, patch) && runtime_of_taken_over(request, patch, &transaction->runtime_after) < 0)
                return failure_oom(&request->failure);
        if (transaction_submit(TAKE_PTR(transaction), on_staged, request) < 0)
                return failure_oom(&request->failure);
        request->staging_id = TAKE_PTR(staging_id);
        return 1;
}

int request_judge_stage(Request *request) {
        Manager *manager = request->manager;
        const ModuleInfo *info = request->candidate->info;
        _cleanup_free_ char *installed = NULL, *id = NULL;
        bool here;
        Patch *patch;
        int r;

        if (!info->kernel_release)
                return policy_check_stage(manager->kernel, info, false, &request->failure);
        here = manager_is_this_kernel(manager, info->kernel_release);
        if (asprintf(&installed, "usr/lib/modules/%s", info->kernel_release) < 0 ||
            asprintf(&id, "%s%s%s", info->name, here ? "" : "@", here ? "" : info->kernel_release) < 0)
                return failure_oom(&request->failure);
        r = policy_check_stage(manager->kernel, info, faccessat(manager->root_fd, installed, F_OK, 0) == 0,
                               &request->failure);
        if (r != 0)
                return r;
        manager_refresh_patches(manager);
        patch = manager_patch_by_id(manager, id);
        r = check_staged_before(request, patch);
        if (r != 0)
                return r;
        return request_write_record(request, id, patch);
}
