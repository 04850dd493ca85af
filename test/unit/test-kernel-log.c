/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /dev/kmsg records: parsing, forgery, and reading from a file that stands in for the device. */

#include <fcntl.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "kmod/kernel-log.h"
#include "test.h"

static int parse(const char *record, KernelLogLine *line) {
        return kernel_log_parse(record, strlen(record), line);
}

static void assert_text(const char *record, const char *text) {
        _cleanup_(kernel_log_line_done) KernelLogLine line = {};

        ASSERT_EQ(parse(record, &line), 1);
        ASSERT_STREQ(line.text, text);
}

TEST(a_record) {
        _cleanup_(kernel_log_line_done) KernelLogLine line = {};

        ASSERT_EQ(parse("5,1234,56789012,-;livepatch: 'lp': patching complete\n", &line), 1);
        ASSERT_EQ(line.priority, 5);
        ASSERT_EQ(line.sequence, 1234);
        ASSERT_EQ(line.timestamp, 56789012);
        ASSERT_STREQ(line.text, "livepatch: 'lp': patching complete");
}

TEST(fields_and_dictionary) {
        assert_text("6,1,2,-,caller=T1;text\n SUBSYSTEM=pci\n DEVICE=+pci:0000\n", "text");
        assert_text("6,1,2,c,future=1,more;text;with;semicolons\n", "text;with;semicolons");
        assert_text("6,1,2;text\n", "text");
        assert_text("6,1,2,-;\n", "");
        assert_text("6,1,2,-;not terminated", "not terminated");
        assert_text("6,1,2,-;", "");
}

TEST(escapes) {
        assert_text("4,1,2,-;a\\x09b\\x5cc\n", "a?b\\c");
        assert_text("4,1,2,-;first\\x0asecond\n", "first");
        assert_text("4,1,2,-;\\x1b[31mred\n", "?[31mred");
        assert_text("4,1,2,-;\\x00after\n", "?after");
        assert_text("4,1,2,-;\\xc3\\xbc\n", "\xc3\xbc");
        assert_text("4,1,2,-;\\x4 \\xzz \\x\n", "\\x4 \\xzz \\x");
        assert_text("4,1,2,-;end\\x4", "end\\x4");
}

TEST(user_space_is_not_the_kernel) {
        KernelLogLine line = {};

        ASSERT_EQ(parse("12,1,2,-;livepatch: forged\n", &line), 0);
        ASSERT_EQ(parse("30,1,2,-;systemd[1]: Started\n", &line), 0);
        ASSERT_EQ(parse("8,1,2,-;livepatch: forged\n", &line), 0);
        ASSERT_EQ(parse("18446744073709551615,1,2,-;livepatch: forged\n", &line), 0);
        ASSERT_NULL(line.text);
}

TEST(malformed_records) {
        static const char *const bad[] = {
                "",
                "\n",
                "text\n",
                ";text\n",
                "5\n",
                "5,1\n",
                "5,1,2\n",
                "5,1,2,-\n",
                "5,1,2,-\n;text\n",
                "5;text\n",
                "5,1;text\n",
                ",1,2,-;text\n",
                "-5,1,2,-;text\n",
                "+5,1,2,-;text\n",
                " 5,1,2,-;text\n",
                "5,,2,-;text\n",
                "5,1,x,-;text\n",
                "5x,1,2,-;text\n",
                "18446744073709551616,1,2,-;text\n",
                "5,99999999999999999999,2,-;text\n",
        };
        KernelLogLine line = {};

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ASSERT_EQ(parse(bad[i], &line), -EBADMSG);
        ASSERT_EQ(kernel_log_parse("5,1\0,2,-;text", 13, &line), -EBADMSG);
        ASSERT_EQ(kernel_log_parse("5,1,2,-;text", 7, &line), -EBADMSG);
        ASSERT_NULL(line.text);
}

static int open_log(const char *content) {
        int fd;

        test_write_file(test_tmpdir(), "dev/kmsg", content);
        fd = kernel_log_open_at_end(test_tmpdir());
        ASSERT_OK(fd);
        return fd;
}

static void append(const char *text) {
        _cleanup_close_ int fd = openat(test_tmpdir(), "dev/kmsg", O_WRONLY | O_APPEND | O_CLOEXEC);

        ASSERT_OK(fd);
        ASSERT_OK(write_all(fd, text, strlen(text)));
}

