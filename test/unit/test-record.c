/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of the records' files: what is written is read back; what is not ours is recognised. */

#include <jansson.h>

#include "common/string-util.h"
#include "daemon/record-manifest.h"
#include "test.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void string(char **p, const char *value) {
        ASSERT_OK(free_and_strdup(p, value));
}

static PatchRecord *new_record(void) {
        ModuleFunction functions[] = { { .name = (char *) "cmdline_proc_show", .sympos = 1 },
                                       { .name = (char *) "do_it.isra.0", .sympos = 2 } };
        ModuleObject objects[] = { { .name = (char *) "vmlinux", .functions = functions, .n_functions = 2 },
                                   { .name = (char *) "ext4" } };
        ModuleState states[] = { { .id = 1, .version = UINT32_MAX }, { .id = INT64_MAX, .version = 0 } };
        ModuleInfo info = {
                .name = (char *) "lp_fix",
                .kernel_release = (char *) "6.1.0-56-amd64",
                .version = (char *) "1.2",
                .description = (char *) "Says \"hello\", \\ and \xc3\xa9",
                .srcversion = (char *) "533BB7E5866E52F63B9ACCB",
                .build_id = (char *) "00112233445566778899aabbccddeeff00112233",
                .kind = LIVEPATCH_KIND_HAND_WRITTEN,
                .replace = TRISTATE_YES,
                .objects_known = true,
                .objects = objects,
                .n_objects = ELEMENTSOF(objects),
                .states_known = true,
                .states = states,
                .n_states = ELEMENTSOF(states),
        };
        SignatureReport signature = { .status = SIGNATURE_TRUSTED,
                                      .signer = (char *) "CN=Kernel team",
                                      .signer_fingerprint = (char *) SHA };
        PatchRecord *record;

        ASSERT_OK(patch_record_new(&info, &signature, SHA, &record));
        record->size = 4711;
        record->reapply = true;
        record->order = 3;
        record->staged_at = 1700000000000000;
        record->staged_by = 1000;
        return record;
}

static void assert_same_objects(const PatchRecord *a, const PatchRecord *b) {
        ASSERT_EQ(a->objects_known, b->objects_known);
        ASSERT_EQ(a->n_states, b->n_states);
        for (size_t i = 0; i < a->n_states; i++) {
                ASSERT_EQ(a->states[i].id, b->states[i].id);
                ASSERT_EQ(a->states[i].version, b->states[i].version);
        }
        ASSERT_EQ(a->n_objects, b->n_objects);
        for (size_t i = 0; i < a->n_objects; i++) {
                ASSERT_STREQ(a->objects[i].name, b->objects[i].name);
                ASSERT_EQ(a->objects[i].n_functions, b->objects[i].n_functions);
                for (size_t j = 0; j < a->objects[i].n_functions; j++) {
                        ASSERT_STREQ(a->objects[i].functions[j].name, b->objects[i].functions[j].name);
                        ASSERT_EQ(a->objects[i].functions[j].sympos, b->objects[i].functions[j].sympos);
                }
        }
}

static void assert_same(const PatchRecord *a, const PatchRecord *b) {
        ASSERT_STREQ(a->name, b->name);
        ASSERT_STREQ(a->kernel_release, b->kernel_release);
        ASSERT_STREQ(a->sha256, b->sha256);
        ASSERT_EQ(a->size, b->size);
        ASSERT_TRUE(streq_ptr(a->build_id, b->build_id));
        ASSERT_TRUE(streq_ptr(a->srcversion, b->srcversion));
        ASSERT_TRUE(streq_ptr(a->version, b->version));
        ASSERT_TRUE(streq_ptr(a->description, b->description));
        ASSERT_EQ(a->signature_status, b->signature_status);
        ASSERT_TRUE(streq_ptr(a->signer, b->signer));
        ASSERT_TRUE(streq_ptr(a->signer_fingerprint, b->signer_fingerprint));
        ASSERT_EQ(a->kind, b->kind);
        ASSERT_EQ(a->replace, b->replace);
        ASSERT_EQ(a->origin, b->origin);
        ASSERT_EQ(a->reapply, b->reapply);
        ASSERT_EQ(a->order, b->order);
        ASSERT_EQ(a->staged_at, b->staged_at);
        ASSERT_EQ(a->staged_by, b->staged_by);
        ASSERT_TRUE(streq_ptr(a->transient_boot_id, b->transient_boot_id));
        assert_same_objects(a, b);
}

