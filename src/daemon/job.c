/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs: one long operation on the kernel each, queued in order, one running at a time. */

#include <string.h>

#include "common/log.h"
#include "common/string-util.h"
#include "daemon/job-internal.h"
#include "daemon/operation.h"
#include "daemon/reapply.h"
#include "daemon/rollback.h"

/* Finished jobs kept readable at most; the oldest go first. */
#define FINISHED_JOBS_MAX 128

uint32_t job_id(const Job *job) {
        return job->id;
}

JobType job_type(const Job *job) {
        return job->type;
}

const char *job_patch_id(const Job *job) {
        return job->patch_id;
}

JobState job_state(const Job *job) {
        return job->state;
}

JobResult job_result(const Job *job) {
        return job->result;
}

const Failure *job_failure(const Job *job) {
        return &job->failure;
}

double job_progress(const Job *job) {
        return job->progress;
}

unsigned job_tasks_total(const Job *job) {
        return job->tasks_total;
}

unsigned job_tasks_pending(const Job *job) {
        return job->tasks_pending;
}

bool job_is_stalled(const Job *job) {
        return job->stalled;
}

uid_t job_uid(const Job *job) {
        return job->uid;
}

uint64_t job_bytes(const Job *job) {
        return job->state == JOB_FINISHED ? 0 : job->bytes;
}

void job_changed(Job *job) {
        if (job->manager->observer)
                job->manager->observer->job_changed(job->manager->observer_userdata, job);
}

void job_set_tasks(Job *job, unsigned total, unsigned pending) {
        if (job->tasks_total == total && job->tasks_pending == pending)
                return;
        job->tasks_total = total;
        job->tasks_pending = pending;
        if (!job->reapply && !job->rollback)
                job->progress = total > 0 ? (double) (total - pending) / total : 0;
        job_changed(job);
}

void job_set_stalled(Job *job, bool stalled) {
        if (job->stalled == stalled)
                return;
        job->stalled = stalled;
        job_changed(job);
}

static void forget_job(Job *job) {
        Manager *manager = job->manager;

        for (size_t i = 0; i < manager->n_jobs; i++)
                if (manager->jobs[i] == job) {
                        memmove(manager->jobs + i, manager->jobs + i + 1,
                                (manager->n_jobs - i - 1) * sizeof(Job *));
                        manager->n_jobs--;
                        break;
                }
        if (manager->observer)
                manager->observer->job_removed(manager->observer_userdata, job);
        job_free(job);
}

static int on_retention_over(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        forget_job(userdata);
        return 0;
}

static Job *first_finished(const Manager *manager, size_t *ret_n) {
        Job *first = NULL;

        *ret_n = 0;
        for (size_t i = 0; i < manager->n_jobs; i++) {
                Job *job = manager->jobs[i];

                if (job->state != JOB_FINISHED)
                        continue;
                (*ret_n)++;
                if (!first || job->finished_as < first->finished_as)
                        first = job;
        }
        return first;
}

static void trim_finished(Manager *manager) {
        size_t n;

        for (;;) {
                Job *job = first_finished(manager, &n);

                if (n <= FINISHED_JOBS_MAX)
                        return;
                forget_job(job);
        }
}

static int schedule(Manager *manager) {
        return sd_event_source_set_enabled(manager->run_next, SD_EVENT_ONESHOT);
}

void job_finish(Job *job, JobResult result, const Failure *failure) {
        Manager *manager = job->manager;
        Reply finished = job->finished;
        Patch *patch;

        job->state = JOB_FINISHED;
        job->finished_as = ++manager->n_finished;
        job->result = result;
        job->finished = (Reply) {};
        if (failure && failure->code != 0)
                (void) failure_copy(&job->failure, failure);
        if (result == JOB_RESULT_DONE)
                job->progress = 1;
        job->tasks_pending = 0;
        job->stalled = false;
        if (manager->running == job)
                manager->running = NULL;
        job->operation = operation_free(job->operation);
        job->reapply = reapply_free(job->reapply);
        job->rollback = rollback_free(job->rollback);
        job->candidate = candidate_free(job->candidate);
        patch = manager_patch_by_id(manager, job->patch_id);
        if (patch && patch->job == job) {
                patch->job = NULL;
                manager_refresh_patch(manager, patch); /* may drop the patch */
                manager_schedule_guard(manager); /* which leaves alone what a job works on */
        }
        if (manager->observer)
                manager->observer->job_finished(manager->observer_userdata, job);
        if (sd_event_add_time_relative(manager->event, &job->retention, CLOCK_MONOTONIC, JOB_RETENTION_USEC, 0,
                                       on_retention_over, job) < 0)
                log_debug("Failed to arm the retention of job %u, ignoring", job->id);
        (void) schedule(manager);
        reply_call(&finished, job->failure.code != 0 ? &job->failure : NULL,
                   manager_patch_by_id(manager, job->patch_id), job);
        trim_finished(manager);
}

