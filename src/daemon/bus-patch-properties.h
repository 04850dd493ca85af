/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The properties of org.livepatch.Patch; userdata of their getters is a BusPatch. */
#pragma once

#include "daemon/bus-internal.h"

extern const sd_bus_vtable bus_patch_properties_vtable[];