static void assert_round_trip(const PatchRecord *record) {
        _cleanup_(patch_record_freep) PatchRecord *again = NULL, *copy = NULL;
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(patch_record_format(record, &text), 0);
        ASSERT_EQ(patch_record_parse(text, strlen(text), &again, NULL), 0);
        assert_same(record, again);
        ASSERT_EQ(patch_record_copy(record, &copy), 0);
        assert_same(record, copy);
}

TEST(round_trip) {
        _cleanup_(patch_record_freep) PatchRecord *record = new_record();

        assert_round_trip(record);
        string(&record->transient_boot_id, "0f0e0d0c0b0a09080706050403020100");
        record->origin = ORIGIN_VENDOR;
        record->staged_by = UID_UNKNOWN;
        assert_round_trip(record);
}

TEST(round_trip_of_what_is_unknown) {
        ModuleInfo info = { .name = (char *) "lp", .kernel_release = (char *) "6.1" };
        SignatureReport signature = { .status = SIGNATURE_UNSIGNED };
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;

        ASSERT_EQ(patch_record_new(&info, &signature, SHA, &record), 0);
        ASSERT_FALSE(record->objects_known);
        ASSERT_EQ(record->replace, TRISTATE_UNKNOWN);
        ASSERT_EQ(record->staged_by, UID_UNKNOWN);
        ASSERT_EQ(record->origin, ORIGIN_LOCAL);
        assert_round_trip(record);
        record->objects_known = true;
        assert_round_trip(record);
}

TEST(one_can_read_it) {
        _cleanup_(patch_record_freep) PatchRecord *record = new_record();
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(patch_record_format(record, &text), 0);
        ASSERT_CONTAINS(text, "\n    \"name\": \"lp_fix\",\n");
        ASSERT_CONTAINS(text, "\n    \"reapply\": true,\n");
        ASSERT_TRUE(endswith(text, "}\n"));
}

TEST(names_that_no_patch_can_have) {
        ModuleInfo info = { .name = (char *) "lp", .kernel_release = (char *) "6.1" };
        SignatureReport signature = {};
        PatchRecord *record = NULL;

        info.name = (char *) "../lp";
        ASSERT_EQ(patch_record_new(&info, &signature, SHA, &record), -EINVAL);
        info.name = NULL;
        ASSERT_EQ(patch_record_new(&info, &signature, SHA, &record), -EINVAL);
        info.name = (char *) "lp";
        info.kernel_release = NULL;
        ASSERT_EQ(patch_record_new(&info, &signature, SHA, &record), -EINVAL);
        info.kernel_release = (char *) "..";
        ASSERT_EQ(patch_record_new(&info, &signature, SHA, &record), -EINVAL);
        info.kernel_release = (char *) "6.1";
        ASSERT_EQ(patch_record_new(&info, &signature, "abc", &record), -EINVAL);
        ASSERT_NULL(record);
}

TEST(text_of_modules_is_made_readable) {
        _cleanup_free_ char *huge = malloc(10001);
        ModuleInfo info = { .name = (char *) "lp",
                            .kernel_release = (char *) "6.1",
                            .version = (char *) "1\x1b[2J\xff",
                            .description = huge };
        SignatureReport signature = { .signer = (char *) "CN=\n\xe2\x80\xae" };
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;

        memset(huge, 'x', 10000);
        huge[10000] = '\0';
        ASSERT_EQ(patch_record_new(&info, &signature, SHA, &record), 0);
        ASSERT_STREQ(record->version, "1?[2J?");
        ASSERT_EQ(strlen(record->description), 4096);
        assert_round_trip(record);
}

static void assert_unknown_objects(const char *object, const char *function) {
        ModuleFunction functions[] = { { .name = (char *) function, .sympos = 1 } };
        ModuleObject objects[] = { { .name = (char *) object, .functions = functions, .n_functions = 1 } };
        ModuleInfo info = { .name = (char *) "lp",
                            .kernel_release = (char *) "6.1",
                            .objects_known = true,
                            .objects = objects,
                            .n_objects = 1 };
        SignatureReport signature = {};
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;

        ASSERT_EQ(patch_record_new(&info, &signature, SHA, &record), 0);
        ASSERT_FALSE(record->objects_known);
        ASSERT_EQ(record->n_objects, 0);
}

