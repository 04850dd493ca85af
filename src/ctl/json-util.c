/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Documents of --json, and reading values out of them: text output is made from the same data. */

#include <ctype.h>

#include "common/string-util.h"
#include "ctl/json-util.h"

json_t *json_document(const char *key, json_t *value) {
        return json_pack("{s:i, s:o}", "schema", JSON_SCHEMA, key, value);
}

json_t *json_error_object(const CtlError *e) {
        return json_pack("{s:s, s:s, s:i}", "name", strempty(e->name), "text", ctl_error_text(e), "exit_code",
                         e->exit_code);
}

const char *json_text(const json_t *object, const char *key) {
        return strempty(json_string_value(json_object_get(object, key)));
}

uint64_t json_number(const json_t *object, const char *key) {
        json_int_t n = json_integer_value(json_object_get(object, key));

        return n > 0 ? (uint64_t) n : 0;
}

bool json_flag(const json_t *object, const char *key) {
        return json_is_true(json_object_get(object, key));
}

char *json_key_from_dbus(const char *name) {
        char *key = malloc(2 * strlen(name) + 1), *p = key;

        if (!key)
                return NULL;
        for (size_t i = 0; name[i]; i++) {
                unsigned char c = (unsigned char) name[i];

                /* A capital behind a small letter begins a word. */
                if (isupper(c) && i > 0 &&
                    (islower((unsigned char) name[i - 1]) || isdigit((unsigned char) name[i - 1])))
                        *p++ = '_';
                *p++ = c == '-' ? '_' : (char) tolower(c);
        }
        *p = '\0';
        return key;
}

static json_t *shape_functions(const json_t *functions) {
        json_t *shaped = json_array();
        const json_t *f;
        size_t i;

        json_array_foreach(functions, i, f) {
                json_t *function = json_pack("{s:O, s:O, s:O}", "name", json_array_get(f, 0), "sympos",
                                             json_array_get(f, 1), "patched", json_array_get(f, 2));

                (void) json_array_append_new(shaped, function);
        }
        return shaped;
}

static json_t *shape_objects(const json_t *objects) {
        json_t *shaped = json_array();
        const json_t *object;
        size_t i;

        json_array_foreach(objects, i, object)
                (void) json_array_append_new(
                        shaped, json_pack("{s:O, s:O, s:o}", "name", json_array_get(object, 0), "loaded",
                                          json_array_get(object, 1), "functions",
                                          shape_functions(json_array_get(object, 2))));
        return shaped;
}

int json_shape_patch(json_t *patch) {
        json_t *objects = json_object_get(patch, "objects");

        if (objects && json_object_set_new(patch, "objects", shape_objects(objects)) < 0)
                return -ENOMEM;
        if (json_object_get(patch, "applied_at") && json_number(patch, "applied_at") == 0)
                (void) json_object_set_new(patch, "applied_at", json_null());
        if (json_number(patch, "applied_by") == UINT32_MAX)
                (void) json_object_set_new(patch, "applied_by", json_null());
        return 0;
}
