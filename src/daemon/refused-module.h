/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Modules that the kernel does not load because a patch cannot be applied to them. */
#pragma once

#include "daemon/manager-internal.h"

/* A line of the kernel's log. */
void refused_module_feed(Manager *manager, const char *line);

/* The lines that were written before there was anybody to read them. */
void refused_module_review(Manager *manager);

/* Forgets those that are loaded now, or that the patch keeps out no longer. Returns what changed (PatchChange). */
int refused_module_refresh(Manager *manager, Patch *patch);
