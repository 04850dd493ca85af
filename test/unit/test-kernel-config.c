/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a kernel's configuration is found, and what it says. */

#include <zlib.h>

#include "kmod/kernel-config.h"
#include "test.h"

#define RELEASE "6.1.0-56-amd64"

static void write_gzip(const char *content, size_t size, size_t cut) {
        size_t capacity = size + 1024;
        _cleanup_free_ uint8_t *out = malloc(capacity);
        z_stream stream = { .next_in = (Bytef *) content, .avail_in = (uInt) size, .next_out = out,
                            .avail_out = (uInt) capacity };

        ASSERT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
        ASSERT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
        ASSERT_TRUE(stream.total_out > cut);
        test_write_bytes(test_tmpdir(), "proc/config.gz", out, stream.total_out - cut);
        (void) deflateEnd(&stream);
}

static void assert_loaded(const char *expected) {
        _cleanup_free_ char *config = NULL;

        ASSERT_OK(kernel_config_load(test_tmpdir(), RELEASE, &config));
        ASSERT_STREQ(config, expected);
}

TEST(the_running_kernels_own_comes_first) {
        test_write_file(test_tmpdir(), "usr/lib/modules/" RELEASE "/build/.config", "CONFIG_D=y\n");
        assert_loaded("CONFIG_D=y\n");
        test_write_file(test_tmpdir(), "usr/lib/modules/" RELEASE "/config", "CONFIG_C=y\n");
        assert_loaded("CONFIG_C=y\n");
        test_write_file(test_tmpdir(), "boot/config-" RELEASE, "CONFIG_B=y\n");
        assert_loaded("CONFIG_B=y\n");
        write_gzip("CONFIG_A=y\n", 11, 0);
        assert_loaded("CONFIG_A=y\n");
}

TEST(a_damaged_one_is_passed_over) {
        static const char text[] = "CONFIG_A=y\nCONFIG_LIVEPATCH=y\n";

        test_write_file(test_tmpdir(), "boot/config-" RELEASE, "CONFIG_B=y\n");
        write_gzip(text, strlen(text), 9);
        assert_loaded("CONFIG_B=y\n");
        test_write_file(test_tmpdir(), "proc/config.gz", "not gzip at all");
        assert_loaded("CONFIG_B=y\n");
        test_write_file(test_tmpdir(), "proc/config.gz", "");
        assert_loaded("CONFIG_B=y\n");
}

TEST(a_bomb_is_passed_over) {
        size_t size = MIB(64);
        _cleanup_free_ char *zeros = calloc(1, size), *config = NULL;

        ASSERT_NOT_NULL(zeros);
        write_gzip(zeros, size, 0);
        ASSERT_EQ(kernel_config_load(test_tmpdir(), RELEASE, &config), -ENOENT);
        ASSERT_NULL(config);
}

TEST(none) {
        _cleanup_free_ char *config = NULL;

        test_write_file(test_tmpdir(), "boot/config-6.1.0-57-amd64", "CONFIG_B=y\n");
        ASSERT_EQ(kernel_config_load(test_tmpdir(), RELEASE, &config), -ENOENT);
        /* Never a path out of a name. */
        test_write_file(test_tmpdir(), "boot/config-x", "CONFIG_B=y\n");
        ASSERT_TRUE(kernel_config_load(test_tmpdir(), "x/../config-x", &config) < 0);
        ASSERT_TRUE(kernel_config_load(test_tmpdir(), "", &config) < 0);
        ASSERT_NULL(config);
}

TEST(options) {
        static const char config[] = "# CONFIG_KPROBES is not set\nCONFIG_LIVEPATCH=y\nCONFIG_TEST_LIVEPATCH=m\n"
                                     "CONFIG_LOCALVERSION=\"\"\nCONFIG_STACKTRACE=y";

        ASSERT_EQ(kernel_config_get(config, "CONFIG_LIVEPATCH"), TRISTATE_YES);
        ASSERT_EQ(kernel_config_get(config, "CONFIG_TEST_LIVEPATCH"), TRISTATE_YES);
        ASSERT_EQ(kernel_config_get(config, "CONFIG_STACKTRACE"), TRISTATE_YES);
        ASSERT_EQ(kernel_config_get(config, "CONFIG_KPROBES"), TRISTATE_NO);
        ASSERT_EQ(kernel_config_get(config, "CONFIG_LIVE"), TRISTATE_NO);
        ASSERT_EQ(kernel_config_get(config, "CONFIG_LOCALVERSION"), TRISTATE_NO);
        ASSERT_EQ(kernel_config_get(config, "CONFIG_MISSING"), TRISTATE_NO);
}

TEST(only_a_line_s_beginning_counts) {
        static const char config[] = "# CONFIG_FTRACE=y\nX_CONFIG_FTRACE=y\nCONFIG_CMDLINE=\"CONFIG_FTRACE=y\"\n"
                                     "CONFIG_FTRACE_CONFIG_FTRACE=y\nCONFIG_KPROBES=y\n";

        ASSERT_EQ(kernel_config_get(config, "CONFIG_FTRACE"), TRISTATE_NO);
        ASSERT_EQ(kernel_config_get(config, "CONFIG_KPROBES"), TRISTATE_YES);
}

TEST(no_configuration_is_not_no) {
        ASSERT_EQ(kernel_config_get(NULL, "CONFIG_LIVEPATCH"), TRISTATE_UNKNOWN);
        ASSERT_EQ(kernel_config_get("", "CONFIG_LIVEPATCH"), TRISTATE_UNKNOWN);
        ASSERT_EQ(kernel_config_get("<html>not here</html>\n", "CONFIG_LIVEPATCH"), TRISTATE_UNKNOWN);
}