TEST(objects_that_no_kernel_has_are_unknown) {
        assert_unknown_objects("../..", "f");
        assert_unknown_objects("", "f");
        assert_unknown_objects("vmlinux", "");
        assert_unknown_objects("vmlinux", "a/b");
        assert_unknown_objects("vmlinux", "a\nb");
        assert_unknown_objects("vmlinux", "\xff");
}

/* What format() would not be able to read back, it does not write. */
static void assert_not_formatted(PatchRecord *record) {
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(patch_record_format(record, &text), -EINVAL);
        ASSERT_NULL(text);
}

TEST(invalid_records_are_not_written) {
        _cleanup_(patch_record_freep) PatchRecord *record = new_record();

        string(&record->version, "\xff");
        assert_not_formatted(record);
        string(&record->version, "a\nb");
        assert_not_formatted(record);
        string(&record->version, NULL);
        record->order = UINT64_MAX;
        assert_not_formatted(record);
        record->order = 0;
        record->kind = _LIVEPATCH_KIND_MAX;
        assert_not_formatted(record);
        record->kind = LIVEPATCH_KIND_UNKNOWN;
        string(&record->build_id, "ABC");
        assert_not_formatted(record);
        string(&record->build_id, NULL);
        string(&record->objects[0].functions[0].name, "a/b");
        assert_not_formatted(record);
        string(&record->objects[0].functions[0].name, "\xff");
        assert_not_formatted(record);
        string(&record->objects[0].functions[0].name, "f");
        string(&record->name, NULL);
        assert_not_formatted(record);
        string(&record->name, "lp");
        assert_round_trip(record);
}

TEST(too_large_a_record_is_not_written) {
        _cleanup_(patch_record_freep) PatchRecord *record = new_record();
        _cleanup_free_ char *text = NULL;
        size_t n = 100000;

        record->objects[1].functions = calloc(n, sizeof(ModuleFunction));
        ASSERT_NOT_NULL(record->objects[1].functions);
        for (; record->objects[1].n_functions < n; record->objects[1].n_functions++)
                string(&record->objects[1].functions[record->objects[1].n_functions].name, "some_function");
        ASSERT_EQ(patch_record_format(record, &text), -EFBIG);
}

TEST(a_transient_record_and_what_it_shadows) {
        _cleanup_(patch_record_freep) PatchRecord *old = new_record(), *new = new_record();
        _cleanup_manifest_ Manifest manifest = {};
        _cleanup_free_ char *text = NULL;

        string(&new->transient_boot_id, "boot");
        new->order = 9;
        ASSERT_EQ(manifest_format(new, old, &text), 0);
        ASSERT_EQ(manifest_parse(text, strlen(text), &manifest, NULL), 0);
        assert_same(manifest.current, new);
        assert_same(manifest.next_boot, old);
}

TEST(contradicting_manifests_are_not_written) {
        _cleanup_(patch_record_freep) PatchRecord *old = new_record(), *new = new_record();
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(manifest_format(new, old, &text), -EINVAL);
        string(&new->transient_boot_id, "boot");
        string(&old->transient_boot_id, "boot");
        ASSERT_EQ(manifest_format(new, old, &text), -EINVAL);
        string(&old->transient_boot_id, NULL);
        string(&old->name, "other");
        ASSERT_EQ(manifest_format(new, old, &text), -EINVAL);
        ASSERT_NULL(text);
}

/* The bytes are refused with these words. */
static void assert_bytes_refused(const char *data, size_t size, const char *words) {
        _cleanup_failure_ Failure failure = {};
        PatchRecord *record = NULL;

        ASSERT_EQ(patch_record_parse(data, size, &record, &failure), -EBADMSG);
        ASSERT_NULL(record);
        ASSERT_CONTAINS(failure.text, words);
}

/* What stands behind the header, with the right checksum. */
static void assert_body_refused(const char *body, const char *words) {
        _cleanup_free_ char *text = NULL;

        ASSERT_TRUE(asprintf(&text, MANIFEST_HEADER_FORMAT "%s", manifest_checksum(body, strlen(body)), body) > 0);
        assert_bytes_refused(text, strlen(text), words);
}

