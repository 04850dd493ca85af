/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files relative to a directory: bounds, durable replacement, what is left behind on failure. */

#include <fcntl.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "test.h"

static void assert_content(const char *path, const char *content) {
        _cleanup_free_ char *data = NULL;
        size_t size;

        ASSERT_OK(read_file_at(test_tmpdir(), path, 4096, &data, &size));
        ASSERT_STREQ(data, content);
        ASSERT_EQ(size, strlen(content));
}

static void assert_n_entries(int n) {
        _cleanup_strv_free_ char **names = NULL;

        ASSERT_EQ(list_dir_at(test_tmpdir(), ".", &names), n);
}

TEST(read_is_bounded) {
        _cleanup_free_ char *data = NULL;
        size_t size = 42;

        test_write_file(test_tmpdir(), "f", "12345");
        ASSERT_EQ(read_file_at(test_tmpdir(), "f", 4, &data, &size), -EFBIG);
        ASSERT_EQ(read_file_at(test_tmpdir(), "f", 0, &data, &size), -EFBIG);
        ASSERT_NULL(data);
        ASSERT_EQ(size, 42);
        ASSERT_OK(read_file_at(test_tmpdir(), "f", 5, &data, &size));
        ASSERT_STREQ(data, "12345");
        ASSERT_EQ(size, 5);
}

TEST(read_of_more_than_one_chunk) {
        _cleanup_free_ char *content = malloc(20000), *data = NULL;
        size_t size;

        memset(content, 'x', 19999);
        content[19999] = '\0';
        test_write_file(test_tmpdir(), "f", content);
        ASSERT_OK(read_file_at(test_tmpdir(), "f", 20000, &data, &size));
        ASSERT_EQ(size, 19999);
        ASSERT_STREQ(data, content);
}

TEST(read_of_an_empty_file) {
        _cleanup_free_ char *data = NULL;
        size_t size = 42;

        test_write_file(test_tmpdir(), "f", "");
        ASSERT_OK(read_file_at(test_tmpdir(), "f", 0, &data, &size));
        ASSERT_EQ(size, 0);
        ASSERT_STREQ(data, "");
}

TEST(read_refuses_what_is_no_file) {
        _cleanup_free_ char *data = NULL;

        ASSERT_OK(mkdirat(test_tmpdir(), "d", 0755));
        ASSERT_OK(mkfifoat(test_tmpdir(), "fifo", 0644));
        ASSERT_EQ(read_file_at(test_tmpdir(), "d", 10, &data, NULL), -EISDIR);
        /* And does not wait for a writer. */
        ASSERT_EQ(read_file_at(test_tmpdir(), "fifo", 10, &data, NULL), -EBADFD);
        ASSERT_EQ(read_file_at(test_tmpdir(), "missing", 10, &data, NULL), -ENOENT);
        ASSERT_EQ(read_file_at(AT_FDCWD, "/dev/zero", 10, &data, NULL), -EBADFD);
        ASSERT_NULL(data);
}

TEST(lines) {
        _cleanup_free_ char *line = NULL;

        test_write_file(test_tmpdir(), "f", "first\nsecond\n");
        ASSERT_OK(read_line_at(test_tmpdir(), "f", &line));
        ASSERT_STREQ(line, "first");
}

TEST(integers) {
        static const char *const bad[] = { "", "\n", "x", "1x", "2147483648", "-2147483649", "1 2", "0x10",
                                           "99999999999999999999" };
        int value = 42;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                test_write_file(test_tmpdir(), "f", bad[i]);
                ASSERT_EQ(read_int_at(test_tmpdir(), "f", &value), -EBADMSG);
        }
        ASSERT_EQ(read_int_at(test_tmpdir(), "missing", &value), -ENOENT);
        ASSERT_EQ(value, 42);
        test_write_file(test_tmpdir(), "f", "-1\n");
        ASSERT_OK(read_int_at(test_tmpdir(), "f", &value));
        ASSERT_EQ(value, -1);
}

TEST(attribute_write_neither_creates_nor_truncates) {
        ASSERT_EQ(write_string_at(test_tmpdir(), "enabled", "0"), -ENOENT);
        ASSERT_FALSE(exists_at(test_tmpdir(), "enabled"));
        test_write_file(test_tmpdir(), "enabled", "1\n");
        ASSERT_OK(write_string_at(test_tmpdir(), "enabled", "0"));
        assert_content("enabled", "0\n");
}

TEST(atomic_write_replaces) {
        struct stat st;
        mode_t before = umask(077);

        ASSERT_OK(write_file_atomic_at(test_tmpdir(), "f", "one", 3, 0644));
        ASSERT_OK(write_file_atomic_at(test_tmpdir(), "f", "three", 5, 0644));
        (void) umask(before);
        assert_content("f", "three");
        ASSERT_OK(fstatat(test_tmpdir(), "f", &st, 0));
        ASSERT_EQ(st.st_mode & 0777, 0644);
        assert_n_entries(1);
}

TEST(atomic_write_takes_over_a_leftover) {
        test_write_file(test_tmpdir(), "f" TEMPORARY_SUFFIX, "torn");
        ASSERT_OK(write_file_atomic_at(test_tmpdir(), "f", "whole", 5, 0644));
        assert_content("f", "whole");
        assert_n_entries(1);
}

