/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of livepatchctl, parsed once and never changed afterwards. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/macro.h"

typedef enum JsonMode {
        JSON_MODE_OFF,
        JSON_MODE_SHORT,  /* one line */
        JSON_MODE_PRETTY, /* indented */
} JsonMode;

/* Options that only some verbs take; a verb lists the ones it does. */
enum {
        OPTION_RUNTIME = 1 << 0,
        OPTION_REAPPLY = 1 << 1,
        OPTION_NO_BLOCK = 1 << 2,
        OPTION_LINES = 1 << 3,
        OPTION_FOLLOW = 1 << 4,
        OPTION_CONFIRM_WITHIN = 1 << 5,
        OPTION_DISABLE_SERVICE = 1 << 6,
        OPTION_STALL_TIMEOUT = 1 << 7,
        OPTION_ON_STALL = 1 << 8,
        OPTION_YES = 1 << 9,
};

typedef struct Options {
        const char *host; /* NULL: this machine */
        JsonMode json;
        bool pager;
        bool legend;
        bool ask_password;
        bool quiet;
        bool full;
        bool color;       /* on standard output */
        bool color_error; /* on standard error */
        bool help;
        bool version;
        uint32_t given; /* which OPTION_* were */
        unsigned lines;
        uint64_t confirm_within_usec;
        uint64_t stall_timeout_usec;
        const char *on_stall;
} Options;

static inline bool options_given(const Options *o, uint32_t option) {
        return (o->given & option) != 0;
}

/* Parses the options wherever they stand; *ret_args is then the verb and its arguments, a NULL-terminated part of
 * argv. Returns 0, or -EINVAL after an explanation on standard error. */
int options_parse(int argc, char **argv, Options *ret, char ***ret_args);

/* "--runtime" of OPTION_RUNTIME. */
const char *option_name(uint32_t option) _const_;

/* The lines of --help for the options in the mask. */
void option_print_help(FILE *stream, uint32_t mask);

/* The lines of --help for the options of every verb. */
void option_print_global_help(FILE *stream);