TEST(checksum) {
        /* The check value of CRC-32 that its catalogues give. */
        ASSERT_EQ(manifest_checksum("123456789", 9), 0xcbf43926);
}

TEST(foreign_bytes) {
        static const char zeros[4096];

        assert_bytes_refused("", 0, "empty");
        assert_bytes_refused("{}", 2, "cut short");
        assert_bytes_refused(zeros, sizeof(zeros), "checksum");
        assert_bytes_refused("{\"name\": \"a file of something else that is also JSON\"}", 54, "checksum");
}

TEST(every_truncation_and_every_flipped_bit) {
        _cleanup_(patch_record_freep) PatchRecord *record = new_record();
        _cleanup_free_ char *text = NULL;
        size_t size;

        ASSERT_EQ(patch_record_format(record, &text), 0);
        size = strlen(text);
        for (size_t n = 0; n < size; n++)
                assert_bytes_refused(text, n, "it");
        for (size_t i = 0; i < size; i++) {
                text[i] ^= (char) (1 << (i % 8));
                assert_bytes_refused(text, size, "checksum");
                text[i] ^= (char) (1 << (i % 8));
        }
}

TEST(too_large_a_file) {
        size_t size = RECORD_SIZE_MAX + 1;
        _cleanup_free_ char *text = malloc(size);

        memset(text, ' ', size);
        assert_bytes_refused(text, size, "larger");
}

TEST(bodies_that_are_no_record) {
        _cleanup_free_ char *deep = malloc(200001), *body = NULL;

        assert_body_refused("", "not valid JSON");
        assert_body_refused("}", "not valid JSON");
        assert_body_refused("\"a\": 1}", "missing");
        assert_body_refused("\"format\": 1, \"format\": 1}", "not valid JSON");
        assert_body_refused("\"format\": 1} {}", "not valid JSON");
        assert_body_refused("\"format\": \"1\"}", "\"format\" is not a number");
        assert_body_refused("\"format\": -1}", "\"format\" is not a number");
        assert_body_refused("\"format\": 2}", "does not know");
        assert_body_refused("\"format\": 1.0}", "\"format\" is not a number");
        assert_body_refused("\"format\": 99999999999999999999}", "not valid JSON");
        memset(deep, '[', 200000);
        deep[200000] = '\0';
        ASSERT_TRUE(asprintf(&body, "\"x\": %s", deep) > 0);
        assert_body_refused(body, "nests");
}

/* A good record with one key replaced (or removed: NULL). */
static void assert_change_refused(const char *key, const char *json, const char *words) {
        _cleanup_(patch_record_freep) PatchRecord *record = new_record();
        _cleanup_free_ char *text = NULL, *dump = NULL;
        json_t *object;

        ASSERT_EQ(patch_record_format(record, &text), 0);
        object = json_loads(text, 0, NULL);
        ASSERT_NOT_NULL(object);
        ASSERT_OK(json_object_del(object, "checksum"));
        if (json)
                ASSERT_OK(json_object_set_new(object, key, json_loads(json, JSON_DECODE_ANY, NULL)));
        else
                ASSERT_OK(json_object_del(object, key));
        dump = json_dumps(object, 0);
        json_decref(object);
        assert_body_refused(dump + 1, words);
}

TEST(missing_keys) {
        static const char *const keys[] = {
                "format",    "name",      "kernel_release", "sha256",  "size",    "build_id",  "srcversion", "version",
                "kind",      "signature", "description",    "replace", "objects", "origin",    "reapply",    "order",
                "staged_at", "staged_by", "next_boot",      "transient_boot_id",
        };

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                assert_change_refused(keys[i], NULL, keys[i]);
                assert_change_refused(keys[i], "[true]", keys[i]);
        }
}

