/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The security desk: who may do what, decided by uid and polkit, without blocking. */
#pragma once

#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "common/macro.h"
#include "common/types.h"
#include "daemon/bus-queue.h"

typedef struct BusPolkit BusPolkit;

/* queue: borrowed, must outlive it. */
int bus_polkit_new(sd_bus *bus, sd_event *event, BusQueue *queue, unsigned pending_per_user_max, BusPolkit **ret);

/* Forgets all queries; their callers get no answer from here (the bus tells them that the service is gone). */
BusPolkit *bus_polkit_free(BusPolkit *polkit);
DEFINE_CLEANUP(BusPolkit *, bus_polkit_free)

/* A connection has left the bus: what was asked about it is dropped. */
void bus_polkit_leave(BusPolkit *polkit, const char *sender);

/* Whether somebody is being asked right now. */
bool bus_polkit_is_busy(const BusPolkit *polkit);

/* The polkit action of a method call, or NULL: a method without one is denied to everybody. */
const char *bus_polkit_action_of_method(sd_bus_message *m);
const char *bus_polkit_action_of_job_type(JobType type);

/* Something about the call that a rule or a dialog may want to know; one "name" "value" pair, name NULL: nothing. */
typedef struct PolkitDetail {
        const char *name;
        const char *value;
} PolkitDetail;

/* 1: the caller may, *ret_uid is who it is. 0: polkit is being asked; the handler returns 1 at once, and the whole call
 * is dispatched again later. < 0: denied, *error says why.
 *
 * To be called after the arguments are read and valid, before anything is looked up or changed. */
int bus_polkit_authorize(BusPolkit *polkit, sd_bus_message *m, const char *action, PolkitDetail detail, uid_t *ret_uid,
                         sd_bus_error *error);
