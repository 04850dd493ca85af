/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of livepatchctl, parsed once and never changed afterwards. */

#include <getopt.h>
#include <string.h>

#include "common/string-util.h"
#include "common/types.h"
#include "ctl/options.h"
#include "ctl/terminal.h"

typedef struct OptionHelp {
        uint32_t option;
        const char *name;
        const char *syntax;
        const char *text;
} OptionHelp;

static const OptionHelp option_table[] = {
        { OPTION_RUNTIME, "--runtime", "   --runtime", "For this boot only: what the next boot does stays as it is" },
        { OPTION_REAPPLY, "--reapply", "   --reapply", "Also apply it at every boot of its kernel" },
        { OPTION_NO_BLOCK, "--no-block", "   --no-block", "Do not wait until the job has finished" },
        { OPTION_CONFIRM_WITHIN, "--confirm-within", "   --confirm-within=TIME",
          "Revert it after this time (10min, 1h) unless it is confirmed" },
        { OPTION_DISABLE_SERVICE, "--disable-service", "   --disable-service", "Then disable kpatch.service" },
        { OPTION_STALL_TIMEOUT, "--stall-timeout", "   --stall-timeout=TIME",
          "How long the transition may take: 90s, 10min, infinity" },
        { OPTION_ON_STALL, "--on-stall", "   --on-stall=WHAT", "What to do when it takes longer: wait or revert" },
        { OPTION_YES, "--yes", "   --yes", "Do not ask" },
        { OPTION_LINES, "--lines", "-n --lines=N", "Only the last N entries" },
        { OPTION_FOLLOW, "--follow", "-f --follow", "Go on with new entries as they come" },
};

static const OptionHelp global_table[] = {
        { 0, NULL, "-h --help", "Show this text, or that of the verb" },
        { 0, NULL, "   --version", "Show the version" },
        { 0, NULL, "-H --host=[USER@]HOST", "Work on another machine, over SSH" },
        { 0, NULL, "   --json=MODE", "Output as JSON: short, pretty or off" },
        { 0, NULL, "-j", "The same as --json=pretty on a terminal, --json=short elsewhere" },
        { 0, NULL, "-l --full", "Do not shorten columns; show descriptions too" },
        { 0, NULL, "-q --quiet", "Only errors" },
        { 0, NULL, "   --no-pager", "Do not pipe long output into a pager" },
        { 0, NULL, "   --no-legend", "No headers and no footers" },
        { 0, NULL, "   --no-ask-password", "Do not ask for a password: fail instead" },
        { 0, NULL, "   --color=WHEN", "Colours: auto, always or never" },
};

static void print_help_line(FILE *stream, const OptionHelp *h) {
        (void) fprintf(stream, "  %-26s %s\n", h->syntax, h->text);
}

void option_print_help(FILE *stream, uint32_t mask) {
        for (size_t i = 0; i < ELEMENTSOF(option_table); i++)
                if (mask & option_table[i].option)
                        print_help_line(stream, option_table + i);
}

void option_print_global_help(FILE *stream) {
        for (size_t i = 0; i < ELEMENTSOF(global_table); i++)
                print_help_line(stream, global_table + i);
}

const char *option_name(uint32_t option) {
        for (size_t i = 0; i < ELEMENTSOF(option_table); i++)
                if (option_table[i].option == option)
                        return option_table[i].name;
        return "?";
}

static int parse_json_mode(const char *s, JsonMode *ret) {
        if (streq(s, "off"))
                *ret = JSON_MODE_OFF;
        else if (streq(s, "short"))
                *ret = JSON_MODE_SHORT;
        else if (streq(s, "pretty"))
                *ret = JSON_MODE_PRETTY;
        else {
                (void) fprintf(stderr, "livepatchctl: --json= takes off, short or pretty, not '%s'\n", s);
                return -EINVAL;
        }
        return 0;
}

static int parse_color(const char *s, Options *o) {
        if (streq(s, "auto")) {
                o->color = terminal_wants_color(STDOUT_FILENO);
                o->color_error = terminal_wants_color(STDERR_FILENO);
        } else if (streq(s, "always"))
                o->color = o->color_error = true;
        else if (streq(s, "never"))
                o->color = o->color_error = false;
        else {
                (void) fprintf(stderr, "livepatchctl: --color= takes auto, always or never, not '%s'\n", s);
                return -EINVAL;
        }
        return 0;
}

static int parse_lines(const char *s, Options *o) {
        if (parse_uint(s, &o->lines) < 0) {
                (void) fprintf(stderr, "livepatchctl: --lines= takes a number, not '%s'\n", s);
                return -EINVAL;
        }
        o->given |= OPTION_LINES;
        return 0;
}

static int parse_confirm_within(const char *s, Options *o) {
        if (parse_duration(s, &o->confirm_within_usec) < 0 || o->confirm_within_usec == 0 ||
            o->confirm_within_usec == USEC_INFINITY) {
                (void) fprintf(stderr, "livepatchctl: --confirm-within= takes a time such as 10min or 1h, not '%s'\n",
                               s);
                return -EINVAL;
        }
        o->given |= OPTION_CONFIRM_WITHIN;
        return 0;
}

static int parse_stall_timeout(const char *s, Options *o) {
        if (parse_duration(s, &o->stall_timeout_usec) < 0 || o->stall_timeout_usec == 0) {
                (void) fprintf(stderr, "livepatchctl: --stall-timeout= takes a time span such as 90s or 10min, or "
                               "infinity, not '%s'\n", s);
                return -EINVAL;
        }
        o->given |= OPTION_STALL_TIMEOUT;
        return 0;
}

