/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl enable, livepatchctl disable */

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/action.h"
#include "ctl/verbs.h"

static bool set_reapply(Action *a, const char *name, bool reapply, char **ret_path, ActionResult *result) {
        ClientCall call = { .interface = LP_IFACE_PATCH, .member = "SetReapply", .action = true };

        if (client_get_patch(a->client, name, ret_path, &result->error) != 0)
                return false;
        call.path = *ret_path;
        return client_call(a->client, &call, NULL, &result->error, "b", reapply) == 0;
}

/* Not if livepatchd does not tell: it is only said more than asked. */
static bool is_quarantined(Action *a, const char *path) {
        _cleanup_ctl_error_ CtlError ignored = {};
        json_auto_t *patch = NULL;

        return client_get_properties(a->client, path, LP_IFACE_PATCH, &patch, &ignored) == 0 &&
               streq(json_text(patch, "state"), "quarantined");
}

static void enable_one(Action *a, const char *name, ActionResult *result) {
        _cleanup_free_ char *path = NULL;

        if (!set_reapply(a, name, true, &path, result))
                return;
        if (is_quarantined(a, path))
                action_succeed(result, "done", STYLE_NOTICE,
                               "Patch '%s' is to be applied at every boot of its kernel, but is quarantined: it is not "
                               "loaded until 'livepatchctl unquarantine %s'.", name, name);
        else
                action_succeed(result, "done", STYLE_GOOD,
                               "Patch '%s' will be applied at every boot of its kernel; the running kernel has not "
                               "changed.", name);
}

static void disable_one(Action *a, const char *name, ActionResult *result) {
        _cleanup_free_ char *path = NULL;

        if (set_reapply(a, name, false, &path, result))
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
