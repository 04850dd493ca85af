/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager's answer to who holds up a transition: looked up on the worker that counts tasks. */

#include <string.h>

#include "daemon/manager-internal.h"

typedef struct BlockersRequest {
        int root_fd;
        char *name; /* NULL: a patch of another kernel, which cannot be in transition */
        KlpBlockerList list;
        int r;
        ManagerBlockersReply reply;
        void *userdata;
} BlockersRequest;

static void blockers_request_free(BlockersRequest *request) {
        klp_blocker_list_done(&request->list);
        free(request->name);
        free(request);
}

static void blockers_run(void *context) {
        BlockersRequest *request = context;

        if (request->name)
                request->r = klp_blockers_read(request->root_fd, request->name, MANAGER_BLOCKERS_MAX, &request->list);
}

static void blockers_done(void *context, bool canceled) {
        _cleanup_failure_ Failure failure = {};
        BlockersRequest *request = context;

        if (canceled)
                (void) failure_set(&failure, REFUSED_CANCELED,
                                   "livepatchd is stopping. Nothing was changed; ask again");
        else if (request->r < 0)
                (void) failure_set(&failure, request->r,
                                   "The tasks that have not switched cannot be found out: %s. The transition goes on",
                                   strerror(-request->r));
        request->reply(request->userdata, failure.code != 0 ? &failure : NULL, &request->list);
        blockers_request_free(request);
}

int manager_list_blockers(Manager *manager, const char *patch_id, ManagerBlockersReply reply, void *userdata,
                          Failure *f) {
        const Patch *patch = manager_find_patch(manager, patch_id);
        BlockersRequest *request;

        if (!patch)
                return manager_no_such_patch(patch_id, f);
        request = calloc(1, sizeof(BlockersRequest));
        if (!request)
                return failure_oom(f);
        *request = (BlockersRequest) {
                .root_fd = manager->root_fd,
                .name = patch->this_kernel ? strdup(patch->name) : NULL,
                .reply = reply,
                .userdata = userdata,
        };
        if ((patch->this_kernel && !request->name) ||
            worker_submit(manager->counter, blockers_run, blockers_done, request) < 0) {
                blockers_request_free(request);
                return failure_oom(f);
        }
        return 0;
}
