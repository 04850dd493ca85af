/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* D-Bus values as JSON. */

#include "common/string-util.h"
#include "ctl/client-json.h"
#include "ctl/error.h"
#include "ctl/json-util.h"

static int read_string(sd_bus_message *m, char type, json_t **ret) {
        _cleanup_free_ char *clean = NULL;
        const char *s;
        int r = sd_bus_message_read_basic(m, type, &s);

        if (r < 0)
                return r;
        clean = clean_text(s);
        *ret = clean ? json_string(clean) : NULL;
        return *ret ? 0 : -ENOMEM;
}

static int read_number(sd_bus_message *m, char type, json_t **ret) {
        union {
                uint8_t y;
                int b;
                int16_t n;
                uint16_t q;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
                double d;
        } v;
        int r = sd_bus_message_read_basic(m, type, &v);

        if (r < 0)
                return r;
        switch (type) {
        case SD_BUS_TYPE_BOOLEAN:
                *ret = json_boolean(v.b);
                break;
        case SD_BUS_TYPE_DOUBLE:
                *ret = json_real(v.d);
                break;
        case SD_BUS_TYPE_BYTE:
                *ret = json_integer(v.y);
                break;
        case SD_BUS_TYPE_INT16:
                *ret = json_integer(v.n);
                break;
        case SD_BUS_TYPE_UINT16:
                *ret = json_integer(v.q);
                break;
        case SD_BUS_TYPE_INT32:
                *ret = json_integer(v.i);
                break;
        case SD_BUS_TYPE_UINT32:
                *ret = json_integer(v.u);
                break;
        case SD_BUS_TYPE_INT64:
                *ret = json_integer(v.x);
                break;
        case SD_BUS_TYPE_UINT64:
                *ret = json_integer((json_int_t) MIN(v.t, (uint64_t) INT64_MAX));
                break;
        default:
                return -EBADMSG; /* a file descriptor, which no property has */
        }
        return *ret ? 0 : -ENOMEM;
}

static int read_entries(sd_bus_message *m, const char *entry_type, json_t *object) {
        int r;

        while ((r = sd_bus_message_enter_container(m, SD_BUS_TYPE_DICT_ENTRY, entry_type)) > 0) {
                _cleanup_free_ char *key = NULL;
                json_t *value = NULL;
                const char *name;

                r = sd_bus_message_read_basic(m, SD_BUS_TYPE_STRING, &name);
                if (r < 0)
                        return r;
                key = json_key_from_dbus(name);
                if (!key)
                        return -ENOMEM;
                r = client_read_json(m, &value);
                if (r < 0)
                        return r;
                if (json_object_set_new(object, key, value) < 0)
                        return -ENOMEM;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r;
}

static int read_dictionary(sd_bus_message *m, const char *contents, json_t **ret) {
        json_auto_t *object = json_object();
        /* "{sv}" without its braces is the type of an entry. */
        _cleanup_free_ char *entry_type = strndup(contents + 1, strlen(contents) - 2);
        int r;

        if (!object || !entry_type)
                return -ENOMEM;
        r = read_entries(m, entry_type, object);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(object);
        return 0;
}

static int read_list(sd_bus_message *m, json_t **ret) {
        json_auto_t *list = json_array();
        int r;

        if (!list)
                return -ENOMEM;
        while ((r = sd_bus_message_at_end(m, 0)) == 0) {
                json_t *value = NULL;

                r = client_read_json(m, &value);
                if (r < 0)
                        return r;
                if (json_array_append_new(list, value) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

static int read_container(sd_bus_message *m, char type, const char *contents, json_t **ret) {
        json_t *value = NULL;
        int r = sd_bus_message_enter_container(m, type, contents);

        if (r < 0)
                return r;
        if (type == SD_BUS_TYPE_VARIANT)
                r = client_read_json(m, &value);
        else if (type == SD_BUS_TYPE_ARRAY && contents[0] == SD_BUS_TYPE_DICT_ENTRY_BEGIN)
                r = read_dictionary(m, contents, &value);
        else
                r = read_list(m, &value);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0) {
                json_decref(value);
                return r;
        }
        *ret = value;
        return 0;
}

/* Recursion ends: the D-Bus specification allows 32 levels of arrays and 32 of structures, and sd-bus checks it. */
int client_read_json(sd_bus_message *m, json_t **ret) {
        const char *contents;
        char type;
        int r = sd_bus_message_peek_type(m, &type, &contents);

        if (r < 0)
                return r;
        if (r == 0)
                return -EBADMSG;
        switch (type) {
        case SD_BUS_TYPE_STRING:
        case SD_BUS_TYPE_OBJECT_PATH:
        case SD_BUS_TYPE_SIGNATURE:
                return read_string(m, type, ret);
        case SD_BUS_TYPE_ARRAY:
        case SD_BUS_TYPE_STRUCT:
        case SD_BUS_TYPE_VARIANT:
                return read_container(m, type, contents, ret);
        default:
                return read_number(m, type, ret);
        }
}