static void on_operation_end(void *userdata, JobResult result, const Failure *failure) {
        _cleanup_failure_ Failure copy = {};
        Job *job = userdata;

        if (failure)
                (void) failure_copy(&copy, failure);
        job_finish(job, result, &copy);
}

static int start_operation(Job *job) {
        OperationParameters parameters = {
                .type = job->type,
                .job = job,
                .patch_id = job->patch_id,
                .uid = job->uid,
                .options = job->options,
                .candidate = TAKE_PTR(job->candidate),
                .end = on_operation_end,
                .userdata = job,
        };

        return operation_start(job->manager, &parameters, &job->operation);
}

static int start(Job *job) {
        switch (job->type) {
        case JOB_APPLY:
        case JOB_REVERT:
        case JOB_REMOVE:
                return start_operation(job);
        case JOB_REAPPLY:
                return reapply_start(job->manager, job, &job->reapply);
        case JOB_ROLLBACK:
                return rollback_start(job->manager, job, &job->rollback);
        case _JOB_TYPE_MAX:
        case _JOB_TYPE_INVALID:
                break;
        }
        return -EINVAL;
}

static void run_job(Job *job) {
        Manager *manager = job->manager;
        Patch *patch;
        int r;

        manager->running = job;
        job->state = JOB_RUNNING;
        r = start(job);
        if (r < 0) {
                _cleanup_failure_ Failure failure = {};

                (void) failure_set(&failure, r, "The job could not be started: %s. Nothing was changed", strerror(-r));
                job_finish(job, JOB_RESULT_FAILED, &failure);
                return;
        }
        job_changed(job);
        patch = manager_patch_by_id(manager, job->patch_id);
        if (patch)
                manager_notify_patch(manager, patch, patch_update(patch));
}

/* The run_next source: picks the oldest queued job. */
int job_run_next(sd_event_source *source _unused_, void *userdata) {
        Manager *manager = userdata;

        if (manager->running)
                return 0;
        for (size_t i = 0; i < manager->n_jobs; i++)
                if (manager->jobs[i]->state == JOB_QUEUED) {
                        run_job(manager->jobs[i]);
                        return 0;
                }
        return 0;
}

static int check_limits(Manager *manager, const JobParameters *parameters, Failure *f) {
        unsigned n = 0;

        for (size_t i = 0; i < manager->n_jobs; i++)
                n += manager->jobs[i]->uid == parameters->uid && manager->jobs[i]->state != JOB_FINISHED;
        if (n < manager->config->jobs_per_user_max || parameters->resumed)
                return 0;
        return failure_set(f, REFUSED_LIMITS_EXCEEDED,
                           "There are %u jobs of yours waiting already, which is the limit (JobsPerUserMax=). Nothing "
                           "was changed. Wait for some to end", n);
}

static int on_tell(sd_event_source *source _unused_, void *userdata) {
        Job *job = userdata;
        Reply queued = job->queued;

        job->queued = (Reply) {};
        reply_call(&queued, NULL, manager_patch_by_id(job->manager, job->patch_id), job);
        return 0;
}

static int arm_tell(Job *job) {
        int r = sd_event_add_defer(job->manager->event, &job->tell, on_tell, job);

        /* Before the job runs and may end. */
        return r < 0 ? r : sd_event_source_set_priority(job->tell, SD_EVENT_PRIORITY_IMPORTANT);
}

