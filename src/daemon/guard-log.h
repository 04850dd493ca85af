/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which module a kernel's BUG, Oops, WARNING or panic happened in. Pure: a line at a time, of the running kernel's log
 * or of what pstore kept of the last one. */
#pragma once

#include <stdbool.h>

#include "common/string-util.h"

/* Where in a report the lines are; all zero: outside of any. */
typedef struct GuardLog {
        unsigned lines_left; /* of the report, at most */
} GuardLog;

typedef enum GuardLogEvent {
        GUARD_LOG_NOTHING,
        GUARD_LOG_LOADED, /* the kernel takes a patch: what it reported of the name before is of an earlier load */
        GUARD_LOG_BLAMED, /* a report's code or call trace is in the module */
} GuardLogEvent;

typedef struct GuardLogName {
        char name[MODULE_NAME_MAX + 1];
} GuardLogName;

/* The module, where there is an event. */
GuardLogEvent guard_log_feed(GuardLog *log, const char *text, GuardLogName *ret);
