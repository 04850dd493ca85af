/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's announcements that a module came or went. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/string-util.h"

typedef struct Uevent {
        bool added; /* else removed */
        char module[MODULE_NAME_MAX + 1];
} Uevent;

/* A non-blocking, pollable netlink socket. Needs no privilege, and works in a network namespace of its own as long as
 * that belongs to the initial user namespace: uevent_net_broadcast_untagged() in lib/kobject_uevent.c goes to all of
 * them. */
int uevent_open(void);

/* The next one about a module; others, and what user space sent, are passed over. 1: an event, 0: no more for now. An
 * overrun is skipped over and *ret_lost set to true, and never cleared. */
int uevent_read(int fd, Uevent *ret, bool *ret_lost);

/* Pure. 1: a module's, 0: something else's. */
int uevent_parse(const char *data, size_t size, Uevent *ret);
