/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the verbs that change something share: every argument is tried, each has a result, the first failure gives the
 * exit code. */

#include <signal.h>
#include <string.h>

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/action.h"

static void action_result_done(ActionResult *r) {
        free(r->patch);
        free(r->job);
        free(r->result);
        free(r->message);
        ctl_error_done(&r->error);
}

void action_succeed(ActionResult *ret, const char *result, Style style, const char *format, ...) {
        va_list ap;

        free(ret->message);
        va_start(ap, format);
        if (vasprintf(&ret->message, format, ap) < 0)
                ret->message = NULL;
        va_end(ap);
        ret->style = style;
        if (free_and_strdup(&ret->result, result) < 0)
                ctl_error_oom(&ret->error);
}

int action_append_options(sd_bus_message *m, const Options *o) {
        int r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{sv}");

        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}", "runtime", "b", options_given(o, OPTION_RUNTIME));
        if (r >= 0 && options_given(o, OPTION_CONFIRM_WITHIN))
                r = sd_bus_message_append(m, "{sv}", "confirm-within", "t", o->confirm_within_usec);
        if (r >= 0 && options_given(o, OPTION_STALL_TIMEOUT))
                r = sd_bus_message_append(m, "{sv}", "stall-timeout", "t", o->stall_timeout_usec);
        if (r >= 0 && options_given(o, OPTION_ON_STALL))
                r = sd_bus_message_append(m, "{sv}", "on-stall", "s", o->on_stall);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* ^C stops the waiting, not the job; then this process ends as one does that is interrupted. */
static void stop_waiting(const Action *a, const char *job, const char *patch) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (isempty(patch))
                r = asprintf(&text, "No longer waiting; the job goes on. 'livepatchctl status' shows it; 'busctl call "
                             LP_BUS_NAME " %s " LP_IFACE_JOB " Cancel' cancels it", job);
        else
                r = asprintf(&text, "No longer waiting; the job goes on. 'livepatchctl status' shows it; 'livepatchctl "
                             "cancel %s' takes it back", patch);
        if (r < 0)
                text = NULL;
        output_error(a->options, text ?: "No longer waiting; the job goes on");
        (void) signal(SIGINT, SIG_DFL);
        (void) raise(SIGINT);
}

bool action_wait(Action *a, const char *job, ActionResult *ret) {
        _cleanup_job_outcome_ JobOutcome outcome = {};
        int r;

        if (free_and_strdup(&ret->job, job) < 0) {
                ctl_error_oom(&ret->error);
                return false;
        }
        if (options_given(a->options, OPTION_NO_BLOCK)) {
                action_succeed(ret, "queued", STYLE_NORMAL, "The job was accepted; 'livepatchctl status' shows it.");
                return false;
        }
        r = client_job_wait(a->client, job, &outcome, &ret->error);
        if (outcome.interrupted)
                stop_waiting(a, job, outcome.patch);
        if (outcome.patch)
                (void) free_and_strdup(&ret->patch, outcome.patch);
        if (r != 0)
                (void) free_and_strdup(&ret->result, outcome.result ?: "failed");
        return r == 0;
}

static json_t *result_to_json(const Action *a, const char *argument, const ActionResult *r) {
        return json_pack("{s:s, s:s*, s:s?, s:s?, s:s, s:s?, s:o}", "operation", a->operation, "argument", argument,
                         "patch", isempty(r->patch) ? NULL : r->patch, "job", r->job, "result", r->result ?: "failed",
                         "text", r->error.exit_code == 0 ? r->message : NULL, "error",
                         r->error.exit_code == 0 ? json_null() : json_error_object(&r->error));
}

static void record(Action *a, const char *argument, ActionResult *r) {
        if (r->error.exit_code != 0) {
                output_error(a->options, ctl_error_text(&r->error));
                a->exit_code = a->exit_code ?: r->error.exit_code;
        } else
                output_message(a->options, r->style, "%s", strempty(r->message));
        if (a->results)
                (void) json_array_append_new(a->results, result_to_json(a, argument, r));
}

static int connect(Action *a) {
        _cleanup_ctl_error_ CtlError e = {};
        int r = client_new(a->options, &a->client, &e);

        if (r == 0)
                r = client_job_subscribe(a->client, &e);
        return r == 0 ? 0 : output_failure(a->options, &e);
}

/* The exit code if there is no livepatchd to ask for anything. */
static int try_argument(Action *a, ActionOpen open, ActionStep step, const char *argument) {
        _cleanup_(action_result_done) ActionResult result = {};
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!open || open(argument, &fd, &result.error) == 0) {
                r = a->client ? 0 : connect(a);
                if (r != 0)
                        return r;
                a->fd = fd;
                step(a, argument, &result);
        }
        record(a, argument, &result);
        return 0;
}

static int try_arguments(Action *a, char *const *arguments, ActionOpen open, ActionStep step) {
        int r = 0;

        if (!*arguments)
                return try_argument(a, open, step, NULL);
        for (char *const *i = arguments; r == 0 && *i; i++)
                r = try_argument(a, open, step, *i);
        return r;
}

static int run(Action *a, char *const *arguments, ActionOpen open, ActionStep step) {
        json_auto_t *results = a->options->json != JSON_MODE_OFF ? json_array() : NULL;
        int r;

        a->results = results;
        r = try_arguments(a, arguments, open, step);
        client_free(a->client);
        if (r != 0)
                return r;
        if (results) {
                r = output_json(a->options, json_document("results", TAKE_PTR(results)));
                a->exit_code = a->exit_code ?: r;
        }
        return a->exit_code;
}

int action_run_with_files(const Options *o, const char *operation, char *const *arguments, ActionOpen open,
                          ActionStep step) {
        Action a = { .options = o, .operation = operation, .fd = -EBADF };

        return run(&a, arguments, open, step);
}

int action_run_with_file(const Options *o, const char *operation, char *const *arguments, const char *file,
                         ActionStep step) {
        Action a = { .options = o, .operation = operation, .fd = -EBADF, .file = file };

        return run(&a, arguments, NULL, step);
}

int action_run(const Options *o, const char *operation, char *const *arguments, ActionStep step) {
        return action_run_with_files(o, operation, arguments, NULL, step);
}
