/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strings: parsing of numbers, validation of names, sanitising. */

#include "common/string-util.h"
#include "test.h"

TEST(prefix_and_suffix) {
        ASSERT_STREQ(startswith("livepatch: x", "livepatch: "), "x");
        ASSERT_STREQ(startswith("abc", ""), "abc");
        ASSERT_NULL(startswith("ab", "abc"));
        ASSERT_TRUE(endswith("a.ko", ".ko"));
        ASSERT_FALSE(endswith("ko", ".ko"));
        ASSERT_FALSE(endswith("a.ko.x", ".ko"));
}

TEST(strv) {
        _cleanup_strv_free_ char **l = NULL;

        ASSERT_EQ(strv_length(NULL), 0);
        ASSERT_OK(strv_append(&l, "a"));
        ASSERT_OK(strv_append(&l, "b"));
        ASSERT_EQ(strv_length(l), 2);
        ASSERT_STREQ(l[0], "a");
        ASSERT_STREQ(l[1], "b");
        ASSERT_NULL(l[2]);
        strv_free(NULL);
}

TEST(free_and_strdup_replaces) {
        _cleanup_free_ char *s = NULL;

        ASSERT_OK(free_and_strdup(&s, "one"));
        /* The new value may be part of the old one. */
        ASSERT_OK(free_and_strdup(&s, s + 1));
        ASSERT_STREQ(s, "ne");
        ASSERT_OK(free_and_strdup(&s, NULL));
        ASSERT_NULL(s);
}

TEST(hexadecimal) {
        char hex[7];

        hex_encode("\x00\xab\xff", 3, hex);
        ASSERT_STREQ(hex, "00abff");
        ASSERT_TRUE(hex_is_valid(hex, 6));
        ASSERT_FALSE(hex_is_valid(hex, 5));
        ASSERT_FALSE(hex_is_valid(hex, 7));
        ASSERT_FALSE(hex_is_valid("00ABFF", 6));
        ASSERT_FALSE(hex_is_valid("00abfg", 6));
        ASSERT_FALSE(hex_is_valid(NULL, 0));
        ASSERT_FALSE(sha256_is_valid("00abff"));
}

TEST(module_names) {
        ASSERT_TRUE(module_name_is_valid("lp_cmdline"));
        ASSERT_TRUE(module_name_is_valid("kpatch_5_10_0_2_1"));
        ASSERT_TRUE(module_name_is_valid("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz123")); /* 55 */
        ASSERT_FALSE(module_name_is_valid("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz1234"));
        ASSERT_FALSE(module_name_is_valid(NULL));
        ASSERT_FALSE(module_name_is_valid(""));
        ASSERT_FALSE(module_name_is_valid("."));
        ASSERT_FALSE(module_name_is_valid(".."));
        ASSERT_FALSE(module_name_is_valid("a/b"));
        ASSERT_FALSE(module_name_is_valid("a-b"));
        ASSERT_FALSE(module_name_is_valid("a b"));
        ASSERT_FALSE(module_name_is_valid("a\n"));
        ASSERT_FALSE(module_name_is_valid("\xc3\xa4"));
}

TEST(kernel_releases) {
        ASSERT_TRUE(kernel_release_is_valid("6.1.0-56-amd64"));
        ASSERT_TRUE(kernel_release_is_valid("7.2~rc1+deb14_x"));
        ASSERT_TRUE(kernel_release_is_valid("1234567890123456789012345678901234567890123456789012345678901234"));
        ASSERT_FALSE(kernel_release_is_valid("12345678901234567890123456789012345678901234567890123456789012345"));
        ASSERT_FALSE(kernel_release_is_valid(NULL));
        ASSERT_FALSE(kernel_release_is_valid(""));
        ASSERT_FALSE(kernel_release_is_valid(".."));
        ASSERT_FALSE(kernel_release_is_valid(".hidden"));
        ASSERT_FALSE(kernel_release_is_valid("6.1/../../etc"));
        ASSERT_FALSE(kernel_release_is_valid("6.1 x"));
}

static void assert_sanitized(const char *in, size_t max, const char *out) {
        _cleanup_free_ char *s = sanitize_text(in, max);

        ASSERT_STREQ(s, out);
}

TEST(sanitize_keeps_text) {
        assert_sanitized("", 10, "");
        assert_sanitized("Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x90\xa7", 100,
                         "Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x90\xa7");
        assert_sanitized("exactly10!", 10, "exactly10!");
}

TEST(sanitize_replaces_what_fools_a_terminal) {
        assert_sanitized("a\x1b[31mb\n\t\x7f", 100, "a?[31mb???");
        assert_sanitized("\xc2\x9b" "31m", 100, "??31m");                    /* C1 control */
        assert_sanitized("a\xe2\x80\xae" "b", 100, "a???b");                 /* right-to-left override */
        assert_sanitized("a\xe2\x81\xa6" "b", 100, "a???b");                 /* isolate */
        assert_sanitized("a\xe2\x80\xa8" "b", 100, "a???b");                 /* line separator */
}

TEST(sanitize_replaces_what_is_no_utf8) {
        assert_sanitized("\xc0\x80", 100, "??");         /* overlong */
        assert_sanitized("\xe0\x80\xaf", 100, "???");    /* overlong */
        assert_sanitized("\xed\xa0\x80", 100, "???");    /* surrogate */
        assert_sanitized("\xf4\x90\x80\x80", 100, "????"); /* beyond Unicode */
        assert_sanitized("\xe2\x82", 100, "??");         /* cut off */
        assert_sanitized("\xff\xfe", 100, "??");
        assert_sanitized("\x80", 100, "?");
}

