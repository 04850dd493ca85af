/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl enable, livepatchctl disable */

#include "common/names.h"
#include "ctl/action.h"
#include "ctl/verbs.h"

static bool set_reapply(Action *a, const char *name, bool reapply, ActionResult *result) {
        ClientCall call = { .interface = LP_IFACE_PATCH, .member = "SetReapply", .action = true };
        _cleanup_free_ char *path = NULL;

        if (client_get_patch(a->client, name, &path, &result->error) != 0)
                return false;
        call.path = path;
        return client_call(a->client, &call, NULL, &result->error, "b", reapply) == 0;
}

static void enable_one(Action *a, const char *name, ActionResult *result) {
        if (set_reapply(a, name, true, result))
                action_succeed(result, "done", STYLE_GOOD,
                               "Patch '%s' will be applied at every boot of its kernel; the running kernel has not "
                               "changed.", name);
}

static void disable_one(Action *a, const char *name, ActionResult *result) {
        if (set_reapply(a, name, false, result))
                action_succeed(result, "done", STYLE_GOOD,
                               "Patch '%s' will not be applied at boot any more; the running kernel has not changed.",
                               name);
}

static int run_enable(const Options *o, char **arguments) {
        return action_run(o, "enable", arguments, enable_one);
}

static int run_disable(const Options *o, char **arguments) {
        return action_run(o, "disable", arguments, disable_one);
}

const Verb verb_enable = {
        .name = "enable",
        .arguments = "NAME...",
        .summary = "Apply patches at every boot of their kernel",
        .description = "Changes nothing in the running kernel: 'apply' does.\n",
        .min_arguments = 1,
        .max_arguments = VERB_ANY_NUMBER,
        .run = run_enable,
};

const Verb verb_disable = {
        .name = "disable",
        .arguments = "NAME...",
        .summary = "Do not apply patches at boot any more",
        .description = "Changes nothing in the running kernel: 'revert' does.\n",
        .min_arguments = 1,
        .max_arguments = VERB_ANY_NUMBER,
        .run = run_disable,
};
