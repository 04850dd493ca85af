/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl stage */

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/action.h"
#include "ctl/module-file.h"
#include "ctl/remote.h"
#include "ctl/verbs.h"

/* The patch's name rather than its object's path; the path if livepatchd does not tell. */
static void describe_staged(Action *a, const char *path, ActionResult *result) {
        _cleanup_ctl_error_ CtlError ignored = {};
        json_auto_t *patch = NULL;
        const char *name = path;

        if (client_get_properties(a->client, path, LP_IFACE_PATCH, &patch, &ignored) == 0) {
                name = json_text(patch, "name");
                result->patch = strdup(name);
        }
        if (streq(json_text(patch, "state"), "quarantined"))
                action_succeed(result, "done", STYLE_NOTICE,
                               "Patch '%s' for kernel %s is staged, but this build is quarantined: it is not loaded "
                               "until 'livepatchctl unquarantine %s'.", name, json_text(patch, "kernel_release"), name);
        else if (json_flag(patch, "reapply"))
                action_succeed(result, "done", STYLE_GOOD,
                               "Patch '%s' for kernel %s is staged, and will be applied at boot.", name,
                               json_text(patch, "kernel_release"));
        else
                action_succeed(result, "done", STYLE_GOOD, "Patch '%s' is staged; 'livepatchctl apply %s' applies it.",
                               name, name);
}

static int open_file(const char *argument, int *ret_fd, CtlError *e) {
        return input_file_open(argument, MODULE_FILE_MAX, ret_fd, e);
}

static void stage_one(Action *a, const char *argument _unused_, ActionResult *result) {
        static const ClientCall call = { LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "Stage", .action = true };
        _cleanup_free_ char *path = NULL;

        if (client_call_for_string(a->client, &call, &path, &result->error, "ha{sv}", a->fd, 1, "reapply", "b",
                                   options_given(a->options, OPTION_REAPPLY)) == 0)
                describe_staged(a, path, result);
}

static int run_stage(const Options *o, char **arguments) {
        char stage[] = "stage", reapply[] = "--reapply";
        char *words[] = { stage, options_given(o, OPTION_REAPPLY) ? reapply : NULL, NULL };

        if (o->host)
                return remote_run_with_file(o, words, arguments);
        return action_run_with_files(o, "stage", arguments, open_file, stage_one);
}

const Verb verb_stage = {
        .name = "stage",
        .arguments = "FILE|-...",
        .summary = "Verify and keep patches without applying them",
        .description =
                "A staged patch can be applied by its name. It may be one for another installed\n"
                "kernel: with --reapply it is applied as soon as that kernel is booted.\n",
        .min_arguments = 1,
        .max_arguments = VERB_ANY_NUMBER,
        .options = OPTION_REAPPLY,
        .run = run_stage,
};
