/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guard records: made, read, written and judged. */

#include "common/string-util.h"
#include "daemon/guard.h"
#include "daemon/record-json.h"
#include "daemon/record-manifest.h"

static const char *const guard_phase_table[_GUARD_PHASE_MAX] = {
        [GUARD_LOADING] = "loading",
        [GUARD_SETTLING] = "settling",
        [GUARD_PROVEN] = "proven",
        [GUARD_QUARANTINED] = "quarantined",
};

const char *guard_phase_to_string(GuardPhase phase) {
        return (int) phase < 0 || phase >= _GUARD_PHASE_MAX ? NULL : guard_phase_table[phase];
}

GuardPhase guard_phase_from_string(const char *s) {
        for (size_t i = 0; s && i < ELEMENTSOF(guard_phase_table); i++)
                if (streq(guard_phase_table[i], s))
                        return (GuardPhase) i;
        return _GUARD_PHASE_INVALID;
}

GuardRecord *guard_record_free(GuardRecord *record) {
        while (record) {
                GuardRecord *former = record->former;

                free(record->name);
                free(record->kernel_release);
                free(record->sha256);
                free(record->build_id);
                free(record->boot_id);
                free(record->reason);
                free(record);
                record = former;
        }
        return NULL;
}

static const GuardRecord *find_file(const GuardRecord *record, const char *sha256) {
        while (record && !streq(record->sha256, sha256))
                record = record->former;
        return record;
}

int guard_record_copy(const GuardRecord *record, GuardRecord **ret) {
        _cleanup_(guard_record_freep) GuardRecord *copy = NULL;
        int r = guard_record_arm(NULL, record->name, record->kernel_release, record->sha256, record->boot_id,
                                 record->armed_at, &copy);

        if (r < 0)
                return r;
        copy->phase = record->phase;
        copy->proven = record->proven;
        copy->crashes = record->crashes;
        copy->settling_since = record->settling_since;
        r = free_and_strdup(&copy->build_id, record->build_id);
        if (r >= 0)
                r = free_and_strdup(&copy->reason, record->reason);
        if (r >= 0)
                r = guard_record_remember(copy, record->former);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(copy);
        return 0;
}

/* ---- The file ---------------------------------------------------------------------------------------------- */

static bool sha256_text_is_valid(const char *s) {
        return sha256_is_valid(s);
}

bool guard_boot_id_is_valid(const char *s) {
        return *s && !strchr(s, '\n') && record_text_is_valid(s);
}

/* What no writer of ours produces: a proven build that has not settled, a quarantine without a reason. */
static void check_consistency(RecordReader *reader, const GuardRecord *record) {
        if (reader->error != 0)
                return;
        if (record->phase == GUARD_PROVEN && !record->proven)
                record_reader_fail(reader, "proven", "contradicts the phase");
        else if (record->phase == GUARD_QUARANTINED && !record->reason)
                record_reader_fail(reader, "reason", "is missing");
}

/* What there is to say of each build. */
static void read_build(RecordReader *reader, GuardRecord *record) {
        uint64_t crashes = 0;

        record_read_text(reader, "sha256", sha256_text_is_valid, &record->sha256);
        record_read_optional(reader, "build_id", record_text_is_valid, &record->build_id);
        record_read_text(reader, "boot_id", guard_boot_id_is_valid, &record->boot_id);
        record_read_enum(reader, "phase", guard_phase_from_string, &record->phase);
        record_read_bool(reader, "proven", &record->proven);
        record_read_uint(reader, "crashes", UINT32_MAX, &crashes);
        record->crashes = (unsigned) crashes;
        record_read_uint(reader, "armed_at", INT64_MAX, &record->armed_at);
        record_read_uint(reader, "settling_since", INT64_MAX, &record->settling_since);
        record_read_optional(reader, "reason", record_text_is_valid, &record->reason);
        check_consistency(reader, record);
}

/* Behind the last one of the list. */
static int read_former(RecordReader *reader, GuardRecord *first, GuardRecord **ret) {
        _cleanup_(guard_record_freep) GuardRecord *record = calloc(1, sizeof(GuardRecord));

        if (!record || free_and_strdup(&record->name, first->name) < 0 ||
            free_and_strdup(&record->kernel_release, first->kernel_release) < 0)
                return failure_oom(reader->failure);
        read_build(reader, record);
        if (reader->error == 0 && guard_record_is_armed(record))
                record_reader_fail(reader, "phase", "is not one of a former build");
        if (reader->error == 0 && find_file(first, record->sha256))
                record_reader_fail(reader, "sha256", "is there twice");
        if (reader->error == 0)
                *ret = TAKE_PTR(record);
        return reader->error;
}

/* Without the key: an earlier version wrote the record, and knew of one build only. */
static void read_all_former(RecordReader *reader, GuardRecord *record) {
        GuardRecord **end = &record->former;
        const json_t *array;

        if (reader->error != 0 || !json_object_get(reader->object, "former"))
                return;
        array = record_read_container(reader, "former", JSON_ARRAY);
        if (!array)
                record_reader_fail(reader, "former", "is null");
        if (json_array_size(array) > GUARD_FORMER_MAX)
                record_reader_fail(reader, "former", "has more builds than any record");
        for (size_t i = 0; reader->error == 0 && i < json_array_size(array); i++) {
                RecordReader element = record_element_reader(reader, array, i, "former");

                reader->error = element.error != 0 ? element.error : read_former(&element, record, end);
                if (reader->error == 0)
                        end = &(*end)->former;
        }
}

