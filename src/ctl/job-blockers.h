/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A few words about whom a job waits for. */
#pragma once

#include "ctl/client.h"

/* "lp_busy (412), nginx.service and 3 more"; NULL when it cannot be known, or the caller may not. Asks nobody for a
 * password. */
char *job_blockers_name(Client *c, const char *patch);

/* The same of what ListBlockers() has returned. */
char *blockers_name(const json_t *blockers);
