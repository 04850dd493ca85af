/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl cancel */

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/action.h"
#include "ctl/verbs.h"

/* The path of the job that works, or waits to work, on the patch. */
static int find_job(Action *a, const char *name, char **ret, CtlError *e) {
        json_auto_t *jobs = NULL;
        const json_t *job;
        size_t i;
        int r = client_list_jobs(a->client, &jobs, e);

        if (r != 0)
                return r;
        json_array_foreach(jobs, i, job)
                if (streq(json_text(job, "patch"), name))
                        return free_and_strdup(ret, json_text(job, "path")) < 0 ? ctl_error_oom(e) : 0;
        return ctl_error_set(e, REFUSED_NO_SUCH_JOB,
                             "livepatchd has no job for patch '%s'. Nothing was changed. 'livepatchctl status' shows "
                             "what it is working on.", name);
}

/* "canceled" is what was asked for. A job that came to another end was too far already. */
static void wait_for_end(Action *a, const char *job, const char *name, ActionResult *result) {
        if (action_wait(a, job, result))
                action_succeed(result, "done", STYLE_NOTICE,
                               "The job of patch '%s' was done before it could be canceled.", name);
        else if (streq_ptr(result->result, "canceled")) {
                ctl_error_done(&result->error);
                action_succeed(result, "canceled", STYLE_GOOD,
                               "The job of patch '%s' is canceled, and what it had begun is taken back.", name);
        }
}

static void cancel_one(Action *a, const char *argument, ActionResult *result) {
        ClientCall call = { .interface = LP_IFACE_JOB, .member = "Cancel", .action = true };
        _cleanup_free_ char *job = NULL;
        json_auto_t *patch = NULL;
        const char *name;

        if (client_get_patch_properties(a->client, argument, &patch, &result->error) != 0)
                return;
        name = json_text(patch, "name");
        if (free_and_strdup(&result->patch, name) < 0) {
                ctl_error_oom(&result->error);
                return;
        }
        if (find_job(a, name, &job, &result->error) != 0)
                return;
        call.path = job;
        if (client_call(a->client, &call, NULL, &result->error, NULL) != 0)
                return;
        if (options_given(a->options, OPTION_NO_BLOCK))
                action_succeed(result, "canceling", STYLE_NORMAL,
                               "The job of patch '%s' is being canceled; 'livepatchctl status' shows it.", name);
        else
                wait_for_end(a, job, name, result);
}

static int run_cancel(const Options *o, char **arguments) {
        return action_run(o, "cancel", arguments, cancel_one);
}

const Verb verb_cancel = {
        .name = "cancel",
        .arguments = "NAME...",
        .summary = "Take back what livepatchd is doing, or about to do, with patches",
        .description =
                "A job that waits for its turn is taken off the queue. A transition that runs is\n"
                "reversed: a patch that was being applied is taken out again, one that was being\n"
                "reverted stays applied.\n",
        .min_arguments = 1,
        .max_arguments = VERB_ANY_NUMBER,
        .options = OPTION_NO_BLOCK,
        .run = run_cancel,
};
