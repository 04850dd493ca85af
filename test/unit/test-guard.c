/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guard records: what a crash means, what a file must look like, and whom the kernel's reports blame. */

#include <fcntl.h>
#include <time.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "daemon/guard-evidence.h"
#include "daemon/guard.h"
#include "daemon/record-manifest.h"
#include "test.h"

#define NOW "0123456789abcdef0123456789abcdef"
#define BEFORE "fedcba9876543210fedcba9876543210"
#define LONG_BEFORE "00000000000000000000000000000000"
#define RELEASE "6.1.0-56-amd64"
#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER_SHA "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static GuardRecord *record(const char *boot_id, GuardPhase phase, bool proven, unsigned crashes) {
        GuardRecord *r;

        ASSERT_OK(guard_record_arm(NULL, "lp_fix", RELEASE, SHA, boot_id, 42, &r));
        r->phase = phase;
        r->proven = proven;
        r->crashes = crashes;
        return r;
}

/* ---- Verdicts ---- */

TEST(verdicts) {
        static const struct {
                const char *boot_id;
                GuardPhase phase;
                bool proven;
                unsigned crashes;
                bool clean; /* the boot before ended cleanly */
                GuardVerdict verdict;
        } table[] = {
                /* This boot's: nothing has happened yet. */
                { NOW, GUARD_LOADING, false, 0, false, GUARD_VERDICT_KEEP },
                { NOW, GUARD_SETTLING, false, 0, false, GUARD_VERDICT_KEEP },
                { NOW, GUARD_SETTLING, true, 1, true, GUARD_VERDICT_KEEP },
                /* Not armed: whatever happened, it was not this one. */
                { BEFORE, GUARD_PROVEN, true, 0, false, GUARD_VERDICT_KEEP },
                { BEFORE, GUARD_PROVEN, true, 1, false, GUARD_VERDICT_KEEP },
                { BEFORE, GUARD_QUARANTINED, false, 0, true, GUARD_VERDICT_KEEP },
                { BEFORE, GUARD_QUARANTINED, true, 2, false, GUARD_VERDICT_KEEP },
                /* A regular shutdown. */
                { BEFORE, GUARD_LOADING, false, 0, true, GUARD_VERDICT_DISARM },
                { BEFORE, GUARD_SETTLING, false, 0, true, GUARD_VERDICT_DISARM },
                { BEFORE, GUARD_SETTLING, true, 1, true, GUARD_VERDICT_DISARM },
                /* A crash. */
                { BEFORE, GUARD_LOADING, false, 0, false, GUARD_VERDICT_QUARANTINE },
                { BEFORE, GUARD_LOADING, true, 0, false, GUARD_VERDICT_QUARANTINE },
                { BEFORE, GUARD_SETTLING, false, 0, false, GUARD_VERDICT_QUARANTINE },
                { BEFORE, GUARD_SETTLING, true, 0, false, GUARD_VERDICT_COUNT },
                { BEFORE, GUARD_SETTLING, true, 1, false, GUARD_VERDICT_QUARANTINE },
                { BEFORE, GUARD_SETTLING, true, 7, false, GUARD_VERDICT_QUARANTINE },
                /* Of a boot further back, of which only another one is known to have ended cleanly. */
                { LONG_BEFORE, GUARD_SETTLING, false, 0, true, GUARD_VERDICT_QUARANTINE },
                { LONG_BEFORE, GUARD_LOADING, true, 0, true, GUARD_VERDICT_QUARANTINE },
        };
        char *clean[] = { (char *) "another", (char *) BEFORE, NULL };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(guard_record_freep) GuardRecord *r = record(table[i].boot_id, table[i].phase, table[i].proven,
                                                                      table[i].crashes);
                GuardVerdict verdict = guard_judge(r, NOW, table[i].clean ? clean : NULL);

                if (verdict != table[i].verdict)
                        test_fail(__FILE__, __LINE__, "row %zu: verdict %d instead of %d", i, verdict,
                                  table[i].verdict);
        }
}

TEST(arming_remembers_the_same_build_only) {
        _cleanup_(guard_record_freep) GuardRecord *known = record(BEFORE, GUARD_PROVEN, true, 1), *same = NULL,
                                                  *other = NULL;

        known->settling_since = 7;
        ASSERT_OK(guard_record_arm(known, "lp_fix", RELEASE, SHA, NOW, 99, &same));
        ASSERT_TRUE(same->proven);
        ASSERT_EQ(same->crashes, 1);
        ASSERT_EQ(same->phase, GUARD_LOADING);
        ASSERT_EQ(same->settling_since, 0);
        ASSERT_EQ(same->armed_at, 99);
        ASSERT_STREQ(same->boot_id, NOW);
        ASSERT_OK(guard_record_arm(known, "lp_fix", RELEASE, OTHER_SHA, NOW, 99, &other));
        ASSERT_FALSE(other->proven);
        ASSERT_EQ(other->crashes, 0);
}

