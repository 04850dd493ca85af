/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting for a job of livepatchd to end. */
#pragma once

#include <stdbool.h>

#include "ctl/client.h"

typedef struct JobOutcome {
        char *patch;      /* "" for a job of many patches */
        char *type;
        char *result;     /* "done", "failed", "canceled", "stalled" */
        bool interrupted; /* ^C: the job goes on, result is NULL */
} JobOutcome;

void job_outcome_done(JobOutcome *outcome);
#define _cleanup_job_outcome_ _cleanup_(job_outcome_done)

/* Subscribes to what happens to jobs: before the job is asked for, so that the end of a fast one is not missed. */
int client_job_subscribe(Client *c, CtlError *e);

/* Follows a job to its end, with a line of progress on a terminal. 0: *ret tells; a result other than "done" also comes
 * with a nonzero return value and its reason in *e. livepatchd may be killed meanwhile: then the patch's own state
 * tells. */
int client_job_wait(Client *c, const char *job, JobOutcome *ret, CtlError *e);