TEST(atomic_write_does_not_follow_links) {
        test_write_file(test_tmpdir(), "victim", "untouched");
        ASSERT_OK(symlinkat("victim", test_tmpdir(), "f" TEMPORARY_SUFFIX));
        ASSERT_OK(symlinkat("victim", test_tmpdir(), "f"));
        ASSERT_OK(write_file_atomic_at(test_tmpdir(), "f", "new", 3, 0644));
        assert_content("victim", "untouched");
        assert_content("f", "new");
        assert_n_entries(2);
}

TEST(atomic_write_leaves_nothing_on_failure) {
        ASSERT_OK(mkdir_parents_at(test_tmpdir(), "d/busy", 0755));
        ASSERT_TRUE(write_file_atomic_at(test_tmpdir(), "d", "x", 1, 0644) < 0);
        assert_n_entries(1);
        ASSERT_EQ(write_file_atomic_at(test_tmpdir(), "missing/f", "x", 1, 0644), -ENOENT);
        assert_n_entries(1);
}

TEST(atomic_copy) {
        _cleanup_close_ int fd = -EBADF;

        test_write_file(test_tmpdir(), "source", "0123456789");
        fd = openat(test_tmpdir(), "source", O_RDONLY | O_CLOEXEC);
        ASSERT_OK(fd);
        /* From the beginning, wherever the descriptor stands. */
        ASSERT_OK(lseek(fd, 5, SEEK_SET));
        ASSERT_OK(copy_fd_atomic_at(fd, 10, test_tmpdir(), "copy", 0600));
        assert_content("copy", "0123456789");
        ASSERT_OK(copy_fd_atomic_at(fd, 4, test_tmpdir(), "copy", 0600));
        assert_content("copy", "0123");
        /* Shorter than announced: the old content stands. */
        ASSERT_EQ(copy_fd_atomic_at(fd, 11, test_tmpdir(), "copy", 0600), -EIO);
        assert_content("copy", "0123");
        assert_n_entries(2);
}

TEST(unlink_of_a_missing_file) {
        test_write_file(test_tmpdir(), "d/f", "x");
        ASSERT_OK(unlink_durable_at(test_tmpdir(), "d/f"));
        ASSERT_FALSE(exists_at(test_tmpdir(), "d/f"));
        ASSERT_OK(unlink_durable_at(test_tmpdir(), "d/f"));
        ASSERT_TRUE(unlink_durable_at(test_tmpdir(), "d") < 0);
        ASSERT_TRUE(exists_at(test_tmpdir(), "d"));
}

TEST(make_directories) {
        struct stat st;

        ASSERT_OK(mkdir_parents_at(test_tmpdir(), "a/b/c", 0700));
        ASSERT_OK(mkdir_parents_at(test_tmpdir(), "a/b/c", 0700));
        ASSERT_OK(fstatat(test_tmpdir(), "a/b/c", &st, 0));
        ASSERT_TRUE(S_ISDIR(st.st_mode));
        test_write_file(test_tmpdir(), "f", "x");
        ASSERT_EQ(mkdir_parents_at(test_tmpdir(), "f/below", 0700), -ENOTDIR);
        ASSERT_EQ(mkdir_parents_at(test_tmpdir(), "f", 0700), -ENOTDIR);
}

TEST(directories_are_not_reached_through_links) {
        ASSERT_OK(mkdirat(test_tmpdir(), "d", 0755));
        ASSERT_OK(symlinkat("d", test_tmpdir(), "link"));
        test_write_file(test_tmpdir(), "f", "");
        ASSERT_TRUE(open_dir_at(test_tmpdir(), "link") < 0);
        ASSERT_EQ(open_dir_at(test_tmpdir(), "f"), -ENOTDIR);
        ASSERT_EQ(open_dir_at(test_tmpdir(), "missing"), -ENOENT);
}

TEST(listing_is_sorted) {
        _cleanup_strv_free_ char **names = NULL, **none = NULL;

        for (int i = 0; i < 40; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "d/%02d", (i * 7) % 40);
                test_write_file(test_tmpdir(), name, "");
        }
        ASSERT_EQ(list_dir_at(test_tmpdir(), "d", &names), 40);
        for (int i = 0; i < 40; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "%02d", i);
                ASSERT_STREQ(names[i], name);
        }
        ASSERT_NULL(names[40]);
        ASSERT_OK(mkdirat(test_tmpdir(), "empty", 0755));
        ASSERT_EQ(list_dir_at(test_tmpdir(), "empty", &none), 0);
        ASSERT_NOT_NULL(none);
        ASSERT_NULL(none[0]);
}

TEST(listing_fails_for_what_is_no_directory) {
        char **names = NULL;

        test_write_file(test_tmpdir(), "f", "");
        ASSERT_EQ(list_dir_at(test_tmpdir(), "missing", &names), -ENOENT);
        ASSERT_EQ(list_dir_at(test_tmpdir(), "f", &names), -ENOTDIR);
        ASSERT_NULL(names);
}

TEST(write_all_reports) {
        _cleanup_close_ int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

        ASSERT_OK(fd);
        ASSERT_EQ(write_all(fd, "x", 1), -ENOSPC);
        ASSERT_EQ(write_all(-EBADF, "x", 1), -EBADF);
        ASSERT_OK(write_all(-EBADF, "", 0));
}
