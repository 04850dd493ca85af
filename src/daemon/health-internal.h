/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The health of a patch that settles, for the core: the kernel's reports, the check, and what follows. */
#pragma once

#include "daemon/health.h"
#include "daemon/manager-internal.h"

/* manager-health.c: by whoever has found that the patch is not healthy. Quarantines the build, and reverts it by a
 * job. The reason is a sentence without its full stop. */
void manager_condemn(Manager *manager, Patch *patch, const char *reason);
/* Quarantined in this boot after we had loaded it, and not reverted yet. */
bool manager_is_condemned(const Manager *manager, const Patch *patch);
/* Gives up what works on it, or queues the job that reverts it. */
void manager_take_out(Manager *manager, Patch *patch);
/* A line of the kernel's log, and all that were written before there was anybody to read them. */
void manager_feed_health(Manager *manager, const char *line);
void manager_review_kernel_log(Manager *manager);

/* health-check.c: HEALTH_PASSED where no check is asked for. */
HealthResult manager_health(const Manager *manager, const Patch *patch);
/* There is a check to begin, and somebody to run it. */
bool manager_health_is_due(const Manager *manager, const Patch *patch);
void manager_begin_health_check(Manager *manager, Patch *patch);
