/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options that Apply and Revert have in common. */

#include "common/string-util.h"
#include "daemon/bus-error.h"
#include "daemon/bus-message.h"

#define VALUE_SHOWN_MAX 64

static int parse_on_stall(const char *word, OperationOptions *options, sd_bus_error *error) {
        _cleanup_free_ char *shown = NULL;
        OnStall on_stall = on_stall_from_string(word);

        if (on_stall < 0) {
                shown = sanitize_text(word, VALUE_SHOWN_MAX);
                return bus_error_set_invalid_args(error, "Option 'on-stall' is 'wait' or 'revert', not '%s'. Nothing "
                                                  "was changed.", strempty(shown));
        }
        options->on_stall_given = true;
        options->on_stall = on_stall;
        return 0;
}

static int check_stall_timeout(uint64_t usec, sd_bus_error *error) {
        if (usec == USEC_INFINITY || usec <= OPERATION_STALL_TIMEOUT_MAX)
                return 0;
        return bus_error_set_invalid_args(error, "Option 'stall-timeout' is longer than a year. Nothing was changed. "
                                          "Give microseconds, 18446744073709551615 for infinity, or 0 for what is "
                                          "configured.");
}

int bus_message_read_operation_options(sd_bus_message *m, OperationOptions *ret, sd_bus_error *error) {
        OperationOptions options = {};
        const char *on_stall = NULL;
        const BusOption known[] = {
                { .key = "runtime", .flag = &options.runtime },
                { .key = "stall-timeout", .number = &options.stall_timeout_usec },
                { .key = "on-stall", .text = &on_stall },
                {},
        };
        int r = bus_message_read_options(m, known, error);

        if (r >= 0)
                r = check_stall_timeout(options.stall_timeout_usec, error);
        if (r >= 0 && on_stall)
                r = parse_on_stall(on_stall, &options, error);
        if (r < 0)
                return r;
        *ret = options;
        return 0;
}
