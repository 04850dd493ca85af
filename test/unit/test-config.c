/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of livepatch.conf: grammar, limits, precedence, and that nothing broken relaxes the policy. */

#include <sys/stat.h>

#include "common/string-util.h"
#include "daemon/config.h"
#include "test.h"

#define MAIN "etc/livepatch/livepatch.conf"
#define ETC "etc/livepatch/livepatch.conf.d/"
#define USR "usr/lib/livepatch/livepatch.conf.d/"

static Config *parse(const char *text) {
        Config *config;

        ASSERT_OK(config_new_default(&config));
        ASSERT_OK(config_parse(config, "test.conf", text, strlen(text)));
        return config;
}

static Config *load(void) {
        Config *config;

        ASSERT_OK(config_load(test_tmpdir(), &config));
        return config;
}

static void assert_defaults(const Config *config) {
        ASSERT_EQ(config->signature_policy, SIGNATURE_POLICY_REQUIRE);
        ASSERT_EQ(config->module_size_max, MIB(256));
        ASSERT_EQ(config->stall_timeout_usec, 600 * USEC_PER_SEC);
        ASSERT_EQ(config->on_stall, ON_STALL_WAIT);
        ASSERT_EQ(config->boot_timeout_usec, 60 * USEC_PER_SEC);
        ASSERT_EQ(config->settle_time_usec, 120 * USEC_PER_SEC);
        ASSERT_NULL(config->health_check_unit);
        ASSERT_EQ(config->exit_idle_usec, 30 * USEC_PER_SEC);
        ASSERT_EQ(config->jobs_per_user_max, 16);
        ASSERT_EQ(config->pending_authorizations_per_user_max, 8);
        ASSERT_EQ(config->bytes_per_user_max, MIB(512));
}

/* One line in the section is reported, with the expected words, and changes nothing. */
static void assert_ignored(const char *line, const char *words) {
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_free_ char *text = NULL;

        ASSERT_TRUE(asprintf(&text, "[Livepatch]\n%s\n", line) > 0);
        config = parse(text);
        ASSERT_EQ(strv_length(config->problems), 1);
        ASSERT_CONTAINS(config->problems[0], "test.conf:2:");
        ASSERT_CONTAINS(config->problems[0], words);
        assert_defaults(config);
}

TEST(no_files_mean_the_defaults) {
        _cleanup_(config_freep) Config *config = load();

        assert_defaults(config);
        ASSERT_NOT_NULL(config->problems);
        ASSERT_EQ(strv_length(config->problems), 0);
}

TEST(every_key) {
        _cleanup_(config_freep) Config *config = parse("# comment\n; another\n\n"
                                                       "[Livepatch]\r\n"
                                                       "  SignaturePolicy = warn  \r\n"
                                                       "ModuleSizeMax=64M\n"
                                                       "StallTimeoutSec=infinity\n"
                                                       "OnStall=revert\n"
                                                       "BootTimeoutSec=2min\n"
                                                       "SettleTimeSec=5min\n"
                                                       "HealthCheckUnit=app-check@.service\n"
                                                       "ExitIdleSec=infinity\n"
                                                       "JobsPerUserMax=3\n"
                                                       "PendingAuthorizationsPerUserMax=1\n"
                                                       "BytesPerUserMax=1G");

        ASSERT_EQ(strv_length(config->problems), 0);
        ASSERT_EQ(config->signature_policy, SIGNATURE_POLICY_WARN);
        ASSERT_EQ(config->module_size_max, MIB(64));
        ASSERT_EQ(config->stall_timeout_usec, USEC_INFINITY);
        ASSERT_EQ(config->on_stall, ON_STALL_REVERT);
        ASSERT_EQ(config->boot_timeout_usec, 120 * USEC_PER_SEC);
        ASSERT_EQ(config->settle_time_usec, 300 * USEC_PER_SEC);
        ASSERT_STREQ(config->health_check_unit, "app-check@.service");
        ASSERT_EQ(config->exit_idle_usec, USEC_INFINITY);
        ASSERT_EQ(config->jobs_per_user_max, 3);
        ASSERT_EQ(config->pending_authorizations_per_user_max, 1);
        ASSERT_EQ(config->bytes_per_user_max, MIB(1024));
}

