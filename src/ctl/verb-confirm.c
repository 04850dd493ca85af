/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl confirm */

#include "common/failure.h"
#include "common/names.h"
#include "common/string-util.h"
#include "ctl/action.h"
#include "ctl/verbs.h"

static void describe_confirmed(Action *a, const char *name, ActionResult *result) {
        _cleanup_ctl_error_ CtlError ignored = {};
        json_auto_t *patch = NULL;

        if (client_get_patch_properties(a->client, name, &patch, &ignored) == 0 && !json_flag(patch, "reapply"))
                action_succeed(result, "done", STYLE_GOOD,
                               "Patch '%s' is confirmed: it stays applied, for this boot only.", name);
        else
                action_succeed(result, "done", STYLE_GOOD,
                               "Patch '%s' is confirmed: it stays applied, and will be reapplied at boot.", name);
}

static void confirm_one(Action *a, const char *argument, ActionResult *result) {
        static const ClientCall call = { LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "Confirm", .action = true };
        json_auto_t *patch = NULL;
        CtlError *e = &result->error;
        const char *name;

        /* For '-' instead of '_', and what a mistyped name may have been. */
        if (client_get_patch_properties(a->client, argument, &patch, e) != 0)
                return;
        name = json_text(patch, "name");
        if (free_and_strdup(&result->patch, name) < 0) {
                ctl_error_oom(e);
                return;
        }
        if (client_call(a->client, &call, NULL, e, "s", name) == 0)
                return describe_confirmed(a, name, result);
        /* That it stays is what was asked for. */
        if (refusal_from_dbus_name(e->name) != REFUSED_ALREADY_APPLIED)
                return;
        action_succeed(result, "already-applied", STYLE_NORMAL, "%s", ctl_error_text(e));
        ctl_error_done(e);
}

static int run_confirm(const Options *o, char **arguments) {
        return action_run(o, "confirm", arguments, confirm_one);
}

const Verb verb_confirm = {
        .name = "confirm",
        .arguments = "NAME...",
        .summary = "Keep patches that were applied with --confirm-within=",
        .description = "Without it they are reverted when their time is over.\n",
        .min_arguments = 1,
        .max_arguments = VERB_ANY_NUMBER,
        .run = run_confirm,
};
