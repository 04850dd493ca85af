/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl revert */

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/action.h"
#include "ctl/verbs.h"

/* Switched off by force, it stays loaded: its functions are not in use, but that is not all that was asked for. */
static bool is_left_loaded(Action *a, const char *name) {
        _cleanup_ctl_error_ CtlError ignored = {};
        json_auto_t *patch = NULL;

        return client_get_patch_properties(a->client, name, &patch, &ignored) == 0 &&
               streq(json_text(patch, "state"), "disabled");
}

static void describe_reverted(Action *a, const char *name, ActionResult *result) {
        if (is_left_loaded(a, name))
                output_warning(a->options,
                               "The kernel keeps the module of patch '%s', as its transition was forced or something "
                               "else uses it; no build of '%s' can be applied before the next reboot.", name, name);
        if (options_given(a->options, OPTION_RUNTIME))
                action_succeed(result, "done", STYLE_GOOD,
                               "Patch '%s' is reverted; what happens at the next boot has not changed.", name);
        else
                action_succeed(result, "done", STYLE_GOOD,
                               "Patch '%s' is reverted, and will not be reapplied at boot; it stays staged.", name);
}

static void revert_one(Action *a, const char *name, ActionResult *result) {
        ClientCall call = { .interface = LP_IFACE_PATCH, .member = "Revert", .action = true,
                            .append = action_append_options };
        _cleanup_free_ char *path = NULL, *job = NULL;

        if (client_get_patch(a->client, name, &path, &result->error) != 0)
                return;
        call.path = path;
        if (client_call_for_string(a->client, &call, &job, &result->error, NULL) != 0) {
                /* That it is not applied is what was asked for. */
                if (refusal_from_dbus_name(result->error.name) == REFUSED_NOT_APPLIED) {
                        action_succeed(result, "not-applied", STYLE_NORMAL, "%s", ctl_error_text(&result->error));
                        ctl_error_done(&result->error);
                }
                return;
        }
        if (action_wait(a, job, result))
                describe_reverted(a, isempty(result->patch) ? name : result->patch, result);
}

static int run_revert(const Options *o, char **arguments) {
        return action_run(o, "revert", arguments, revert_one);
}

const Verb verb_revert = {
        .name = "revert",
        .arguments = "NAME...",
        .summary = "Take patches out of the running kernel, and of the next boot",
        .description =
                "The kernel goes back to its own code and the module is unloaded. The file stays\n"
                "staged: 'livepatchctl apply NAME' applies it again. A patch that is not applied\n"
                "is no failure.\n",
        .min_arguments = 1,
        .max_arguments = VERB_ANY_NUMBER,
        .options = OPTION_RUNTIME | OPTION_NO_BLOCK | OPTION_STALL_TIMEOUT | OPTION_ON_STALL,
        .run = run_revert,
};
