/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verbs: what one is, and how it is found and started. */
#pragma once

#include <limits.h>

#include "ctl/options.h"

typedef struct Verb {
        const char *name;
        const char *arguments;   /* as --help shows them */
        const char *summary;     /* one line */
        const char *description; /* what 'VERB --help' tells beyond that; lines of at most 80 columns */
        unsigned min_arguments, max_arguments;
        uint32_t options; /* the OPTION_* it takes */
        /* arguments: NULL-terminated, without the verb. Returns the exit code. */
        int (*run)(const Options *o, char **arguments);
} Verb;

#define VERB_ANY_NUMBER UINT_MAX

/* Every verb, in the order of --help; verbs.c. NULL-terminated. */
extern const Verb *const verb_table[];

/* NULL if there is none of that name. */
const Verb *verb_find(const char *name);

/* Checks the command line against the verb's rules and runs it. args: verb and arguments; none at all means "status".
 * Returns the exit code. */
int verb_dispatch(const Options *o, char **args);

/* The words most like the mistyped one, or NULL if none is near. */
const char *verb_suggest(const char *name);

/* The text of 'VERB --help'. */
int verb_show_help(const Options *o, const Verb *verb);
/* The text of '--help'. */
int verb_show_overview(const Options *o);
