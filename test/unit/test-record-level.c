/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a manifest says of the level below, of its rollback, and of a condition: round trips, and hostile values. */

#include "common/string-util.h"
#include "daemon/record-level.h"
#include "daemon/record-manifest.h"
#include "test.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define NONE "\"supersedes\": [],\n    \"rolled_back\": false"

static PatchRecord *new_record(void) {
        ModuleInfo info = { .name = (char *) "lp_fix", .kernel_release = (char *) "6.1.0-56-amd64" };
        SignatureReport signature = { .status = SIGNATURE_UNSIGNED };
        PatchRecord *record;

        ASSERT_OK(patch_record_new(&info, &signature, SHA, &record));
        return record;
}

static void add(PatchRecord *record, const char *name, const char *sha256, uint64_t order, bool reapply, bool applied) {
        SupersededPatch entry = { (char *) name, (char *) sha256, order, reapply, applied };

        ASSERT_OK(superseded_list_append(&record->supersedes, &record->n_supersedes, &entry));
}

static void assert_same(const PatchRecord *a, const PatchRecord *b) {
        ASSERT_EQ(a->rolled_back, b->rolled_back);
        ASSERT_EQ(a->n_supersedes, b->n_supersedes);
        for (size_t i = 0; i < a->n_supersedes; i++) {
                ASSERT_STREQ(a->supersedes[i].name, b->supersedes[i].name);
                ASSERT_TRUE(streq_ptr(a->supersedes[i].sha256, b->supersedes[i].sha256));
                ASSERT_EQ(a->supersedes[i].order, b->supersedes[i].order);
                ASSERT_EQ(a->supersedes[i].reapply, b->supersedes[i].reapply);
                ASSERT_EQ(a->supersedes[i].applied, b->supersedes[i].applied);
        }
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
        add(record, "lp_one", OTHER, 0, true, true);
        add(record, "lp_stranger", NULL, 0, false, true);
        add(record, "lp_two", SHA, INT64_MAX, true, false);
        assert_round_trip(record);
        record->rolled_back = true;
        assert_round_trip(record);
        record_clear_level(record);
        ASSERT_EQ(record->n_supersedes, 0);
        ASSERT_FALSE(record->rolled_back);
        assert_round_trip(record);
}

