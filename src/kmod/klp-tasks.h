/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tasks of a transition: who has switched and who has not. */
#pragma once

#include "common/failure.h"

/* Counts threads by /proc/<pid>/task/<tid>/patch_state (Documentation/livepatch/livepatch.rst, "Consistency model").
 * target: 1 patching, 0 unpatching. pending = in transition and not at the target. Idle tasks are not in /proc, so
 * pending may be 0 while the transition still runs. One open/read/close a thread: with thousands of threads not for
 * the event loop. */
int klp_tasks_count(int root_fd, int target, unsigned *ret_total, unsigned *ret_pending);

/* Called for each pending thread, between two looks at others: "<tid>" below tasks_fd is its directory. A negative
 * errno ends the walk, except that a thread or process that is gone (-ENOENT, -ESRCH) only ends that of its process. */
typedef int (*KlpTaskVisit)(void *userdata, int tasks_fd, const char *pid, const char *tid);
int klp_tasks_visit_pending(int root_fd, int target, KlpTaskVisit visit, void *userdata, unsigned *ret_total,
                            unsigned *ret_pending);
