/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a terminal can show: its size, colours, and how wide a text is on it. */

#include <langinfo.h>
#include <sys/ioctl.h>
#include <wchar.h>

#include "common/string-util.h"
#include "common/types.h"
#include "ctl/terminal.h"

static const char *const style_table[_STYLE_MAX] = {
        [STYLE_NORMAL] = "",
        [STYLE_GOOD] = "\033[0;32m",
        [STYLE_NOTICE] = "\033[0;33m",
        [STYLE_BAD] = "\033[0;1;31m",
        [STYLE_MUTED] = "\033[0;90m",
        [STYLE_STRONG] = "\033[0;1m",
        [STYLE_HEADER] = "\033[0;4m",
};

const char *style_begin(Style style, bool color) {
        return color ? style_table[style] : "";
}

const char *style_end(Style style, bool color) {
        return color && style != STYLE_NORMAL ? "\033[0m" : "";
}

Style patch_state_style(const char *state) {
        switch (patch_state_from_string(state)) {
        case PATCH_APPLIED:
                return STYLE_GOOD;
        case PATCH_APPLYING:
        case PATCH_REVERTING:
        case PATCH_DISABLED:
        case PATCH_EXTERNAL:
                return STYLE_NOTICE;
        case PATCH_FAILED:
        case PATCH_QUARANTINED:
                return STYLE_BAD;
        case PATCH_SUPERSEDED:
                return STYLE_MUTED;
        case PATCH_AVAILABLE:
        case PATCH_STAGED:
        case _PATCH_STATE_MAX:
        case _PATCH_STATE_INVALID:
        default:
                return STYLE_NORMAL;
        }
}

Style signature_status_style(const char *status) {
        SignatureStatus s = signature_status_from_string(status);

        if (s == SIGNATURE_TRUSTED)
                return STYLE_GOOD;
        if (s == SIGNATURE_UNCHECKED || s == _SIGNATURE_STATUS_INVALID)
                return STYLE_NOTICE;
        return STYLE_BAD;
}

Style job_result_style(const char *result) {
        JobResult r = job_result_from_string(result);

        return r == JOB_RESULT_DONE ? STYLE_GOOD : r == JOB_RESULT_CANCELED ? STYLE_NOTICE : STYLE_BAD;
}

bool terminal_wants_color(int fd) {
        const char *e = getenv("SYSTEMD_COLORS");

        if (e)
                /* Beside a boolean: "16", "256", "truecolor", all of which mean yes. */
                return parse_boolean(e) != 0;
        e = getenv("NO_COLOR");
        if (!isempty(e))
                return false;
        e = getenv("TERM");
        return isatty(fd) && !streq_ptr(e, "dumb");
}

static void override_by_environment(const char *name, unsigned *value) {
        const char *e = getenv(name);
        unsigned n;

        if (e && parse_uint(e, &n) >= 0 && n > 0)
                *value = n;
}

bool terminal_size(int fd, unsigned *ret_columns, unsigned *ret_rows) {
        struct winsize size = {};

        if (!isatty(fd))
                return false;
        (void) ioctl(fd, TIOCGWINSZ, &size);
        *ret_columns = size.ws_col > 0 ? size.ws_col : 80;
        *ret_rows = size.ws_row > 0 ? size.ws_row : 24;
        override_by_environment("COLUMNS", ret_columns);
        override_by_environment("LINES", ret_rows);
        return true;
}

bool terminal_is_utf8(void) {
        return streq(nl_langinfo(CODESET), "UTF-8");
}

/* The character at s: its length in bytes, its width in columns. */
static size_t next_character(const char *s, mbstate_t *state, size_t *ret_width) {
        wchar_t c;
        size_t n = mbrtowc(&c, s, strlen(s), state);
        int width;

        if (n == 0 || n == (size_t) -1 || n == (size_t) -2) {
                *state = (mbstate_t) {};
                *ret_width = 1;
                return 1;
        }
        width = wcwidth(c);
        *ret_width = width < 0 ? 1 : (size_t) width;
        return n;
}

size_t text_width(const char *s) {
        mbstate_t state = {};
        size_t total = 0;

        while (*s) {
                size_t width;

                s += next_character(s, &state, &width);
                total += width;
        }
        return total;
}

size_t text_cut(const char *s, size_t columns) {
        mbstate_t state = {};
        size_t total = 0, length = 0;

        while (s[length]) {
                size_t width, n = next_character(s + length, &state, &width);

                if (total + width > columns)
                        break;
                total += width;
                length += n;
        }
        return length;
}
