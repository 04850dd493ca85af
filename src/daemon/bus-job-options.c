/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options of Apply and Revert. */

#include "common/string-util.h"
#include "daemon/bus-error.h"
#include "daemon/bus-message.h"
#include "daemon/confirm.h"

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

static int check_confirm_within(uint64_t usec, sd_bus_error *error) {
        char min[FORMAT_DURATION_MAX], max[FORMAT_DURATION_MAX];

        if (usec >= CONFIRM_WITHIN_MIN_USEC && usec <= CONFIRM_WITHIN_MAX_USEC)
                return 0;
        return bus_error_set_invalid_args(error, "Option 'confirm-within' is a time from %s to %s, in microseconds. "
                                          "Nothing was changed.",
                                          format_duration(CONFIRM_WITHIN_MIN_USEC, min, sizeof(min)),
                                          format_duration(CONFIRM_WITHIN_MAX_USEC, max, sizeof(max)));
}

int bus_message_read_operation_options(sd_bus_message *m, JobType type, OperationOptions *ret, sd_bus_error *error) {
        OperationOptions options = {};
        const char *on_stall = NULL;
        bool confirm = false;
        const BusOption known[] = {
                { .key = "runtime", .flag = &options.runtime },
                { .key = "stall-timeout", .number = &options.stall_timeout_usec },
                { .key = "on-stall", .text = &on_stall },
                { .key = type == JOB_APPLY ? "confirm-within" : NULL,
                  .number = &options.confirm_within_usec,
                  .given = &confirm },
                {},
        };
        int r = bus_message_read_options(m, known, error);

        if (r >= 0)
                r = check_stall_timeout(options.stall_timeout_usec, error);
        if (r >= 0 && on_stall)
                r = parse_on_stall(on_stall, &options, error);
        if (r >= 0 && confirm)
                r = check_confirm_within(options.confirm_within_usec, error);
        if (r < 0)
                return r;
        *ret = options;
        return 0;
}
