/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl remove */

#include "common/names.h"
#include "ctl/action.h"
#include "ctl/verbs.h"

static void remove_one(Action *a, const char *name, ActionResult *result) {
        ClientCall call = { .interface = LP_IFACE_PATCH, .member = "Remove", .action = true };
        _cleanup_free_ char *path = NULL;

        if (client_get_patch(a->client, name, &path, &result->error) != 0)
                return;
        call.path = path;
        /* The reply comes when everything is done, a transition included. */
        if (client_call(a->client, &call, NULL, &result->error, "a{sv}", 0) == 0)
                action_succeed(result, "done", STYLE_GOOD,
                               "Patch '%s' is removed: it is not applied, and its file is gone.", name);
}

static int run_remove(const Options *o, char **arguments) {
        return action_run(o, "remove", arguments, remove_one);
}

const Verb verb_remove = {
        .name = "remove",
        .arguments = "NAME...",
        .summary = "Take patches out of the running kernel and forget them",
        .description = "Like 'revert', and the file that livepatchd keeps is deleted as well.\n",
        .min_arguments = 1,
        .max_arguments = VERB_ANY_NUMBER,
        .run = run_remove,
};
