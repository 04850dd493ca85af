/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words of the kernel command line, taken apart as lib/cmdline.c, next_arg(), and kernel/params.c, parse_args(), do. */

#include <ctype.h>

#include "common/string-util.h"
#include "kmod/kernel-cmdline.h"

/* Removes the quotes around a string in place: the first one, and the last one if it is the very end. */
static char *unquote(char *s) {
        size_t n;

        if (*s != '"')
                return s;
        s++;
        n = strlen(s);
        if (n > 0 && s[n - 1] == '"')
                s[n - 1] = '\0';
        return s;
}

/* Cuts the next parameter off *p, which is modified. Quotes may enclose the whole parameter, or its value. */
static char *next_parameter(char **p, char **ret_value) {
        char *word = *p, *s, *equals = NULL;
        bool quoted = false;

        for (s = word; *s && (quoted || !isspace((unsigned char) *s)); s++) {
                if (*s == '=' && !equals)
                        equals = s;
                if (*s == '"')
                        quoted = !quoted;
        }
        *p = *s ? s + 1 : s;
        *s = '\0';
        word = unquote(word);
        *ret_value = NULL;
        if (equals) {
                *equals = '\0';
                *ret_value = unquote(equals + 1);
        }
        return word;
}

int kernel_cmdline_foreach(const char *cmdline, KernelCmdlineFn fn, void *userdata) {
        _cleanup_free_ char *copy = strdup(cmdline);
        char *p = copy;

        if (!copy)
                return -ENOMEM;
        for (;;) {
                char *key, *value;
                int r;

                while (isspace((unsigned char) *p))
                        p++;
                if (!*p)
                        return 0;
                key = next_parameter(&p, &value);
                if (!value && streq(key, "--"))
                        return 0;
                r = fn(key, value, userdata);
                if (r != 0)
                        return r;
        }
}
