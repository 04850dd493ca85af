/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loads livepatches, or unloads them, and waits for each transition: as little as can be done, to measure against. */

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "common/macro.h"
#include "common/string-util.h"

#define KLP_DIR "/sys/kernel/livepatch"
#define POLL_NSEC (1000L * 1000)

static void pause_shortly(void) {
        const struct timespec interval = { .tv_nsec = POLL_NSEC };

        (void) nanosleep(&interval, NULL);
}

static int fail(const char *what, const char *name) {
        (void) fprintf(stderr, "%s %s: %m\n", what, name);
        return EXIT_FAILURE;
}

/* The attribute's first character, or '\0' when the file is not there. */
static char read_attribute(const char *dir, const char *name, const char *attribute) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        char c = '\0';

        if (asprintf(&path, "%s/%s/%s", dir, name, attribute) < 0) {
                path = NULL;
                return c;
        }
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, &c, 1) != 1)
                return '\0';
        return c;
}

/* "lp_bench_1" of ".../lp_bench_1.ko": the test modules' files are called after them. */
static char *name_of_file(const char *path) {
        const char *base = strrchr(path, '/');

        base = base ? base + 1 : path;
        return strndup(base, strcspn(base, "."));
}

static int load(const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ char *name = name_of_file(path);

        if (fd < 0 || !name || syscall(SYS_finit_module, fd, "", 0) < 0)
                return fail("load", path);
        while (read_attribute(KLP_DIR, name, "transition") == '1')
                pause_shortly();
        return EXIT_SUCCESS;
}

static int disable(const char *name) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;

        if (asprintf(&path, KLP_DIR "/%s/enabled", name) < 0) {
                path = NULL;
                return EXIT_FAILURE;
        }
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? EXIT_SUCCESS : fail("open", path);
        return write(fd, "0", 1) == 1 ? EXIT_SUCCESS : fail("disable", name);
}

static int unload(const char *path) {
        _cleanup_free_ char *name = name_of_file(path);

        if (!name)
                return EXIT_FAILURE;
        if (read_attribute("/sys/module", name, "refcnt") == '\0')
                return EXIT_SUCCESS;
        if (disable(name) != EXIT_SUCCESS)
                return EXIT_FAILURE;
        /* The directory goes first, and the last reference a moment later (kernel/livepatch/core.c,
         * klp_free_patch_work_fn()). */
        while (read_attribute(KLP_DIR, name, "enabled") != '\0' ||
               read_attribute("/sys/module", name, "refcnt") > '0')
                pause_shortly();
        return syscall(SYS_delete_module, name, O_NONBLOCK) < 0 ? fail("unload", name) : EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        bool unloading = argc > 1 && streq(argv[1], "-u");

        if (argc < 2 + unloading) {
                (void) fprintf(stderr, "usage: bare-load FILE... | bare-load -u FILE...\n");
                return EXIT_FAILURE;
        }
        for (int i = 1 + unloading; i < argc; i++) {
                /* The last one loaded goes first. */
                int r = unloading ? unload(argv[argc + 1 - i]) : load(argv[i]);

                if (r != EXIT_SUCCESS)
                        return r;
        }
        return EXIT_SUCCESS;
}
