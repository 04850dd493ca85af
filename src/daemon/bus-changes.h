/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* News of the core on their way to the bus, coalesced: one signal an object for each turn of the event loop. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "daemon/manager.h"

typedef struct Bus Bus;
typedef struct BusChange BusChange;

typedef struct BusChanges {
        BusChange *first, *last;
        sd_event_source *source;
        unsigned announcing; /* > 0 while signals are being made: getters then take things as they are */
} BusChanges;

/* Registers the observer. */
int bus_changes_init(Bus *bus);
void bus_changes_done(Bus *bus);

/* Sends what is pending now: before a reply, so that a caller has heard of everything that the reply is about. */
void bus_changes_flush(Bus *bus);