TEST(what_would_not_be_read_is_not_written) {
        static const SupersededPatch entries[] = {
                { (char *) "../lp", (char *) OTHER, 1, true, true },
                { (char *) "", (char *) OTHER, 1, true, true },
                { (char *) "lp_fix", (char *) OTHER, 1, true, true },
                { (char *) "lp_one", (char *) "0123", 1, true, true },
                { (char *) "lp_one", (char *) OTHER, UINT64_MAX, true, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(entries); i++) {
                _cleanup_(patch_record_freep) PatchRecord *record = new_record();
                char *text;

                add(record, entries[i].name, entries[i].sha256, entries[i].order, true, true);
                if (patch_record_format(record, &text) != -EINVAL)
                        test_fail(__FILE__, __LINE__, "entry %zu was written", i);
        }
}

/* The manifest with something else in place of its level. */
static int parse_with(const char *members, PatchRecord **ret, Failure *f) {
        _cleanup_(patch_record_freep) PatchRecord *record = new_record();
        _cleanup_free_ char *text = NULL, *body = NULL, *edited = NULL;
        const char *at;

        ASSERT_EQ(patch_record_format(record, &text), 0);
        at = strstr(text, NONE);
        ASSERT_NOT_NULL(at);
        ASSERT_TRUE(asprintf(&body, "%.*s%s%s", (int) (at - text - MANIFEST_HEADER_LENGTH),
                             text + MANIFEST_HEADER_LENGTH, members, at + strlen(NONE)) > 0);
        ASSERT_TRUE(asprintf(&edited, MANIFEST_HEADER_FORMAT "%s", manifest_checksum(body, strlen(body)), body) > 0);
        return patch_record_parse(edited, strlen(edited), ret, f);
}

static void refuse(const char *members, const char *why) {
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;
        _cleanup_failure_ Failure failure = {};

        if (parse_with(members, &record, &failure) != -EBADMSG)
                test_fail(__FILE__, __LINE__, "accepted: %s", members);
        ASSERT_NULL(record);
        ASSERT_CONTAINS(failure.text, why);
}

#define LIST(entries) "\"supersedes\": " entries ", \"rolled_back\": false"
#define ENTRY(name, sha, order, reapply, more)                                                                  \
        LIST("[{\"name\": " name ", \"sha256\": " sha ", \"order\": " order ", \"reapply\": " reapply more "}]")

TEST(what_earlier_versions_wrote) {
        _cleanup_(patch_record_freep) PatchRecord *nothing = NULL, *all = NULL, *list = NULL;

        ASSERT_EQ(parse_with("\"x\": 0", &nothing, NULL), 0);
        ASSERT_EQ(nothing->n_supersedes, 0);
        ASSERT_FALSE(nothing->rolled_back);
        ASSERT_EQ(parse_with(NONE, &all, NULL), 0);
        ASSERT_EQ(all->n_supersedes, 0);
        /* Before conditions on cumulative patches, what was listed had been in force. */
        ASSERT_EQ(parse_with(ENTRY("\"lp_one\"", "null", "7", "true", ""), &list, NULL), 0);
        ASSERT_EQ(list->n_supersedes, 1);
        ASSERT_TRUE(list->supersedes[0].applied);
        ASSERT_TRUE(list->supersedes[0].reapply);
        ASSERT_EQ(list->supersedes[0].order, 7);
}

TEST(what_later_versions_may_add) {
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;

        ASSERT_EQ(parse_with(ENTRY("\"lp_one\"", "null", "7", "true", ", \"applied\": false, \"new\": [{}]"), &record,
                             NULL), 0);
        ASSERT_FALSE(record->supersedes[0].applied);
}

TEST(hostile_lists) {
        refuse(LIST("null"), "\"supersedes\" is null");
        refuse(LIST("{}"), "\"supersedes\" is not an array");
        refuse(LIST("\"lp_one\""), "\"supersedes\" is not an array");
        refuse(LIST("[null]"), "something that is not an object");
        refuse(LIST("[\"lp_one\"]"), "something that is not an object");
        refuse(LIST("[{}]"), "\"name\" is missing");
        refuse("\"supersedes\": []", "\"rolled_back\" is missing");
        refuse("\"supersedes\": [], \"rolled_back\": null", "\"rolled_back\" is not true or false");
        refuse("\"supersedes\": [], \"rolled_back\": 1", "\"rolled_back\" is not true or false");
        refuse("\"supersedes\": [], \"supersedes\": [], \"rolled_back\": false", "not valid JSON");
}

TEST(hostile_entries) {
        refuse(ENTRY("\"../lp_one\"", "null", "1", "true", ""), "\"name\" is not valid");
        refuse(ENTRY("\"lp/one\"", "null", "1", "true", ""), "\"name\" is not valid");
        refuse(ENTRY("\"\"", "null", "1", "true", ""), "\"name\" is not valid");
        refuse(ENTRY("null", "null", "1", "true", ""), "\"name\" is not a string");
        refuse(ENTRY("\"lp_fix\"", "null", "1", "true", ""), "names the patch itself");
        refuse(ENTRY("\"lp_one\"", "\"../../x\"", "1", "true", ""), "\"sha256\" is not valid");
        refuse(ENTRY("\"lp_one\"", "1", "1", "true", ""), "\"sha256\" is not a string");
        refuse(ENTRY("\"lp_one\"", "null", "-1", "true", ""), "\"order\" is not a number in its range");
        refuse(ENTRY("\"lp_one\"", "null", "1.5", "true", ""), "\"order\" is not a number in its range");
        refuse(ENTRY("\"lp_one\"", "null", "9223372036854775808", "true", ""), "not valid JSON");
        refuse(ENTRY("\"lp_one\"", "null", "1", "\"yes\"", ""), "\"reapply\" is not true or false");
        refuse(ENTRY("\"lp_one\"", "null", "1", "true", ", \"applied\": null"), "\"applied\" is not true or false");
        refuse(ENTRY("\"lp_one\"", "null", "1", "true", ", \"applied\": 1"), "\"applied\" is not true or false");
        refuse(ENTRY("\"lp_one\"", "null", "1", "true", ", \"name\": \"lp_two\""), "not valid JSON");
}

/* ---- A rollback on its way, in the runtime record ------------------------------------------------------------ */

#define PENDING(type, more)                                                                                     \
        "{\"format\": 1, \"name\": \"lp_fix\", \"sha256\": null, \"applied_at\": 1, \"applied_by\": 0, "        \
        "\"pending\": {\"type\": " type ", \"runtime\": true, \"by\": 0" more "}, "                             \
        "\"confirm\": {\"within\": 5, \"deadline\": 7, \"runtime\": false, \"expired\": true}, \"failure\": null}"

TEST(a_rollback_of_what_nobody_confirmed) {
        static const char text[] = PENDING("\"rollback\"", ", \"on_stall\": \"wait\"");
        _cleanup_(runtime_record_freep) RuntimeRecord *record = NULL, *copy = NULL;

        ASSERT_EQ(runtime_record_parse(text, strlen(text), &record, NULL), 0);
        ASSERT_OK(runtime_record_copy(record, &copy));
        for (const RuntimeRecord *r = record; r; r = r == record ? copy : NULL) {
                ASSERT_TRUE(r->pending);
                ASSERT_EQ(r->pending_type, JOB_ROLLBACK);
                ASSERT_EQ(r->pending_options.on_stall, ON_STALL_WAIT);
                ASSERT_TRUE(r->confirm_expired);
                ASSERT_EQ(r->confirm_within, 5);
                ASSERT_EQ(r->confirm_deadline, 7);
        }
}

TEST(hostile_rollbacks) {
        static const char *const texts[] = {
                PENDING("\"roll back\"", ""),
                PENDING("null", ""),
                PENDING("3", ""),
                PENDING("\"rollback\"", ", \"on_stall\": \"force\""),
                PENDING("\"rollback\"", ", \"stall_timeout\": -1"),
                PENDING("\"rollback\"", ", \"put_record\": \"true\""),
                PENDING("\"rollback\"", ", \"type\": \"rollback\""),
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(runtime_record_freep) RuntimeRecord *record = NULL;
                _cleanup_failure_ Failure failure = {};

                if (runtime_record_parse(texts[i], strlen(texts[i]), &record, &failure) != -EBADMSG)
                        test_fail(__FILE__, __LINE__, "accepted: %s", texts[i]);
                ASSERT_NOT_NULL(failure.text);
        }
}
