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

void bus_request_finish(BusRequest *request, int r, sd_bus_message *answer) {
        bus_changes_flush(request->bus);
        if (r >= 0)
                r = sd_bus_send(NULL, answer, NULL);
        if (r < 0) {
                (void) log_debug_errno(r, "Failed to answer %s(): %m", sd_bus_message_get_member(request->call));
                (void) sd_bus_reply_method_errno(request->call, r, NULL);
        }
}

void bus_request_fail(BusRequest *request, const Failure *failure) {
        int r;

        bus_changes_flush(request->bus);
        r = bus_reply_failure(request->call, failure);
        if (r < 0)
                (void) log_debug_errno(r, "Failed to answer %s(): %m", sd_bus_message_get_member(request->call));
}

static void reply_path(BusRequest *request, int r, const char *path) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *answer = NULL;

        if (r >= 0)
                r = sd_bus_message_new_method_return(request->call, &answer);
        if (r >= 0)
                r = sd_bus_message_append_basic(answer, 'o', path);
        bus_request_finish(request, r, answer);
}

void bus_request_reply_job(void *userdata, const Failure *failure, const Patch *patch _unused_, const Job *job) {
        _cleanup_(bus_request_freep) BusRequest *request = userdata;
        _cleanup_free_ char *path = NULL;
        int r;

        if (failure) {
                bus_request_fail(request, failure);
                return;
        }
        r = bus_job_path(job_id(job), &path);
        reply_path(request, r, path);
}

void bus_request_reply_patch(void *userdata, const Failure *failure, const Patch *patch, const Job *job _unused_) {
        _cleanup_(bus_request_freep) BusRequest *request = userdata;
        _cleanup_free_ char *path = NULL;
        int r;

        if (failure) {
                bus_request_fail(request, failure);
                return;
        }
        r = bus_patch_path(patch, &path);
        reply_path(request, r, path);
}

void bus_request_reply_empty(void *userdata, const Failure *failure, const Patch *patch _unused_,
                             const Job *job _unused_) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
        _cleanup_(bus_request_freep) BusRequest *request = userdata;
        int r;

        if (failure) {
                bus_request_fail(request, failure);
                return;
        }
        r = sd_bus_message_new_method_return(request->call, &answer);
        bus_request_finish(request, r, answer);
}

int bus_request_begun(BusRequest **request, int r, const Failure *failure, sd_bus_error *error) {
        if (r != 0)
                return bus_error_set_failure(error, failure);
        TAKE_PTR(*request);
        return 1;
}
