/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why a command failed, as livepatchctl tells it: a D-Bus error name, a text, an exit code. */

#include <string.h>

#include "common/string-util.h"
#include "ctl/error.h"

/* The longest line that is shown whole: far more than any message has. */
#define TEXT_LINE_MAX KIB(16)

void ctl_error_done(CtlError *e) {
        free(e->name);
        free(e->text);
        *e = (CtlError) {};
}

static int set_from_code(CtlError *e, int code, char *text) {
        ctl_error_done(e);
        *e = (CtlError) {
                .name = strdup(failure_dbus_name(code)),
                .text = text,
                .exit_code = failure_exit_code(code),
        };
        return e->exit_code;
}

int ctl_error_set(CtlError *e, int code, const char *format, ...) {
        char *text = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        return set_from_code(e, code, text);
}

int ctl_error_oom(CtlError *e) {
        return set_from_code(e, -ENOMEM, NULL);
}

int ctl_error_from_failure(CtlError *e, const Failure *f) {
        return set_from_code(e, f->code, clean_text(failure_text(f)));
}

int exit_code_from_dbus_name(const char *name) {
        static const char *const not_authorised[] = {
                "org.freedesktop.DBus.Error.AccessDenied",
                "org.freedesktop.DBus.Error.AuthFailed",
                "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
        };

        for (size_t i = 0; i < ELEMENTSOF(not_authorised); i++)
                if (streq_ptr(name, not_authorised[i]))
                        return CTL_EXIT_NOT_AUTHORISED;
        return failure_exit_code(refusal_from_dbus_name(name) ?: -EIO);
}

int ctl_error_from_dbus(CtlError *e, const char *name, const char *text) {
        int refusal = refusal_from_dbus_name(name);
        Failure fallback = { .code = refusal ?: -EIO };

        ctl_error_done(e);
        *e = (CtlError) {
                .name = clean_text(isempty(name) ? "org.freedesktop.DBus.Error.Failed" : name),
                .text = clean_text(!isempty(text) ? text : failure_text(&fallback)),
                .exit_code = exit_code_from_dbus_name(name),
        };
        return e->exit_code;
}

void ctl_error_add_hint(CtlError *e, const char *format, ...) {
        _cleanup_free_ char *hint = NULL;
        const char *text = ctl_error_text(e);
        char *joined;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&hint, format, ap) < 0)
                hint = NULL;
        va_end(ap);
        if (!hint || asprintf(&joined, "%s%s %s", text, endswith(text, ".") ? "" : ".", hint) < 0)
                return; /* out of memory: the text as it is */
        free(e->text);
        e->text = joined;
}

void ctl_error_add_prefix(CtlError *e, const char *prefix) {
        char *joined;

        if (asprintf(&joined, "%s: %s", prefix, ctl_error_text(e)) < 0)
                return; /* out of memory: the text as it is */
        free(e->text);
        e->text = joined;
}

const char *ctl_error_text(const CtlError *e) {
        return e->text ?: "Out of memory";
}

char *clean_text(const char *s) {
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);

        if (!stream)
                return NULL;
        for (;;) {
                size_t n = strcspn(s, "\n");
                _cleanup_free_ char *line = strndup(s, n), *clean = NULL;

                clean = line ? sanitize_text(line, TEXT_LINE_MAX) : NULL;
                (void) fputs(clean ?: "?", stream);
                if (!s[n])
                        break;
                (void) fputc('\n', stream);
                s += n + 1;
        }
        if (fclose(stream) != 0) {
                free(text);
                return NULL;
        }
        return text;
}
