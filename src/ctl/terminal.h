/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a terminal can show: its size, colours, and how wide a text is on it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef enum Style {
        STYLE_NORMAL,
        STYLE_GOOD,
        STYLE_NOTICE,
        STYLE_BAD,
        STYLE_MUTED,
        STYLE_STRONG,
        STYLE_HEADER,
        _STYLE_MAX,
} Style;

/* Escape sequences; "" when there is no colour to be shown. */
const char *style_begin(Style style, bool color);
const char *style_end(Style style, bool color);

/* How the word for a state, a signature's status or a job's result is shown. */
Style patch_state_style(const char *state);
Style signature_status_style(const char *status);
Style job_result_style(const char *result);

/* $SYSTEMD_COLORS, $NO_COLOR (no-color.org), $TERM, and whether fd is a terminal, in this order. */
bool terminal_wants_color(int fd);

/* Columns and rows of the terminal that fd is; false if it is none. $COLUMNS and $LINES win where they are set. */
bool terminal_size(int fd, unsigned *ret_columns, unsigned *ret_rows);

/* Whether the locale's characters are UTF-8. */
bool terminal_is_utf8(void);

/* How many columns the text takes (wcwidth(3) of each character; one for what is no character). */
size_t text_width(const char *s);

/* Length in bytes of the longest beginning that takes at most columns. */
size_t text_cut(const char *s, size_t columns);
