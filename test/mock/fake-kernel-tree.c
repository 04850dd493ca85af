/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Directory trees below the fake root. */

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "fake-kernel-tree.h"

#define REMOVE_ATTEMPTS 100

/* The mock loader in the daemon's worker threads and fake-kerneld work at the same time. */
const char *fake_tree_scratch(void) {
        static __thread char path[48];

        (void) snprintf(path, sizeof(path), "ctl/scratch-%d", (int) gettid());
        return path;
}

int fake_tree_write(int dir_fd, const char *path, const void *data, size_t size) {
        _cleanup_free_ char *parent = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *slash = strrchr(path, '/');
        int r;

        if (slash) {
                parent = strndup(path, (size_t) (slash - path));
                if (!parent)
                        return -ENOMEM;
                r = mkdir_parents_at(dir_fd, parent, 0755);
                if (r < 0)
                        return r;
        }
        fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        return fd < 0 ? negative_errno() : write_all(fd, data, size);
}

int fake_tree_write_text(int dir_fd, const char *path, const char *text) {
        return fake_tree_write(dir_fd, path, text, strlen(text));
}

static int remove_content(int dir_fd, const char *path) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_close_ int fd = open_dir_at(dir_fd, path);
        int n = fd < 0 ? fd : list_dir_at(fd, ".", &names);

        for (int i = 0; i < n; i++) {
                int r = fake_tree_remove(fd, names[i]);

                if (r < 0)
                        return r;
        }
        return n < 0 ? n : 0;
}

int fake_tree_remove(int dir_fd, const char *path) {
        if (unlinkat(dir_fd, path, 0) >= 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR)
                return negative_errno();
        /* Another process may just have opened a file in it. */
        for (unsigned i = 0; i < REMOVE_ATTEMPTS; i++) {
                int r = remove_content(dir_fd, path);

                if (r < 0)
                        return r;
                if (unlinkat(dir_fd, path, AT_REMOVEDIR) >= 0 || errno == ENOENT)
                        return 0;
                if (errno != ENOTEMPTY)
                        return negative_errno();
        }
        return -ENOTEMPTY;
}

char *fake_tree_format(const char *format, ...) {
        char *text;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        return n < 0 ? NULL : text;
}
