/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs the unit that HealthCheckUnit= names, through the service manager. */
#pragma once

#include <systemd/sd-bus.h>

#include "daemon/health.h"

typedef struct BusHealth BusHealth;

/* What manager_set_health_runner() takes as its userdata, with bus_health_runner. */
int bus_health_new(sd_bus *bus, BusHealth **ret);
/* After the runner was taken from the manager. */
BusHealth *bus_health_free(BusHealth *health);
DEFINE_CLEANUP(BusHealth *, bus_health_free)

extern const HealthRunner bus_health_runner;