static int read_record(RecordReader *reader, GuardRecord *record) {
        uint64_t format = 0;

        record_read_uint(reader, "format", INT64_MAX, &format);
        if (reader->error == 0 && format != RECORD_FORMAT_VERSION)
                record_reader_fail(reader, "format", "is one that this version of livepatchd does not know");
        record_read_text(reader, "name", module_name_is_valid, &record->name);
        record_read_text(reader, "kernel_release", kernel_release_is_valid, &record->kernel_release);
        read_build(reader, record);
        read_all_former(reader, record);
        return reader->error;
}

int guard_record_parse(const char *data, size_t size, GuardRecord **ret, Failure *f) {
        _cleanup_(guard_record_freep) GuardRecord *record = calloc(1, sizeof(GuardRecord));
        _cleanup_json_ json_t *object = NULL;
        RecordReader reader = { .failure = f };
        int r;

        if (!record)
                return failure_oom(f);
        r = record_check_header(data, size, f);
        if (r == 0)
                r = record_json_load(data, size, GUARD_RECORD_SIZE_MAX, &object, f);
        if (r < 0)
                return r;
        reader.object = object;
        r = read_record(&reader, record);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(record);
        return 0;
}

static void write_build(RecordWriter *w, const GuardRecord *record) {
        record_write_text(w, "sha256", record->sha256);
        record_write_text(w, "build_id", record->build_id);
        record_write_text(w, "boot_id", record->boot_id);
        record_write_text(w, "phase", guard_phase_to_string(record->phase));
        record_write_bool(w, "proven", record->proven);
        record_write_uint(w, "crashes", record->crashes);
        record_write_uint(w, "armed_at", record->armed_at);
        record_write_uint(w, "settling_since", record->settling_since);
        record_write_text(w, "reason", record->reason);
}

static void write_former(RecordWriter *w, const GuardRecord *record) {
        json_t *array = json_array();

        for (const GuardRecord *former = record->former; former; former = former->former) {
                RecordWriter element = { .object = json_object() };

                write_build(&element, former);
                record_writer_append(w, array, record_writer_finish(&element, w));
        }
        record_write_json(w, "former", array);
}

int guard_record_format(const GuardRecord *record, char **ret) {
        _cleanup_(guard_record_freep) GuardRecord *reread = NULL;
        _cleanup_json_ json_t *object = json_object();
        _cleanup_free_ char *body = NULL, *text = NULL;
        RecordWriter w = { .object = object };
        int r;

        record_write_uint(&w, "format", RECORD_FORMAT_VERSION);
        record_write_text(&w, "name", record->name);
        record_write_text(&w, "kernel_release", record->kernel_release);
        write_build(&w, record);
        if (record->former)
                write_former(&w, record);
        if (w.error != 0)
                return w.error;
        r = record_json_dump(object, GUARD_RECORD_SIZE_MAX - MANIFEST_HEADER_LENGTH, &body);
        if (r >= 0)
                r = record_add_header(body, &text);
        if (r >= 0)
                r = guard_record_parse(text, strlen(text), &reread, NULL);
        if (r < 0)
                return r == -EBADMSG ? -EINVAL : r;
        *ret = TAKE_PTR(text);
        return 0;
}

/* ---- What it means ----------------------------------------------------------------------------------------- */

int guard_record_arm(const GuardRecord *previous, const char *name, const char *kernel_release, const char *sha256,
                     const char *boot_id, uint64_t now, GuardRecord **ret) {
        _cleanup_(guard_record_freep) GuardRecord *record = calloc(1, sizeof(GuardRecord));
        const GuardRecord *known = find_file(previous, sha256);
        int r;

        if (!record)
                return -ENOMEM;
        record->name = strdup(name);
        record->kernel_release = strdup(kernel_release);
        record->sha256 = strdup(sha256);
        record->boot_id = strdup(boot_id);
        if (!record->name || !record->kernel_release || !record->sha256 || !record->boot_id)
                return -ENOMEM;
        record->phase = GUARD_LOADING;
        record->proven = known && known->proven;
        record->crashes = known ? known->crashes : 0;
        record->armed_at = now;
        r = guard_record_remember(record, previous);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(record);
        return 0;
}

bool guard_record_is_of(const GuardRecord *record, const char *sha256, const char *build_id) {
        return streq(record->sha256, sha256) || (build_id && streq_ptr(record->build_id, build_id));
}

const char *guard_record_what_happened(const GuardRecord *record) {
        if (record->phase == GUARD_LOADING)
                return "The machine went down while the kernel was loading this build";
        if (record->proven)
                return "The machine went down twice in a row while this build was settling";
        return "The machine went down before this build had settled for the first time";
}

void guard_record_count_crash(GuardRecord *record) {
        record->phase = GUARD_PROVEN;
        record->settling_since = 0;
        record->crashes++;
}

GuardVerdict guard_judge(const GuardRecord *record, const char *boot_id, char *const *clean_boot_ids) {
        if (!guard_record_is_armed(record) || streq(record->boot_id, boot_id))
                return GUARD_VERDICT_KEEP;
        for (; clean_boot_ids && *clean_boot_ids; clean_boot_ids++)
                if (streq(*clean_boot_ids, record->boot_id))
                        return GUARD_VERDICT_DISARM;
        if (record->phase == GUARD_LOADING || !record->proven)
                return GUARD_VERDICT_QUARANTINE;
        return record->crashes >= GUARD_CRASHES_MAX - 1 ? GUARD_VERDICT_QUARANTINE : GUARD_VERDICT_COUNT;
}
