/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl rollback */

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/action.h"
#include "ctl/json-util.h"
#include "ctl/verbs.h"

static void describe_rolled_back(Action *a, const char *name, ActionResult *result) {
        if (options_given(a->options, OPTION_RUNTIME))
                action_succeed(result, "done", STYLE_GOOD,
                               "Patch '%s' is rolled back; what happens at the next boot has not changed.", name);
        else
                action_succeed(result, "done", STYLE_GOOD,
                               "Patch '%s' is rolled back: what it had superseded is applied again, now and at boot; "
                               "it stays staged.", name);
}

static bool can_be_rolled_back(const json_t *patch) {
        return streq(json_text(patch, "state"), "applied") &&
               json_array_size(json_object_get(patch, "supersedes")) > 0;
}

/* The one that has superseded others and is applied: there is one, where nobody interferes. */
static int find_present(Action *a, char **ret, CtlError *e) {
        json_auto_t *patches = NULL;
        const json_t *patch;
        const char *found = NULL;
        size_t i;
        int r = client_list_patches(a->client, &patches, e);

        if (r != 0)
                return r;
        json_array_foreach(patches, i, patch) {
                if (!can_be_rolled_back(patch))
                        continue;
                if (found)
                        return ctl_error_set(e, REFUSED_CONFLICT,
                                             "Both '%s' and '%s' can be rolled back. Say which one.", found,
                                             json_text(patch, "name"));
                found = json_text(patch, "name");
        }
        if (!found)
                return ctl_error_set(e, REFUSED_CONFLICT,
                                     "No patch is applied that has superseded others, so that there is no level to "
                                     "return to. 'livepatchctl revert NAME' takes a patch out of the kernel.");
        *ret = strdup(found);
        return *ret ? 0 : ctl_error_oom(e);
}

static void rollback_one(Action *a, const char *argument, ActionResult *result) {
        ClientCall call = { .interface = LP_IFACE_PATCH, .member = "Rollback", .action = true };
        _cleanup_free_ char *name = argument ? strdup(argument) : NULL, *path = NULL, *job = NULL;

        if (!argument && find_present(a, &name, &result->error) != 0)
                return;
        if (!name) {
                ctl_error_oom(&result->error);
                return;
        }
        if (client_get_patch(a->client, name, &path, &result->error) != 0)
                return;
        call.path = path;
        if (client_call_for_string(a->client, &call, &job, &result->error, "a{sv}", 1, "runtime", "b",
                                   options_given(a->options, OPTION_RUNTIME)) != 0)
                return;
        if (action_wait(a, job, result))
                describe_rolled_back(a, isempty(result->patch) ? name : result->patch, result);
}

static int run_rollback(const Options *o, char **arguments) {
        return action_run(o, "rollback", arguments, rollback_one);
}

const Verb verb_rollback = {
        .name = "rollback",
        .arguments = "[NAME]",
        .summary = "Return to what a cumulative patch has superseded",
        .description =
                "The patches that NAME took the place of are applied again, and only then NAME is\n"
                "taken out: at no time are the functions unpatched. If that fails, NAME stays\n"
                "applied. Without NAME it is the cumulative patch that is applied. It can be done\n"
                "again, level by level.\n",
        .max_arguments = 1,
        .options = OPTION_RUNTIME | OPTION_NO_BLOCK,
        .run = run_rollback,
};
