/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strings: comparison, lists, hexadecimal, validation of names that come from outside. */

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>

#include "common/string-util.h"

#define KERNEL_RELEASE_MAX 64

const char *startswith(const char *s, const char *prefix) {
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

bool endswith(const char *s, const char *suffix) {
        size_t n = strlen(s), m = strlen(suffix);

        return n >= m && streq(s + n - m, suffix);
}

void strv_free(char **l) {
        if (!l)
                return;
        for (char **i = l; *i; i++)
                free(*i);
        free(l);
}

size_t strv_length(char *const *l) {
        size_t n = 0;

        while (l && l[n])
                n++;
        return n;
}

int strv_append(char ***l, const char *s) {
        size_t n = strv_length(*l);
        char **grown = realloc(*l, (n + 2) * sizeof(char *));

        if (!grown)
                return -ENOMEM;
        *l = grown;
        grown[n] = strdup(s);
        if (!grown[n])
                return -ENOMEM;
        grown[n + 1] = NULL;
        return 0;
}

int strv_insert(char ***l, size_t at, char *const *items) {
        size_t n = strv_length(*l), n_items = strv_length(items);
        char **grown = reallocarray(*l, n + n_items + 1, sizeof(char *));

        if (!grown)
                return -ENOMEM;
        *l = grown;
        grown[n] = NULL;
        for (size_t i = 0; i < n_items; i++) {
                char *copy = strdup(items[i]);

                if (!copy)
                        return -ENOMEM; /* those before it are in their places */
                memmove(grown + at + i + 1, grown + at + i, (n - at + 1) * sizeof(char *));
                grown[at + i] = copy;
        }
        return 0;
}

int free_and_strdup(char **p, const char *s) {
        char *copy = NULL;

        if (s) {
                copy = strdup(s);
                if (!copy)
                        return -ENOMEM;
        }
        free(*p);
        *p = copy;
        return 0;
}

void hex_encode(const void *data, size_t size, char *ret) {
        static const char digits[] = "0123456789abcdef";
        const uint8_t *p = data;

        for (size_t i = 0; i < size; i++) {
                ret[2 * i] = digits[p[i] >> 4];
                ret[2 * i + 1] = digits[p[i] & 15];
        }
        ret[2 * size] = '\0';
}

bool hex_is_valid(const char *s, size_t n_digits) {
        return s && strlen(s) == n_digits && strspn(s, "0123456789abcdef") == n_digits;
}

bool module_name_is_valid(const char *s) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

        return s && *s && strlen(s) <= MODULE_NAME_MAX && s[strspn(s, allowed)] == '\0';
}

bool kernel_release_is_valid(const char *s) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+_~-";

        return s && *s && *s != '.' && strlen(s) <= KERNEL_RELEASE_MAX && s[strspn(s, allowed)] == '\0';
}

