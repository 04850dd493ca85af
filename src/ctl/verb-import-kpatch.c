/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl import-kpatch */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/fd-util.h"
#include "common/names.h"
#include "common/string-util.h"
#include "ctl/action.h"
#include "ctl/json-util.h"
#include "ctl/module-file.h"
#include "ctl/verbs.h"

/* Where "kpatch install" copies modules to, and kpatch.service loads them from: DIRECTORY/RELEASE/NAME.ko. */
#define KPATCH_DIRECTORY "/var/lib/kpatch"
#define KPATCH_SERVICE "kpatch.service"

#define SYSTEMD_NAME "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"

/* In the order in which kpatch loads them. */
static int collect_release(const char *directory, const char *release, char ***files) {
        _cleanup_free_ char *path = NULL;
        _cleanup_strv_free_ char **entries = NULL;
        int r = asprintf(&path, "%s/%s", directory, release);

        if (r < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = list_dir_at(AT_FDCWD, path, &entries);
        if (r == -ENOTDIR)
                return 0;
        for (char **entry = entries; r >= 0 && entry && *entry; entry++) {
                _cleanup_free_ char *file = NULL;

                if (!endswith(*entry, ".ko"))
                        continue;
                if (asprintf(&file, "%s/%s", path, *entry) < 0) {
                        file = NULL;
                        return -ENOMEM;
                }
                r = strv_append(files, file);
        }
        return r;
}

static int collect(const char *directory, char ***ret, CtlError *e) {
        _cleanup_strv_free_ char **releases = NULL, **files = NULL;
        int r = list_dir_at(AT_FDCWD, directory, &releases);

        for (char **release = releases; r >= 0 && release && *release; release++)
                r = collect_release(directory, *release, &files);
        if (r < 0)
                return ctl_error_set(e, r, "Failed to read kpatch's patches in '%s': %s. Nothing was changed.",
                                     directory, strerror(-r));
        if (!files)
                return ctl_error_set(e, -ENOENT, "There are no patches in '%s'. Nothing was changed.", directory);
        *ret = TAKE_PTR(files);
        return 0;
}

static void describe_imported(Action *a, const char *path, ActionResult *result) {
        _cleanup_ctl_error_ CtlError ignored = {};
        json_auto_t *patch = NULL;
        bool applied;

        if (client_get_properties(a->client, path, LP_IFACE_PATCH, &patch, &ignored) != 0) {
                action_succeed(result, "done", STYLE_GOOD, "Imported '%s'.", path);
                return;
        }
        result->patch = strdup(json_text(patch, "name"));
        applied = streq(json_text(patch, "state"), "applied");
        action_succeed(result, "done", STYLE_GOOD,
                       "Patch '%s' for kernel %s is imported%s, and will be applied at boot.",
                       json_text(patch, "name"), json_text(patch, "kernel_release"),
                       applied ? ", with what is loaded of it" : "");
}

/* Staging the file of what is loaded adopts it. */
static void import_file(Action *a, const char *file, ActionResult *result) {
        static const ClientCall call = { LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "Stage", .action = true };
        _cleanup_free_ char *path = NULL;

        if (client_call_for_string(a->client, &call, &path, &result->error, "ha{sv}", a->fd, 1, "reapply", "b",
                                   1) == 0)
                return describe_imported(a, path, result);
        ctl_error_add_prefix(&result->error, file);
}

/* Like 'systemctl disable'. What it has loaded stays loaded. */
static void disable_service(Action *a, ActionResult *result) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        if (a->exit_code != 0) {
                ctl_error_set(&result->error, -ECANCELED,
                              "Not everything was imported, so " KPATCH_SERVICE " was left as it is.");
                return;
        }
        r = sd_bus_call_method(client_bus(a->client), SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER,
                                   "DisableUnitFiles", &error, NULL, "asb", 1, KPATCH_SERVICE, 0);

        if (r >= 0)
                r = sd_bus_call_method(client_bus(a->client), SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "Reload",
                                       &error, NULL, NULL);
        if (r < 0)
                ctl_error_set(&result->error, r,
                              KPATCH_SERVICE " could not be disabled: %s. The patches are imported; run 'systemctl "
                              "disable " KPATCH_SERVICE "'.", error.message ?: strerror(-r));
        else
                action_succeed(result, "done", STYLE_GOOD, KPATCH_SERVICE " is disabled: from the next boot on, "
                               "livepatchd alone applies patches.");
}

static int open_one(const char *argument, int *ret_fd, CtlError *e) {
        return streq(argument, KPATCH_SERVICE) ? 0 : input_file_open(argument, MODULE_FILE_MAX, ret_fd, e);
}

static void import_one(Action *a, const char *argument, ActionResult *result) {
        if (streq(argument, KPATCH_SERVICE))
                disable_service(a, result);
        else
                import_file(a, argument, result);
}

static int run_import_kpatch(const Options *o, char **arguments) {
        const char *directory = arguments[0] ?: KPATCH_DIRECTORY;
        _cleanup_strv_free_ char **files = NULL;
        _cleanup_ctl_error_ CtlError e = {};
        int r;

        if (o->host) {
                output_error(o, "The patches to import are files of the other machine: run 'livepatchctl "
                             "import-kpatch' there. Nothing was changed");
                return CTL_EXIT_USAGE;
        }
        if (collect(directory, &files, &e) != 0)
                return output_failure(o, &e);
        if (options_given(o, OPTION_DISABLE_SERVICE) && strv_append(&files, KPATCH_SERVICE) < 0) {
                ctl_error_oom(&e);
                return output_failure(o, &e);
        }
        r = action_run_with_files(o, "import-kpatch", files, open_one, import_one);
        if (!options_given(o, OPTION_DISABLE_SERVICE))
                output_message(o, STYLE_NOTICE,
                               KPATCH_SERVICE " still loads kpatch's patches at boot. To leave that to livepatchd: "
                               "systemctl disable " KPATCH_SERVICE);
        return r;
}

const Verb verb_import_kpatch = {
        .name = "import-kpatch",
        .arguments = "[DIRECTORY]",
        .summary = "Take over the patches that kpatch has installed",
        .description =
                "Keeps every module in /var/lib/kpatch, for all kernels, to be applied at boot by\n"
                "livepatchd, and adopts those that are loaded. kpatch's own files stay.\n",
        .max_arguments = 1,
        .options = OPTION_DISABLE_SERVICE,
        .run = run_import_kpatch,
};