TEST(a_build_is_known_by_its_digest_or_its_build_id) {
        _cleanup_(guard_record_freep) GuardRecord *r = record(BEFORE, GUARD_QUARANTINED, false, 0);

        ASSERT_TRUE(guard_record_is_of(r, SHA, NULL));
        ASSERT_FALSE(guard_record_is_of(r, OTHER_SHA, NULL)); /* two without one are not the same */
        ASSERT_FALSE(guard_record_is_of(r, OTHER_SHA, "abcd"));
        ASSERT_OK(free_and_strdup(&r->build_id, "abcd"));
        ASSERT_TRUE(guard_record_is_of(r, OTHER_SHA, "abcd"));
        ASSERT_FALSE(guard_record_is_of(r, OTHER_SHA, "abcdef"));
        ASSERT_FALSE(guard_record_is_of(r, OTHER_SHA, NULL));
        ASSERT_TRUE(guard_record_is_of(r, SHA, "abcdef"));
}

TEST(disarming) {
        _cleanup_(guard_record_freep) GuardRecord *unproven = record(BEFORE, GUARD_SETTLING, false, 0);
        _cleanup_(guard_record_freep) GuardRecord *proven = record(BEFORE, GUARD_LOADING, true, 1);
        _cleanup_(guard_record_freep) GuardRecord *quarantined = record(BEFORE, GUARD_QUARANTINED, false, 0);

        ASSERT_FALSE(guard_record_disarm(&unproven));
        ASSERT_NOT_NULL(unproven);
        ASSERT_TRUE(guard_record_disarm(&proven));
        ASSERT_EQ(proven->phase, GUARD_PROVEN);
        ASSERT_TRUE(guard_record_disarm(&quarantined));
        ASSERT_EQ(quarantined->phase, GUARD_QUARANTINED);
}

/* ---- Files ---- */

static char *format(const GuardRecord *r) {
        char *text = NULL;

        ASSERT_EQ(guard_record_format(r, &text), 0);
        return text;
}

TEST(what_is_written_is_read) {
        _cleanup_(guard_record_freep) GuardRecord *r = record(BEFORE, GUARD_QUARANTINED, true, 2), *again = NULL,
                                                  *copy = NULL;
        _cleanup_free_ char *text = NULL, *second = NULL;

        r->settling_since = 12345;
        ASSERT_OK(free_and_strdup(&r->reason, "It went down"));
        ASSERT_OK(free_and_strdup(&r->build_id, "abcd"));
        text = format(r);
        ASSERT_EQ(guard_record_parse(text, strlen(text), &again, NULL), 0);
        ASSERT_STREQ(again->reason, "It went down");
        ASSERT_STREQ(again->build_id, "abcd");
        ASSERT_EQ(again->phase, GUARD_QUARANTINED);
        ASSERT_EQ(again->crashes, 2);
        ASSERT_EQ(again->settling_since, 12345);
        ASSERT_EQ(again->armed_at, 42);
        ASSERT_OK(guard_record_copy(again, &copy));
        second = format(copy);
        ASSERT_STREQ(text, second);
}

/* With a checksum that is right, so that it is the content that is refused. */
static void refuse_edited(const char *text, const char *from, const char *to) {
        _cleanup_free_ char *members = NULL, *edited = NULL;
        _cleanup_failure_ Failure failure = {};
        size_t at;
        GuardRecord *r;

        for (at = 0; !startswith(text + at, from); at++)
                ASSERT_TRUE(text[at] != '\0');
        ASSERT_TRUE(asprintf(&members, "%.*s%s%s", (int) (at - MANIFEST_HEADER_LENGTH), text + MANIFEST_HEADER_LENGTH,
                             to, text + at + strlen(from)) > 0);
        ASSERT_TRUE(asprintf(&edited, MANIFEST_HEADER_FORMAT "%s", manifest_checksum(members, strlen(members)),
                             members) > 0);
        if (guard_record_parse(edited, strlen(edited), &r, &failure) != -EBADMSG)
                test_fail(__FILE__, __LINE__, "accepted with %s", to);
        ASSERT_NOT_NULL(failure.text);
}

