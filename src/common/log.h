/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Logging: to the journal's native socket when there is one, to standard error otherwise.
 *
 * Only daemon and livepatchctl main programs log; src/common and src/kmod at most at debug level. One function per
 * failure logs. Messages: sentence case, "Failed to X 'name': %m", no trailing period. */
#pragma once

#include <syslog.h>

#include "common/macro.h"

typedef enum LogTarget {
        LOG_TARGET_AUTO, /* journal if standard error is connected to it, else standard error */
        LOG_TARGET_JOURNAL,
        LOG_TARGET_CONSOLE,
        LOG_TARGET_KMSG,
        LOG_TARGET_NULL,
        _LOG_TARGET_MAX,
        _LOG_TARGET_INVALID = -EINVAL,
} LogTarget;

void log_open(const char *identifier);
void log_set_max_level(int level);
int log_get_max_level(void);
const char *log_level_to_string(int level);
int log_level_from_string(const char *s);
void log_set_target(LogTarget target);
LogTarget log_get_target(void);
const char *log_target_to_string(LogTarget target);
LogTarget log_target_from_string(const char *s);

/* A structured field; the list ends with one whose name is NULL. A NULL or empty value leaves the field out. */
typedef struct LogField {
        const char *name;
        const char *value;
} LogField;

/* error: 0 or a negative errno, which becomes ERRNO= and %m. Returns it (or 0). */
int log_full(int level, int error, const LogField *fields, const char *format, ...) _printf_(4, 5);

#define log_debug(...) ((void) log_full(LOG_DEBUG, 0, NULL, __VA_ARGS__))
#define log_info(...) ((void) log_full(LOG_INFO, 0, NULL, __VA_ARGS__))
#define log_notice(...) ((void) log_full(LOG_NOTICE, 0, NULL, __VA_ARGS__))
#define log_warning(...) ((void) log_full(LOG_WARNING, 0, NULL, __VA_ARGS__))
#define log_error(...) ((void) log_full(LOG_ERR, 0, NULL, __VA_ARGS__))

#define log_debug_errno(e, ...) log_full(LOG_DEBUG, (e), NULL, __VA_ARGS__)
#define log_warning_errno(e, ...) log_full(LOG_WARNING, (e), NULL, __VA_ARGS__)
#define log_error_errno(e, ...) log_full(LOG_ERR, (e), NULL, __VA_ARGS__)

/* A lifecycle message: log_event(LOG_NOTICE, LP_MESSAGE_APPLIED, (LogField[]){ {...}, {} }, "...") */
#define log_event(level, message_id, fields, ...) log_event_full(level, message_id, fields, __VA_ARGS__)
void log_event_full(int level, const char *message_id, const LogField *fields, const char *format, ...) _printf_(4, 5);
