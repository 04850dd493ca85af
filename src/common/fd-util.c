/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bounded reads, durable writes and directory walks, relative to a directory fd. */

#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "common/fd-util.h"
#include "common/string-util.h"

#define READ_CHUNK KIB(4)
#define COPY_CHUNK MIB(1)
#define SMALL_FILE_MAX KIB(4)

int read_fd(int fd, size_t max, char **ret, size_t *ret_size) {
        _cleanup_free_ char *buffer = NULL;
        size_t size = 0, allocated = 0;

        for (;;) {
                ssize_t n;

                if (allocated - size < 2) {
                        size_t want = MAX(allocated * 2, (size_t) READ_CHUNK);
                        char *grown;

                        /* One byte more than allowed, so that "exactly max" and "more" can be told apart. */
                        want = MIN(want, max + 2);
                        grown = realloc(buffer, want);
                        if (!grown)
                                return -ENOMEM;
                        buffer = grown;
                        allocated = want;
                }
                n = read(fd, buffer + size, allocated - size - 1);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return negative_errno();
                }
                if (n == 0)
                        break;
                size += (size_t) n;
                if (size > max)
                        return -EFBIG;
        }
        buffer[size] = '\0';
        *ret = TAKE_PTR(buffer);
        if (ret_size)
                *ret_size = size;
        return 0;
}

int read_file_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat st;

        if (fd < 0)
                return negative_errno();
        if (fstat(fd, &st) < 0)
                return negative_errno();
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!S_ISREG(st.st_mode))
                return -EBADFD;
        return read_fd(fd, max, ret, ret_size);
}

int read_line_at(int dir_fd, const char *path, char **ret) {
        char *line;
        int r = read_file_at(dir_fd, path, SMALL_FILE_MAX, &line, NULL);

        if (r < 0)
                return r;
        line[strcspn(line, "\n")] = '\0';
        *ret = line;
        return 0;
}

int read_int_at(int dir_fd, const char *path, int *ret) {
        _cleanup_free_ char *line = NULL;
        char *end;
        long value;
        int r = read_line_at(dir_fd, path, &line);

        if (r < 0)
                return r;
        errno = 0;
        value = strtol(line, &end, 10);
        if (errno != 0 || end == line || *end != '\0' || value < INT_MIN || value > INT_MAX)
                return -EBADMSG;
        *ret = (int) value;
        return 0;
}

int write_all(int fd, const void *data, size_t size) {
        const char *p = data;

        while (size > 0) {
                ssize_t n = write(fd, p, size);

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return negative_errno();
                }
                if (n == 0)
                        return -EIO;
                p += n;
                size -= (size_t) n;
        }
        return 0;
}

int write_string_at(int dir_fd, const char *path, const char *value) {
        _cleanup_close_ int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        ssize_t n;

        if (fd < 0)
                return negative_errno();
        n = write(fd, value, strlen(value));
        if (n < 0)
                return negative_errno();
        return (size_t) n == strlen(value) ? 0 : -EIO;
}

int fsync_dir_of_at(int dir_fd, const char *path) {
        _cleanup_free_ char *parent = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *slash = strrchr(path, '/');

        parent = slash ? strndup(path, (size_t) (slash - path)) : strdup(".");
        if (!parent)
                return -ENOMEM;
        fd = openat(dir_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return negative_errno();
        return fsync(fd) < 0 ? negative_errno() : 0;
}

/* A temporary file is created with O_EXCL under a fixed name: state directories have one writer, and a leftover of a
 * crash is replaced instead of piling up. */
static int temporary_create(int dir_fd, const char *path, mode_t mode, char **ret_name) {
        _cleanup_free_ char *name = NULL;
        int fd;

        if (asprintf(&name, "%s" TEMPORARY_SUFFIX, path) < 0) {
                name = NULL;
                return -ENOMEM;
        }
        if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
                return negative_errno();
        fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
                return negative_errno();
        /* The mode asked for, whatever the umask. */
        if (fchmod(fd, mode) < 0) {
                int r = negative_errno();

                safe_close(fd);
                (void) unlinkat(dir_fd, name, 0);
                return r;
        }
        *ret_name = TAKE_PTR(name);
        return fd;
}

static int temporary_commit(int fd, int dir_fd, const char *temporary, const char *path) {
        if (fsync(fd) < 0)
                return negative_errno();
        if (renameat(dir_fd, temporary, dir_fd, path) < 0)
                return negative_errno();
        return fsync_dir_of_at(dir_fd, path);
}

int write_file_atomic_at(int dir_fd, const char *path, const void *data, size_t size, mode_t mode) {
        _cleanup_free_ char *temporary = NULL;
        _cleanup_close_ int fd = temporary_create(dir_fd, path, mode, &temporary);
        int r;

        if (fd < 0)
                return fd;
        r = write_all(fd, data, size);
        if (r >= 0)
                r = temporary_commit(fd, dir_fd, temporary, path);
        if (r < 0)
                (void) unlinkat(dir_fd, temporary, 0);
        return r;
}

static int copy_bytes(int source_fd, uint64_t size, int fd) {
        _cleanup_free_ char *buffer = malloc(COPY_CHUNK);
        uint64_t offset = 0;

        if (!buffer)
                return -ENOMEM;
        while (offset < size) {
                ssize_t n = pread(source_fd, buffer, MIN(COPY_CHUNK, size - offset), (off_t) offset);
                int r;

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return negative_errno();
                }
                if (n == 0)
                        return -EIO; /* shorter than announced */
                r = write_all(fd, buffer, (size_t) n);
                if (r < 0)
                        return r;
                offset += (uint64_t) n;
        }
        return 0;
}

