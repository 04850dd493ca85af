/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Leaves the bus without losing a call, and ends the event loop, when nobody has called for a while. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "common/macro.h"

typedef struct BusIdle BusIdle;

/* busy: whether there is work that forbids an exit. timeout_usec may be USEC_INFINITY. */
int bus_idle_new(sd_bus *bus, sd_event *event, uint64_t timeout_usec, bool (*busy)(void *userdata), void *userdata,
                 BusIdle **ret);
/* The name is given back, or about to be: only what was begun is still ended. */
bool bus_idle_is_leaving(const BusIdle *idle);
BusIdle *bus_idle_free(BusIdle *idle);
DEFINE_CLEANUP(BusIdle *, bus_idle_free)
