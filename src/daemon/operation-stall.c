/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is done about a transition that takes too long: as the job's options say, else as configured. */

#include <time.h>

#include "common/log.h"
#include "common/names.h"
#include "daemon/job-internal.h"
#include "daemon/operation-internal.h"

uint64_t operation_stall_timeout(const Operation *operation) {
        return operation->options.stall_timeout_usec ?: operation->manager->config->stall_timeout_usec;
}

bool operation_reverts_stall(const Operation *operation) {
        const Manager *manager = operation->manager;
        OnStall on_stall = operation->options.on_stall_given ? operation->options.on_stall : manager->config->on_stall;

        /* At boot a stalled patch is left to finish in the background. What is being taken back already cannot be
         * taken back again. */
        return on_stall == ON_STALL_REVERT && !operation->cancel_wanted && !manager->reapplying_at_boot;
}

static void log_stalled(const Operation *operation, bool revert) {
        _cleanup_free_ char *pending = NULL;

        if (asprintf(&pending, "%u", job_tasks_pending(operation->job)) < 0)
                pending = NULL;
        log_event(LOG_WARNING, LP_MESSAGE_STALLED,
                  ((LogField[]){ { LP_FIELD_PATCH, operation->name },
                                 { LP_FIELD_OPERATION, job_type_to_string(operation->type) },
                                 { LP_FIELD_KERNEL, operation->release },
                                 {} }),
                  "The transition of '%s' has stalled: %s tasks have not switched; %s", operation->name,
                  pending ?: "some", revert ? "reversing it" : "it goes on in the background");
}

void operation_stalled(void *userdata) {
        Operation *operation = userdata;
        bool revert = operation_reverts_stall(operation);

        log_stalled(operation, revert);
        if (!revert) {
                job_set_stalled(operation->job, true);
                return;
        }
        operation->cancel_wanted = true;
        operation->cancel_result = JOB_RESULT_STALLED;
        operation_reverse(operation);
}

static void log_foreign_stall(const Operation *operation, const char *owner, bool give_up) {
        log_event(LOG_WARNING, LP_MESSAGE_STALLED,
                  ((LogField[]){ { LP_FIELD_PATCH, owner },
                                 { LP_FIELD_OPERATION, job_type_to_string(operation->type) },
                                 { LP_FIELD_KERNEL, operation->release },
                                 {} }),
                  "The transition of '%s', which something other than livepatchd began, has stalled; the %s of '%s' %s",
                  owner, job_type_to_string(operation->type), operation->name,
                  give_up ? "is given up" : "waits for its end");
}

bool operation_gives_up_on(Operation *operation, const char *owner) {
        _cleanup_failure_ Failure failure = {};
        bool give_up = operation_reverts_stall(operation);
        uint64_t now;

        if (sd_event_now(operation->manager->event, CLOCK_MONOTONIC, &now) < 0)
                return false;
        if (operation->foreign_since_usec == 0)
                operation->foreign_since_usec = now;
        if (job_is_stalled(operation->job) || now - operation->foreign_since_usec < operation_stall_timeout(operation))
                return false;
        log_foreign_stall(operation, owner, give_up);
        if (!give_up) {
                job_set_stalled(operation->job, true);
                return false;
        }
        (void) failure_set(&failure, REFUSED_STALLED,
                           "The transition of '%s', which something other than livepatchd began, has stalled, and the "
                           "kernel runs one at a time. Nothing was changed. 'livepatchctl blockers %s' shows what it "
                           "waits for; try again when it has ended", owner, owner);
        operation_end(operation, JOB_RESULT_STALLED, &failure);
        return true;
}
