/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strict reading and writing of the JSON objects that records are made of. */

#include <sys/types.h>

#include "common/string-util.h"
#include "daemon/record-json.h"
#include "daemon/record.h"

/* Records nest four levels; jansson alone would follow a hostile file two thousand calls deep. */
#define NESTING_MAX 16

static bool nesting_is_bounded(const char *data, size_t size) {
        unsigned depth = 0;
        bool in_string = false;

        for (size_t i = 0; i < size; i++) {
                char c = data[i];

                if (in_string) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                in_string = false;
                } else if (c == '"')
                        in_string = true;
                else if (c == '{' || c == '[') {
                        if (++depth > NESTING_MAX)
                                return false;
                } else if ((c == '}' || c == ']') && depth > 0)
                        depth--;
        }
        return true;
}

int record_json_load(const char *data, size_t size, size_t max, json_t **ret, Failure *f) {
        _cleanup_json_ json_t *object = NULL;
        json_error_t error;

        if (size > max)
                return failure_set(f, -EBADMSG, "it is larger than any record");
        if (!nesting_is_bounded(data, size))
                return failure_set(f, -EBADMSG, "it nests too deeply");
        object = json_loadb(data, size, JSON_REJECT_DUPLICATES, &error);
        if (!object) {
                if (json_error_code(&error) == json_error_out_of_memory)
                        return failure_oom(f);
                return failure_set(f, -EBADMSG, "it is not valid JSON (line %d)", error.line);
        }
        if (!json_is_object(object))
                return failure_set(f, -EBADMSG, "it is not a JSON object");
        *ret = TAKE_PTR(object);
        return 0;
}

int record_json_dump(json_t *object, size_t max, char **ret) {
        _cleanup_free_ char *text = json_dumps(object, JSON_INDENT(4));
        char *with_newline;
        int n;

        if (!text)
                return -ENOMEM;
        n = asprintf(&with_newline, "%s\n", text);
        if (n < 0)
                return -ENOMEM;
        if ((size_t) n > max) {
                free(with_newline);
                return -EFBIG;
        }
        *ret = with_newline;
        return 0;
}

bool record_text_is_valid(const char *s) {
        _cleanup_free_ char *clean = NULL;

        if (strlen(s) > RECORD_TEXT_MAX)
                return false;
        clean = sanitize_text(s, RECORD_TEXT_MAX);
        return clean && streq(clean, s);
}

void record_reader_fail(RecordReader *reader, const char *key, const char *what) {
        if (reader->error == 0)
                reader->error = failure_set(reader->failure, -EBADMSG, "its \"%s\" %s", key, what);
}

static const json_t *read_member(RecordReader *reader, const char *key) {
        const json_t *value;

        if (reader->error != 0)
                return NULL;
        value = json_object_get(reader->object, key);
        if (!value)
                record_reader_fail(reader, key, "is missing");
        return value;
}

const char *record_read_word(RecordReader *reader, const char *key) {
        const json_t *value = read_member(reader, key);

        if (value && !json_is_string(value))
                record_reader_fail(reader, key, "is not a string");
        return reader->error == 0 ? json_string_value(value) : "";
}

void record_read_text(RecordReader *reader, const char *key, RecordTextCheck check, char **ret) {
        const char *word = record_read_word(reader, key);

        if (reader->error != 0)
                return;
        if (!check(word)) {
                record_reader_fail(reader, key, "is not valid");
                return;
        }
        if (free_and_strdup(ret, word) < 0)
                reader->error = failure_oom(reader->failure);
}

void record_read_optional(RecordReader *reader, const char *key, RecordTextCheck check, char **ret) {
        const json_t *value = read_member(reader, key);

        if (value && !json_is_null(value))
                record_read_text(reader, key, check, ret);
}

void record_read_bool(RecordReader *reader, const char *key, bool *ret) {
        const json_t *value = read_member(reader, key);

        if (!value)
                return;
        if (!json_is_boolean(value))
                record_reader_fail(reader, key, "is not true or false");
        else
                *ret = json_is_true(value);
}

void record_read_uint(RecordReader *reader, const char *key, uint64_t max, uint64_t *ret) {
        const json_t *value = read_member(reader, key);

        if (!value)
                return;
        if (!json_is_integer(value) || json_integer_value(value) < 0 || (uint64_t) json_integer_value(value) > max)
                record_reader_fail(reader, key, "is not a number in its range");
        else
                *ret = (uint64_t) json_integer_value(value);
}

void record_read_uid(RecordReader *reader, const char *key, uid_t *ret) {
        const json_t *value = read_member(reader, key);
        uint64_t uid = 0;

        if (!value)
                return;
        if (json_is_null(value)) {
                *ret = UID_UNKNOWN;
                return;
        }
        record_read_uint(reader, key, UID_UNKNOWN - 1, &uid);
        if (reader->error == 0)
                *ret = (uid_t) uid;
}

const json_t *record_read_container(RecordReader *reader, const char *key, json_type type) {
        const json_t *value = read_member(reader, key);

        if (!value || json_is_null(value))
                return NULL;
        if (json_typeof(value) != type) {
                record_reader_fail(reader, key, type == JSON_ARRAY ? "is not an array" : "is not an object");
                return NULL;
        }
        return value;
}

RecordReader record_element_reader(const RecordReader *parent, const json_t *array, size_t i, const char *key) {
        RecordReader reader = {
                .object = json_array_get(array, i),
                .failure = parent->failure,
                .error = parent->error,
        };

        if (!json_is_object(reader.object))
                record_reader_fail(&reader, key, "holds something that is not an object");
        return reader;
}

void record_write_json(RecordWriter *writer, const char *key, json_t *value) {
        /* Takes value over also when it fails, and fails for NULL. */
        if (json_object_set_new(writer->object, key, value) < 0 && writer->error == 0)
                writer->error = -ENOMEM;
}

void record_write_text(RecordWriter *writer, const char *key, const char *value) {
        if (value && !record_text_is_valid(value))
                writer->error = writer->error ?: -EINVAL;
        else
                record_write_json(writer, key, value ? json_string(value) : json_null());
}

void record_write_bool(RecordWriter *writer, const char *key, bool value) {
        record_write_json(writer, key, json_boolean(value));
}

void record_write_uint(RecordWriter *writer, const char *key, uint64_t value) {
        /* JSON integers are signed here: what would not be read back is not written. */
        if (value > INT64_MAX)
                writer->error = writer->error ?: -EINVAL;
        else
                record_write_json(writer, key, json_integer((json_int_t) value));
}

void record_write_uid(RecordWriter *writer, const char *key, uid_t value) {
        record_write_json(writer, key, value == UID_UNKNOWN ? json_null() : json_integer((json_int_t) value));
}

void record_writer_append(RecordWriter *writer, json_t *array, json_t *element) {
        if (json_array_append_new(array, element) < 0 && writer->error == 0)
                writer->error = -ENOMEM;
}

json_t *record_writer_finish(RecordWriter *child, RecordWriter *parent) {
        if (child->error == 0)
                return TAKE_PTR(child->object);
        json_decref(child->object);
        child->object = NULL;
        if (parent->error == 0)
                parent->error = child->error;
        return NULL;
}
