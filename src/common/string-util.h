/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strings: comparison, lists, hexadecimal, validation of names that come from outside. */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "common/macro.h"

#define streq(a, b) (strcmp((a), (b)) == 0)

static inline bool streq_ptr(const char *a, const char *b) {
        return a == b || (a && b && streq(a, b));
}

static inline const char *strempty(const char *s) {
        return s ?: "";
}

static inline bool isempty(const char *s) {
        return !s || !*s;
}

/* The rest of s behind the prefix, or NULL. */
const char *startswith(const char *s, const char *prefix) _pure_;
bool endswith(const char *s, const char *suffix) _pure_;

void strv_free(char **l);
static inline void strv_freep(char ***l) {
        strv_free(*l);
}
#define _cleanup_strv_free_ _cleanup_(strv_freep)
size_t strv_length(char *const *l) _pure_;
int strv_append(char ***l, const char *s);
/* Copies of all strings of items, before the one at a place (at most the length). */
int strv_insert(char ***l, size_t at, char *const *items);

/* Replaces *p by a copy of s (which may be NULL). */
int free_and_strdup(char **p, const char *s);

/* *ret is 2 * size + 1 bytes. */
void hex_encode(const void *data, size_t size, char *ret);

/* Exactly n_digits lower-case hexadecimal digits. */
bool hex_is_valid(const char *s, size_t n_digits) _pure_;
#define SHA256_HEX_LENGTH 64
static inline bool sha256_is_valid(const char *s) {
        return hex_is_valid(s, SHA256_HEX_LENGTH);
}

/* A kernel module name: [A-Za-z0-9_], 1 to 55 characters (MODULE_NAME_LEN, include/linux/moduleparam.h: 64 less
 * sizeof(unsigned long), with the NUL). The kernel turns '-' into '_' only in file names. */
bool module_name_is_valid(const char *s) _pure_;
#define MODULE_NAME_MAX 55

/* A kernel release as it may become a directory name: [A-Za-z0-9.+_~-], no leading dot, 1 to 64 characters
 * (__NEW_UTS_LEN). */
bool kernel_release_is_valid(const char *s) _pure_;

/* A copy with control characters, invalid UTF-8 and bidirectional overrides replaced by '?', cut to max bytes (at a
 * character boundary, with "..."): for text that an unauthorised party wrote and a terminal, a log or JSON will show.
 * NULL when out of memory. */
char *sanitize_text(const char *s, size_t max);

/* Parses "90", "90s", "5min", "2h", "1d", "infinity" into microseconds. */
int parse_duration(const char *s, uint64_t *ret);
/* "1d 2h", "9min 30s", "800ms": the two largest units; returns buffer. */
#define FORMAT_DURATION_MAX 48
const char *format_duration(uint64_t usec, char *buffer, size_t size);
/* Parses "4096", "64K", "256M", "1G" into bytes. */
int parse_size(const char *s, uint64_t *ret);
/* yes/no, true/false, on/off, 1/0: returns 1, 0 or -EINVAL. */
int parse_boolean(const char *s) _pure_;
int parse_uint(const char *s, unsigned *ret);

/* Optimal string alignment distance, for "did you mean". */
size_t edit_distance(const char *a, const char *b) _pure_;
