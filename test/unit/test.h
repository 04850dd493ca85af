/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A small unit-test frame: self-registering cases, assertions that print both values and go on to the next case. */
#pragma once

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct TestCase {
        const char *name;
        void (*run)(void);
        struct TestCase *next;
} TestCase;

void test_register(TestCase *c);
_Noreturn void test_fail(const char *file, int line, const char *format, ...)
        __attribute__((__format__(printf, 3, 4)));
_Noreturn void test_skip(const char *reason);
/* After a fork(): what fails ends this process, with EXIT_FAILURE. */
void test_in_child(void);

/* A fresh directory below $TMPDIR, removed when the case ends; returns a descriptor that stays open until then. */
int test_tmpdir(void);
/* Its path. */
const char *test_tmpdir_path(void);
/* Writes a file below a directory fd, parents included. */
void test_write_file(int dir_fd, const char *path, const char *content);
void test_write_bytes(int dir_fd, const char *path, const void *data, size_t size);
/* Reads a file of the source tree's test directory ($LIVEPATCH_TEST_DIR), or of the build tree ($LIVEPATCH_BUILD_DIR)
 * when it starts with "build:"; fails the case when it is missing. Free the result. */
char *test_read_data(const char *path, size_t *ret_size);

#define TEST(name)                                                      \
        static void test_##name(void);                                  \
        __attribute__((__constructor__)) static void register_##name(void) { \
                static TestCase c = { #name, test_##name, NULL };       \
                test_register(&c);                                      \
        }                                                               \
        static void test_##name(void)

#define ASSERT_TRUE(e)                                                          \
        do {                                                                    \
                if (!(e))                                                       \
                        test_fail(__FILE__, __LINE__, "%s is false", #e);       \
        } while (0)
#define ASSERT_FALSE(e)                                                         \
        do {                                                                    \
                if (e)                                                          \
                        test_fail(__FILE__, __LINE__, "%s is true", #e);        \
        } while (0)
#define ASSERT_EQ(a, b)                                                                                         \
        do {                                                                                                    \
                long long _a = (long long) (a), _b = (long long) (b);                                           \
                if (_a != _b)                                                                                   \
                        test_fail(__FILE__, __LINE__, "%s == %lld, %s == %lld", #a, _a, #b, _b);                \
        } while (0)
#define ASSERT_STREQ(a, b)                                                                                      \
        do {                                                                                                    \
                const char *_a = (a), *_b = (b);                                                                \
                if (!_a || !_b || strcmp(_a, _b) != 0)                                                          \
                        test_fail(__FILE__, __LINE__, "%s == \"%s\", %s == \"%s\"", #a, _a ? _a : "(null)", #b, \
                                  _b ? _b : "(null)");                                                          \
        } while (0)
#define ASSERT_CONTAINS(text, part)                                                                             \
        do {                                                                                                    \
                const char *_a = (text), *_b = (part);                                                          \
                if (!_a || !strstr(_a, _b))                                                                     \
                        test_fail(__FILE__, __LINE__, "%s == \"%s\" does not contain \"%s\"", #text,            \
                                  _a ? _a : "(null)", _b);                                                      \
        } while (0)
#define ASSERT_OK(e)                                                                                            \
        do {                                                                                                    \
                long long _r = (long long) (e);                                                                 \
                if (_r < 0)                                                                                     \
                        test_fail(__FILE__, __LINE__, "%s == %lld (%s)", #e, _r, strerror((int) -_r));          \
        } while (0)
#define ASSERT_NULL(p) ASSERT_TRUE((p) == NULL)
#define ASSERT_NOT_NULL(p) ASSERT_TRUE((p) != NULL)
