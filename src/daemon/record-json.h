/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strict reading and writing of the JSON objects that records are made of; shared by the record files only. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/failure.h"

/* Text that a person wrote (descriptions, signers): bounded, and clean in the sense of sanitize_text(). */
#define RECORD_TEXT_MAX 4096

static inline void record_json_unrefp(json_t **object) {
        json_decref(*object);
}
#define _cleanup_json_ _cleanup_(record_json_unrefp)

/* Parses one object of at most max bytes, without duplicate keys, NULs, deep nesting or trailing bytes; -EBADMSG with a
 * text says why not. */
int record_json_load(const char *data, size_t size, size_t max, json_t **ret, Failure *f);

/* Indented text with a final newline; -ENOMEM, or -EFBIG beyond max bytes. */
int record_json_dump(json_t *object, size_t max, char **ret);

/* Reads keys of one object. The first error sticks: later calls do nothing, so that a caller reads everything and looks
 * at error once. error is 0, -EBADMSG (failure filled in) or -ENOMEM. */
typedef struct RecordReader {
        const json_t *object;
        Failure *failure;
        int error;
} RecordReader;

typedef bool (*RecordTextCheck)(const char *s);

/* Whether a string is clean and not longer than RECORD_TEXT_MAX. */
bool record_text_is_valid(const char *s);

void record_reader_fail(RecordReader *reader, const char *key, const char *what);

/* A copy of a string that satisfies check. */
void record_read_text(RecordReader *reader, const char *key, RecordTextCheck check, char **ret);
/* The same, or NULL for null. */
void record_read_optional(RecordReader *reader, const char *key, RecordTextCheck check, char **ret);
void record_read_bool(RecordReader *reader, const char *key, bool *ret);
void record_read_uint(RecordReader *reader, const char *key, uint64_t max, uint64_t *ret);
void record_read_uid(RecordReader *reader, const char *key, uid_t *ret);
/* A borrowed string, "" after an error. */
const char *record_read_word(RecordReader *reader, const char *key);
/* A borrowed array or object, NULL for null or after an error. */
const json_t *record_read_container(RecordReader *reader, const char *key, json_type type);

#define record_read_enum(reader, key, from_string, ret)                                 \
        do {                                                                            \
                __auto_type _value = from_string(record_read_word((reader), (key)));    \
                if ((int) _value < 0)                                                   \
                        record_reader_fail((reader), (key), "has an unknown value");    \
                else                                                                    \
                        *(ret) = _value;                                                \
        } while (0)

/* The reader of one element of an array, which fails when the element is no object. Its error is for the caller to
 * take. */
RecordReader record_element_reader(const RecordReader *parent, const json_t *array, size_t i, const char *key);

/* Writers: the first error sticks in the same way; error is 0, -ENOMEM, or -EINVAL for what JSON cannot hold. */
typedef struct RecordWriter {
        json_t *object;
        int error;
} RecordWriter;

void record_write_text(RecordWriter *writer, const char *key, const char *value); /* NULL: null */
void record_write_bool(RecordWriter *writer, const char *key, bool value);
void record_write_uint(RecordWriter *writer, const char *key, uint64_t value);
void record_write_uid(RecordWriter *writer, const char *key, uid_t value);
void record_write_json(RecordWriter *writer, const char *key, json_t *value); /* takes value over */
void record_writer_append(RecordWriter *writer, json_t *array, json_t *element); /* takes element over */
/* Ends a child's object: returns it for the parent to write, or NULL with the child's error in the parent. */
json_t *record_writer_finish(RecordWriter *child, RecordWriter *parent);
