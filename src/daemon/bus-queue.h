/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Method calls wait here for their turn, in which no caller holds up another one. */
#pragma once

#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "common/macro.h"

typedef struct BusQueue BusQueue;

/* All method calls on the connection go through it from here on. */
int bus_queue_new(sd_bus *bus, sd_event *event, BusQueue **ret);
/* What still waits gets no answer from here (the bus tells the callers that the service is gone). */
BusQueue *bus_queue_free(BusQueue *queue);
DEFINE_CLEANUP(BusQueue *, bus_queue_free)

bool bus_queue_is_empty(const BusQueue *queue);

/* The user of a call whose turn it is, or was last. */
int bus_queue_sender_uid(const BusQueue *queue, sd_bus_message *m, uid_t *ret);

/* A connection has left the bus. Its calls keep their turn, since they may be such that want no answer. */
void bus_queue_leave(BusQueue *queue, const char *sender);
/* Whether the caller has left: nobody will tell that any more. */
bool bus_queue_sender_has_left(const BusQueue *queue, sd_bus_message *m);

/* Has a call dispatched again that had its turn before. */
int bus_queue_resume(BusQueue *queue, sd_bus_message *m);