int copy_fd_atomic_at(int source_fd, uint64_t size, int dir_fd, const char *path, mode_t mode) {
        _cleanup_free_ char *temporary = NULL;
        _cleanup_close_ int fd = temporary_create(dir_fd, path, mode, &temporary);
        int r;

        if (fd < 0)
                return fd;
        r = copy_bytes(source_fd, size, fd);
        if (r >= 0)
                r = temporary_commit(fd, dir_fd, temporary, path);
        if (r < 0)
                (void) unlinkat(dir_fd, temporary, 0);
        return r;
}

int unlink_durable_at(int dir_fd, const char *path) {
        if (unlinkat(dir_fd, path, 0) < 0)
                return errno == ENOENT ? 0 : negative_errno();
        return fsync_dir_of_at(dir_fd, path);
}

int mkdir_parents_at(int dir_fd, const char *path, mode_t mode) {
        _cleanup_free_ char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        for (char *p = copy;;) {
                char *slash = strchr(p, '/');
                struct stat st;

                if (slash)
                        *slash = '\0';
                if (mkdirat(dir_fd, copy, mode) < 0) {
                        if (errno != EEXIST)
                                return negative_errno();
                        /* Something else of the name is no success. */
                        if (fstatat(dir_fd, copy, &st, 0) < 0)
                                return negative_errno();
                        if (!S_ISDIR(st.st_mode))
                                return -ENOTDIR;
                } else {
                        int r = fsync_dir_of_at(dir_fd, copy);

                        if (r < 0)
                                return r;
                }
                if (!slash)
                        return 0;
                *slash = '/';
                p = slash + 1;
        }
}

int open_dir_at(int dir_fd, const char *path) {
        int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        return fd < 0 ? negative_errno() : fd;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

int list_dir_at(int dir_fd, const char *path, char ***ret) {
        _cleanup_strv_free_ char **names = NULL;
        size_t n = 0, allocated = 0;
        int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        DIR *dir;

        if (fd < 0)
                return negative_errno();
        dir = fdopendir(fd);
        if (!dir) {
                r = negative_errno();
                safe_close(fd);
                return r;
        }
        for (;;) {
                struct dirent *de;

                errno = 0;
                de = readdir(dir);
                if (!de) {
                        r = -errno;
                        break;
                }
                if (streq(de->d_name, ".") || streq(de->d_name, ".."))
                        continue;
                if (n + 1 >= allocated) {
                        size_t want = MAX(allocated * 2, (size_t) 16);
                        char **grown = realloc(names, want * sizeof(char *));

                        if (!grown) {
                                r = -ENOMEM;
                                break;
                        }
                        names = grown;
                        allocated = want;
                }
                names[n] = strdup(de->d_name);
                if (!names[n]) {
                        r = -ENOMEM;
                        break;
                }
                names[++n] = NULL;
        }
        (void) closedir(dir);
        if (r < 0)
                return r;
        if (!names) {
                names = calloc(1, sizeof(char *));
                if (!names)
                        return -ENOMEM;
        }
        qsort(names, n, sizeof(char *), compare_names);
        *ret = TAKE_PTR(names);
        return (int) n;
}

bool exists_at(int dir_fd, const char *path) {
        return faccessat(dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}
