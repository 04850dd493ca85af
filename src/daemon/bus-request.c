/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A method call that was handed to the core and is answered later. */

#include "common/log.h"
#include "daemon/bus-error.h"
#include "daemon/bus-request.h"

int bus_request_new(Bus *bus, sd_bus_message *call, BusRequest **ret) {
        BusRequest *request = malloc(sizeof(*request));

        if (!request)
                return -ENOMEM;
        *request = (BusRequest) { .bus = bus, .call = sd_bus_message_ref(call) };
        bus->n_requests++;
        *ret = request;
        return 0;
}

BusRequest *bus_request_free(BusRequest *request) {
        if (!request)
                return NULL;
        request->bus->n_requests--;
        sd_bus_message_unref(request->call);
        free(request);
        return NULL;
}

void bus_request_reply(BusRequest *request, const Failure *failure, BusAppend append, const void *what) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
        _cleanup_(bus_request_freep) _unused_ BusRequest *done = request;
        int r;

        bus_changes_flush(request->bus);
        if (failure)
                r = bus_reply_failure(request->call, failure);
        else {
                r = sd_bus_message_new_method_return(request->call, &answer);
                if (r >= 0 && append)
                        r = append(answer, what);
                if (r >= 0)
                        r = sd_bus_send(NULL, answer, NULL);
                if (r < 0)
                        (void) sd_bus_reply_method_errno(request->call, r, NULL);
        }
        if (r < 0)
                (void) log_debug_errno(r, "Failed to answer %s(): %m", sd_bus_message_get_member(request->call));
}

static int append_job_path(sd_bus_message *m, const void *userdata) {
        _cleanup_free_ char *path = NULL;
        int r = bus_job_path(job_id(userdata), &path);

        return r < 0 ? r : sd_bus_message_append_basic(m, 'o', path);
}

static int append_patch_path(sd_bus_message *m, const void *userdata) {
        _cleanup_free_ char *path = NULL;
        int r = bus_patch_path(userdata, &path);

        return r < 0 ? r : sd_bus_message_append_basic(m, 'o', path);
}

void bus_request_reply_job(void *userdata, const Failure *failure, const Patch *patch _unused_, const Job *job) {
        bus_request_reply(userdata, failure, append_job_path, job);
}

void bus_request_reply_patch(void *userdata, const Failure *failure, const Patch *patch, const Job *job _unused_) {
        bus_request_reply(userdata, failure, append_patch_path, patch);
}

void bus_request_reply_empty(void *userdata, const Failure *failure, const Patch *patch _unused_,
                             const Job *job _unused_) {
        bus_request_reply(userdata, failure, NULL, NULL);
}

int bus_request_begun(BusRequest **request, int r, const Failure *failure, sd_bus_error *error) {
        if (r != 0)
                return bus_error_set_failure(error, failure);
        TAKE_PTR(*request);
        return 1;
}
