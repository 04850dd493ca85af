/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a caller may want of an operation, beside what it is done to. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/types.h"

/* Longer is a mistake for infinity; and added to a point in time it cannot overflow. */
#define OPERATION_STALL_TIMEOUT_MAX (365 * 86400 * USEC_PER_SEC)

/* What a caller may want of an apply or a revert; all zero is the plain thing. Plain values: copied. */
typedef struct OperationOptions {
        bool runtime;                /* what the next boot does stays as it is */
        uint64_t stall_timeout_usec; /* 0: as configured; USEC_INFINITY: never */
        bool on_stall_given;         /* else as configured */
        OnStall on_stall;            /* ON_STALL_REVERT reverses a stalled revert, too: the patch stays applied; so
                                      * what livepatchd reverts for safety has to say ON_STALL_WAIT */
        uint64_t confirm_within_usec; /* apply: reverted when nobody confirms it in this time; 0: stays without */
        bool expired;                 /* revert: nobody did */
        bool put_record;              /* no caller's: the operation put the record there that is now the patch's, and
                                       * takes it back when it is taken back itself, if only by a later process */
} OperationOptions;
