/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How often the tasks of a transition are counted: often while some of them switch, ever more rarely when none does. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct TaskPace {
        unsigned slowdown; /* 0: nothing was counted yet */
} TaskPace;

/* A count took cost_usec, and found another number of pending tasks than the one before it, or the same. Returns the
 * time until the next one. */
uint64_t task_pace_next(TaskPace *pace, uint64_t cost_usec, bool changed);
