/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Notices what others do to the kernel's modules and patches, and has the manager look. */
#pragma once

#include "daemon/manager-internal.h"

/* What the system does not offer is done without; fails only when out of memory. */
int watch_new(Manager *manager, Watch **ret);
Watch *watch_free(Watch *watch);
DEFINE_CLEANUP(Watch *, watch_free)

/* To be called when the kernel's view of a patch was read: follows the `enabled` file that is there now. */
void watch_follow(Watch *watch, Patch *patch);