TEST(bad_values_are_ignored) {
        static const char *const lines[] = {
                "ModuleSizeMax=0",        "ModuleSizeMax=-1",     "ModuleSizeMax=lots",   "ModuleSizeMax=99999999999G",
                "StallTimeoutSec=0",      "StallTimeoutSec=soon", "BootTimeoutSec=0",     "ExitIdleSec=5 parsecs",
                "JobsPerUserMax=0",       "JobsPerUserMax=1025",  "JobsPerUserMax=16M",   "JobsPerUserMax=-1",
                "BytesPerUserMax=512MM",         "PendingAuthorizationsPerUserMax=many",
                "StallTimeoutSec=10000d",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                assert_ignored(lines[i], "is ");
        assert_ignored("OnStall=explode", "must be wait or revert");
        assert_ignored("BootTimeoutSec=infinity", "must not be infinity");
        assert_ignored("SettleTimeSec=infinity", "must not be infinity");
}

TEST(bad_names_of_services_are_ignored) {
        static const char *const values[] = {
                "check",         "check.timer",   ".service",        "@.service",       "-check.service",
                "a b.service",   "../x.service",  "/bin/x.service",  "a@b@c.service",   "check.service\t.service",
                "$(id).service", "check@.socket", "check.service.d", "check.service x", "\xc3\xa4.service",
        };

        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                _cleanup_free_ char *line = NULL;

                ASSERT_TRUE(asprintf(&line, "HealthCheckUnit=%s", values[i]) > 0);
                assert_ignored(line, "must be the name of a service");
        }
}

TEST(a_long_name_of_a_service_is_ignored) {
        char line[300] = "HealthCheckUnit=";

        memset(line + strlen(line), 'x', 210);
        strcat(line, ".service");
        assert_ignored(line, "must be the name of a service");
}

TEST(bad_lines_are_ignored) {
        assert_ignored("JobsPerUserMax", "is not an assignment");
        assert_ignored("jobsperusermax=4", "is an unknown setting");
        assert_ignored("JobsPerUserMaximum=4", "is an unknown setting");
        assert_ignored("=4", "is an unknown setting");
        assert_ignored("[Livepatch", "is not a section header");
        assert_ignored("[livepatch]", "is an unknown section");
        assert_ignored("[", "is not a section header");
}

TEST(a_bad_value_leaves_the_earlier_one) {
        _cleanup_(config_freep) Config *config = parse("[Livepatch]\nJobsPerUserMax=4\nJobsPerUserMax=none\n");

        ASSERT_EQ(config->jobs_per_user_max, 4);
        ASSERT_EQ(strv_length(config->problems), 1);
}

TEST(too_large_a_module_size_is_clamped) {
        _cleanup_(config_freep) Config *config = parse("[Livepatch]\nModuleSizeMax=2G\n");

        ASSERT_EQ(config->module_size_max, MIB(1024));
        ASSERT_CONTAINS(config->problems[0], "is more than allowed");
}

TEST(an_empty_value_is_the_default) {
        _cleanup_(config_freep) Config *config = parse("[Livepatch]\nJobsPerUserMax=4\nOnStall=revert\n"
                                                       "SignaturePolicy=warn\nModuleSizeMax=1M\n"
                                                       "HealthCheckUnit=a.service\n"
                                                       "HealthCheckUnit=b.service\nHealthCheckUnit=\n"
                                                       "JobsPerUserMax=\nOnStall=\nSignaturePolicy=\nModuleSizeMax=\n");

        assert_defaults(config);
        ASSERT_EQ(strv_length(config->problems), 0);
}

