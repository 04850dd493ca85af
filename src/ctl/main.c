/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl: the command line of livepatchd. */

#include <locale.h>

#include "ctl/error.h"
#include "ctl/options.h"
#include "ctl/verbs.h"

int main(int argc, char **argv) {
        Options options;
        char **args;

        /* Only for the width of characters: numbers and messages are the same everywhere. */
        (void) setlocale(LC_CTYPE, "");
        /* getopt_long(3) begins its messages with it. */
        argv[0] = program_invocation_short_name;
        if (options_parse(argc, argv, &options, &args) < 0)
                return CTL_EXIT_USAGE;
        if (options.version)
                return verb_version.run(&options, args);
        if (options.help && !args[0])
                return verb_show_overview(&options);
        return verb_dispatch(&options, args);
}
