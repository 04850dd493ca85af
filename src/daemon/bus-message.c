/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading options out of calls and writing strings and dictionaries into replies. */

#include <fcntl.h>

#include "common/string-util.h"
#include "daemon/bus-error.h"
#include "daemon/bus-message.h"

#define OPTIONS_MAX 8
#define KEY_SHOWN_MAX 64
#define TEXT_MAX 16384

static int unknown_option(const BusOption *options, const char *key, sd_bus_error *error) {
        _cleanup_free_ char *shown = sanitize_text(key, KEY_SHOWN_MAX), *known = NULL;
        size_t size = 0;
        FILE *f;

        f = open_memstream(&known, &size);
        if (!f || !shown) {
                fclosep(&f);
                return bus_error_set_errno(error, -ENOMEM);
        }
        for (const BusOption *o = options; o->key; o++)
                (void) fprintf(f, "%s'%s'", o == options ? "" : ", ", o->key);
        if (fclose(f) != 0)
                return bus_error_set_errno(error, -ENOMEM);
        if (isempty(known))
                return bus_error_set_invalid_args(error, "Unknown option '%s': this method knows none. "
                                                  "Nothing was changed.", shown);
        return bus_error_set_invalid_args(error, "Unknown option '%s': this method knows %s. Nothing was changed.",
                                          shown, known);
}

static int wrong_type(const BusOption *option, const char *contents, sd_bus_error *error) {
        return bus_error_set_invalid_args(error, "Option '%s' is %s, not of type '%s'. Nothing was changed.",
                                          option->key, option->flag     ? "a boolean ('b')" :
                                                       option->number ? "a number ('t')" :
                                                                        "a string ('s')", contents);
}

static int read_value(sd_bus_message *m, const BusOption *option, sd_bus_error *error) {
        const char *type = option->flag ? "b" : option->number ? "t" : "s", *contents;
        int r, flag;

        r = sd_bus_message_peek_type(m, NULL, &contents);
        if (r < 0)
                return r;
        if (!streq(strempty(contents), type))
                return wrong_type(option, strempty(contents), error);
        if (option->number)
                return sd_bus_message_read(m, "v", type, option->number);
        if (option->text)
                return sd_bus_message_read(m, "v", type, option->text);
        r = sd_bus_message_read(m, "v", type, &flag);
        if (r >= 0)
                *option->flag = flag;
        return r;
}

static int read_option(sd_bus_message *m, const BusOption *options, bool *seen, sd_bus_error *error) {
        const char *key;
        size_t i = 0;
        int r;

        r = sd_bus_message_read_basic(m, 's', &key);
        if (r < 0)
                return r;
        while (options[i].key && !streq(options[i].key, key))
                i++;
        if (!options[i].key)
                return unknown_option(options, key, error);
        if (seen[i])
                return bus_error_set_invalid_args(error, "Option '%s' is given twice. Nothing was changed.", key);
        seen[i] = true;
        if (options[i].given)
                *options[i].given = true;
        return read_value(m, options + i, error);
}

static int read_options(sd_bus_message *m, const BusOption *options, sd_bus_error *error) {
        bool seen[OPTIONS_MAX] = {};
        int r;

        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, SD_BUS_TYPE_DICT_ENTRY, "sv")) > 0) {
                r = read_option(m, options, seen, error);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

int bus_message_read_options(sd_bus_message *m, const BusOption *options, sd_bus_error *error) {
        int r = read_options(m, options, error);

        if (r < 0 && !sd_bus_error_is_set(error))
                return bus_error_set_invalid_args(error, "The options cannot be read. Nothing was changed.");
        return r < 0 ? r : 0;
}

int bus_message_read_fd(sd_bus_message *m, int *ret_fd, sd_bus_error *error) {
        if (sd_bus_message_read_basic(m, 'h', ret_fd) < 0)
                return bus_error_set_invalid_args(error, "The descriptor is missing. Nothing was changed.");
        return 0;
}

int bus_message_copy_fd(int fd, int *ret, sd_bus_error *error) {
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

        if (copy < 0)
                return bus_error_set_refusal(error, negative_errno(),
                                             "The descriptor cannot be taken over: %m. Nothing was changed; "
                                             "try again later");
        *ret = copy;
        return 0;
}

int bus_message_append_text(sd_bus_message *m, const char *s) {
        _cleanup_free_ char *text = sanitize_text(strempty(s), TEXT_MAX);

        if (!text)
                return -ENOMEM;
        return sd_bus_message_append_basic(m, 's', text);
}

int bus_message_append_text_array(sd_bus_message *m, char *const *l) {
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "s");
        if (r < 0)
                return r;
        for (; l && *l; l++) {
                r = bus_message_append_text(m, *l);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

static int append_text_entry(sd_bus_message *m, const char *key, const char *value) {
        _cleanup_free_ char *text = sanitize_text(strempty(value), TEXT_MAX);

        if (!text)
                return -ENOMEM;
        return sd_bus_message_append(m, "{sv}", key, "s", text);
}

int bus_message_append_text_entries(sd_bus_message *m, const BusText *texts) {
        int r;

        for (; texts->key; texts++) {
                r = append_text_entry(m, texts->key, texts->value);
                if (r < 0)
                        return r;
        }
        return 0;
}

int bus_message_append_entry(sd_bus_message *m, const char *key, const char *type, BusAppend append,
                             const void *userdata) {
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_DICT_ENTRY, "sv");
        if (r < 0)
                return r;
        r = sd_bus_message_append_basic(m, 's', key);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, SD_BUS_TYPE_VARIANT, type);
        if (r < 0)
                return r;
        r = append(m, userdata);
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}
