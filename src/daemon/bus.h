/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bus layer as the main program sees it: org.livepatch served out of one manager. */
#pragma once

#include <systemd/sd-event.h>

#include "daemon/manager.h"

typedef struct Bus Bus;

/* Connects to the system bus (or $DBUS_SYSTEM_BUS_ADDRESS), registers all objects, observes the manager, and takes the
 * bus name last, so that nobody meets a half-made service. From then on the event loop exits by itself when the daemon
 * is idle or the bus goes away. manager and root_fd are borrowed; the manager has been started. */
int bus_new(sd_event *event, Manager *manager, int root_fd, Bus **ret, Failure *f);

/* Announces what is pending and looks at the manager no more. To be called before the manager is freed, which answers
 * the calls that wait: those answers still go out. */
void bus_stop(Bus *bus);

Bus *bus_free(Bus *bus);
DEFINE_CLEANUP(Bus *, bus_free)
