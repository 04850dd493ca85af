/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How often the tasks of a transition are counted.
 *
 * A count opens and reads a file for every thread, which takes a tenth of a second and more where there are 20,000. The
 * kernel itself tries once a second whether a task can switch (kernel/livepatch/transition.c), so a transition that
 * goes well is worth a look each half second. One that has stalled may do so for hours, with nothing new to see. */

#include "common/macro.h"
#include "daemon/task-pace.h"

#define INTERVAL_USEC (500 * USEC_PER_MSEC)
/* As long as tasks switch, counting takes at most 2 % of a processor... */
#define COST_FACTOR 50
/* ... and in the end of a stall, which is reached after six counts, 0.2 %: but a person who looks wants to see within a
 * quarter of a minute that it goes on. */
#define COST_FACTOR_STALLED 500
#define INTERVAL_STALLED_USEC (15 * USEC_PER_SEC)
#define SLOWDOWN_MAX 32

uint64_t task_pace_next(TaskPace *pace, uint64_t cost_usec, bool changed) {
        uint64_t interval = MAX((uint64_t) INTERVAL_USEC, cost_usec * COST_FACTOR);
        uint64_t stalled = MAX((uint64_t) INTERVAL_STALLED_USEC, cost_usec * COST_FACTOR_STALLED);

        pace->slowdown = changed || pace->slowdown == 0 ? 1 : MIN(pace->slowdown * 2, (unsigned) SLOWDOWN_MAX);
        return MIN(interval * pace->slowdown, stalled);
}
