/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stops or fails the calls that change a disk. The test is linked with --wrap for each of them (meson.build). */
#pragma once

#include <stdbool.h>

typedef enum FaultMode {
        FAULT_COUNT,    /* only counts */
        FAULT_KILL,     /* the process ends instead of the call, after half of a write */
        FAULT_FAIL,     /* the call fails, the ones after it succeed */
        FAULT_FAIL_ALL, /* it and all after it fail */
} FaultMode;

#define FAULT_EXIT_STATUS 99

/* From now on; call: 1 is the first. */
void fault_arm(FaultMode mode, unsigned call, int error);
/* Back to normal; returns the number of calls made. */
unsigned fault_disarm(void);

/* What this thread does from here on is somebody else's doing (a kernel's): neither counted nor stopped. Nests. */
void fault_suspend(bool suspend);
