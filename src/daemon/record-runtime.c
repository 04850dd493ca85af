/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runtime records: what this boot did with a patch. */

#include "common/string-util.h"
#include "daemon/record-json.h"
#include "daemon/record.h"

#define RUNTIME_RECORD_SIZE_MAX KIB(64)

RuntimeRecord *runtime_record_free(RuntimeRecord *record) {
        if (!record)
                return NULL;
        free(record->name);
        free(record->sha256);
        free(record->drift);
        free(record->failure_error);
        free(record->failure_text);
        free(record);
        return NULL;
}

int runtime_record_new(const char *name, RuntimeRecord **ret) {
        _cleanup_(runtime_record_freep) RuntimeRecord *record = NULL;

        if (!module_name_is_valid(name))
                return -EINVAL;
        record = calloc(1, sizeof(RuntimeRecord));
        if (!record)
                return -ENOMEM;
        record->applied_by = record->pending_by = UID_UNKNOWN;
        record->name = strdup(name);
        if (!record->name)
                return -ENOMEM;
        *ret = TAKE_PTR(record);
        return 0;
}

static bool sha256_text_is_valid(const char *s) {
        return sha256_is_valid(s);
}

/* Earlier versions did not write these. */
static void parse_stall_options(RecordReader *pending, OperationOptions *options) {
        const json_t *timeout = json_object_get(pending->object, "stall_timeout");

        if (json_is_string(timeout) && streq(json_string_value(timeout), "infinity"))
                options->stall_timeout_usec = USEC_INFINITY;
        else if (timeout)
                record_read_uint(pending, "stall_timeout", OPERATION_STALL_TIMEOUT_MAX, &options->stall_timeout_usec);
        options->on_stall_given = json_object_get(pending->object, "on_stall") != NULL;
        if (options->on_stall_given)
                record_read_enum(pending, "on_stall", on_stall_from_string, &options->on_stall);
}

static void parse_pending(RecordReader *reader, RuntimeRecord *record) {
        RecordReader pending = {
                .object = record_read_container(reader, "pending", JSON_OBJECT),
                .failure = reader->failure,
        };

        if (!pending.object)
                return;
        record->pending = true;
        record_read_enum(&pending, "type", job_type_from_string, &record->pending_type);
        record_read_bool(&pending, "runtime", &record->pending_options.runtime);
        parse_stall_options(&pending, &record->pending_options);
        if (json_object_get(pending.object, "put_record"))
                record_read_bool(&pending, "put_record", &record->pending_options.put_record);
        record_read_uid(&pending, "by", &record->pending_by);
        reader->error = pending.error;
}

/* Without the key: an earlier version wrote the record, in this boot. */
static void parse_confirm(RecordReader *reader, RuntimeRecord *record) {
        RecordReader confirm = { .failure = reader->failure };

        if (!json_object_get(reader->object, "confirm"))
                return;
        confirm.object = record_read_container(reader, "confirm", JSON_OBJECT);
        if (!confirm.object)
                return;
        record_read_uint(&confirm, "within", INT64_MAX, &record->confirm_within);
        record_read_uint(&confirm, "deadline", INT64_MAX, &record->confirm_deadline);
        record_read_bool(&confirm, "runtime", &record->confirm_runtime);
        record_read_bool(&confirm, "expired", &record->confirm_expired);
        if (confirm.error == 0 && record->confirm_within == 0)
                record_reader_fail(&confirm, "within", "is 0");
        reader->error = confirm.error;
}

static void parse_failure(RecordReader *reader, RuntimeRecord *record) {
        RecordReader failure = {
                .object = record_read_container(reader, "failure", JSON_OBJECT),
                .failure = reader->failure,
        };

        if (!failure.object)
                return;
        record_read_text(&failure, "error", record_text_is_valid, &record->failure_error);
        record_read_optional(&failure, "text", record_text_is_valid, &record->failure_text);
        reader->error = failure.error;
}

