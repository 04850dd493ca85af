/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl reapply */

#include "common/names.h"
#include "ctl/action.h"
#include "ctl/verbs.h"

static void reapply_all(Action *a, const char *argument _unused_, ActionResult *result) {
        static const ClientCall call = { LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "Reapply", .action = true };
        _cleanup_free_ char *job = NULL;

        if (client_call_for_string(a->client, &call, &job, &result->error, NULL) != 0)
                return;
        if (action_wait(a, job, result))
                action_succeed(result, "done", STYLE_GOOD, "Every patch that is to be applied at boot is applied.");
}

static int run_reapply(const Options *o, char **arguments) {
        return action_run(o, "reapply", arguments, reapply_all);
}

const Verb verb_reapply = {
        .name = "reapply",
        .arguments = "",
        .summary = "Apply now what is applied at boot",
        .options = OPTION_NO_BLOCK,
        .run = run_reapply,
};