static void assert_next(int fd, const char *text) {
        _cleanup_(kernel_log_line_done) KernelLogLine line = {};
        bool lost = false;

        ASSERT_EQ(kernel_log_read(fd, &line, &lost), 1);
        ASSERT_STREQ(line.text, text);
        ASSERT_FALSE(lost);
}

static void assert_end(int fd) {
        KernelLogLine line = {};

        ASSERT_EQ(kernel_log_read(fd, &line, NULL), 0);
        ASSERT_NULL(line.text);
}

TEST(reading_begins_at_the_end) {
        _cleanup_close_ int fd = open_log("5,1,2,-;old\n");

        assert_end(fd);
        append("5,2,3,-;new\n KEY=value\n6,3,4,-;newer\n");
        assert_next(fd, "new");
        assert_next(fd, "newer");
        assert_end(fd);
        append("5,4,5,-;newest\n");
        assert_next(fd, "newest");
}

TEST(reading_skips_what_is_not_the_kernels) {
        _cleanup_close_ int fd = open_log("");

        append("12,1,2,-;forged\nrubbish\n\n5,2,3,-;real\n30,3,4,-;other\n");
        assert_next(fd, "real");
        assert_end(fd);
}

TEST(half_a_record_is_not_there_yet) {
        _cleanup_close_ int fd = open_log("");

        append("5,1,2,-;first ha");
        assert_end(fd);
        append("lf\n");
        assert_next(fd, "first half");
}

TEST(no_log) {
        KernelLogLine line = {};

        ASSERT_EQ(kernel_log_open_at_end(test_tmpdir()), -ENOENT);
        ASSERT_EQ(kernel_log_read(-EBADF, &line, NULL), -EBADF);
}

TEST(an_endless_record_does_not_stop_the_reader) {
        _cleanup_close_ int fd = open_log("");
        char chunk[1001];

        memset(chunk, 'x', sizeof(chunk) - 1);
        chunk[sizeof(chunk) - 1] = '\0';
        for (int i = 0; i < 40; i++)
                append(chunk);
        append("\n5,1,2,-;after\n");
        assert_next(fd, "after");
}

TEST(relevant_lines) {
        static const char *const relevant[] = {
                "livepatch: enabling patch 'other'",
                "lp_a: Unknown symbol foo (err -2)",
                "Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7",
                "Loading of unsigned module is rejected",
                "module: x86/modules: Skipping invalid relocation target, existing value is nonzero for type 1",
                "Module lp_a is blacklisted",
                "failed to validate module [lp_a] BTF: -22",
                "BUG: at lp_a+0x12/0x30",
        };
        static const char *const irrelevant[] = {
                "", "usb 1-1: new device", "lp_ab: something", "xlp_a: something", "lp_a2", "livepatchd: x",
                "audit: type=1130", "my lp_", "in livepatch: not at the start",
        };

        for (size_t i = 0; i < ELEMENTSOF(relevant); i++)
                ASSERT_TRUE(kernel_log_line_is_relevant(relevant[i], "lp_a"));
        for (size_t i = 0; i < ELEMENTSOF(irrelevant); i++)
                ASSERT_FALSE(kernel_log_line_is_relevant(irrelevant[i], "lp_a"));
        ASSERT_FALSE(kernel_log_line_is_relevant("usb 1-1: new device", ""));
}

TEST(collecting) {
        _cleanup_close_ int fd = open_log("5,1,2,-;livepatch: old\n");
        _cleanup_strv_free_ char **lines = NULL, **none = NULL;

        append("5,2,3,-;livepatch: one\n6,3,4,-;usb 1-1: noise\n3,4,5,-;lp_a: two\n3,5,6,-;lp_a: three\n");
        ASSERT_OK(kernel_log_collect(fd, "lp_a", 2, &lines));
        ASSERT_EQ(strv_length(lines), 2);
        ASSERT_STREQ(lines[0], "livepatch: one");
        ASSERT_STREQ(lines[1], "lp_a: two");
        ASSERT_OK(kernel_log_collect(fd, "lp_a", 2, &none));
        ASSERT_NULL(none);
}