void jobs_cancel(Manager *manager) {
        _cleanup_failure_ Failure failure = {};

        (void) failure_set(&failure, REFUSED_CANCELED,
                           "livepatchd is stopping before the job has ended. What it has begun in the kernel goes on; "
                           "'livepatchctl status' shows the state");
        for (size_t i = 0; i < manager->n_jobs; i++) {
                Job *job = manager->jobs[i];
                Reply queued = job->queued, finished = job->finished;

                job->queued = job->finished = (Reply) {};
                reply_call(&queued, &failure, NULL, NULL);
                reply_call(&finished, &failure, NULL, NULL);
        }
}

static int job_new(Manager *manager, const JobParameters *parameters, Job **ret) {
        _cleanup_(job_freep) Job *job = calloc(1, sizeof(Job));

        if (!job)
                return -ENOMEM;
        job->manager = manager;
        job->type = parameters->type;
        job->uid = parameters->uid;
        job->options = parameters->options;
        job->resumed = parameters->resumed;
        job->queued = parameters->queued;
        job->finished = parameters->finished;
        job->patch_id = strdup(strempty(parameters->patch_id));
        if (!job->patch_id || (job->queued.function && arm_tell(job) < 0))
                return -ENOMEM;
        *ret = TAKE_PTR(job);
        return 0;
}

int job_enqueue(Manager *manager, const JobParameters *parameters, Job **ret, Failure *f) {
        Patch *patch = isempty(parameters->patch_id) ? NULL : manager_patch_by_id(manager, parameters->patch_id);
        Job **grown, *job;
        int r = check_limits(manager, parameters, f);

        if (r != 0)
                return r;
        if (patch && patch->job)
                return failure_set(f, REFUSED_BUSY,
                                   "Another job (%s, id %u) works on '%s'. Nothing was changed. Wait for its end, or "
                                   "take it back with 'livepatchctl cancel %s'", job_type_to_string(patch->job->type),
                                   patch->job->id, patch->id, patch->id);
        grown = realloc(manager->jobs, (manager->n_jobs + 1) * sizeof(Job *));
        if (!grown)
                return failure_oom(f);
        manager->jobs = grown;
        if (job_new(manager, parameters, &job) < 0)
                return failure_oom(f);
        job->candidate = parameters->candidate;
        job->may_replace = job->candidate && job->candidate->info->replace != TRISTATE_NO;
        job->bytes = job->candidate ? module_image_size(job->candidate->image) : 0;
        job->id = ++manager->last_job_id;
        manager->jobs[manager->n_jobs++] = job;
        if (patch)
                patch->job = job;
        if (manager->observer)
                manager->observer->job_added(manager->observer_userdata, job);
        (void) schedule(manager);
        *ret = job;
        return 0;
}

int job_cancel(Job *job, Failure *f) {
        _cleanup_failure_ Failure failure = {};
        int r;

        switch (job->state) {
        case JOB_FINISHED:
                return failure_set(f, REFUSED_NO_SUCH_JOB, "Job %u has ended already, with the result '%s'", job->id,
                                   job_result_to_string(job->result));
        case JOB_QUEUED:
                (void) failure_set(&failure, REFUSED_CANCELED, "The job was canceled before it began. Nothing was "
                                   "changed");
                job_finish(job, JOB_RESULT_CANCELED, &failure);
                return 0;
        case JOB_RUNNING:
        case JOB_CANCELING:
                r = job->reapply  ? reapply_cancel(job->reapply, f) :
                    job->rollback ? rollback_cancel(job->rollback, f) :
                                    operation_cancel(job->operation, f);
                if (r == 0 && job->state == JOB_RUNNING) {
                        job->state = JOB_CANCELING;
                        job_changed(job);
                }
                return r;
        case _JOB_STATE_MAX:
        case _JOB_STATE_INVALID:
                break;
        }
        return failure_set(f, -EINVAL, "Job %u is in no known state", job->id);
}

Job *job_free(Job *job) {
        if (!job)
                return NULL;
        operation_free(job->operation);
        reapply_free(job->reapply);
        rollback_free(job->rollback);
        candidate_free(job->candidate);
        (void) sd_event_source_disable_unref(job->tell);
        (void) sd_event_source_disable_unref(job->retention);
        failure_done(&job->failure);
        free(job->patch_id);
        free(job);
        return NULL;
}
