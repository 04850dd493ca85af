/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The only map from the core's failures to D-Bus errors. */
#pragma once

#include <systemd/sd-bus.h>

#include "common/failure.h"

/* All return a negative errno, which is what a handler has to return: a positive code would tell sd-bus "handled", and
 * the caller would wait for a reply until its timeout. */
int bus_error_set_failure(sd_bus_error *error, const Failure *failure);
int bus_error_set_refusal(sd_bus_error *error, int code, const char *format, ...) _printf_(3, 4);
int bus_error_set_errno(sd_bus_error *error, int r);
int bus_error_set_invalid_args(sd_bus_error *error, const char *format, ...) _printf_(2, 3);

/* Sends the failure as the reply to a call that was left open. */
int bus_reply_failure(sd_bus_message *call, const Failure *failure);
