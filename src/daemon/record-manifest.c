/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manifest file: JSON that one can read with cat, and that notices when it was changed.
 *
 *     {
 *         "checksum": "89abcdef",      CRC-32 of every byte after this line
 *         "format": 1,
 *         "name": ..., and so on       the current record
 *         "next_boot": null            or the record that a transient one has taken the place of
 *     }
 *
 * A write is atomic, so a torn file does not come from us; but a file system's repair, a failing disk, a restored
 * backup or an editor can leave one that still parses, with another order or another digit. The checksum tells such a
 * file from ours. It is no protection against somebody who wants to deceive: that is what the signature of the module
 * is for, which is verified again before every load. */

#include "common/string-util.h"
#include "daemon/record-json.h"
#include "daemon/record-level.h"
#include "daemon/record-manifest.h"

#define BUILD_ID_BYTES_MAX 64
#define CRC32_POLYNOMIAL 0xedb88320U

uint32_t manifest_checksum(const char *data, size_t size) {
        uint32_t crc = UINT32_MAX;

        for (size_t i = 0; i < size; i++) {
                crc ^= (uint8_t) data[i];
                for (unsigned bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? CRC32_POLYNOMIAL : 0);
        }
        return ~crc;
}

void manifest_done(Manifest *manifest) {
        manifest->current = patch_record_free(manifest->current);
        manifest->next_boot = patch_record_free(manifest->next_boot);
}

static bool build_id_is_valid(const char *s) {
        size_t n = strlen(s);

        return n > 0 && n % 2 == 0 && n <= 2 * BUILD_ID_BYTES_MAX && hex_is_valid(s, n);
}

static bool sha256_text_is_valid(const char *s) {
        return sha256_is_valid(s);
}

static bool boot_id_is_valid(const char *s) {
        return *s && record_text_is_valid(s);
}

static void parse_function(RecordReader *reader, ModuleFunction *function) {
        uint64_t sympos = 0;

        record_read_text(reader, "name", record_function_name_is_valid, &function->name);
        record_read_uint(reader, "sympos", UINT32_MAX, &sympos);
        function->sympos = (unsigned) sympos;
}

static void parse_functions(RecordReader *reader, ModuleObject *object) {
        const json_t *array = record_read_container(reader, "functions", JSON_ARRAY);
        size_t n = json_array_size(array);

        if (!array)
                record_reader_fail(reader, "functions", "is null");
        if (reader->error != 0 || n == 0)
                return;
        object->functions = calloc(n, sizeof(ModuleFunction));
        if (!object->functions) {
                reader->error = failure_oom(reader->failure);
                return;
        }
        for (size_t i = 0; i < n && reader->error == 0; i++) {
                RecordReader element = record_element_reader(reader, array, i, "functions");

                object->n_functions++;
                parse_function(&element, &object->functions[i]);
                reader->error = element.error;
        }
}

static void parse_objects(RecordReader *reader, PatchRecord *record) {
        const json_t *array = record_read_container(reader, "objects", JSON_ARRAY);
        size_t n = json_array_size(array);

        record->objects_known = array;
        if (!array || n == 0)
                return;
        record->objects = calloc(n, sizeof(ModuleObject));
        if (!record->objects) {
                reader->error = failure_oom(reader->failure);
                return;
        }
        for (size_t i = 0; i < n && reader->error == 0; i++) {
                RecordReader element = record_element_reader(reader, array, i, "objects");

                record->n_objects++;
                record_read_text(&element, "name", module_name_is_valid, &record->objects[i].name);
                parse_functions(&element, &record->objects[i]);
                reader->error = element.error;
        }
}

/* Left out by versions before it, and where there are none. */
static void parse_states(RecordReader *reader, PatchRecord *record) {
        const json_t *array;
        size_t n;

        if (reader->error != 0 || !json_object_get(reader->object, "states"))
                return;
        array = record_read_container(reader, "states", JSON_ARRAY);
        n = json_array_size(array);
        if (n == 0)
                return;
        record->states = calloc(n, sizeof(ModuleState));
        if (!record->states) {
                reader->error = failure_oom(reader->failure);
                return;
        }
        for (size_t i = 0; i < n && reader->error == 0; i++) {
                RecordReader element = record_element_reader(reader, array, i, "states");
                uint64_t version = 0;

                record_read_uint(&element, "id", INT64_MAX, &record->states[i].id);
                record_read_uint(&element, "version", UINT32_MAX, &version);
                record->states[i].version = (unsigned) version;
                record->n_states++;
                if (element.error == 0 && record->states[i].id == 0)
                        record_reader_fail(&element, "id", "is 0");
                reader->error = element.error;
        }
}

static void parse_signature(RecordReader *reader, PatchRecord *record) {
        RecordReader signature = {
                .object = record_read_container(reader, "signature", JSON_OBJECT),
                .failure = reader->failure,
        };

        if (!signature.object) {
                record_reader_fail(reader, "signature", "is null");
                return;
        }
        record_read_enum(&signature, "status", signature_status_from_string, &record->signature_status);
        record_read_optional(&signature, "signer", record_text_is_valid, &record->signer);
        record_read_optional(&signature, "fingerprint", record_text_is_valid, &record->signer_fingerprint);
        reader->error = signature.error;
}

