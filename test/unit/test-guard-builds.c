/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guard record's former builds: what is remembered, what is forgotten first, and what no record of ours says. */

#include "common/string-util.h"
#include "daemon/guard.h"
#include "daemon/record-manifest.h"
#include "test.h"

#define NOW "0123456789abcdef0123456789abcdef"
#define BEFORE "fedcba9876543210fedcba9876543210"
#define RELEASE "6.1.0-56-amd64"

typedef struct Sha {
        char text[65];
} Sha;

static Sha sha(unsigned build) {
        Sha s;

        (void) snprintf(s.text, sizeof(s.text), "%064x", build);
        return s;
}

/* Loads another build after the record's, which it frees. */
static GuardRecord *arm(GuardRecord *previous, unsigned build) {
        GuardRecord *r;

        ASSERT_OK(guard_record_arm(previous, "lp_fix", RELEASE, sha(build).text, NOW, 100 + build, &r));
        guard_record_free(previous);
        return r;
}

static GuardRecord *proven(GuardRecord *previous, unsigned build) {
        GuardRecord *r = arm(previous, build);

        r->phase = GUARD_PROVEN;
        r->proven = true;
        return r;
}

static GuardRecord *quarantined(GuardRecord *previous, unsigned build) {
        GuardRecord *r = arm(previous, build);

        r->phase = GUARD_QUARANTINED;
        ASSERT_TRUE(asprintf(&r->reason, "Build %u went down", build) > 0);
        return r;
}

static unsigned count(const GuardRecord *record) {
        unsigned n = 0;

        for (; record; record = record->former)
                n++;
        return n;
}

static bool is_build(const GuardRecord *record, unsigned build) {
        return record && streq(record->sha256, sha(build).text);
}

static bool is_quarantined(const GuardRecord *record, unsigned build) {
        return guard_record_quarantine_of(record, sha(build).text, NULL) != NULL;
}

/* What the disk makes of it. */
static GuardRecord *reread(GuardRecord *record) {
        _cleanup_free_ char *text = NULL;
        GuardRecord *again = NULL;

        ASSERT_EQ(guard_record_format(record, &text), 0);
        ASSERT_EQ(guard_record_parse(text, strlen(text), &again, NULL), 0);
        guard_record_free(record);
        return again;
}

TEST(a_quarantine_survives_other_builds) {
        _cleanup_(guard_record_freep) GuardRecord *r = quarantined(NULL, 1);
        _cleanup_failure_ Failure f = {};

        r = reread(arm(r, 2));
        ASSERT_TRUE(is_quarantined(r, 1));
        ASSERT_FALSE(is_quarantined(r, 2));
        ASSERT_EQ(guard_record_n_quarantined(r), 1);
        r = reread(proven(r, 3)); /* the second one is forgotten: nothing is known of it */
        ASSERT_EQ(count(r), 2);
        ASSERT_TRUE(is_build(r->former, 1));
        ASSERT_STREQ(r->former->name, "lp_fix");
        ASSERT_STREQ(r->former->kernel_release, RELEASE);
        ASSERT_EQ(r->former->armed_at, 101);
        ASSERT_EQ(guard_record_refuse(guard_record_any_quarantine(r), &f), REFUSED_QUARANTINED);
        ASSERT_CONTAINS(f.text, "Build 1 went down");
        ASSERT_CONTAINS(f.text, "livepatchctl unquarantine lp_fix");
}

TEST(a_former_build_is_known_by_its_build_id_too) {
        _cleanup_(guard_record_freep) GuardRecord *r = quarantined(NULL, 1);

        ASSERT_OK(free_and_strdup(&r->build_id, "abcd"));
        r = reread(arm(r, 2));
        ASSERT_OK(free_and_strdup(&r->build_id, "abce"));
        ASSERT_NOT_NULL(guard_record_quarantine_of(r, sha(9).text, "abcd"));
        ASSERT_NULL(guard_record_quarantine_of(r, sha(9).text, "abce"));
        ASSERT_NULL(guard_record_quarantine_of(r, sha(9).text, NULL));
}

TEST(a_proven_build_that_comes_back_is_proven) {
        _cleanup_(guard_record_freep) GuardRecord *r = proven(NULL, 1);

        r->crashes = 1;
        r = reread(proven(r, 2));
        r = reread(arm(r, 1));
        ASSERT_TRUE(r->proven);
        ASSERT_EQ(r->crashes, 1);
        ASSERT_EQ(r->phase, GUARD_LOADING);
        ASSERT_EQ(count(r), 2); /* not behind itself */
        ASSERT_TRUE(is_build(r->former, 2));
        /* As it is when it was replaced while it settled once more. */
        r = reread(arm(r, 3));
        ASSERT_FALSE(r->proven);
        ASSERT_TRUE(is_build(r->former, 1));
        ASSERT_EQ(r->former->phase, GUARD_PROVEN);
}

