/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The patches that packages bring, in /usr/lib/livepatch/patches. */
#pragma once

#include "daemon/manager-internal.h"

/* At the start: every file of the running kernel's becomes a patch, or a problem. Blocks. */
int manager_take_vendor_patches(Manager *manager);

/* The administrator's build of the name was forgotten just now: lists the vendor's, which it hid. 1: verifying it has
 * begun, and done will be called from the loop (never, if the manager is freed before); 0: there is none. */
typedef void (*VendorRevealed)(void *userdata);
int manager_reveal_vendor(Manager *manager, const char *name, VendorRevealed done, void *userdata);
