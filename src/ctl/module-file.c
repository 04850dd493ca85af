/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files named on the command line. */

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "ctl/module-file.h"

#define COPY_CHUNK KIB(256)

bool argument_is_file(const char *argument) {
        static const char *const suffixes[] = { ".ko", ".ko.gz", ".ko.xz", ".ko.zst" };
        struct stat st;

        if (streq(argument, "-") || strchr(argument, '/'))
                return true;
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++)
                if (endswith(argument, suffixes[i]))
                        return true;
        return stat(argument, &st) >= 0 && S_ISREG(st.st_mode);
}

static int copy_to_memfd(int fd, uint64_t max, CtlError *e) {
        _cleanup_free_ char *buffer = malloc(COPY_CHUNK);
        uint64_t size = 0;

        if (!buffer)
                return ctl_error_oom(e);
        for (;;) {
                ssize_t n = read(STDIN_FILENO, buffer, COPY_CHUNK);
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return ctl_error_set(e, negative_errno(),
                                             "Failed to read standard input: %m. Nothing was changed.");
                if (n == 0)
                        break;
                size += (uint64_t) n;
                if (size > max)
                        return ctl_error_set(e, REFUSED_TOO_LARGE,
                                             "Standard input is larger than %llu bytes, which cannot be right. "
                                             "Nothing was changed.", (unsigned long long) max);
                r = write_all(fd, buffer, (size_t) n);
                if (r < 0)
                        return ctl_error_set(e, r, "Failed to copy standard input to memory: %s. Nothing was changed.",
                                             strerror(-r));
        }
        if (size == 0)
                return ctl_error_set(e, REFUSED_MALFORMED_MODULE,
                                     "Standard input is empty. Nothing was changed; check the command that was to "
                                     "write it.");
        return 0;
}

static int open_standard_input(uint64_t max, int *ret_fd, CtlError *e) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (isatty(STDIN_FILENO)) {
                ctl_error_set(e, -EINVAL,
                              "'-' means standard input, which is a terminal. Nothing was changed; redirect it, as "
                              "in 'livepatchctl apply - < FILE'.");
                e->exit_code = CTL_EXIT_USAGE;
                return e->exit_code;
        }
        fd = memfd_create("livepatch-input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return ctl_error_set(e, negative_errno(),
                                     "Failed to make room for standard input: %m. Nothing was changed.");
        r = copy_to_memfd(fd, max, e);
        if (r != 0)
                return r;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return ctl_error_set(e, negative_errno(), "Failed to seal the copy of standard input: %m. Nothing was "
                                     "changed.");
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int explain_open(CtlError *e, const char *path) {
        int r = negative_errno();

        if (r == -ENOENT && strchr(path, '/') == NULL)
                return ctl_error_set(e, r,
                                     "There is no file '%s' in this directory. Nothing was changed; check the path, "
                                     "or look at 'livepatchctl list' for the names of patches.", path);
        return ctl_error_set(e, r, "Failed to open '%s': %s. Nothing was changed.", path, strerror(-r));
}

int input_file_open(const char *path, uint64_t max, int *ret_fd, CtlError *e) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (streq(path, "-"))
                return open_standard_input(max, ret_fd, e);
        /* O_NONBLOCK: a FIFO is to be refused, not waited for. */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return explain_open(e, path);
        if (fstat(fd, &st) < 0)
                return explain_open(e, path);
        if (!S_ISREG(st.st_mode))
                return ctl_error_set(e, REFUSED_INVALID_FILE, "'%s' is %s, not a regular file. Nothing was changed.",
                                     path, S_ISDIR(st.st_mode) ? "a directory" : "something else");
        if (st.st_size > 0 && (uint64_t) st.st_size > max)
                return ctl_error_set(e, REFUSED_TOO_LARGE,
                                     "'%s' has %llu bytes, and more than %llu cannot be right. Nothing was changed.",
                                     path, (unsigned long long) st.st_size, (unsigned long long) max);
        *ret_fd = TAKE_FD(fd);
        return 0;
}
