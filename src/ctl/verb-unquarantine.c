/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl unquarantine */

#include <inttypes.h>

#include "common/names.h"
#include "ctl/action.h"
#include "ctl/verbs.h"

/* 0 when livepatchd does not tell: then nothing is said of it. */
static uint64_t count_builds(Action *a, const char *path) {
        _cleanup_ctl_error_ CtlError ignored = {};
        json_auto_t *patch = NULL;

        if (client_get_properties(a->client, path, LP_IFACE_PATCH, &patch, &ignored) != 0)
                return 0;
        return json_number(patch, "quarantined_builds");
}

static void unquarantine_one(Action *a, const char *name, ActionResult *result) {
        ClientCall call = { .interface = LP_IFACE_PATCH, .member = "ClearQuarantine", .action = true };
        _cleanup_free_ char *path = NULL;
        uint64_t builds;

        if (client_get_patch(a->client, name, &path, &result->error) != 0)
                return;
        builds = count_builds(a, path);
        call.path = path;
        if (client_call(a->client, &call, NULL, &result->error, NULL) != 0)
                return;
        if (builds > 1)
                action_succeed(result, "done", STYLE_GOOD,
                               "No build of patch '%s' is quarantined any more; %" PRIu64 " were. Nothing was applied. "
                               "'livepatchctl apply' tries one now, and the next boot does if it is to be reapplied.",
                               name, builds);
        else
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
        .description = "Every build of the name that is quarantined may be tried again. Changes nothing in\n"
                       "the running kernel: 'apply' does.\n",
        .min_arguments = 1,
        .max_arguments = VERB_ANY_NUMBER,
        .run = run_unquarantine,
};