TEST(invalid_values) {
        assert_change_refused("name", "\"../x\"", "\"name\" is not valid");
        assert_change_refused("name", "null", "\"name\" is not a string");
        assert_change_refused("name", "\"\"", "\"name\" is not valid");
        assert_change_refused("kernel_release", "\"..\"", "\"kernel_release\" is not valid");
        assert_change_refused("kernel_release", "\"a/b\"", "\"kernel_release\" is not valid");
        assert_change_refused("sha256", "\"0123\"", "\"sha256\" is not valid");
        assert_change_refused("build_id", "\"xyz\"", "\"build_id\" is not valid");
        assert_change_refused("build_id", "\"\"", "\"build_id\" is not valid");
        assert_change_refused("version", "\"a\\nb\"", "\"version\" is not valid");
        assert_change_refused("description", "\"\\u202e\"", "\"description\" is not valid");
        assert_change_refused("size", "-1", "\"size\" is not a number");
        assert_change_refused("size", "1.5", "\"size\" is not a number");
        assert_change_refused("reapply", "1", "\"reapply\" is not true or false");
        assert_change_refused("reapply", "null", "\"reapply\" is not true or false");
        assert_change_refused("order", "-3", "\"order\" is not a number");
        assert_change_refused("staged_by", "4294967295", "\"staged_by\" is not a number");
        assert_change_refused("staged_by", "-1", "\"staged_by\" is not a number");
        assert_change_refused("origin", "\"Local\"", "\"origin\" has an unknown value");
        assert_change_refused("kind", "\"\"", "\"kind\" has an unknown value");
        assert_change_refused("replace", "true", "\"replace\" is not a string");
        assert_change_refused("transient_boot_id", "\"\"", "\"transient_boot_id\" is not valid");
}

TEST(invalid_members) {
        assert_change_refused("signature", "null", "\"signature\" is null");
        assert_change_refused("signature", "{}", "\"status\" is missing");
        assert_change_refused("signature", "{\"status\": \"fine\", \"signer\": null, \"fingerprint\": null}",
                              "unknown");
        assert_change_refused("signature", "{\"status\": \"trusted\", \"signer\": 1, \"fingerprint\": null}", "signer");
        assert_change_refused("objects", "{}", "\"objects\" is not an array");
        assert_change_refused("objects", "[1]", "not an object");
        assert_change_refused("objects", "[{\"functions\": []}]", "\"name\" is missing");
        assert_change_refused("objects", "[{\"name\": \"a/b\", \"functions\": []}]", "\"name\" is not valid");
        assert_change_refused("objects", "[{\"name\": \"m\"}]", "\"functions\" is missing");
        assert_change_refused("objects", "[{\"name\": \"m\", \"functions\": null}]", "\"functions\" is null");
        assert_change_refused("objects", "[{\"name\": \"m\", \"functions\": [[]]}]", "not an object");
        assert_change_refused("objects", "[{\"name\": \"m\", \"functions\": [{\"name\": \"f\"}]}]", "sympos");
        assert_change_refused("states", "{}", "states");
        assert_change_refused("states", "[1]", "states");
        assert_change_refused("states", "[{}]", "id");
        assert_change_refused("states", "[{\"id\": 0, \"version\": 1}]", "id");
        assert_change_refused("states", "[{\"id\": -1, \"version\": 1}]", "id");
        assert_change_refused("states", "[{\"id\": 1}]", "version");
        assert_change_refused("states", "[{\"id\": 1, \"version\": 4294967296}]", "version");
        assert_change_refused("states", "[{\"id\": 1, \"version\": \"1\"}]", "version");
        assert_change_refused("objects", "[{\"name\": \"m\", \"functions\": [{\"name\": \"f\", \"sympos\": -1}]}]",
                              "sympos");
        assert_change_refused("objects", "[{\"name\": \"m\", \"functions\": [{\"name\": \"a/b\", \"sympos\": 1}]}]",
                              "\"name\" is not valid");
        assert_change_refused("next_boot", "{}", "missing");
}

TEST(unknown_keys_are_skipped) {
        static const char extra[] = "    \"a_later_version\": {\"says\": [\"more\"]},\n";
        _cleanup_(patch_record_freep) PatchRecord *record = new_record(), *again = NULL;
        _cleanup_free_ char *text = NULL, *body = NULL, *with = NULL;

        ASSERT_EQ(patch_record_format(record, &text), 0);
        ASSERT_TRUE(asprintf(&body, "%s%s", extra, text + MANIFEST_HEADER_LENGTH) > 0);
        ASSERT_TRUE(asprintf(&with, MANIFEST_HEADER_FORMAT "%s", manifest_checksum(body, strlen(body)), body) > 0);
        ASSERT_EQ(patch_record_parse(with, strlen(with), &again, NULL), 0);
        assert_same(record, again);
}