static void parse_identity(RecordReader *reader, PatchRecord *record) {
        record_read_text(reader, "name", module_name_is_valid, &record->name);
        record_read_text(reader, "kernel_release", kernel_release_is_valid, &record->kernel_release);
        record_read_text(reader, "sha256", sha256_text_is_valid, &record->sha256);
        record_read_uint(reader, "size", INT64_MAX, &record->size);
        record_read_optional(reader, "build_id", build_id_is_valid, &record->build_id);
        record_read_optional(reader, "srcversion", record_text_is_valid, &record->srcversion);
        record_read_optional(reader, "version", record_text_is_valid, &record->version);
        record_read_optional(reader, "description", record_text_is_valid, &record->description);
}

static void parse_decision(RecordReader *reader, PatchRecord *record) {
        record_read_enum(reader, "origin", origin_from_string, &record->origin);
        record_read_bool(reader, "reapply", &record->reapply);
        record_read_uint(reader, "order", INT64_MAX, &record->order);
        record_read_uint(reader, "staged_at", INT64_MAX, &record->staged_at);
        record_read_uid(reader, "staged_by", &record->staged_by);
        record_read_optional(reader, "transient_boot_id", boot_id_is_valid, &record->transient_boot_id);
}

static void parse_format(RecordReader *reader) {
        uint64_t format = 0;

        record_read_uint(reader, "format", INT64_MAX, &format);
        if (reader->error == 0 && format != RECORD_FORMAT_VERSION)
                record_reader_fail(reader, "format", "is one that this version of livepatchd does not know");
}

static int parse_record(const json_t *object, PatchRecord **ret, Failure *f) {
        _cleanup_(patch_record_freep) PatchRecord *record = calloc(1, sizeof(PatchRecord));
        RecordReader reader = { .object = object, .failure = f };

        if (!record)
                return failure_oom(f);
        parse_format(&reader);
        parse_identity(&reader, record);
        parse_signature(&reader, record);
        record_read_enum(&reader, "kind", livepatch_kind_from_string, &record->kind);
        record_read_enum(&reader, "replace", tristate_from_string, &record->replace);
        parse_objects(&reader, record);
        parse_states(&reader, record);
        parse_decision(&reader, record);
        record_parse_level(&reader, record);
        if (reader.error != 0)
                return reader.error;
        *ret = TAKE_PTR(record);
        return 0;
}

int record_check_header(const char *data, size_t size, Failure *f) {
        char expected[MANIFEST_HEADER_LENGTH + 1];

        if (size < MANIFEST_HEADER_LENGTH)
                return failure_set(f, -EBADMSG, "it is empty or cut short");
        (void) snprintf(expected, sizeof(expected), MANIFEST_HEADER_FORMAT,
                        manifest_checksum(data + MANIFEST_HEADER_LENGTH, size - MANIFEST_HEADER_LENGTH));
        if (memcmp(data, expected, MANIFEST_HEADER_LENGTH) != 0)
                return failure_set(f, -EBADMSG, "its checksum is missing or wrong: livepatchd did not write it so");
        return 0;
}

static int parse_next_boot(const json_t *object, Manifest *manifest, Failure *f) {
        RecordReader reader = { .object = object, .failure = f };
        const json_t *next = record_read_container(&reader, "next_boot", JSON_OBJECT);
        int r;

        if (reader.error != 0 || !next)
                return reader.error;
        r = parse_record(next, &manifest->next_boot, f);
        if (r < 0)
                return r;
        if (!manifest->current->transient_boot_id || manifest->next_boot->transient_boot_id ||
            !streq(manifest->current->name, manifest->next_boot->name) ||
            !streq(manifest->current->kernel_release, manifest->next_boot->kernel_release))
                return failure_set(f, -EBADMSG, "its \"next_boot\" contradicts the rest");
        return 0;
}

/**
 * manifest_parse() - read a manifest that may be damaged or foreign
 *
 * -EBADMSG is the verdict "not a manifest of ours", and the failure's text completes a sentence that begins with the
 * file ("it ...", "its ..."). Unknown keys are skipped.
 */
int manifest_parse(const char *data, size_t size, Manifest *ret, Failure *f) {
        _cleanup_manifest_ Manifest manifest = {};
        _cleanup_json_ json_t *object = NULL;
        int r;

        if (size > RECORD_SIZE_MAX)
                return failure_set(f, -EBADMSG, "it is larger than any record");
        r = record_check_header(data, size, f);
        if (r == 0)
                r = record_json_load(data, size, RECORD_SIZE_MAX, &object, f);
        if (r == 0)
                r = parse_record(object, &manifest.current, f);
        if (r == 0)
                r = parse_next_boot(object, &manifest, f);
        if (r < 0)
                return r;
        *ret = manifest;
        manifest = (Manifest) {};
        return 0;
}