TEST(what_no_writer_of_ours_wrote) {
        _cleanup_(guard_record_freep) GuardRecord *r = record(BEFORE, GUARD_SETTLING, false, 0);
        _cleanup_free_ char *text = format(r);
        static const char *const edits[][2] = {
                { "\"format\": 1", "\"format\": 2" },
                { "\"format\": 1", "\"format\": \"1\"" },
                { "\"lp_fix\"", "\"../lp_fix\"" },
                { "\"lp_fix\"", "\"\"" },
                { "\"lp_fix\"", "null" },
                { RELEASE, "../" RELEASE },
                { SHA, "0123" },
                { BEFORE, "" },
                { BEFORE, "two\\nlines" },
                { "\"settling\"", "\"proven\"" },
                { "\"settling\"", "\"quarantined\"" },
                { "\"settling\"", "\"settled\"" },
                { "\"settling\"", "1" },
                { "\"proven\": false", "\"proven\": 0" },
                { "\"crashes\": 0", "\"crashes\": -1" },
                { "\"crashes\": 0", "\"crashes\": 4294967296" },
                { "\"crashes\": 0", "\"crashed\": 0" },
                { "\"armed_at\": 42", "\"armed_at\": 4.2" },
                { "\"build_id\": null", "\"build_id\": 7" },
                { "\"build_id\": null", "\"build_id\": \"\\u001b\"" },
                { "\"reason\": null", "\"reason\": false" },
                { "\"reason\": null", "\"reason\": \"\\u001b[1m\"" },
                { "\"reason\": null", "\"reason\": null, \"reason\": null" },
        };

        for (size_t i = 0; i < ELEMENTSOF(edits); i++)
                refuse_edited(text, edits[i][0], edits[i][1]);
}

TEST(damage) {
        _cleanup_(guard_record_freep) GuardRecord *r = record(BEFORE, GUARD_SETTLING, false, 0), *again = NULL;
        _cleanup_free_ char *text = format(r);
        size_t size = strlen(text);

        for (size_t i = 0; i < size; i++)
                if (guard_record_parse(text, i, &again, NULL) != -EBADMSG)
                        test_fail(__FILE__, __LINE__, "accepted when cut to %zu of %zu bytes", i, size);
        for (size_t i = 0; i < size; i++) {
                text[i] ^= 4;
                if (guard_record_parse(text, size, &again, NULL) != -EBADMSG)
                        test_fail(__FILE__, __LINE__, "accepted with byte %zu changed", i);
                text[i] ^= 4;
        }
}

TEST(what_would_not_be_read_is_not_written) {
        _cleanup_(guard_record_freep) GuardRecord *no_reason = record(BEFORE, GUARD_QUARANTINED, false, 0);
        _cleanup_(guard_record_freep) GuardRecord *unproven = record(BEFORE, GUARD_PROVEN, false, 0);
        char *text;

        ASSERT_EQ(guard_record_format(no_reason, &text), -EINVAL);
        ASSERT_EQ(guard_record_format(unproven, &text), -EINVAL);
}

/* ---- The kernel's reports ---- */

/* The last event of these lines. */
static GuardLogEvent feed(const char *text, GuardLogName *name) {
        _cleanup_free_ char *copy = strdup(text);
        GuardLogEvent event = GUARD_LOG_NOTHING;
        char *rest = copy, *line;
        GuardLog log = {};

        while ((line = strsep(&rest, "\n")))
                event = guard_log_feed(&log, line, name);
        return event;
}

TEST(reports_that_blame) {
        static const char *const reports[] = {
                "BUG: kernel NULL pointer dereference, address: 0\nRIP: 0010:f+0xb/0x20 [lp_fix]",
                "-----[ cut here ]-----\nkernel BUG at fs/x.c:1!\nCall Trace:\n <TASK>\n f+0x1/0x2 [lp_fix]",
                "WARNING: CPU: 0 PID: 1 at f.c:3 f+0xb/0x20 [lp_fix]",
                "Oops: 0000 [#1] PREEMPT SMP\n seq_read+0x1/0x2\n f+0xb/0x20 [lp_fix 0123456789abcdef]",
                "Kernel panic - not syncing: x\nCall Trace:\n f+0x15/0x20 [lp_fix]",
                "general protection fault, probably for x\npc : f+0x0/0x10 [lp_fix]",
                "watchdog: BUG: soft lockup - CPU#0 stuck for 22s!\n f+0x15/0x20 [lp_fix]",
        };

        for (size_t i = 0; i < ELEMENTSOF(reports); i++) {
                GuardLogName name = {};

                if (feed(reports[i], &name) != GUARD_LOG_BLAMED)
                        test_fail(__FILE__, __LINE__, "nobody is blamed by: %s", reports[i]);
                ASSERT_STREQ(name.name, "lp_fix");
        }
}

