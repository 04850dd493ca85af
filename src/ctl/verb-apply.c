/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl apply */

#include <inttypes.h>

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/action.h"
#include "ctl/module-file.h"
#include "ctl/patch-text.h"
#include "ctl/remote.h"
#include "ctl/verbs.h"

static int open_file(const char *argument, int *ret_fd, CtlError *e) {
        return argument_is_file(argument) ? input_file_open(argument, MODULE_FILE_MAX, ret_fd, e) : 0;
}

static int ask_for_file(const Action *a, char **ret_job, CtlError *e) {
        static const ClientCall call = {
                LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "Apply", .action = true, .append = action_append_options,
        };

        return client_call_for_string(a->client, &call, ret_job, e, "h", a->fd);
}

static int ask_for_name(Action *a, const char *name, char **ret_job, CtlError *e) {
        _cleanup_free_ char *path = NULL;
        ClientCall call = { .interface = LP_IFACE_PATCH, .member = "Apply", .action = true,
                            .append = action_append_options };
        int r = client_get_patch(a->client, name, &path, e);

        if (r != 0)
                return r;
        call.path = path;
        return client_call_for_string(a->client, &call, ret_job, e, NULL);
}

/* That it is applied is what was asked for: success, with livepatchd's own words. */
static bool is_applied_already(ActionResult *result) {
        CtlError *e = &result->error;

        if (refusal_from_dbus_name(e->name) != REFUSED_ALREADY_APPLIED)
                return false;
        action_succeed(result, "already-applied", STYLE_NORMAL, "%s", ctl_error_text(e));
        ctl_error_done(e);
        return true;
}

static void describe_unconfirmed(const json_t *patch, const char *name, ActionResult *result) {
        char left[FORMAT_DURATION_MAX];

        action_succeed(result, "done", STYLE_NOTICE,
                       "Patch '%s' is applied, and will be reverted in %s unless it is confirmed: livepatchctl "
                       "confirm %s", name, patch_time_left(patch, left, sizeof(left)), name);
}

static void describe_applied(Action *a, ActionResult *result) {
        _cleanup_ctl_error_ CtlError ignored = {};
        json_auto_t *patch = NULL;
        const char *name = strempty(result->patch), *status;

        if (client_get_patch_properties(a->client, name, &patch, &ignored) != 0) {
                action_succeed(result, "done", STYLE_GOOD, "Patch '%s' is applied.", name);
                return;
        }
        status = json_text(patch, "signature_status");
        if (!streq(status, "trusted"))
                output_warning(a->options,
                               "The signature of patch '%s' is not one that is trusted here (%s); the signature "
                               "policy of this system lets it pass.", name, status);
        if (json_flag(patch, "unconfirmed"))
                describe_unconfirmed(patch, name, result);
        else if (json_flag(patch, "reapply"))
                action_succeed(result, "done", STYLE_GOOD, "Patch '%s' is applied, and will be reapplied at boot.",
                               name);
        else
                action_succeed(result, "done", STYLE_GOOD,
                               "Patch '%s' is applied, for this boot only; 'livepatchctl enable %s' makes it last.",
                               name, name);
}

static void apply_one(Action *a, const char *argument, ActionResult *result) {
        _cleanup_free_ char *job = NULL;
        int r;

        if (a->fd >= 0)
                r = ask_for_file(a, &job, &result->error);
        else
                r = ask_for_name(a, argument, &job, &result->error);
        if (r != 0) {
                (void) is_applied_already(result);
                return;
        }
        if (action_wait(a, job, result))
                describe_applied(a, result);
}

/* The words go through the other machine's shell: nothing of what was typed is among them. */
static void print_stall_timeout(uint64_t usec, char *word, size_t size) {
        if (usec == USEC_INFINITY)
                (void) snprintf(word, size, "--stall-timeout=infinity");
        else
                (void) snprintf(word, size, "--stall-timeout=%" PRIu64 "us", usec);
}

static int apply_remote(const Options *o, char **files) {
        _cleanup_free_ char *confirm_within = NULL;
        char apply[] = "apply", runtime[] = "--runtime", no_block[] = "--no-block";
        char on_stall[sizeof("--on-stall=revert")], timeout[sizeof("--stall-timeout=18446744073709551615us")];
        char *words[7], **p = words;

        *p++ = apply;
        if (options_given(o, OPTION_RUNTIME))
                *p++ = runtime;
        if (options_given(o, OPTION_NO_BLOCK))
                *p++ = no_block;
        if (options_given(o, OPTION_CONFIRM_WITHIN)) {
                if (asprintf(&confirm_within, "--confirm-within=%" PRIu64 "us", o->confirm_within_usec) < 0) {
                        confirm_within = NULL;
                        output_error(o, "Out of memory");
                        return CTL_EXIT_FAILED;
                }
                *p++ = confirm_within;
        }
        if (options_given(o, OPTION_STALL_TIMEOUT)) {
                print_stall_timeout(o->stall_timeout_usec, timeout, sizeof(timeout));
                *p++ = timeout;
        }
        if (options_given(o, OPTION_ON_STALL)) {
                (void) snprintf(on_stall, sizeof(on_stall), "--on-stall=%s", o->on_stall);
                *p++ = on_stall;
        }
        *p = NULL;
        return remote_run_with_file(o, words, files);
}

static int run_apply(const Options *o, char **arguments) {
        for (char **i = arguments; o->host && *i; i++)
                if (argument_is_file(*i))
                        return apply_remote(o, arguments);
        return action_run_with_files(o, "apply", arguments, open_file, apply_one);
}

const Verb verb_apply = {
        .name = "apply",
        .arguments = "FILE|NAME|-...",
        .summary = "Apply patches to the running kernel, and at every boot",
        .description =
                "An argument with a '/', one that ends in .ko, .ko.gz, .ko.xz or .ko.zst, and the\n"
                "name of an existing file are files; '-' is standard input; anything else is the\n"
                "name of a patch that is known already ('livepatchctl list').\n\n"
                "Waits until every task runs the patched code. ^C stops the waiting only.\n"
                "A patch that is applied already is no failure.\n\n"
                "With --confirm-within= it is reverted by itself, unless 'confirm' comes in time.\n",
        .min_arguments = 1,
        .max_arguments = VERB_ANY_NUMBER,
        .options = OPTION_RUNTIME | OPTION_NO_BLOCK | OPTION_CONFIRM_WITHIN | OPTION_STALL_TIMEOUT | OPTION_ON_STALL,
        .run = run_apply,
};
