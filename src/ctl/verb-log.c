/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl log */

#include <string.h>

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/output.h"
#include "ctl/remote.h"
#include "ctl/verbs.h"

#define LINES_MAX 32

static int append_options(char ***argv, const Options *o) {
        char lines[LINES_MAX];
        int r = 0;

        if (o->json != JSON_MODE_OFF)
                r = strv_append(argv, o->json == JSON_MODE_PRETTY ? "--output=json-pretty" : "--output=json");
        if (r >= 0 && (!o->pager || o->host))
                r = strv_append(argv, "--no-pager");
        if (r >= 0 && o->full)
                r = strv_append(argv, "--full");
        if (r >= 0 && o->quiet)
                r = strv_append(argv, "--quiet");
        if (r >= 0 && options_given(o, OPTION_FOLLOW))
                r = strv_append(argv, "--follow");
        if (r >= 0 && options_given(o, OPTION_LINES)) {
                (void) snprintf(lines, sizeof(lines), "--lines=%u", o->lines);
                r = strv_append(argv, lines);
        }
        return r;
}

/* Matches of one field are alternatives, those of different fields must all hold (journalctl(1)). Of a patch only what
 * the project's own units said counts: anybody can log under its name. */
static int append_matches(char ***argv, const char *name) {
        _cleanup_free_ char *match = NULL;
        int r;

        if (!name) {
                r = strv_append(argv, "--unit=livepatchd.service");
                return r < 0 ? r : strv_append(argv, "--unit=livepatch-reapply.service");
        }
        if (asprintf(&match, LP_FIELD_PATCH "=%s", name) < 0) {
                match = NULL;
                return -ENOMEM;
        }
        r = strv_append(argv, "_SYSTEMD_UNIT=livepatchd.service");
        if (r >= 0)
                r = strv_append(argv, "_SYSTEMD_UNIT=livepatch-reapply.service");
        return r < 0 ? r : strv_append(argv, match);
}

static int run_log(const Options *o, char **arguments) {
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_ctl_error_ CtlError e = {};
        int r;

        for (char *p = arguments[0]; p && *p; p++)
                if (*p == '-')
                        *p = '_';
        if (arguments[0] && !module_name_is_valid(arguments[0])) {
                (void) fprintf(stderr,
                               "livepatchctl: '%s' cannot be the name of a patch; 'livepatchctl list' shows them\n",
                               arguments[0]);
                return CTL_EXIT_USAGE;
        }
        r = strv_append(&argv, "journalctl");
        if (r >= 0)
                r = append_options(&argv, o);
        if (r >= 0)
                r = append_matches(&argv, arguments[0]);
        if (r < 0)
                ctl_error_oom(&e);
        else if (o->host)
                return remote_run(o, -EBADF, argv);
        else {
                (void) execvp(argv[0], argv);
                ctl_error_set(&e, negative_errno(),
                              "Failed to run journalctl: %m. The log is in the journal; on a machine without one, "
                              "look at the system's log files.");
        }
        return output_failure(o, &e);
}

const Verb verb_log = {
        .name = "log",
        .arguments = "[NAME]",
        .summary = "Show the journal of livepatchd, or of a patch",
        .description = "Runs journalctl(1) with the right matches. With --json its entries come as\n"
                       "journalctl writes them.\n",
        .max_arguments = 1,
        .options = OPTION_LINES | OPTION_FOLLOW,
        .run = run_log,
};
