/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl adopt */

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/action.h"
#include "ctl/client-json.h"
#include "ctl/json-util.h"
#include "ctl/module-file.h"
#include "ctl/remote.h"
#include "ctl/verbs.h"

/* The file that the caller names, which may be another module's: staging that would be something else. */
static int check_file(Action *a, int fd, const char *file, const char *name, CtlError *e) {
        static const ClientCall call = { LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "Inspect", .action = true };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        json_auto_t *report = NULL;
        int r = client_call(a->client, &call, &reply, e, "ha{sv}", fd, 0);

        if (r != 0)
                return r;
        r = client_read_json(reply, &report);
        if (r < 0)
                return client_bad_reply(e, r);
        /* One that is refused before its name is known is refused again by Stage(), with the reason. */
        if (isempty(json_text(report, "name")) || streq(json_text(report, "name"), name))
                return 0;
        return ctl_error_set(e, REFUSED_CONFLICT,
                             "'%s' holds the module '%s', not '%s'. Nothing was changed; name the file of the patch "
                             "that is loaded.", file, json_text(report, "name"), name);
}

static int adopt_with_file(Action *a, const json_t *patch, const char *file, CtlError *e) {
        static const ClientCall call = { LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "Stage", .action = true };
        const char *name = json_text(patch, "name"), *state = json_text(patch, "state");
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *path = NULL;
        int r;

        if (!streq(state, "external"))
                return ctl_error_set(e, REFUSED_CONFLICT,
                                     "Patch '%s' is %s, so that there is nothing to adopt. Nothing was changed.", name,
                                     state);
        r = input_file_open(file, MODULE_FILE_MAX, &fd, e);
        if (r == 0)
                r = check_file(a, fd, file, name, e);
        if (r != 0)
                return r;
        return client_call_for_string(a->client, &call, &path, e, "ha{sv}", fd, 1, "reapply", "b", 1);
}

static int adopt(Action *a, const char *name, const char *file, char **ret_name, CtlError *e) {
        ClientCall call = { .interface = LP_IFACE_PATCH, .member = "Adopt", .action = true };
        _cleanup_free_ char *path = NULL;
        json_auto_t *patch = NULL;
        int r = client_get_patch(a->client, name, &path, e);

        if (r == 0)
                r = client_get_properties(a->client, path, LP_IFACE_PATCH, &patch, e);
        if (r != 0)
                return r;
        if (free_and_strdup(ret_name, json_text(patch, "name")) < 0)
                return ctl_error_oom(e);
        if (file)
                return adopt_with_file(a, patch, file, e);
        call.path = path;
        return client_call(a->client, &call, NULL, e, NULL);
}

static void adopt_one(Action *a, const char *argument, ActionResult *result) {
        const char *file = a->file;

        if (adopt(a, argument, file, &result->patch, &result->error) == 0)
                action_succeed(result, "done", STYLE_GOOD,
                               "Patch '%s' is livepatchd's from now on: its file is kept, and it will be reapplied at "
                               "boot. The running kernel has not changed.", strempty(result->patch));
}

/* It becomes a word for the other machine's shell. */
static bool name_is_plain(const char *name) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

        return *name && name[strspn(name, allowed)] == '\0';
}

static int run_adopt(const Options *o, char **arguments) {
        char *name[] = { arguments[0], NULL }, adopt_word[] = "adopt";
        char *words[] = { adopt_word, arguments[0], NULL };

        if (o->host && arguments[1]) {
                if (name_is_plain(arguments[0]))
                        return remote_run_with_file(o, words, arguments + 1);
                output_error(o, "With --host= and a file, the name has to be written as the kernel has it: letters, "
                             "digits and '_'. Nothing was changed");
                return CTL_EXIT_USAGE;
        }
        return action_run_with_file(o, "adopt", name, arguments[1], adopt_one);
}

const Verb verb_adopt = {
        .name = "adopt",
        .arguments = "NAME [FILE|-]",
        .summary = "Take over a patch that something else has loaded",
        .description =
                "livepatchd looks for the file where modules and kpatch's patches are installed, or\n"
                "takes FILE. It has to be the very build that is loaded, and acceptable like any\n"
                "other. The running kernel does not change; the patch is reapplied at boot.\n",
        .min_arguments = 1,
        .max_arguments = 2,
        .run = run_adopt,
};
