/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A job's insides and the queue; for the core only. */
#pragma once

#include "daemon/ingest.h"
#include "daemon/manager-internal.h"

typedef struct Operation Operation;
typedef struct Reapply Reapply;
typedef struct Rollback Rollback;

struct Job {
        Manager *manager;
        uint32_t id;
        JobType type;
        JobState state;
        JobResult result;
        Failure failure;
        char *patch_id;
        uid_t uid;
        OperationOptions options;
        bool resumed; /* an earlier process began it */
        unsigned tasks_total;
        unsigned tasks_pending;
        bool stalled;
        double progress;

        Candidate *candidate; /* of an apply, until its operation takes it */
        bool may_replace;     /* that candidate, what is applied */
        Operation *operation; /* what runs now */
        Reapply *reapply;     /* of a reapply */
        Rollback *rollback;   /* of a rollback */
        uint64_t bytes;       /* of the module that it was given, counted against the caller's limit */
        Reply queued;         /* for a caller that is told of the job */
        sd_event_source *tell;
        Reply finished;       /* for a caller that waits for the end */
        sd_event_source *retention;
        uint64_t finished_as; /* position among all that have finished */
};

typedef struct JobParameters {
        JobType type;
        const char *patch_id;
        uid_t uid;
        OperationOptions options;
        bool resumed;
        Candidate *candidate; /* taken over on success */
        Reply queued;         /* called later, out of the loop, and before the job runs */
        Reply finished;
} JobParameters;

/* Creates, announces and queues a job; refuses with REFUSED_LIMITS_EXCEEDED or REFUSED_BUSY (the patch has a job). */
int job_enqueue(Manager *manager, const JobParameters *parameters, Job **ret, Failure *f);
void job_finish(Job *job, JobResult result, const Failure *failure);
void job_changed(Job *job);
void job_set_stalled(Job *job, bool stalled);
void job_set_tasks(Job *job, unsigned total, unsigned pending);
Job *job_free(Job *job);
DEFINE_CLEANUP(Job *, job_free)
int job_run_next(sd_event_source *source, void *userdata);
uint64_t job_bytes(const Job *job); /* of the module it works on */
/* Whoever waits for news of a job is told that there will be none. */
void jobs_cancel(Manager *manager);