TEST(a_broken_policy_means_require) {
        static const char *const tails[] = {
                "SignaturePolicy=off\n",
                "SignaturePolicy=Warn\n",
                "SignaturePolicy\n",
                "SignaturePolicy = warn kernel\n",
                "signaturepolicy=require\n",
                "[Other]\nSignaturePolicy=require\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(tails); i++) {
                _cleanup_(config_freep) Config *config = NULL;
                _cleanup_free_ char *text = NULL;

                ASSERT_TRUE(asprintf(&text, "[Livepatch]\nSignaturePolicy=warn\n%s"
                                     "[Livepatch]\nSignaturePolicy=warn\n", tails[i]) > 0);
                config = parse(text);
                ASSERT_EQ(config->signature_policy, SIGNATURE_POLICY_REQUIRE);
                ASSERT_TRUE(strv_length(config->problems) > 0);
        }
}

TEST(what_is_outside_of_the_section_is_ignored) {
        _cleanup_(config_freep) Config *config = parse("JobsPerUserMax=2\n[Other]\nJobsPerUserMax=3\n");

        assert_defaults(config);
        ASSERT_EQ(strv_length(config->problems), 3);
}

TEST(long_lines_and_nul_bytes) {
        static const char nul[] = "[Livepatch]\nJobsPerUserMax=4\0\nOnStall=revert\n";
        _cleanup_(config_freep) Config *config = NULL, *other = NULL;
        _cleanup_free_ char *text = malloc(8192);

        memset(text, ' ', 8192);
        memcpy(text, "[Livepatch]\nJobsPerUserMax=4", STRLEN("[Livepatch]\nJobsPerUserMax=4"));
        text[8191] = '\0';
        config = parse(text);
        assert_defaults(config);
        ASSERT_CONTAINS(config->problems[0], "more than 4096 bytes");

        ASSERT_OK(config_new_default(&other));
        ASSERT_OK(config_parse(other, "x", nul, sizeof(nul) - 1));
        ASSERT_EQ(other->jobs_per_user_max, 16);
        ASSERT_EQ(other->on_stall, ON_STALL_REVERT);
        ASSERT_CONTAINS(other->problems[0], "NUL");
}

TEST(problems_are_bounded_and_clean) {
        _cleanup_free_ char *text = malloc(60001);
        _cleanup_(config_freep) Config *config = NULL;

        for (size_t i = 0; i < 60000; i++)
                text[i] = i % 2 ? '\n' : '\x1b';
        text[60000] = '\0';
        config = parse(text);
        ASSERT_EQ(strv_length(config->problems), 65);
        ASSERT_CONTAINS(config->problems[0], "'?'");
        ASSERT_CONTAINS(config->problems[64], "Further problems");
}

TEST(drop_ins_come_after_the_main_file_by_name) {
        _cleanup_(config_freep) Config *config = NULL;

        test_write_file(test_tmpdir(), MAIN, "[Livepatch]\nJobsPerUserMax=1\nOnStall=revert\nExitIdleSec=1s\n");
        test_write_file(test_tmpdir(), ETC "20-b.conf", "[Livepatch]\nJobsPerUserMax=2\n");
        test_write_file(test_tmpdir(), USR "30-c.conf", "[Livepatch]\nJobsPerUserMax=3\n");
        test_write_file(test_tmpdir(), USR "10-a.conf", "[Livepatch]\nJobsPerUserMax=4\nExitIdleSec=2s\n");
        test_write_file(test_tmpdir(), ETC "40-not-a-drop-in", "[Livepatch]\nJobsPerUserMax=5\n");
        test_write_file(test_tmpdir(), ETC ".90-hidden.conf", "[Livepatch]\nJobsPerUserMax=6\n");
        config = load();
        ASSERT_EQ(config->jobs_per_user_max, 3);
        ASSERT_EQ(config->exit_idle_usec, 2 * USEC_PER_SEC);
        ASSERT_EQ(config->on_stall, ON_STALL_REVERT);
        ASSERT_EQ(strv_length(config->problems), 0);
}

