/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verbs: what one is, and how it is found and started. */

#include <string.h>

#include "common/string-util.h"
#include "ctl/error.h"
#include "ctl/verb.h"

const Verb *verb_find(const char *name) {
        for (const Verb *const *i = verb_table; *i; i++)
                if (streq((*i)->name, name))
                        return *i;
        return NULL;
}

const char *verb_suggest(const char *name) {
        size_t best_distance = strlen(name) / 2 + 1;
        const char *best = NULL;

        /* More than half of it wrong is no typing error any more. */
        for (const Verb *const *i = verb_table; *i; i++) {
                size_t distance = edit_distance(name, (*i)->name);

                if (distance < best_distance) {
                        best_distance = distance;
                        best = (*i)->name;
                }
        }
        return best;
}

static int unknown_verb(const char *name) {
        const char *suggestion = verb_suggest(name);

        if (suggestion)
                (void) fprintf(stderr, "livepatchctl: There is no verb '%s'. Did you mean '%s'?\n", name, suggestion);
        else
                (void) fprintf(stderr, "livepatchctl: There is no verb '%s'; 'livepatchctl --help' lists them\n", name);
        return CTL_EXIT_USAGE;
}

static int check_arguments(const Verb *verb, char *const *arguments) {
        size_t n = strv_length(arguments);

        if (n >= verb->min_arguments && n <= verb->max_arguments)
                return 0;
        if (n < verb->min_arguments)
                (void) fprintf(stderr, "livepatchctl: '%s' needs an argument: livepatchctl %s %s\n", verb->name,
                               verb->name, verb->arguments);
        else
                (void) fprintf(stderr,
                               "livepatchctl: '%s' takes no argument '%s'; 'livepatchctl %s --help' shows its use\n",
                               verb->name, arguments[verb->max_arguments], verb->name);
        return CTL_EXIT_USAGE;
}

static int check_options(const Verb *verb, const Options *o) {
        uint32_t wrong = o->given & ~verb->options;

        if (wrong == 0)
                return 0;
        /* The lowest bit is one of them. */
        (void) fprintf(stderr, "livepatchctl: '%s' has no option %s; 'livepatchctl %s --help' shows those it has\n",
                       verb->name, option_name(wrong & -wrong), verb->name);
        return CTL_EXIT_USAGE;
}

int verb_dispatch(const Options *o, char **args) {
        const char *name = args[0] ?: "status";
        char **arguments = args[0] ? args + 1 : args;
        const Verb *verb = verb_find(name);
        int r;

        if (!verb)
                return unknown_verb(name);
        if (o->help)
                return verb_show_help(o, verb);
        r = check_options(verb, o);
        if (r == 0)
                r = check_arguments(verb, arguments);
        return r != 0 ? r : verb->run(o, arguments);
}
