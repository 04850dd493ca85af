/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One line on the terminal that tells how far a job is. */

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/string-util.h"
#include "common/types.h"
#include "ctl/json-util.h"
#include "ctl/progress.h"
#include "ctl/terminal.h"

#define CLEAR_LINE "\r\033[K"

static uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

static const char *activity(const json_t *job) {
        JobState state = job_state_from_string(json_text(job, "state"));

        if (state == JOB_QUEUED)
                return "waiting for its turn";
        if (state == JOB_CANCELING)
                return "being canceled";
        switch (job_type_from_string(json_text(job, "type"))) {
        case JOB_APPLY:
                return "applying";
        case JOB_REVERT:
                return "reverting";
        case JOB_REMOVE:
                return "removing";
        case JOB_REAPPLY:
                return "reapplying";
        case JOB_ROLLBACK:
                return "rolling back";
        case _JOB_TYPE_MAX:
        case _JOB_TYPE_INVALID:
        default:
                return "running";
        }
}

char *progress_describe(const json_t *job) {
        const char *patch = json_text(job, "patch"), *subject = isempty(patch) ? "patches" : patch;
        uint64_t total = json_number(job, "tasks_total"), pending = json_number(job, "tasks_pending");
        const char *blockers = json_text(job, "waiting_for");
        char *text;
        int r;

        if (total > 0)
                r = asprintf(&text, "%s: %s, %" PRIu64 " of %" PRIu64 " tasks switched%s%s%s", subject, activity(job),
                             total - MIN(pending, total), total, json_flag(job, "stalled") ? ", stalled" : "",
                             isempty(blockers) ? "" : ", waiting for ", blockers);
        else
                r = asprintf(&text, "%s: %s", subject, activity(job));
        return r < 0 ? NULL : text;
}

char *progress_text(const json_t *job, uint64_t elapsed_usec) {
        _cleanup_free_ char *description = progress_describe(job);
        char *text;

        if (!description || asprintf(&text, "%s, %" PRIu64 " s", description, elapsed_usec / USEC_PER_SEC) < 0)
                return NULL;
        return text;
}

void progress_begin(Progress *p, const Options *o) {
        *p = (Progress) {
                .enabled = isatty(STDERR_FILENO) && !o->quiet && o->json == JSON_MODE_OFF,
                .begun_usec = now_usec(),
        };
}

uint64_t progress_elapsed_usec(const Progress *p) {
        return now_usec() - p->begun_usec;
}

void progress_draw(Progress *p, const json_t *job) {
        _cleanup_free_ char *text = NULL;
        unsigned columns, rows;

        if (!p->enabled || !terminal_size(STDERR_FILENO, &columns, &rows))
                return;
        text = progress_text(job, progress_elapsed_usec(p));
        if (!text)
                return;
        /* One column stays free: a full line would wrap, and could not be cleared. */
        (void) fprintf(stderr, CLEAR_LINE "%.*s", (int) text_cut(text, columns - 1), text);
        (void) fflush(stderr);
        p->drawn = true;
}

void progress_end(Progress *p) {
        if (!p->drawn)
                return;
        (void) fputs(CLEAR_LINE, stderr);
        (void) fflush(stderr);
        p->drawn = false;
}