static void assert_same_runtime(const RuntimeRecord *a, const RuntimeRecord *b) {
        ASSERT_STREQ(a->name, b->name);
        ASSERT_TRUE(streq_ptr(a->sha256, b->sha256));
        ASSERT_EQ(a->applied_at, b->applied_at);
        ASSERT_EQ(a->applied_by, b->applied_by);
        ASSERT_EQ(a->pending, b->pending);
        ASSERT_EQ(a->pending_type, b->pending_type);
        ASSERT_EQ(a->pending_options.runtime, b->pending_options.runtime);
        ASSERT_EQ(a->pending_options.stall_timeout_usec, b->pending_options.stall_timeout_usec);
        ASSERT_EQ(a->pending_options.on_stall_given, b->pending_options.on_stall_given);
        ASSERT_EQ(a->pending_options.on_stall, b->pending_options.on_stall);
        ASSERT_EQ(a->pending_by, b->pending_by);
        ASSERT_EQ(a->confirm_within, b->confirm_within);
        ASSERT_EQ(a->confirm_deadline, b->confirm_deadline);
        ASSERT_EQ(a->confirm_runtime, b->confirm_runtime);
        ASSERT_EQ(a->confirm_expired, b->confirm_expired);
        ASSERT_TRUE(streq_ptr(a->failure_error, b->failure_error));
        ASSERT_TRUE(streq_ptr(a->failure_text, b->failure_text));
        ASSERT_TRUE(streq_ptr(a->drift, b->drift));
}

static void assert_runtime_round_trip(const RuntimeRecord *record) {
        _cleanup_(runtime_record_freep) RuntimeRecord *again = NULL, *copy = NULL;
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(runtime_record_copy(record, &copy), 0);
        assert_same_runtime(record, copy);
        ASSERT_EQ(runtime_record_format(record, &text), 0);
        ASSERT_EQ(runtime_record_parse(text, strlen(text), &again, NULL), 0);
        assert_same_runtime(record, again);
}

TEST(runtime_round_trip) {
        _cleanup_(runtime_record_freep) RuntimeRecord *record = NULL;

        ASSERT_EQ(runtime_record_new("lp_fix", &record), 0);
        ASSERT_EQ(record->applied_by, UID_UNKNOWN);
        assert_runtime_round_trip(record);
        string(&record->sha256, SHA);
        record->applied_at = 1;
        record->applied_by = 0;
        record->pending = true;
        record->pending_type = JOB_REVERT;
        record->pending_options.runtime = true;
        record->pending_by = 1000;
        assert_runtime_round_trip(record);
        record->pending_options.stall_timeout_usec = 90 * USEC_PER_SEC;
        record->pending_options.on_stall_given = true;
        record->pending_options.on_stall = ON_STALL_REVERT;
        assert_runtime_round_trip(record);
        record->pending_options.stall_timeout_usec = USEC_INFINITY;
        record->pending_options.on_stall = ON_STALL_WAIT;
        string(&record->drift, "It was switched off");
        string(&record->failure_error, "org.livepatch.Error.Stalled");
        string(&record->failure_text, "It has stalled");
        assert_runtime_round_trip(record);
}

TEST(runtime_confirmation) {
        _cleanup_(runtime_record_freep) RuntimeRecord *record = NULL;

        ASSERT_EQ(runtime_record_new("lp_fix", &record), 0);
        record->confirm_within = 600 * USEC_PER_SEC;
        assert_runtime_round_trip(record);
        record->confirm_deadline = 12345;
        record->confirm_runtime = true;
        assert_runtime_round_trip(record);
        record->confirm_expired = true;
        assert_runtime_round_trip(record);
}

static void assert_confirmation(const char *confirm, const char *why) {
        _cleanup_(runtime_record_freep) RuntimeRecord *record = NULL;
        _cleanup_failure_ Failure failure = {};
        _cleanup_free_ char *text = NULL;
        int r;

        ASSERT_TRUE(asprintf(&text, "{\"format\": 1, \"name\": \"lp_fix\", \"sha256\": null, \"applied_at\": 0, "
                             "\"applied_by\": null, \"pending\": null%s, \"failure\": null}", confirm) > 0);
        r = runtime_record_parse(text, strlen(text), &record, &failure);
        if (why) {
                ASSERT_EQ(r, -EBADMSG);
                ASSERT_CONTAINS(failure.text, why);
        } else {
                ASSERT_EQ(r, 0);
                ASSERT_EQ(record->confirm_within, 0);
        }
}

