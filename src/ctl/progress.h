/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One line on the terminal that tells how far a job is. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctl/options.h"

typedef struct Progress {
        bool enabled; /* standard error is a terminal, and neither --quiet nor --json was given */
        bool drawn;
        uint64_t begun_usec;
} Progress;

void progress_begin(Progress *p, const Options *o);
/* job: the properties of an org.livepatch.Job. */
void progress_draw(Progress *p, const json_t *job);
uint64_t progress_elapsed_usec(const Progress *p);
/* Removes the line. */
void progress_end(Progress *p);

/* "lp_cmdline: applying, 120 of 134 tasks switched, stalled". NULL when out of memory. Beside the job's properties,
 * "waiting_for" may tell who has not switched. */
char *progress_describe(const json_t *job);

/* The text of the line: "lp_cmdline: applying, 120 of 134 tasks switched, 3 s". NULL when out of memory. */
char *progress_text(const json_t *job, uint64_t elapsed_usec);
