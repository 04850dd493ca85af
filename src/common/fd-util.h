/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bounded reads, durable writes and directory walks, relative to a directory fd.
 *
 * Every function takes a directory fd and a path below it without a leading slash, so that a whole system root can be
 * a directory of a test. All descriptors are O_CLOEXEC. All return 0 or a negative errno unless said otherwise. */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "common/macro.h"

/* Reads all of a regular, /proc or /sys file of at most max bytes; -EFBIG beyond. *ret is NUL-terminated (the NUL is
 * not counted in *ret_size, which may be NULL) and owned by the caller. Symbolic links in the last component are
 * followed. */
int read_file_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_size);

/* The same of an open descriptor, from its current position. */
int read_fd(int fd, size_t max, char **ret, size_t *ret_size);

/* First line of a small (4 KiB) file, without its newline. */
int read_line_at(int dir_fd, const char *path, char **ret);

/* A decimal integer in a small file. */
int read_int_at(int dir_fd, const char *path, int *ret);

/* Writes a short string with one write(2), as sysfs wants it. Does not create. */
int write_string_at(int dir_fd, const char *path, const char *value);

/* Durable replacement: temporary file in the same directory, fsync, rename, fsync of the directory. On failure no
 * temporary file is left and the old content stands, but for one case: when the directory cannot be synced after the
 * rename the new content is in place and may not survive a power cut. */
int write_file_atomic_at(int dir_fd, const char *path, const void *data, size_t size, mode_t mode);

/* The same, content copied from an open file of known size (from offset 0). */
int copy_fd_atomic_at(int source_fd, uint64_t size, int dir_fd, const char *path, mode_t mode);

/* unlinkat + fsync of the directory; a missing file is success. */
int unlink_durable_at(int dir_fd, const char *path);

/* mkdir -p with fsync of every parent that changed. */
int mkdir_parents_at(int dir_fd, const char *path, mode_t mode);

int fsync_dir_of_at(int dir_fd, const char *path);

/* Opens a directory for reading names; O_NOFOLLOW on the last component. */
int open_dir_at(int dir_fd, const char *path);

/* Sorted names of a directory's entries, "." and ".." left out; NULL-terminated, free with strv_free().
 * Returns the count. */
int list_dir_at(int dir_fd, const char *path, char ***ret);

bool exists_at(int dir_fd, const char *path);

/* Writes everything or fails. */
int write_all(int fd, const void *data, size_t size);

/* Temporary files of write_file_atomic_at() end so; whoever sweeps a directory may delete what ends so. */
#define TEMPORARY_SUFFIX ".tmp~"
