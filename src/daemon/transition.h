/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Follows one livepatch transition to its end.
 *
 * The kernel announces nothing through sysfs: no poll, no inotify, no uevent marks the end of a transition (kernel/
 * livepatch/ has no sysfs_notify()). Its log lines do, but a failed enable prints "unpatching complete" as well, and
 * the log may be unreadable. So lines are a wake-up, sysfs is the truth, and a timer that slows down from 2 ms to 1 s
 * (the kernel itself tries again once a second) is what is left when nothing wakes us. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "daemon/worker.h"

typedef struct Transition Transition;

typedef enum TransitionEnd {
        TRANSITION_PATCHED,   /* enabled, no transition, and what it has replaced is gone from sysfs */
        TRANSITION_UNPATCHED, /* sysfs directory gone, and the module's reference dropped (it can be unloaded) or, of a
                               * patch that was forced, kept for good */
        TRANSITION_VANISHED,  /* the module itself is gone */
} TransitionEnd;

typedef struct TransitionCallbacks {
        void (*ended)(void *userdata, TransitionEnd end); /* once; the transition may be freed in it */
        void (*progress)(void *userdata, unsigned tasks_total, unsigned tasks_pending);
        void (*stalled)(void *userdata); /* stall_timeout_usec after the start, once */
} TransitionCallbacks;

/* counter: the worker for counting tasks (thousands of small files). */
int transition_new(sd_event *event, int root_fd, Worker *counter, const char *name, uint64_t stall_timeout_usec,
                   const TransitionCallbacks *callbacks, void *userdata, Transition **ret);
Transition *transition_free(Transition *transition);
DEFINE_CLEANUP(Transition *, transition_free)

/* Look now: the kernel's log said something. */
void transition_wake(Transition *transition);
