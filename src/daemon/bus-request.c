/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A method call that was handed to the core and is answered later. */

#include "common/log.h"
#include "daemon/bus-error.h"
#include "daemon/bus-request.h"

/* Calls of a user that are in work at a time: each holds its message, with up to 16 descriptors, and something that the
 * core has queued. */
#define REQUESTS_PER_USER_MAX 64

static unsigned count(const Bus *bus, uid_t uid) {
        unsigned n = 0;

        for (const BusRequest *request = bus->requests; request; request = request->next)
                n += request->uid == uid;
        return n;
}

static int request_new(Bus *bus, sd_bus_message *call, uid_t uid, BusRequest **ret, sd_bus_error *error) {
        BusRequest *request;

        if (count(bus, uid) >= REQUESTS_PER_USER_MAX)
                return bus_error_set_refusal(error, REFUSED_LIMITS_EXCEEDED,
                                             "%u calls of user %u are in work already, which is the limit. Nothing was "
                                             "changed. Wait for some to end", REQUESTS_PER_USER_MAX, (unsigned) uid);
        request = malloc(sizeof(*request));
        if (!request)
                return bus_error_set_errno(error, -ENOMEM);
        *request = (BusRequest) {
                .bus = bus,
                .next = bus->requests,
                .call = sd_bus_message_ref(call),
                .uid = uid,
        };
        bus->requests = request;
        *ret = request;
        return 1;
}

static int authorize(Bus *bus, sd_bus_message *m, PolkitDetail detail, uid_t *ret_uid, sd_bus_error *error) {
        return bus_polkit_authorize(bus->polkit, m, bus_polkit_action_of_method(m), detail, ret_uid, error);
}

int bus_request_begin(Bus *bus, sd_bus_message *m, PolkitDetail detail, uid_t *ret_uid, BusRequest **ret,
                      sd_bus_error *error) {
        int r;

        r = authorize(bus, m, detail, ret_uid, error);
        if (r <= 0)
                return r;
        return request_new(bus, m, *ret_uid, ret, error);
}

int bus_request_begin_fd(Bus *bus, sd_bus_message *m, int fd, int *ret_copy, uid_t *ret_uid, BusRequest **ret,
                         sd_bus_error *error) {
        _cleanup_close_ int copy = -EBADF;
        int r;

        r = authorize(bus, m, (PolkitDetail) {}, ret_uid, error);
        if (r <= 0)
                return r;
        r = bus_message_copy_fd(fd, &copy, error);
        if (r < 0)
                return r;
        r = request_new(bus, m, *ret_uid, ret, error);
        if (r < 0)
                return r;
        *ret_copy = TAKE_FD(copy);
        return 1;
}

BusRequest *bus_request_free(BusRequest *request) {
        if (!request)
                return NULL;
        for (BusRequest **p = &request->bus->requests; *p; p = &(*p)->next)
                if (*p == request) {
                        *p = request->next;
                        break;
                }
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
