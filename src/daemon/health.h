/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The unit that HealthCheckUnit= names, as the core sees it.
 *
 * The core does not know how a unit is started: whoever does (the bus layer) hands over a HealthRunner. In a process
 * without one, at boot, the check waits for the next process that has one; nothing is proven without it. */
#pragma once

#include "common/macro.h"

typedef struct Manager Manager;
typedef struct HealthCheck HealthCheck;

typedef enum HealthResult {
        HEALTH_PENDING, /* not begun, or not ended */
        HEALTH_PASSED,
        HEALTH_FAILED,
        HEALTH_UNKNOWN, /* could not be checked, which is neither */
} HealthResult;

typedef struct HealthRunner {
        /* Starts the unit and tells its end with one call of health_check_ended(), later, from the loop, unless it is
         * canceled before. What is returned in *ret is the runner's to free, when it has told or was canceled. */
        int (*start)(void *userdata, const char *unit, HealthCheck *check, void **ret);
        void (*cancel)(void *userdata, void *run);
} HealthRunner;

/* detail: of what is not HEALTH_PASSED; a clause. */
void health_check_ended(HealthCheck *check, HealthResult result, const char *detail);

/* NULL: there is none any more. */
void manager_set_health_runner(Manager *manager, const HealthRunner *runner, void *userdata);

HealthCheck *health_check_free(HealthCheck *check);