TEST(nobody_is_quarantined_by_a_name_alone) {
        ASSERT_NULL(guard_record_quarantine_of(NULL, sha(1).text, "abcd"));
        ASSERT_NULL(guard_record_any_quarantine(NULL));
        ASSERT_EQ(guard_record_n_quarantined(NULL), 0);
}

TEST(disarming_returns_to_the_one_before) {
        _cleanup_(guard_record_freep) GuardRecord *r = arm(proven(quarantined(NULL, 1), 2), 3);

        ASSERT_TRUE(guard_record_disarm(&r));
        ASSERT_TRUE(is_build(r, 2));
        ASSERT_EQ(r->phase, GUARD_PROVEN);
        ASSERT_TRUE(is_quarantined(r, 1));
        ASSERT_TRUE(guard_record_disarm(&r)); /* it is not armed */
        ASSERT_TRUE(is_build(r, 2));
        r = arm(r, 4);
        r->proven = true;
        ASSERT_TRUE(guard_record_disarm(&r));
        ASSERT_TRUE(is_build(r, 4));
        ASSERT_EQ(count(r), 3);
}

TEST(lifting_lifts_all) {
        _cleanup_(guard_record_freep) GuardRecord *r = quarantined(proven(quarantined(quarantined(NULL, 1), 2), 3), 4);

        ASSERT_EQ(guard_record_n_quarantined(r), 3);
        ASSERT_EQ(guard_record_lift(&r, NOW), 3);
        ASSERT_TRUE(is_build(r, 3));
        ASSERT_EQ(count(r), 1);
        ASSERT_EQ(guard_record_lift(&r, NOW), 0);
        /* What would be one, if it could have been written. */
        r = arm(quarantined(r, 5), 6);
        ASSERT_EQ(guard_record_lift(&r, NOW), 1);
        ASSERT_TRUE(is_build(r, 6));
        ASSERT_EQ(guard_record_lift(&r, BEFORE), 1);
        ASSERT_TRUE(is_build(r, 3));
        r = quarantined(guard_record_free(r), 7);
        ASSERT_EQ(guard_record_lift(&r, NOW), 1);
        ASSERT_NULL(r);
}

TEST(proven_builds_are_forgotten_first) {
        _cleanup_(guard_record_freep) GuardRecord *r = proven(quarantined(proven(NULL, 1), 2), 3);

        for (unsigned build = 4; build < 4 + GUARD_FORMER_MAX - 1; build++)
                r = quarantined(r, build);
        r = reread(arm(r, 90));
        ASSERT_EQ(count(r), 1 + GUARD_FORMER_MAX);
        ASSERT_EQ(guard_record_n_quarantined(r), GUARD_FORMER_MAX);
        ASSERT_TRUE(is_quarantined(r, 2)); /* older than a proven one that had to go */
        r = reread(arm(quarantined(r, 91), 92));
        ASSERT_EQ(count(r), 1 + GUARD_FORMER_MAX);
        ASSERT_FALSE(is_quarantined(r, 2)); /* the oldest of all */
        ASSERT_TRUE(is_quarantined(r, 4));
        ASSERT_TRUE(is_quarantined(r, 91));
}

TEST(the_longest_reasons_fit) {
        _cleanup_(guard_record_freep) GuardRecord *r = NULL;
        _cleanup_free_ char *text = NULL, *copied = NULL;
        char reason[4096 + 1] = "";

        memset(reason, '"', sizeof(reason) - 1);
        for (unsigned build = 1; build < 2 + GUARD_FORMER_MAX; build++) {
                r = quarantined(r, build);
                ASSERT_OK(free_and_strdup(&r->reason, reason));
        }
        ASSERT_EQ(guard_record_format(r, &text), 0);
        r = reread(r);
        ASSERT_EQ(guard_record_n_quarantined(r), 1 + GUARD_FORMER_MAX);
        ASSERT_EQ(guard_record_format(r, &copied), 0);
        ASSERT_STREQ(copied, text);
}

TEST(a_copy_has_them_all) {
        _cleanup_(guard_record_freep) GuardRecord *r = arm(proven(quarantined(NULL, 1), 2), 3), *copy = NULL;
        _cleanup_free_ char *text = NULL, *copied = NULL;

        ASSERT_OK(guard_record_copy(r, &copy));
        ASSERT_EQ(guard_record_format(r, &text), 0);
        ASSERT_EQ(guard_record_format(copy, &copied), 0);
        ASSERT_STREQ(copied, text);
}

/* ---- Files ------------------------------------------------------------------------------------------------- */

/* The members of one former build. */
static char *former(unsigned build, const char *phase, const char *is_proven, const char *reason) {
        char *text;

        ASSERT_TRUE(asprintf(&text, "{\"sha256\": \"%s\", \"build_id\": null, \"boot_id\": \"" BEFORE "\", "
                             "\"phase\": %s, \"proven\": %s, \"crashes\": 0, \"armed_at\": 1, \"settling_since\": 0, "
                             "\"reason\": %s}", sha(build).text, phase, is_proven, reason) > 0);
        return text;
}

