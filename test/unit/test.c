/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The unit-test frame: runs the registered cases in order and prints TAP. */

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "test.h"

static TestCase *first, **last = &first;
static jmp_buf end_of_case;
static char failure[4096];
static bool skipped, in_child;
static char *tmpdir_path;
static int tmpdir_fd = -EBADF;

void test_register(TestCase *c) {
        *last = c;
        last = &c->next;
}

void test_fail(const char *file, int line, const char *format, ...) {
        va_list ap;
        int n = snprintf(failure, sizeof(failure), "%s:%d: ", file, line);

        va_start(ap, format);
        (void) vsnprintf(failure + n, sizeof(failure) - (size_t) n, format, ap);
        va_end(ap);
        if (in_child) {
                (void) fprintf(stderr, "%s\n", failure);
                _exit(EXIT_FAILURE);
        }
        longjmp(end_of_case, 1);
}

void test_in_child(void) {
        in_child = true;
}

void test_skip(const char *reason) {
        (void) snprintf(failure, sizeof(failure), "%s", reason);
        skipped = true;
        longjmp(end_of_case, 1);
}

static int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_, struct FTW *ftw _unused_) {
        return remove(path);
}

static void tmpdir_clear(void) {
        tmpdir_fd = safe_close(tmpdir_fd);
        if (tmpdir_path)
                (void) nftw(tmpdir_path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(tmpdir_path);
        tmpdir_path = NULL;
}

int test_tmpdir(void) {
        const char *base = getenv("TMPDIR");

        if (tmpdir_fd >= 0)
                return tmpdir_fd;
        ASSERT_TRUE(asprintf(&tmpdir_path, "%s/livepatch-test-XXXXXX", base ? base : "/tmp") > 0);
        ASSERT_NOT_NULL(mkdtemp(tmpdir_path));
        tmpdir_fd = open(tmpdir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(tmpdir_fd);
        return tmpdir_fd;
}

const char *test_tmpdir_path(void) {
        (void) test_tmpdir();
        return tmpdir_path;
}

void test_write_bytes(int dir_fd, const char *path, const void *data, size_t size) {
        _cleanup_free_ char *parent = strdup(path);
        _cleanup_close_ int fd = -EBADF;
        char *slash = strrchr(parent, '/');

        if (slash) {
                *slash = '\0';
                ASSERT_OK(mkdir_parents_at(dir_fd, parent, 0755));
        }
        fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        ASSERT_OK(fd);
        ASSERT_OK(write_all(fd, data, size));
}

void test_write_file(int dir_fd, const char *path, const char *content) {
        test_write_bytes(dir_fd, path, content, strlen(content));
}

char *test_read_data(const char *path, size_t *ret_size) {
        _cleanup_free_ char *full = NULL;
        const char *relative = startswith(path, "build:");
        const char *base = getenv(relative ? "LIVEPATCH_BUILD_DIR" : "LIVEPATCH_TEST_DIR");
        char *data;
        int r;

        if (!base)
                test_fail(__FILE__, __LINE__, "run through meson test: the data directories are not set");
        ASSERT_TRUE(asprintf(&full, "%s/%s", base, relative ?: path) > 0);
        r = read_file_at(AT_FDCWD, full, MIB(512), &data, ret_size);
        if (r < 0)
                test_fail(__FILE__, __LINE__, "cannot read %s: %s", full, strerror(-r));
        return data;
}

static bool run_case(const TestCase *c, unsigned i) {
        volatile bool ok = true; /* survives the longjmp */

        skipped = false;
        if (setjmp(end_of_case) == 0)
                c->run();
        else
                ok = skipped;
        printf("%sok %u - %s%s%s\n", ok ? "" : "not ", i, c->name, skipped ? " # SKIP " : "", skipped ? failure : "");
        if (!ok)
                printf("# %s\n", failure);
        (void) fflush(stdout);
        tmpdir_clear();
        return ok;
}

int main(int argc, char *argv[]) {
        unsigned n = 0;
        bool all = true;

        for (TestCase *c = first; c; c = c->next)
                if (argc < 2 || streq(argv[1], c->name))
                        all &= run_case(c, ++n);
        printf("1..%u\n", n);
        return all && n > 0 ? 0 : 1;
}