/* Length of the valid, printable UTF-8 character at p, or 0. */
static size_t printable_length(const uint8_t *p) {
        static const uint32_t minimum[] = { 0, 0, 0x80, 0x800, 0x10000 };
        uint32_t c;
        size_t n;

        if (p[0] < 0x80)
                return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
        n = (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
        if (n == 0)
                return 0;
        c = p[0] & (0x7fU >> n);
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3fU);
        }
        if (c < minimum[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        /* C1 controls; line separators and bidirectional overrides, which rearrange what a terminal shows. */
        if (c < 0xa0 || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f)
                return 0;
        return n;
}

char *sanitize_text(const char *s, size_t max) {
        static const char ellipsis[] = "...";
        char *out = malloc(MIN(strlen(s), max) + sizeof(ellipsis));
        size_t n = 0;

        if (!out)
                return NULL;
        while (*s) {
                size_t length = printable_length((const uint8_t *) s);

                if (n + MAX(length, (size_t) 1) > max) {
                        memcpy(out + n, ellipsis, STRLEN("..."));
                        n += STRLEN("...");
                        break;
                }
                if (length == 0) {
                        out[n++] = '?';
                        s++;
                } else {
                        memcpy(out + n, s, length);
                        n += length;
                        s += length;
                }
        }
        out[n] = '\0';
        return out;
}

static int parse_u64_with_rest(const char *s, uint64_t *ret, const char **ret_rest) {
        unsigned long long value;
        char *end;

        s += strspn(s, " \t");
        if (!isdigit((unsigned char) *s))
                return -EINVAL;
        errno = 0;
        value = strtoull(s, &end, 10);
        if (errno != 0)
                return -ERANGE;
        *ret = value;
        *ret_rest = end + strspn(end, " \t");
        return 0;
}

typedef struct Unit {
        const char *name;
        uint64_t factor;
} Unit;

static int multiply_by_unit(uint64_t value, const char *name, const Unit *units, size_t n, uint64_t *ret) {
        for (size_t i = 0; i < n; i++) {
                uint64_t product;

                if (!streq(units[i].name, name))
                        continue;
                if (__builtin_mul_overflow(value, units[i].factor, &product))
                        return -ERANGE;
                *ret = product;
                return 0;
        }
        return -EINVAL;
}

int parse_duration(const char *s, uint64_t *ret) {
        static const Unit units[] = {
                { "", USEC_PER_SEC },          { "s", USEC_PER_SEC },         { "sec", USEC_PER_SEC },
                { "ms", USEC_PER_MSEC },       { "us", 1 },                   { "min", 60 * USEC_PER_SEC },
                { "m", 60 * USEC_PER_SEC },    { "h", 3600 * USEC_PER_SEC },  { "hr", 3600 * USEC_PER_SEC },
                { "d", 86400 * USEC_PER_SEC }, { "day", 86400 * USEC_PER_SEC },
                { "days", 86400 * USEC_PER_SEC },
        };
        const char *rest;
        uint64_t value;
        int r;

        if (streq(s, "infinity")) {
                *ret = USEC_INFINITY;
                return 0;
        }
        r = parse_u64_with_rest(s, &value, &rest);
        if (r < 0)
                return r;
        return multiply_by_unit(value, rest, units, ELEMENTSOF(units), ret);
}

const char *format_duration(uint64_t usec, char *buffer, size_t size) {
        static const struct {
                const char *name;
                uint64_t usec;
        } units[] = {
                { "d", 86400 * USEC_PER_SEC }, { "h", 3600 * USEC_PER_SEC }, { "min", 60 * USEC_PER_SEC },
                { "s", USEC_PER_SEC },         { "ms", USEC_PER_MSEC },
        };
        size_t i = 0;
        uint64_t next;

        while (i < ELEMENTSOF(units) - 1 && usec < units[i].usec)
                i++;
        next = i + 1 < ELEMENTSOF(units) && units[i].usec > USEC_PER_SEC ?
                       usec % units[i].usec / units[i + 1].usec :
                       0;
        if (next > 0)
                (void) snprintf(buffer, size, "%" PRIu64 "%s %" PRIu64 "%s", usec / units[i].usec, units[i].name, next,
                                units[i + 1].name);
        else
                (void) snprintf(buffer, size, "%" PRIu64 "%s", usec / units[i].usec, units[i].name);
        return buffer;
}

int parse_size(const char *s, uint64_t *ret) {
        static const Unit units[] = {
                { "", 1 }, { "B", 1 }, { "K", 1ULL << 10 }, { "M", 1ULL << 20 }, { "G", 1ULL << 30 },
        };
        const char *rest;
        uint64_t value;
        int r = parse_u64_with_rest(s, &value, &rest);

        if (r < 0)
                return r;
        return multiply_by_unit(value, rest, units, ELEMENTSOF(units), ret);
}

int parse_boolean(const char *s) {
        static const char *const yes[] = { "1", "yes", "y", "true", "t", "on" };
        static const char *const no[] = { "0", "no", "n", "false", "f", "off" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                if (strcasecmp(s, yes[i]) == 0)
                        return 1;
                if (strcasecmp(s, no[i]) == 0)
                        return 0;
        }
        return -EINVAL;
}

int parse_uint(const char *s, unsigned *ret) {
        const char *rest;
        uint64_t value;
        int r = parse_u64_with_rest(s, &value, &rest);

        if (r < 0)
                return r;
        if (*rest)
                return -EINVAL;
        if (value > UINT_MAX)
                return -ERANGE;
        *ret = (unsigned) value;
        return 0;
}

#define EDIT_DISTANCE_MAX 64

size_t edit_distance(const char *a, const char *b) {
        size_t n = strlen(a), m = strlen(b);
        size_t rows[3][EDIT_DISTANCE_MAX + 1];
        size_t *before = rows[0], *previous = rows[1], *current = rows[2];

        if (n > EDIT_DISTANCE_MAX || m > EDIT_DISTANCE_MAX)
                return SIZE_MAX;
        for (size_t j = 0; j <= m; j++)
                previous[j] = j;
        for (size_t i = 1; i <= n; i++) {
                size_t *oldest = before;

                current[0] = i;
                for (size_t j = 1; j <= m; j++) {
                        size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
                        size_t best = MIN(previous[j] + 1, current[j - 1] + 1);

                        best = MIN(best, previous[j - 1] + cost);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                best = MIN(best, before[j - 2] + 1);
                        current[j] = best;
                }
                before = previous;
                previous = current;
                current = oldest;
        }
        return previous[m];
}
