/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl help, livepatchctl version */

#include "common/string-util.h"
#include "ctl/output.h"
#include "ctl/verbs.h"

#define SYNTAX_MAX 64

static void print_verbs(Output *out) {
        for (const Verb *const *i = verb_table; *i; i++) {
                char syntax[SYNTAX_MAX];

                (void) snprintf(syntax, sizeof(syntax), "%s %s", (*i)->name, (*i)->arguments);
                output_text(out, "  %-26s %s\n", syntax, (*i)->summary);
        }
}

int verb_show_overview(const Options *o) {
        _cleanup_output_ Output out = {};
        int r = output_begin(&out, o);

        if (r != 0)
                return r;
        output_text(&out, "livepatchctl [OPTION...] [VERB [ARGUMENT...]]\n\n"
                          "Manage live patches of the Linux kernel.\n\nVerbs:\n");
        print_verbs(&out);
        output_text(&out, "\nOptions of every verb:\n");
        option_print_global_help(out.stream);
        output_text(&out, "\nOptions of some verbs:\n");
        option_print_help(out.stream, UINT32_MAX);
        output_text(&out, "\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 not authorised, 4 no such patch,\n"
                          "5 refused by verification or policy, 6 stalled or timed out, 7 kernel not supported.\n\n"
                          "'livepatchctl VERB --help' tells more of a verb; see also livepatchctl(1).\n");
        return output_end(&out);
}

int verb_show_help(const Options *o, const Verb *verb) {
        _cleanup_output_ Output out = {};
        int r = output_begin(&out, o);

        if (r != 0)
                return r;
        output_text(&out, "livepatchctl [OPTION...] %s%s%s\n\n%s.\n", verb->name, *verb->arguments ? " " : "",
                    verb->arguments, verb->summary);
        if (verb->description)
                output_text(&out, "\n%s", verb->description);
        output_text(&out, "\nOptions:\n");
        option_print_help(out.stream, verb->options);
        option_print_global_help(out.stream);
        return output_end(&out);
}

static int run_help(const Options *o, char **arguments) {
        char *args[] = { arguments[0], NULL };
        Options with_help = *o;

        if (!args[0])
                return verb_show_overview(o);
        with_help.help = true;
        return verb_dispatch(&with_help, args);
}

static int run_version(const Options *o, char **arguments _unused_) {
        if (o->json != JSON_MODE_OFF)
                return output_json(o, json_document("version", json_string(PROJECT_VERSION)));
        return printf("livepatchctl %s\n", PROJECT_VERSION) < 0 || fflush(stdout) != 0 ? CTL_EXIT_FAILED : 0;
}

const Verb verb_help = {
        .name = "help",
        .arguments = "[VERB]",
        .summary = "Show this text, or that of a verb",
        .max_arguments = 1,
        .run = run_help,
};

const Verb verb_version = {
        .name = "version",
        .arguments = "",
        .summary = "Show the version",
        .run = run_version,
};