TEST(sanitize_cuts_between_characters) {
        assert_sanitized("abcdef", 3, "abc...");
        assert_sanitized("ab\xe2\x82\xac", 4, "ab...");
        assert_sanitized("ab\xe2\x82\xac", 5, "ab\xe2\x82\xac");
        assert_sanitized("a", 0, "...");
}

TEST(durations) {
        static const struct {
                const char *text;
                uint64_t usec;
        } good[] = {
                { "90", 90000000 },   { "90s", 90000000 },     { "5min", 300000000 },    { "2h", 7200000000 },
                { "0", 0 },           { "250ms", 250000 },     { " 7 us", 7 },           { "1d", 86400000000 },
                { "infinity", USEC_INFINITY },
        };
        static const char *const bad[] = { "", " ", "s", "-1", "+1", "1.5h", "5 parsecs", "5minutes", "0x10",
                                           "Infinity", "5 s s" };
        uint64_t usec = 42;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                ASSERT_OK(parse_duration(good[i].text, &usec));
                ASSERT_EQ(usec, good[i].usec);
        }
        usec = 42;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ASSERT_EQ(parse_duration(bad[i], &usec), -EINVAL);
        ASSERT_EQ(parse_duration("99999999999999999999", &usec), -ERANGE);
        ASSERT_EQ(parse_duration("18446744073709551615d", &usec), -ERANGE);
        ASSERT_EQ(usec, 42);
}

TEST(durations_as_text) {
        static const struct {
                uint64_t usec;
                const char *text;
        } cases[] = {
                { 0, "0ms" },
                { 999, "0ms" },
                { 300 * USEC_PER_MSEC, "300ms" },
                { 999999, "999ms" },
                { USEC_PER_SEC, "1s" },
                { 1999999, "1s" },
                { 600 * USEC_PER_SEC, "10min" },
                { 599 * USEC_PER_SEC, "9min 59s" },
                { 3600 * USEC_PER_SEC, "1h" },
                { 3659 * USEC_PER_SEC, "1h" },
                { 7 * 86400 * USEC_PER_SEC, "7d" },
                { (86400 + 7200 + 5) * USEC_PER_SEC, "1d 2h" },
                { UINT64_MAX, "213503982d 8h" },
        };
        char buffer[FORMAT_DURATION_MAX];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_STREQ(format_duration(cases[i].usec, buffer, sizeof(buffer)), cases[i].text);
}

TEST(sizes) {
        static const char *const bad[] = { "", "K", "-1", "1k", "1T", "1.5G", "1 KB", "0x10" };
        uint64_t size = 42;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ASSERT_EQ(parse_size(bad[i], &size), -EINVAL);
        ASSERT_EQ(parse_size("99999999999999999999", &size), -ERANGE);
        ASSERT_EQ(parse_size("17179869184G", &size), -ERANGE);
        ASSERT_EQ(size, 42);
        ASSERT_OK(parse_size("4096", &size));
        ASSERT_EQ(size, 4096);
        ASSERT_OK(parse_size("64K", &size));
        ASSERT_EQ(size, 65536);
        ASSERT_OK(parse_size("1 G", &size));
        ASSERT_EQ(size, 1 << 30);
}

TEST(booleans) {
        ASSERT_EQ(parse_boolean("yes"), 1);
        ASSERT_EQ(parse_boolean("On"), 1);
        ASSERT_EQ(parse_boolean("Y"), 1);
        ASSERT_EQ(parse_boolean("0"), 0);
        ASSERT_EQ(parse_boolean("FALSE"), 0);
        ASSERT_EQ(parse_boolean(""), -EINVAL);
        ASSERT_EQ(parse_boolean("2"), -EINVAL);
        ASSERT_EQ(parse_boolean("yes "), -EINVAL);
        ASSERT_EQ(parse_boolean("enabled"), -EINVAL);
}

TEST(unsigned_numbers) {
        unsigned u = 42;

        ASSERT_EQ(parse_uint("", &u), -EINVAL);
        ASSERT_EQ(parse_uint("-1", &u), -EINVAL);
        ASSERT_EQ(parse_uint("+1", &u), -EINVAL);
        ASSERT_EQ(parse_uint("12a", &u), -EINVAL);
        ASSERT_EQ(parse_uint("0x1", &u), -EINVAL);
        ASSERT_EQ(parse_uint("4294967296", &u), -ERANGE);
        ASSERT_EQ(u, 42);
        ASSERT_OK(parse_uint("4294967295", &u));
        ASSERT_EQ(u, 4294967295U);
}

TEST(distances) {
        char longer[80];

        ASSERT_EQ(edit_distance("status", "status"), 0);
        ASSERT_EQ(edit_distance("status", "statsu"), 1);
        ASSERT_EQ(edit_distance("apply", "aply"), 1);
        ASSERT_EQ(edit_distance("apply", "revert"), 6);
        ASSERT_EQ(edit_distance("", "abc"), 3);
        memset(longer, 'a', sizeof(longer) - 1);
        longer[sizeof(longer) - 1] = '\0';
        ASSERT_TRUE(edit_distance(longer, "a") == SIZE_MAX);
        ASSERT_TRUE(edit_distance("a", longer) == SIZE_MAX);
}
