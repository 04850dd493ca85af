/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blocking work on threads, its end on the event loop. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "common/macro.h"

typedef struct Worker Worker;

/* run: on a thread, must not touch anything that the loop's thread uses. done: afterwards, on the loop; it owns the
 * context. Every submitted context meets its done() exactly once: when the worker is freed before run() was called,
 * canceled is true. */
typedef void (*WorkRun)(void *context);
typedef void (*WorkDone)(void *context, bool canceled);

/* threads_max threads at most, started when needed; with 1 the items run in order. */
int worker_new(sd_event *event, unsigned threads_max, Worker **ret);

/* Waits for what runs, and takes no more. False: a thread hangs in the kernel for longer than 10 s and is left behind
 * with its context; what that refers to must live on. */
bool worker_stop(Worker *worker);

/* Stops it first. */
Worker *worker_free(Worker *worker);
DEFINE_CLEANUP(Worker *, worker_free)

int worker_submit(Worker *worker, WorkRun run, WorkDone done, void *context);
bool worker_is_idle(const Worker *worker);