TEST(runtime_confirmations_that_are_not) {
        assert_confirmation("", NULL); /* an earlier version wrote it */
        assert_confirmation(", \"confirm\": null", NULL);
        assert_confirmation(", \"confirm\": true", "not an object");
        assert_confirmation(", \"confirm\": {}", "\"within\" is missing");
        assert_confirmation(", \"confirm\": {\"within\": 0, \"deadline\": 1, \"runtime\": false, \"expired\": false}",
                            "\"within\" is 0");
        assert_confirmation(", \"confirm\": {\"within\": -1, \"deadline\": 1, \"runtime\": false, \"expired\": false}",
                            "within");
        assert_confirmation(", \"confirm\": {\"within\": 5, \"deadline\": \"1\", \"runtime\": false, "
                            "\"expired\": false}", "deadline");
        assert_confirmation(", \"confirm\": {\"within\": 5, \"deadline\": 1, \"runtime\": 0, \"expired\": false}",
                            "runtime");
        assert_confirmation(", \"confirm\": {\"within\": 5, \"deadline\": 1, \"runtime\": true}", "expired");
}

TEST(runtime_failure_text_of_any_kind) {
        _cleanup_(runtime_record_freep) RuntimeRecord *record = NULL, *again = NULL;
        _cleanup_free_ char *text = NULL, *huge = malloc(100001);

        memset(huge, '\n', 100000);
        huge[100000] = '\0';
        ASSERT_EQ(runtime_record_new("lp", &record), 0);
        string(&record->failure_error, "x");
        string(&record->failure_text, huge);
        ASSERT_EQ(runtime_record_format(record, &text), 0);
        ASSERT_EQ(runtime_record_parse(text, strlen(text), &again, NULL), 0);
        ASSERT_EQ(strlen(again->failure_text), 4096);
}

static void assert_runtime_refused(const char *text, const char *words) {
        _cleanup_failure_ Failure failure = {};
        RuntimeRecord *record = NULL;

        ASSERT_EQ(runtime_record_parse(text, strlen(text), &record, &failure), -EBADMSG);
        ASSERT_NULL(record);
        ASSERT_CONTAINS(failure.text, words);
}

#define RUNTIME(name, sha, by, pending, failure)                                                                \
        "{\"format\": 1, \"name\": " name ", \"sha256\": " sha ", \"applied_at\": 0, \"applied_by\": " by       \
        ", \"drift\": null, \"pending\": " pending ", \"failure\": " failure "}"

TEST(runtime_records_that_are_none) {
        _cleanup_(runtime_record_freep) RuntimeRecord *record = NULL;
        static const char good[] = RUNTIME("\"lp\"", "null", "0", "null", "null");

        ASSERT_EQ(runtime_record_parse(good, strlen(good), &record, NULL), 0);
        assert_runtime_refused("", "not valid JSON");
        assert_runtime_refused("[]", "not a JSON object");
        assert_runtime_refused("null", "not valid JSON");
        assert_runtime_refused("{}", "\"format\" is missing");
        assert_runtime_refused("{\"format\": 7}", "does not know");
        assert_runtime_refused(RUNTIME("\"../lp\"", "null", "0", "null", "null"), "\"name\" is not valid");
        assert_runtime_refused(RUNTIME("\"lp\"", "\"x\"", "0", "null", "null"), "\"sha256\" is not valid");
        assert_runtime_refused(RUNTIME("\"lp\"", "null", "-1", "null", "null"), "applied_by");
        assert_runtime_refused(RUNTIME("\"lp\"", "null", "0", "true", "null"), "\"pending\" is not an object");
        assert_runtime_refused(RUNTIME("\"lp\"", "null", "0", "{\"type\": \"dance\"}", "null"), "unknown value");
        assert_runtime_refused(RUNTIME("\"lp\"", "null", "0", "null", "{\"error\": null}"), "not a string");
        assert_runtime_refused(RUNTIME("\"lp\"", "null", "0", "null", "null") "x", "not valid JSON");
        ASSERT_EQ(runtime_record_new("../lp", &record), -EINVAL);
}
