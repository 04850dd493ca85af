/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs: one long operation on the kernel each, queued in order, one running at a time. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/failure.h"
#include "common/types.h"

typedef struct Job Job;
typedef struct Manager Manager;
typedef struct Patch Patch;

/* How long the object of a job stays readable after its end. */
#define JOB_RETENTION_USEC (60 * USEC_PER_SEC)

/* Reading, for the bus layer. Never NULL strings. */
uint32_t job_id(const Job *job);
JobType job_type(const Job *job);
const char *job_patch_id(const Job *job); /* "" for a reapply of all */
JobState job_state(const Job *job);
JobResult job_result(const Job *job);
const Failure *job_failure(const Job *job); /* code 0 when none */
double job_progress(const Job *job);        /* 0.0 to 1.0 */
unsigned job_tasks_total(const Job *job);
unsigned job_tasks_pending(const Job *job);
/* Its transition has taken longer than it may, and the job goes on. */
bool job_is_stalled(const Job *job);
uid_t job_uid(const Job *job);

/* A queued job is taken off; a running transition is reversed (the job ends, later, with the result "canceled"), unless
 * its end turns out to have come first (the result is "done"). REFUSED_NO_SUCH_JOB when it has finished, REFUSED_BUSY
 * when it is past the point of return. */
int job_cancel(Job *job, Failure *f);
