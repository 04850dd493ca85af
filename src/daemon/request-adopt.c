/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Adopting what something else has loaded: its file is looked for, judged like any other, and kept.
 *
 * Nothing changes in the kernel. The file has to be the loaded module's own, by name and build-id: then what is in
 * force now, and what the next boot applies, are the same. */

#include "common/string-util.h"
#include "daemon/adopt-search.h"
#include "daemon/job-internal.h"
#include "daemon/policy.h"
#include "daemon/request-internal.h"

static int check_adoptable(const Patch *patch, Failure *f) {
        if (!patch->this_kernel || !patch->klp)
                return failure_set(f, REFUSED_NOT_APPLIED,
                                   "'%s' is not in force, so that there is nothing to adopt. Nothing was changed",
                                   patch->id);
        if (patch->job)
                return failure_set(f, REFUSED_BUSY,
                                   "A job works on '%s'. Nothing was changed. Try again when it has ended", patch->id);
        if (patch->n_wishes > 0)
                return failure_set(f, REFUSED_BUSY,
                                   "What the next boot shall do with '%s' is just being written. Nothing was changed. "
                                   "Try again", patch->id);
        if (patch->klp->transition || !patch->klp->enabled)
                return failure_set(f, REFUSED_BUSY,
                                   "'%s' is in transition. Nothing was changed. Try again when that has ended",
                                   patch->id);
        if (patch->record && patch_loaded_is_recorded(patch) != TRISTATE_NO)
                return failure_set(f, REFUSED_ALREADY_APPLIED,
                                   "livepatchd manages '%s' already. 'livepatchctl enable %s' has it reapplied at boot",
                                   patch->id, patch->id);
        if (!patch->module.build_id)
                return failure_set(f, REFUSED_CONFLICT,
                                   "The kernel does not tell which build of '%s' is loaded (/sys/module/%s/notes), so "
                                   "that no file can be told to be it. Nothing was changed. Revert it, then apply its "
                                   "file", patch->name, patch->name);
        return 0;
}

/* Why a file is not it; the reason of the first one that was refused is what the caller is told. */
static int try_file(Request *request, const AdoptFile *file, Failure *why) {
        _cleanup_(candidate_freep) Candidate *candidate = NULL;
        _cleanup_failure_ Failure failure = {};
        IngestRequest ingest_request = request->ingest;
        int r;

        ingest_request.fd = file->fd;
        r = ingest(&ingest_request, &candidate, &failure);
        if (r == 0 && !streq(candidate->info->name, request->patch_id))
                r = failure_set(&failure, REFUSED_CONFLICT, "It holds the module '%s'", candidate->info->name);
        else if (r == 0 && !streq_ptr(candidate->info->build_id, request->build_id))
                r = failure_set(&failure, REFUSED_CONFLICT, "It is another build (build-id %s, and %s is loaded)",
                                candidate->info->build_id ?: "none", request->build_id);
        if (r == 0)
                request->candidate = TAKE_PTR(candidate);
        else if (why->code == 0 || why->code == REFUSED_INVALID_FILE)
                (void) failure_set(why, r, "/%s: %s", file->path, failure_text(&failure));
        return r;
}

int request_find_adopted(Request *request) {
        _cleanup_(adopt_file_list_done) AdoptFileList list = {};
        _cleanup_failure_ Failure why = {};
        int r = adopt_search(request->ingest.root_fd, request->release, request->patch_id, &list, &why);

        if (r < 0)
                return failure_oom(&request->failure);
        for (size_t i = 0; i < list.n; i++)
                if (try_file(request, list.files + i, &why) == 0)
                        return 0;
        if (why.code == 0)
                return failure_set(&request->failure, REFUSED_INVALID_FILE,
                                   "There is no file of '%s' in " ADOPT_PLACES " (RELEASE being %s). Nothing was "
                                   "changed. If you have it: livepatchctl adopt %s FILE", request->patch_id,
                                   request->release, request->patch_id);
        return failure_set(&request->failure, why.code,
                           "No file of '%s' that is the loaded build and may be kept was found. Nothing was changed. "
                           "%s. If you have the right one: livepatchctl adopt %s FILE", request->patch_id,
                           failure_text(&why), request->patch_id);
}

int request_judge_adopt(Request *request) {
        Manager *manager = request->manager;
        Failure *f = &request->failure;
        Patch *patch;
        int r;

        manager_refresh_patches(manager);
        patch = manager_patch_by_id(manager, request->patch_id);
        if (!patch)
                return manager_no_such_patch(request->patch_id, f);
        r = check_adoptable(patch, f);
        if (r == 0 && !request_is_loaded(request, patch))
                r = failure_set(f, REFUSED_CONFLICT,
                                "Another build of '%s' was loaded while its file was read. Nothing was changed. Try "
                                "again", patch->id);
        if (r == 0)
                r = policy_check_module(manager->kernel, request->candidate->info, f);
        return r == 0 ? request_write_record(request, patch->id, patch) : r;
}

int manager_adopt(Manager *manager, const char *patch_id, uid_t uid, ManagerReply reply, void *userdata, Failure *f) {
        _cleanup_(request_freep) Request *request = NULL;
        const Patch *patch = manager_find_patch(manager, patch_id);
        int r;

        if (!patch)
                return manager_no_such_patch(patch_id, f);
        r = check_adoptable(patch, f);
        if (r != 0)
                return r;
        if (request_new(manager, REQUEST_ADOPT, -EBADF, uid, &request) < 0)
                return failure_oom(f);
        request->reply = (Reply) { reply, userdata };
        request->reapply = true;
        request->patch_id = strdup(patch->name);
        request->build_id = strdup(patch->module.build_id);
        if (!request->patch_id || !request->build_id)
                return failure_oom(f);
        r = request_submit(request, f);
        if (r == 0)
                TAKE_PTR(request);
        return r;
}
