/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl force */

#include <string.h>

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/action.h"
#include "ctl/verbs.h"

#define ANSWER_MAX 128

static void explain(const char *name) {
        (void) fprintf(stderr,
                       "The kernel will take all tasks for switched, also those that still use the code of\n"
                       "before. Such a task may hang, crash, or damage data when it meets what the new code\n"
                       "has changed. What is switched off - this patch when it is being reverted or canceled,\n"
                       "those that it replaces when it is being applied - stays loaded: until the next reboot\n"
                       "it cannot be unloaded, and no build of its name can be applied. There is no way back.\n\n"
                       "'livepatchctl blockers %s' shows the tasks, and what can be done about them.\n\n"
                       "To force it nevertheless, type the name of the patch: ", name);
}

/* 0 when a person has said so. */
static int confirm(const char *name, CtlError *e) {
        char answer[ANSWER_MAX];

        if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
                ctl_error_set(e, -EPERM, "Forcing the transition of '%s' may crash tasks, and cannot be undone. "
                              "Nothing was changed.", name);
                ctl_error_add_hint(e, "Where nobody can be asked, --yes says that it is really wanted.");
                e->exit_code = CTL_EXIT_USAGE;
                return e->exit_code;
        }
        explain(name);
        if (fgets(answer, sizeof(answer), stdin)) {
                answer[strcspn(answer, "\n")] = '\0';
                if (streq(answer, name))
                        return 0;
        }
        return ctl_error_set(e, -ECANCELED, "The name was not typed. Nothing was changed.");
}

/* One that is not in transition is not asked about: livepatchd says why there is nothing to force. */
static bool is_in_transition(const json_t *patch) {
        const char *state = json_text(patch, "state");

        return streq(state, "applying") || streq(state, "reverting");
}

static void force_one(Action *a, const char *argument, ActionResult *result) {
        ClientCall call = { .interface = LP_IFACE_PATCH, .member = "Force", .action = true };
        _cleanup_free_ char *path = NULL;
        json_auto_t *patch = NULL;
        const char *name;

        if (client_get_patch(a->client, argument, &path, &result->error) != 0 ||
            client_get_properties(a->client, path, LP_IFACE_PATCH, &patch, &result->error) != 0)
                return;
        name = json_text(patch, "name");
        if (free_and_strdup(&result->patch, name) < 0) {
                ctl_error_oom(&result->error);
                return;
        }
        if (!options_given(a->options, OPTION_YES) && is_in_transition(patch) && confirm(name, &result->error) != 0)
                return;
        call.path = path;
        if (client_call(a->client, &call, NULL, &result->error, "a{sv}", 0) == 0)
                action_succeed(result, "done", STYLE_NOTICE,
                               "The transition of patch '%s' was forced; it ends in a moment. 'livepatchctl status' "
                               "shows how things are then.", name);
}

static int run_force(const Options *o, char **arguments) {
        return action_run(o, "force", arguments, force_one);
}

const Verb verb_force = {
        .name = "force",
        .arguments = "NAME",
        .summary = "End a transition although tasks still use the code of before",
        .description =
                "The last resort, after 'blockers' and 'cancel'. Tasks that still use the code of\n"
                "before may crash. What the transition switches off stays loaded until the next\n"
                "reboot, and no build of its name can be applied before. Asks for the name of the\n"
                "patch on a terminal; elsewhere --yes is needed.\n",
        .min_arguments = 1,
        .max_arguments = 1,
        .options = OPTION_YES,
        .run = run_force,
};