static int parse_on_stall(const char *s, Options *o) {
        if (on_stall_from_string(s) < 0) {
                (void) fprintf(stderr, "livepatchctl: --on-stall= takes wait or revert, not '%s'\n", s);
                return -EINVAL;
        }
        o->on_stall = s;
        o->given |= OPTION_ON_STALL;
        return 0;
}

static int parse_host(const char *s, Options *o) {
        /* It becomes an argument of ssh(1), which must not take it for an option. */
        if (!*s || *s == '-') {
                (void) fprintf(stderr, "livepatchctl: --host= takes [USER@]HOST, not '%s'\n", s);
                return -EINVAL;
        }
        o->host = s;
        return 0;
}

enum {
        LONG_VERSION = 0x100,
        LONG_JSON,
        LONG_NO_PAGER,
        LONG_NO_LEGEND,
        LONG_NO_ASK_PASSWORD,
        LONG_COLOR,
        LONG_RUNTIME,
        LONG_REAPPLY,
        LONG_NO_BLOCK,
        LONG_CONFIRM_WITHIN,
        LONG_DISABLE_SERVICE,
        LONG_STALL_TIMEOUT,
        LONG_ON_STALL,
        LONG_YES,
};

static const struct option long_options[] = {
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, LONG_VERSION },
        { "host", required_argument, NULL, 'H' },
        { "json", required_argument, NULL, LONG_JSON },
        { "full", no_argument, NULL, 'l' },
        { "quiet", no_argument, NULL, 'q' },
        { "no-pager", no_argument, NULL, LONG_NO_PAGER },
        { "no-legend", no_argument, NULL, LONG_NO_LEGEND },
        { "no-ask-password", no_argument, NULL, LONG_NO_ASK_PASSWORD },
        { "color", required_argument, NULL, LONG_COLOR },
        { "runtime", no_argument, NULL, LONG_RUNTIME },
        { "reapply", no_argument, NULL, LONG_REAPPLY },
        { "no-block", no_argument, NULL, LONG_NO_BLOCK },
        { "confirm-within", required_argument, NULL, LONG_CONFIRM_WITHIN },
        { "disable-service", no_argument, NULL, LONG_DISABLE_SERVICE },
        { "stall-timeout", required_argument, NULL, LONG_STALL_TIMEOUT },
        { "on-stall", required_argument, NULL, LONG_ON_STALL },
        { "yes", no_argument, NULL, LONG_YES },
        { "lines", required_argument, NULL, 'n' },
        { "follow", no_argument, NULL, 'f' },
        {},
};

/* Options without an argument: nothing can be wrong with them. Returns false for another one. */
static bool set_flag(int c, Options *o) {
        switch (c) {
        case 'h':
                o->help = true;
                return true;
        case 'l':
                o->full = true;
                return true;
        case 'q':
                o->quiet = true;
                return true;
        case 'f':
                o->given |= OPTION_FOLLOW;
                return true;
        case 'j':
                o->json = isatty(STDOUT_FILENO) ? JSON_MODE_PRETTY : JSON_MODE_SHORT;
                return true;
        case LONG_VERSION:
                o->version = true;
                return true;
        case LONG_NO_PAGER:
                o->pager = false;
                return true;
        case LONG_NO_LEGEND:
                o->legend = false;
                return true;
        case LONG_NO_ASK_PASSWORD:
                o->ask_password = false;
                return true;
        case LONG_RUNTIME:
                o->given |= OPTION_RUNTIME;
                return true;
        case LONG_REAPPLY:
                o->given |= OPTION_REAPPLY;
                return true;
        case LONG_DISABLE_SERVICE:
                o->given |= OPTION_DISABLE_SERVICE;
                return true;
        case LONG_NO_BLOCK:
                o->given |= OPTION_NO_BLOCK;
                return true;
        case LONG_YES:
                o->given |= OPTION_YES;
                return true;
        default:
                return false;
        }
}

static int set_option(int c, const char *argument, Options *o) {
        if (set_flag(c, o))
                return 0;
        switch (c) {
        case 'H':
                return parse_host(argument, o);
        case 'n':
                return parse_lines(argument, o);
        case LONG_CONFIRM_WITHIN:
                return parse_confirm_within(argument, o);
        case LONG_STALL_TIMEOUT:
                return parse_stall_timeout(argument, o);
        case LONG_ON_STALL:
                return parse_on_stall(argument, o);
        case LONG_JSON:
                return parse_json_mode(argument, &o->json);
        case LONG_COLOR:
                return parse_color(argument, o);
        default:
                return -EINVAL; /* getopt_long() has explained it */
        }
}

int options_parse(int argc, char **argv, Options *ret, char ***ret_args) {
        Options o = {
                .pager = true,
                .legend = true,
                .ask_password = true,
                .color = terminal_wants_color(STDOUT_FILENO),
                .color_error = terminal_wants_color(STDERR_FILENO),
        };
        int c, r;

        optind = 0; /* glibc: start afresh, so that a test can parse more than one command line */
        while ((c = getopt_long(argc, argv, "hH:jlqn:f", long_options, NULL)) >= 0) {
                r = set_option(c, optarg, &o);
                if (r < 0)
                        return r;
        }
        *ret = o;
        *ret_args = argv + optind;
        return 0;
}