int patch_record_parse(const char *data, size_t size, PatchRecord **ret, Failure *f) {
        _cleanup_manifest_ Manifest manifest = {};
        int r = manifest_parse(data, size, &manifest, f);

        if (r < 0)
                return r;
        *ret = TAKE_PTR(manifest.current);
        return 0;
}

static json_t *format_functions(RecordWriter *writer, const ModuleObject *object) {
        json_t *array = json_array();

        for (size_t i = 0; i < object->n_functions; i++) {
                RecordWriter function = { .object = json_object() };

                record_write_text(&function, "name", object->functions[i].name);
                record_write_uint(&function, "sympos", object->functions[i].sympos);
                record_writer_append(writer, array, record_writer_finish(&function, writer));
        }
        return array;
}

static json_t *format_objects(RecordWriter *writer, const PatchRecord *record) {
        json_t *array;

        if (!record->objects_known)
                return json_null();
        array = json_array();
        for (size_t i = 0; i < record->n_objects; i++) {
                RecordWriter object = { .object = json_object() };

                record_write_text(&object, "name", record->objects[i].name);
                record_write_json(&object, "functions", format_functions(&object, &record->objects[i]));
                record_writer_append(writer, array, record_writer_finish(&object, writer));
        }
        return array;
}

static json_t *format_states(RecordWriter *writer, const PatchRecord *record) {
        json_t *array = json_array();

        for (size_t i = 0; i < record->n_states; i++) {
                RecordWriter state = { .object = json_object() };

                record_write_uint(&state, "id", record->states[i].id);
                record_write_uint(&state, "version", record->states[i].version);
                record_writer_append(writer, array, record_writer_finish(&state, writer));
        }
        return array;
}

static json_t *format_signature(RecordWriter *writer, const PatchRecord *record) {
        RecordWriter signature = { .object = json_object() };

        record_write_text(&signature, "status", signature_status_to_string(record->signature_status));
        record_write_text(&signature, "signer", record->signer);
        record_write_text(&signature, "fingerprint", record->signer_fingerprint);
        return record_writer_finish(&signature, writer);
}

static int format_record(const PatchRecord *record, json_t **ret) {
        _cleanup_json_ json_t *object = json_object();
        RecordWriter w = { .object = object };

        record_write_uint(&w, "format", RECORD_FORMAT_VERSION);
        record_write_text(&w, "name", record->name);
        record_write_text(&w, "kernel_release", record->kernel_release);
        record_write_text(&w, "version", record->version);
        record_write_text(&w, "description", record->description);
        record_write_text(&w, "origin", origin_to_string(record->origin));
        record_write_bool(&w, "reapply", record->reapply);
        record_write_uint(&w, "order", record->order);
        record_write_text(&w, "transient_boot_id", record->transient_boot_id);
        record_write_uint(&w, "staged_at", record->staged_at);
        record_write_uid(&w, "staged_by", record->staged_by);
        record_write_text(&w, "sha256", record->sha256);
        record_write_uint(&w, "size", record->size);
        record_write_text(&w, "build_id", record->build_id);
        record_write_text(&w, "srcversion", record->srcversion);
        record_write_json(&w, "signature", format_signature(&w, record));
        record_write_text(&w, "kind", livepatch_kind_to_string(record->kind));
        record_write_text(&w, "replace", tristate_to_string(record->replace));
        record_write_json(&w, "objects", format_objects(&w, record));
        if (record->n_states > 0)
                record_write_json(&w, "states", format_states(&w, record));
        record_format_level(&w, record);
        if (w.error != 0)
                return w.error;
        *ret = TAKE_PTR(object);
        return 0;
}

int record_add_header(const char *body, char **ret) {
        /* The body is "{\n" and the members; the header brings its own opening brace. */
        const char *members = body + STRLEN("{\n");

        if (asprintf(ret, MANIFEST_HEADER_FORMAT "%s", manifest_checksum(members, strlen(members)), members) < 0)
                return -ENOMEM;
        return 0;
}

int manifest_format(const PatchRecord *current, const PatchRecord *next_boot, char **ret) {
        _cleanup_json_ json_t *object = NULL;
        _cleanup_manifest_ Manifest reread = {};
        _cleanup_free_ char *body = NULL, *text = NULL;
        json_t *next = NULL;
        RecordWriter writer;
        int r = format_record(current, &object);

        if (r >= 0 && next_boot)
                r = format_record(next_boot, &next);
        if (r < 0)
                return r;
        writer = (RecordWriter) { .object = object };
        record_write_json(&writer, "next_boot", next ?: json_null());
        if (writer.error != 0)
                return writer.error;
        r = record_json_dump(object, RECORD_SIZE_MAX - MANIFEST_HEADER_LENGTH, &body);
        if (r >= 0)
                r = record_add_header(body, &text);
        if (r < 0)
                return r;
        /* What would be set aside as damaged at the next start must not get onto the disk in the first place. */
        r = manifest_parse(text, strlen(text), &reread, NULL);
        if (r < 0)
                return r == -EBADMSG ? -EINVAL : r;
        *ret = TAKE_PTR(text);
        return 0;
}

int patch_record_format(const PatchRecord *record, char **ret) {
        return manifest_format(record, NULL, ret);
}
