/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl unquarantine */

#include "common/names.h"
#include "ctl/action.h"
#include "ctl/verbs.h"

static void unquarantine_one(Action *a, const char *name, ActionResult *result) {
        ClientCall call = { .interface = LP_IFACE_PATCH, .member = "ClearQuarantine", .action = true };
        _cleanup_free_ char *path = NULL;

        if (client_get_patch(a->client, name, &path, &result->error) != 0)
                return;
        call.path = path;
        if (client_call(a->client, &call, NULL, &result->error, NULL) == 0)
                action_succeed(result, "done", STYLE_GOOD,
                               "Patch '%s' is not quarantined any more; it was not applied. 'livepatchctl apply' tries "
                               "it now, and the next boot does if it is to be reapplied.", name);
}

static int run_unquarantine(const Options *o, char **arguments) {
        return action_run(o, "unquarantine", arguments, unquarantine_one);
}

const Verb verb_unquarantine = {
        .name = "unquarantine",
        .arguments = "NAME...",
        .summary = "Let patches be tried again that went down with the system",
        .description = "Changes nothing in the running kernel: 'apply' does.\n",
        .min_arguments = 1,
        .max_arguments = VERB_ANY_NUMBER,
        .run = run_unquarantine,
};
