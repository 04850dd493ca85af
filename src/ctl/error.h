/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why a command failed, as livepatchctl tells it: a D-Bus error name, a text, an exit code. */
#pragma once

#include "common/failure.h"

/* The public contract (livepatchctl(1)); the codes of refusals are in common/failure.c. */
enum {
        CTL_EXIT_DONE = 0,
        CTL_EXIT_FAILED = 1,
        CTL_EXIT_USAGE = 2,
        CTL_EXIT_NOT_AUTHORISED = 3,
        CTL_EXIT_MAX = 7,
};

typedef struct CtlError {
        char *name;
        char *text;
        int exit_code; /* 0: no error */
} CtlError;

void ctl_error_done(CtlError *e);
#define _cleanup_ctl_error_ _cleanup_(ctl_error_done)

/* Each replaces what was there and returns the exit code. ctl_error_set: code is a Refusal or a negative errno, as of
 * Failure; %m works. */
int ctl_error_set(CtlError *e, int code, const char *format, ...) _printf_(3, 4);
int ctl_error_oom(CtlError *e);
int ctl_error_from_failure(CtlError *e, const Failure *f);

/* text may be NULL: then one for the name. Both come from another process: they are cleaned here. */
int ctl_error_from_dbus(CtlError *e, const char *name, const char *text);

/* Adds another sentence to the text. */
void ctl_error_add_hint(CtlError *e, const char *format, ...) _printf_(2, 3);

/* "PREFIX: TEXT" */
void ctl_error_add_prefix(CtlError *e, const char *prefix);

/* The text, never NULL. */
const char *ctl_error_text(const CtlError *e);

/* The exit code that goes with a D-Bus error name. */
int exit_code_from_dbus_name(const char *name);

/* A copy without anything that could play tricks on a terminal; newlines are kept. NULL when out of memory. */
char *clean_text(const char *s);