TEST(etc_hides_usr) {
        _cleanup_(config_freep) Config *config = NULL;

        test_write_file(test_tmpdir(), USR "10-a.conf", "[Livepatch]\nJobsPerUserMax=4\n");
        test_write_file(test_tmpdir(), ETC "10-a.conf", "[Livepatch]\nOnStall=revert\n");
        test_write_file(test_tmpdir(), USR "20-empty.conf", "[Livepatch]\nSignaturePolicy=kernel\n");
        test_write_file(test_tmpdir(), ETC "20-empty.conf", "");
        test_write_file(test_tmpdir(), USR "30-null.conf", "[Livepatch]\nSignaturePolicy=kernel\n");
        ASSERT_OK(symlinkat("/dev/null", test_tmpdir(), ETC "30-null.conf"));
        config = load();
        ASSERT_EQ(config->jobs_per_user_max, 16);
        ASSERT_EQ(config->on_stall, ON_STALL_REVERT);
        ASSERT_EQ(config->signature_policy, SIGNATURE_POLICY_REQUIRE);
        ASSERT_EQ(strv_length(config->problems), 0);
}

TEST(a_link_to_a_file_is_followed) {
        _cleanup_(config_freep) Config *config = NULL;

        test_write_file(test_tmpdir(), "etc/livepatch/elsewhere", "[Livepatch]\nJobsPerUserMax=7\n");
        ASSERT_OK(symlinkat("elsewhere", test_tmpdir(), MAIN));
        config = load();
        ASSERT_EQ(config->jobs_per_user_max, 7);
}

/* Every other file asks for less; the unreadable one might have asked for more. */
static void assert_unreadable(const char *words) {
        _cleanup_(config_freep) Config *config = NULL;

        test_write_file(test_tmpdir(), ETC "99-last.conf", "[Livepatch]\nSignaturePolicy=warn\nJobsPerUserMax=7\n");
        config = load();
        ASSERT_EQ(config->signature_policy, SIGNATURE_POLICY_REQUIRE);
        ASSERT_EQ(config->jobs_per_user_max, 7);
        ASSERT_EQ(strv_length(config->problems), 1);
        ASSERT_CONTAINS(config->problems[0], words);
        ASSERT_CONTAINS(config->problems[0], "SignaturePolicy=require");
}

TEST(a_directory_in_place_of_a_file) {
        test_write_file(test_tmpdir(), MAIN "/x", "");
        assert_unreadable("/" MAIN ": not a regular file");
}

TEST(a_fifo_in_place_of_a_file) {
        test_write_file(test_tmpdir(), "etc/livepatch/x", "");
        ASSERT_OK(mkfifoat(test_tmpdir(), MAIN, 0600));
        assert_unreadable("not a regular file");
}

TEST(a_broken_link) {
        test_write_file(test_tmpdir(), ETC "x", "");
        ASSERT_OK(symlinkat("nowhere", test_tmpdir(), ETC "10-a.conf"));
        assert_unreadable("a broken symbolic link");
}

TEST(a_link_to_itself) {
        test_write_file(test_tmpdir(), ETC "x", "");
        ASSERT_OK(symlinkat("10-a.conf", test_tmpdir(), ETC "10-a.conf"));
        assert_unreadable("10-a.conf");
}

TEST(too_large_a_file) {
        _cleanup_free_ char *text = malloc(KIB(64) + 2);

        memset(text, '#', KIB(64) + 1);
        text[KIB(64) + 1] = '\0';
        test_write_file(test_tmpdir(), MAIN, text);
        assert_unreadable("larger than 64 KiB");
}

TEST(a_file_in_place_of_the_drop_in_directory) {
        test_write_file(test_tmpdir(), "usr/lib/livepatch/livepatch.conf.d", "");
        assert_unreadable("livepatch.conf.d");
}

TEST(too_many_drop_ins) {
        for (unsigned i = 0; i < 300; i++) {
                _cleanup_free_ char *path = NULL;

                ASSERT_TRUE(asprintf(&path, USR "%03u.conf", i) > 0);
                test_write_file(test_tmpdir(), path, "[Livepatch]\nOnStall=revert\n");
        }
        assert_unreadable("more than 256 drop-ins");
}

TEST(binary_files_do_no_harm) {
        _cleanup_(config_freep) Config *config = NULL;
        uint8_t bytes[5000];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t) (i * 31 + i / 7);
        test_write_bytes(test_tmpdir(), MAIN, bytes, sizeof(bytes));
        config = load();
        assert_defaults(config);
        ASSERT_TRUE(strv_length(config->problems) > 0);
}