TEST(lines_that_blame_nobody) {
        static const char *const reports[] = {
                "f+0xb/0x20 [lp_fix]",
                "BUG: x\nModules linked in: lp_fix(OEK) ext4",
                "BUG: x\nModules linked in: f+0x1/0x2 [lp_fix]",
                "BUG: x\n ? f+0xb/0x20 [lp_fix]",
                "BUG: x\n f+0xb/0x20",
                "BUG: x\n f+0xb [lp_fix]",
                "BUG: x\n f+0xb/0x20 []",
                "BUG: x\n f+0xb/0x20 [../etc]",
                "BUG: x\n f+0xb/0x20 [a_name_that_is_longer_than_what_the_kernel_allows_for_a_module_name]",
                "BUG: x\n[lp_fix]",
                "BUG: x\n---[ end trace 0000000000000000 ]---\n f+0xb/0x20 [lp_fix]",
                "INFO: task cat:1 blocked for more than 120 seconds.\n f+0xb/0x20 [lp_fix]",
                "livepatch: 'lp_fix': patching complete",
                "lp_fix: loading out-of-tree module taints kernel.",
        };

        for (size_t i = 0; i < ELEMENTSOF(reports); i++) {
                GuardLogName name;
                GuardLogEvent event = feed(reports[i], &name);

                if (event != GUARD_LOG_NOTHING)
                        test_fail(__FILE__, __LINE__, "event %d by: %s", event, reports[i]);
        }
}

TEST(a_report_ends_without_its_end) {
        GuardLog log = {};
        GuardLogName name;

        ASSERT_EQ(guard_log_feed(&log, "Kernel panic - not syncing: x", &name), GUARD_LOG_NOTHING);
        for (unsigned i = 0; i < 1000; i++)
                ASSERT_EQ(guard_log_feed(&log, "some other line", &name), GUARD_LOG_NOTHING);
        ASSERT_EQ(guard_log_feed(&log, " f+0xb/0x20 [lp_fix]", &name), GUARD_LOG_NOTHING);
}

TEST(a_load) {
        GuardLogName name;

        ASSERT_EQ(feed("livepatch: enabling patch 'lp_fix'", &name), GUARD_LOG_LOADED);
        ASSERT_STREQ(name.name, "lp_fix");
        ASSERT_EQ(feed("livepatch: enabling patch ''", &name), GUARD_LOG_NOTHING);
}

/* ---- Evidence ---- */

#define PSTORE "var/lib/systemd/pstore"
#define OOPS "Oops#1 Part1\n<1>[   12.345678][  T123] BUG: x\n<4>[   12.345679] RIP: 0010:f+0xb/0x20 [lp_fix]\n"

static int look_for(const char *name, uint64_t since, GuardEvidence *ret) {
        char *suspects[] = { (char *) "lp_nobody", (char *) name, NULL };

        return guard_evidence_find(test_tmpdir(), suspects, since, ret);
}

static void assert_found(const char *path) {
        GuardEvidence evidence = {};

        test_write_file(test_tmpdir(), path, OOPS);
        ASSERT_EQ(look_for("lp_fix", 0, &evidence), 1);
        ASSERT_STREQ(evidence.name.name, "lp_fix");
        ASSERT_STREQ(evidence.line, "RIP: 0010:f+0xb/0x20 [lp_fix]");
        ASSERT_STREQ(evidence.path + 1, path);
        guard_evidence_done(&evidence);
        ASSERT_OK(unlinkat(test_tmpdir(), path, 0));
        ASSERT_EQ(look_for("lp_fix", 0, &evidence), 0);
}

TEST(evidence_is_found) {
        assert_found("sys/fs/pstore/dmesg-efi-1");
        assert_found(PSTORE "/dmesg.txt");
        assert_found(PSTORE "/123/dmesg.txt");
        assert_found(PSTORE "/123/456/dmesg-ramoops-0");
}

TEST(evidence_is_not_found) {
        GuardEvidence evidence = {};
        uint64_t in_an_hour = ((uint64_t) time(NULL) + 3600) * USEC_PER_SEC;

        ASSERT_EQ(look_for("lp_fix", 0, &evidence), 0);
        test_write_file(test_tmpdir(), PSTORE "/1/2/3/4/dmesg.txt", OOPS);
        test_write_file(test_tmpdir(), PSTORE "/console-ramoops-0", OOPS);
        ASSERT_OK(symlinkat("console-ramoops-0", test_tmpdir(), PSTORE "/dmesg-link"));
        test_write_file(test_tmpdir(), PSTORE "/1/dmesg.txt", "<4>[ 1.0] Modules linked in: lp_fix(OEK)\n");
        ASSERT_EQ(look_for("lp_fix", 0, &evidence), 0);
        test_write_file(test_tmpdir(), PSTORE "/1/dmesg.txt", OOPS);
        ASSERT_EQ(look_for("lp_other", 0, &evidence), 0);
        ASSERT_EQ(look_for("lp_fix", in_an_hour, &evidence), 0);
}