static int parse_with(const char *list, GuardRecord **ret, Failure *f) {
        _cleanup_free_ char *members = NULL, *text = NULL;

        ASSERT_TRUE(asprintf(&members, "\"format\": 1, \"name\": \"lp_fix\", \"kernel_release\": \"" RELEASE "\", "
                             "\"sha256\": \"%s\", \"build_id\": null, \"boot_id\": \"" NOW "\", "
                             "\"phase\": \"loading\", \"proven\": false, \"crashes\": 0, \"armed_at\": 1, "
                             "\"settling_since\": 0, \"reason\": null%s%s}\n", sha(1).text,
                             list ? ", \"former\": " : "", list ?: "") > 0);
        ASSERT_TRUE(asprintf(&text, MANIFEST_HEADER_FORMAT "%s", manifest_checksum(members, strlen(members)),
                             members) > 0);
        return guard_record_parse(text, strlen(text), ret, f);
}

static void refuse(const char *list, const char *why) {
        _cleanup_(guard_record_freep) GuardRecord *r = NULL;
        _cleanup_failure_ Failure f = {};

        if (parse_with(list, &r, &f) != -EBADMSG)
                test_fail(__FILE__, __LINE__, "accepted: %s", list);
        ASSERT_NULL(r);
        ASSERT_CONTAINS(f.text, why);
}

TEST(what_an_earlier_version_wrote) {
        _cleanup_(guard_record_freep) GuardRecord *r = NULL, *empty = NULL;

        ASSERT_EQ(parse_with(NULL, &r, NULL), 0);
        ASSERT_NULL(r->former);
        ASSERT_EQ(parse_with("[]", &empty, NULL), 0);
        ASSERT_NULL(empty->former);
}

TEST(an_earlier_version_reads_what_has_no_list) {
        _cleanup_(guard_record_freep) GuardRecord *r = arm(NULL, 1);
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(guard_record_format(r, &text), 0);
        ASSERT_NULL(strstr(text, "former"));
}

TEST(hostile_lists) {
        _cleanup_free_ char *fine = former(2, "\"quarantined\"", "false", "\"It went down\""), *two = NULL;
        static const struct {
                unsigned build;
                const char *phase, *is_proven, *reason, *why;
        } table[] = {
                { 2, "\"loading\"", "false", "null", "\"phase\" is not one of a former build" },
                { 2, "\"settling\"", "true", "null", "\"phase\" is not one of a former build" },
                { 2, "\"gone\"", "true", "null", "\"phase\" has an unknown value" },
                { 2, "7", "true", "null", "\"phase\" is not a string" },
                { 2, "\"proven\"", "false", "null", "\"proven\" contradicts the phase" },
                { 2, "\"proven\"", "1", "null", "\"proven\" is not true or false" },
                { 2, "\"quarantined\"", "false", "null", "\"reason\" is missing" },
                { 2, "\"quarantined\"", "false", "\"\\u001b[1m\"", "\"reason\" is not valid" },
                { 1, "\"quarantined\"", "false", "\"It went down\"", "\"sha256\" is there twice" },
        };
        _cleanup_(guard_record_freep) GuardRecord *r = NULL;
        _cleanup_free_ char *accepted = NULL;

        ASSERT_TRUE(asprintf(&accepted, "[%s]", fine) > 0);
        ASSERT_EQ(parse_with(accepted, &r, NULL), 0);
        ASSERT_TRUE(is_quarantined(r, 2));
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_free_ char *entry = former(table[i].build, table[i].phase, table[i].is_proven,
                                                    table[i].reason);
                _cleanup_free_ char *list = NULL;

                ASSERT_TRUE(asprintf(&list, "[%s]", entry) > 0);
                refuse(list, table[i].why);
        }
        ASSERT_TRUE(asprintf(&two, "[%s, %s]", fine, fine) > 0);
        refuse(two, "is there twice");
        refuse("null", "\"former\" is null");
        refuse("{}", "\"former\" is not an array");
        refuse("[null]", "something that is not an object");
        refuse("[[]]", "something that is not an object");
        refuse("[{}]", "is missing");
}

TEST(longer_than_any) {
        _cleanup_free_ char *list = strdup("["), *closed = NULL;

        for (unsigned build = 2; build < 3 + GUARD_FORMER_MAX; build++) {
                _cleanup_free_ char *entry = former(build, "\"proven\"", "true", "null"), *before = list;

                ASSERT_TRUE(asprintf(&list, "%s%s%s", before, build > 2 ? ", " : "", entry) > 0);
        }
        ASSERT_TRUE(asprintf(&closed, "%s]", list) > 0);
        refuse(closed, "more builds than any record");
}
