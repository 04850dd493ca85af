/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What settles and is not healthy is taken out of use: the kernel's reports, quarantine, and the revert. */

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/health-internal.h"
#include "daemon/job-internal.h"
#include "daemon/reapply.h"
#include "daemon/rollback.h"
#include "kmod/kernel-log.h"

/* ---- Taking it out ----------------------------------------------------------------------------------------- */

/* The verdict on a former build stands again when the one that came after it has gone, if only its module has not. */
static bool is_another_build(const GuardRecord *guard, const KernelModule *module) {
        return guard->build_id && module->build_id && !streq(guard->build_id, module->build_id);
}

/* Ours, as its note of this boot says: what somebody else loads in spite of the quarantine is left to them. */
bool manager_is_condemned(const Manager *manager, const Patch *patch) {
        return patch->guard && patch->guard->phase == GUARD_QUARANTINED && !patch->revert_tried &&
               !is_another_build(patch->guard, &patch->module) &&
               streq(patch->guard->boot_id, manager->kernel->boot_id) && patch->module.present && patch->runtime &&
               (patch->runtime->applied_at != 0 || patch->runtime->pending);
}

void manager_condemn(Manager *manager, Patch *patch, const char *reason) {
        if (free_and_strdup(&patch->guard->reason, reason) < 0)
                return;
        log_event(LOG_ERR, LP_MESSAGE_UNHEALTHY,
                  ((LogField[]){ { LP_FIELD_PATCH, patch->name },
                                 { LP_FIELD_OPERATION, "settle" },
                                 { LP_FIELD_KERNEL, patch->kernel_release },
                                 { LP_FIELD_SHA256, patch->guard->sha256 },
                                 {} }),
                  "%s. It is quarantined, and is being reverted. To let it try again: livepatchctl unquarantine %s",
                  reason, patch->name);
        manager_submit_guard_step(manager, patch, GUARD_STEP_QUARANTINE, reason);
        /* At once, whenever it gets to the disk: it must not settle meanwhile. */
        patch->guard->phase = GUARD_QUARANTINED;
        patch->health = health_check_free(patch->health);
        manager_notify_patch(manager, patch, PATCH_CHANGED_STATE);
        manager_schedule_guard(manager);
}

static void queue_revert(Manager *manager, Patch *patch, JobType type);

static void on_taken_out(void *userdata, const Failure *failure, const Patch *patch, const Job *job) {
        Manager *manager = userdata;

        /* Even without anything in its place. */
        if (failure && job && job->type == JOB_ROLLBACK && patch && patch->klp && !manager->stopping)
                return queue_revert(manager, manager_patch_by_id(manager, patch->id), JOB_REVERT);
        if (failure && !manager->stopping)
                (void) manager_add_problem(manager, "'%s' is not healthy and could not be reverted: %s",
                                           patch ? patch->name : "a patch", failure_text(failure));
}

static void queue_revert(Manager *manager, Patch *patch, JobType type) {
        JobParameters parameters = {
                .type = type,
                .patch_id = patch->id,
                /* Whether it is reapplied stays as it is, and counts when the quarantine is lifted. */
                .options = { .runtime = true, .on_stall_given = true, .on_stall = ON_STALL_WAIT },
                .resumed = true, /* nobody's request: nobody's limit */
                .finished = { on_taken_out, manager },
        };
        _cleanup_failure_ Failure failure = {};
        Job *job;

        patch->revert_tried = true;
        if (job_enqueue(manager, &parameters, &job, &failure) == 0)
                return;
        log_error("Failed to revert '%s', which is not healthy: %s", patch->id, failure_text(&failure));
        on_taken_out(manager, &failure, patch, NULL);
}

void manager_take_out(Manager *manager, Patch *patch) {
        _cleanup_failure_ Failure failure = {};
        Job *job = patch->job;

        if (!job)
                return queue_revert(manager, patch,
                                    rollback_check(manager, patch, NULL) == 0 ? JOB_ROLLBACK : JOB_REVERT);
        /* What is past the point of return ends by itself, and is reverted then. */
        if (job->type == JOB_REAPPLY && job->reapply)
                reapply_cancel_current(job->reapply);
        else if (job->type == JOB_APPLY && job->state == JOB_RUNNING)
                (void) job_cancel(job, &failure);
}

/* ---- The kernel's reports ---------------------------------------------------------------------------------- */

static void blame(Manager *manager, Patch *patch, const char *line) {
        _cleanup_free_ char *reason = NULL;

        if (asprintf(&reason, "The kernel reported a fault in '%s' before it had settled: %s", patch->name,
                     line + strspn(line, " ")) < 0) {
                reason = NULL;
                return;
        }
        manager_condemn(manager, patch, reason);
}

void manager_feed_health(Manager *manager, const char *line) {
        GuardLogName name;
        Patch *patch;

        if (guard_log_feed(&manager->guard_log, line, &name) != GUARD_LOG_BLAMED)
                return;
        patch = manager_patch_by_id(manager, name.name);
        if (patch && manager_patch_is_settling(manager, patch))
                blame(manager, patch, line);
}

typedef struct Report {
        GuardLogName name;
        char *line;
} Report;

static int note_report(Report **reports, size_t *n, const GuardLogName *name, const char *line) {
        Report *grown;

        for (size_t i = 0; i < *n; i++)
                if (streq((*reports)[i].name.name, name->name))
                        return 0;
        grown = realloc(*reports, (*n + 1) * sizeof(Report));
        if (!grown)
                return -ENOMEM;
        *reports = grown;
        grown[*n] = (Report) { .name = *name, .line = strdup(line) };
        if (!grown[*n].line)
                return -ENOMEM;
        (*n)++;
        return 0;
}

static void drop_report(Report *reports, size_t *n, const GuardLogName *name) {
        for (size_t i = 0; i < *n; i++)
                if (streq(reports[i].name.name, name->name)) {
                        free(reports[i].line);
                        reports[i] = reports[--*n];
                        return;
                }
}

static void collect_reports(int fd, Report **reports, size_t *n) {
        KernelLogLine line = {};
        GuardLog log = {};

        while (kernel_log_read(fd, &line, NULL) > 0) {
                GuardLogName name;
                GuardLogEvent event = guard_log_feed(&log, line.text, &name);
                int r = 0;

                if (event == GUARD_LOG_LOADED)
                        drop_report(*reports, n, &name);
                else if (event == GUARD_LOG_BLAMED)
                        r = note_report(reports, n, &name, line.text);
                kernel_log_line_done(&line);
                if (r < 0)
                        return;
        }
}

void manager_review_kernel_log(Manager *manager) {
        _cleanup_close_ int fd = -EBADF;
        Report *reports = NULL;
        size_t n = 0;

        if (!manager_is_settling(manager))
                return;
        fd = kernel_log_open_at_start(manager->root_fd);
        if (fd < 0) {
                (void) log_debug_errno(fd, "Cannot read the kernel's log of before, ignoring: %m");
                return;
        }
        collect_reports(fd, &reports, &n);
        for (size_t i = 0; i < n; i++) {
                Patch *patch = manager_patch_by_id(manager, reports[i].name.name);

                if (patch && manager_patch_is_settling(manager, patch))
                        blame(manager, patch, reports[i].line);
                free(reports[i].line);
        }
        free(reports);
}
