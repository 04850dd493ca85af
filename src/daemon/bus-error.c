/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The only map from the core's failures to D-Bus errors. */

#include "common/string-util.h"
#include "daemon/bus-error.h"

/* A D-Bus error's text is for a person: longer than this nobody reads, and no client should have to hold. */
#define ERROR_TEXT_MAX 8192

static const char *error_name(int code) {
        if (code == -ENOMEM)
                return SD_BUS_ERROR_NO_MEMORY;
        return failure_dbus_name(code) ?: SD_BUS_ERROR_FAILED;
}

/* The text may quote other people's words; D-Bus refuses to send what is not UTF-8, and then the caller would get no
 * reply at all. */
int bus_error_set_failure(sd_bus_error *error, const Failure *failure) {
        _cleanup_free_ char *text = sanitize_text(failure_text(failure), ERROR_TEXT_MAX);

        if (!text)
                return -ENOMEM;
        return sd_bus_error_set(error, error_name(failure->code), text);
}

int bus_error_set_refusal(sd_bus_error *error, int code, const char *format, ...) {
        _cleanup_failure_ Failure failure = {};
        va_list ap;

        va_start(ap, format);
        (void) failure_setv(&failure, code, format, ap);
        va_end(ap);
        return bus_error_set_failure(error, &failure);
}

int bus_error_set_errno(sd_bus_error *error, int r) {
        return bus_error_set_failure(error, &(Failure) { .code = r });
}

int bus_error_set_invalid_args(sd_bus_error *error, const char *format, ...) {
        _cleanup_failure_ Failure failure = {};
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        (void) failure_setv(&failure, -EINVAL, format, ap);
        va_end(ap);
        text = sanitize_text(failure_text(&failure), ERROR_TEXT_MAX);
        if (!text)
                return -ENOMEM;
        return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, text);
}

int bus_reply_failure(sd_bus_message *call, const Failure *failure) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = bus_error_set_failure(&error, failure);

        if (!sd_bus_error_is_set(&error))
                return sd_bus_reply_method_errno(call, r, NULL);
        return sd_bus_reply_method_error(call, &error);
}
