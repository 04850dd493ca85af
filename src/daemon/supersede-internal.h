/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files about levels share. */
#pragma once

#include "daemon/supersede.h"

/* Whether the entry still stands for the patch. */
bool supersede_entry_is_of(const SupersededPatch *entry, const Patch *patch);
/* By the lists alone, whatever the kernel says. */
const Patch *supersede_by_record(const Manager *manager, const Patch *patch);