int runtime_record_parse(const char *data, size_t size, RuntimeRecord **ret, Failure *f) {
        _cleanup_(runtime_record_freep) RuntimeRecord *record = calloc(1, sizeof(RuntimeRecord));
        _cleanup_json_ json_t *object = NULL;
        RecordReader reader = { .failure = f };
        uint64_t format = 0;
        int r;

        if (!record)
                return failure_oom(f);
        record->applied_by = record->pending_by = UID_UNKNOWN;
        r = record_json_load(data, size, RUNTIME_RECORD_SIZE_MAX, &object, f);
        if (r < 0)
                return r;
        reader.object = object;
        record_read_uint(&reader, "format", INT64_MAX, &format);
        if (reader.error == 0 && format != RECORD_FORMAT_VERSION)
                record_reader_fail(&reader, "format", "is one that this version of livepatchd does not know");
        record_read_text(&reader, "name", module_name_is_valid, &record->name);
        record_read_optional(&reader, "sha256", sha256_text_is_valid, &record->sha256);
        record_read_uint(&reader, "applied_at", INT64_MAX, &record->applied_at);
        record_read_uid(&reader, "applied_by", &record->applied_by);
        if (json_object_get(object, "drift")) /* an earlier version did not write it */
                record_read_optional(&reader, "drift", record_text_is_valid, &record->drift);
        parse_pending(&reader, record);
        parse_confirm(&reader, record);
        parse_failure(&reader, record);
        if (reader.error != 0)
                return reader.error;
        *ret = TAKE_PTR(record);
        return 0;
}

static void format_stall_options(RecordWriter *pending, const OperationOptions *options) {
        /* JSON's integers end at 2^63 - 1. */
        if (options->stall_timeout_usec == USEC_INFINITY)
                record_write_text(pending, "stall_timeout", "infinity");
        else if (options->stall_timeout_usec > 0)
                record_write_uint(pending, "stall_timeout", options->stall_timeout_usec);
        if (options->on_stall_given)
                record_write_text(pending, "on_stall", on_stall_to_string(options->on_stall));
}

static json_t *format_pending(RecordWriter *writer, const RuntimeRecord *record) {
        RecordWriter pending;

        if (!record->pending)
                return json_null();
        pending = (RecordWriter) { .object = json_object() };
        record_write_text(&pending, "type", job_type_to_string(record->pending_type));
        record_write_bool(&pending, "runtime", record->pending_options.runtime);
        format_stall_options(&pending, &record->pending_options);
        if (record->pending_options.put_record)
                record_write_bool(&pending, "put_record", true);
        record_write_uid(&pending, "by", record->pending_by);
        return record_writer_finish(&pending, writer);
}

static json_t *format_confirm(RecordWriter *writer, const RuntimeRecord *record) {
        RecordWriter confirm;

        if (record->confirm_within == 0)
                return json_null();
        confirm = (RecordWriter) { .object = json_object() };
        record_write_uint(&confirm, "within", record->confirm_within);
        record_write_uint(&confirm, "deadline", record->confirm_deadline);
        record_write_bool(&confirm, "runtime", record->confirm_runtime);
        record_write_bool(&confirm, "expired", record->confirm_expired);
        return record_writer_finish(&confirm, writer);
}

static json_t *format_failure(RecordWriter *writer, const RuntimeRecord *record) {
        _cleanup_free_ char *text = NULL;
        RecordWriter failure;

        if (!record->failure_error)
                return json_null();
        /* It may quote what the kernel logged, at any length. */
        if (record->failure_text) {
                text = sanitize_text(record->failure_text, RECORD_TEXT_MAX - STRLEN("..."));
                if (!text)
                        return NULL;
        }
        failure = (RecordWriter) { .object = json_object() };
        record_write_text(&failure, "error", record->failure_error);
        record_write_text(&failure, "text", text);
        return record_writer_finish(&failure, writer);
}

int runtime_record_format(const RuntimeRecord *record, char **ret) {
        _cleanup_(runtime_record_freep) RuntimeRecord *reread = NULL;
        _cleanup_json_ json_t *object = json_object();
        _cleanup_free_ char *text = NULL;
        RecordWriter w = { .object = object };
        int r;

        record_write_uint(&w, "format", RECORD_FORMAT_VERSION);
        record_write_text(&w, "name", record->name);
        record_write_text(&w, "sha256", record->sha256);
        record_write_uint(&w, "applied_at", record->applied_at);
        record_write_uid(&w, "applied_by", record->applied_by);
        record_write_text(&w, "drift", record->drift);
        record_write_json(&w, "pending", format_pending(&w, record));
        record_write_json(&w, "confirm", format_confirm(&w, record));
        record_write_json(&w, "failure", format_failure(&w, record));
        if (w.error != 0)
                return w.error;
        r = record_json_dump(object, RUNTIME_RECORD_SIZE_MAX, &text);
        if (r < 0)
                return r;
        r = runtime_record_parse(text, strlen(text), &reread, NULL);
        if (r < 0)
                return r == -EBADMSG ? -EINVAL : r;
        *ret = TAKE_PTR(text);
        return 0;
}

int runtime_record_copy(const RuntimeRecord *record, RuntimeRecord **ret) {
        _cleanup_free_ char *text = NULL;
        int r = runtime_record_format(record, &text);

        return r < 0 ? r : runtime_record_parse(text, strlen(text), ret, NULL);
}
