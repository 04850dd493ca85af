/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a record says of other patches and for other patches: those it has superseded, and the states it carries. */

#include "common/string-util.h"
#include "daemon/record-level.h"

static void superseded_patch_done(SupersededPatch *entry) {
        free(entry->name);
        free(entry->sha256);
}

void superseded_list_free(SupersededPatch *list, size_t n) {
        for (size_t i = 0; i < n; i++)
                superseded_patch_done(&list[i]);
        free(list);
}

int superseded_list_append(SupersededPatch **list, size_t *n, const SupersededPatch *entry) {
        SupersededPatch *grown = reallocarray(*list, *n + 1, sizeof(SupersededPatch));
        SupersededPatch copy = *entry;

        if (!grown)
                return -ENOMEM;
        *list = grown;
        copy.name = strdup(entry->name);
        copy.sha256 = entry->sha256 ? strdup(entry->sha256) : NULL;
        if (!copy.name || (entry->sha256 && !copy.sha256)) {
                superseded_patch_done(&copy);
                return -ENOMEM;
        }
        grown[(*n)++] = copy;
        return 0;
}

int record_copy_level(PatchRecord *to, const PatchRecord *from) {
        record_clear_level(to);
        to->rolled_back = from->rolled_back;
        for (size_t i = 0; i < from->n_supersedes; i++) {
                int r = superseded_list_append(&to->supersedes, &to->n_supersedes, &from->supersedes[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

bool record_level_is_equal(const PatchRecord *a, const PatchRecord *b) {
        if (a->n_supersedes != b->n_supersedes)
                return false;
        for (size_t i = 0; i < a->n_supersedes; i++)
                if (!streq(a->supersedes[i].name, b->supersedes[i].name))
                        return false;
        return true;
}

void record_clear_level(PatchRecord *record) {
        superseded_list_free(record->supersedes, record->n_supersedes);
        record->supersedes = NULL;
        record->n_supersedes = 0;
        record->rolled_back = false;
}

/* ---- JSON -------------------------------------------------------------------------------------------------- */

static bool sha256_text_is_valid(const char *s) {
        return sha256_is_valid(s);
}

static void parse_superseded(RecordReader *reader, PatchRecord *record) {
        SupersededPatch entry = {};

        record_read_text(reader, "name", module_name_is_valid, &entry.name);
        record_read_optional(reader, "sha256", sha256_text_is_valid, &entry.sha256);
        record_read_uint(reader, "order", INT64_MAX, &entry.order);
        record_read_bool(reader, "reapply", &entry.reapply);
        entry.applied = true;
        if (reader->error == 0 && json_object_get(reader->object, "applied")) /* an earlier version did not write it */
                record_read_bool(reader, "applied", &entry.applied);
        if (reader->error == 0 && streq(entry.name, record->name))
                record_reader_fail(reader, "supersedes", "names the patch itself");
        if (reader->error == 0 && superseded_list_append(&record->supersedes, &record->n_supersedes, &entry) < 0)
                reader->error = failure_oom(reader->failure);
        superseded_patch_done(&entry);
}

void record_parse_level(RecordReader *reader, PatchRecord *record) {
        const json_t *array;

        if (reader->error != 0 || !json_object_get(reader->object, "supersedes"))
                return;
        record_read_bool(reader, "rolled_back", &record->rolled_back);
        array = record_read_container(reader, "supersedes", JSON_ARRAY);
        if (!array && reader->error == 0)
                record_reader_fail(reader, "supersedes", "is null");
        for (size_t i = 0; reader->error == 0 && i < json_array_size(array); i++) {
                RecordReader element = record_element_reader(reader, array, i, "supersedes");

                parse_superseded(&element, record);
                reader->error = element.error;
        }
}

void record_format_level(RecordWriter *writer, const PatchRecord *record) {
        json_t *array = json_array();

        for (size_t i = 0; i < record->n_supersedes; i++) {
                const SupersededPatch *entry = &record->supersedes[i];
                RecordWriter element = { .object = json_object() };

                record_write_text(&element, "name", entry->name);
                record_write_text(&element, "sha256", entry->sha256);
                record_write_uint(&element, "order", entry->order);
                record_write_bool(&element, "reapply", entry->reapply);
                record_write_bool(&element, "applied", entry->applied);
                record_writer_append(writer, array, record_writer_finish(&element, writer));
        }
        record_write_json(writer, "supersedes", array);
        record_write_bool(writer, "rolled_back", record->rolled_back);
}
