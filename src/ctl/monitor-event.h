/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals of livepatchd as events, and events as lines. */
#pragma once

#include <jansson.h>
#include <stdint.h>

/* arguments: those of the signal, in their order. NULL for a signal that says nothing, or is not known, or is not as
 * documented. "event" is one of job-new, job-removed, patch-added, patch-removed, patch-changed, job-changed,
 * manager-changed, started, stopped. */
json_t *monitor_event_new(const char *signal, const char *path, const json_t *arguments, uint64_t time_usec);

/* One line for a person. NULL when out of memory. */
char *monitor_event_text(const json_t *event);
