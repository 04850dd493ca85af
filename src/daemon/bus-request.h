/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A method call that was handed to the core and is answered later. */
#pragma once

#include <systemd/sd-bus.h>

#include "daemon/bus-internal.h"
#include "daemon/bus-message.h"

struct BusRequest {
        Bus *bus;
        BusRequest *next;
        sd_bus_message *call;
        uid_t uid;
};

BusRequest *bus_request_free(BusRequest *request);
DEFINE_CLEANUP(BusRequest *, bus_request_free)

/* The first half of every method that changes or discloses something: polkit is asked for the method's action, with the
 * detail. 1: go on. 0: polkit is being asked, and the call comes again. */
int bus_request_begin(Bus *bus, sd_bus_message *m, PolkitDetail detail, uid_t *ret_uid, BusRequest **ret,
                      sd_bus_error *error);

/* The same for a call with a descriptor. A copy of it, which is the caller's, is made once the call is allowed. */
int bus_request_begin_fd(Bus *bus, sd_bus_message *m, int fd, int *ret_copy, uid_t *ret_uid, BusRequest **ret,
                         sd_bus_error *error);

/* The same for a method of a patch, from authorization to the request; the patch is named by its id from here
 * on, because whatever happens next may make the core reread its tables. 1: go on. 0: polkit is being asked. */
int bus_patch_begin(const BusPatch *found, sd_bus_message *m, Bus **ret_bus, char **ret_id, uid_t *ret_uid,
                    BusRequest **ret, sd_bus_error *error);

/* Answers with the failure or, without one, with what append writes of what (NULL: nothing), and frees the request.
 * Announces first what led to it. */
void bus_request_reply(BusRequest *request, const Failure *failure, BusAppend append, const void *what);

/* For ManagerReply, with a BusRequest as userdata, which they free: answer with the job's path, the patch's path, or
 * nothing; or with the failure. An answer to somebody who has left the bus is lost, and that is all right. */
void bus_request_reply_job(void *userdata, const Failure *failure, const Patch *patch, const Job *job);
void bus_request_reply_patch(void *userdata, const Failure *failure, const Patch *patch, const Job *job);
void bus_request_reply_empty(void *userdata, const Failure *failure, const Patch *patch, const Job *job);

/* What a handler returns after it called the core with a request as userdata: on success the core answers. */
int bus_request_begun(BusRequest **request, int r, const Failure *failure, sd_bus_error *error);
