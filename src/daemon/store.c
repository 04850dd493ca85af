/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store's lock, directories and files, and the texts of its failures. */

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <time.h>

#include "common/fd-util.h"
#include "common/log.h"
#include "daemon/store-internal.h"

#define LOCK_NAME "lock"
#define LOCK_POLL_USEC (20 * USEC_PER_MSEC)
#define PARENT_MODE 0755

static uint64_t now_monotonic(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

static const char *advice(int error) {
        switch (error) {
        case -ENOSPC:
        case -EDQUOT:
                return "Free some space there, then try again";
        case -EROFS:
                return "Make the file system writable, wait a few seconds for livepatchd to notice, then try again";
        case -EACCES:
        case -EPERM:
        case -EBADMSG:
                return "Check the owner and mode of the directory and what is in it, then try again";
        default:
                return "Look into the kernel log for errors of the disk, then try again";
        }
}

int store_failure(Failure *f, int error, const char *what, const char *outcome) {
        if (error == -ENOMEM)
                return failure_oom(f);
        return failure_set(f, REFUSED_STORE_FAILED, "Failed to %s in " STORE_STATE_PATH ": %s. %s. %s", what,
                           error == -EBADMSG ? "something that is not livepatchd's is in the way" : strerror(-error),
                           outcome, advice(error));
}

StoreModuleName store_module_name(const char *sha256) {
        StoreModuleName name;

        (void) snprintf(name.name, sizeof(name.name), "%.64s" STORE_MODULE_SUFFIX, sha256);
        return name;
}

bool store_is_module_name(const char *name) {
        char digest[SHA256_HEX_LENGTH + 1];

        if (strlen(name) != SHA256_HEX_LENGTH + STRLEN(STORE_MODULE_SUFFIX) || !endswith(name, STORE_MODULE_SUFFIX))
                return false;
        memcpy(digest, name, SHA256_HEX_LENGTH);
        digest[SHA256_HEX_LENGTH] = '\0';
        return sha256_is_valid(digest);
}

/* What somebody else could have written or could still change is not trusted. */
static int check_ownership(const struct stat *st, Failure *f) {
        if (st->st_uid != geteuid())
                return failure_set(f, -EBADMSG, "it belongs to user %u", (unsigned) st->st_uid);
        if (st->st_mode & (S_IWGRP | S_IWOTH))
                return failure_set(f, -EBADMSG, "others than its owner may write to it");
        return 0;
}

int store_open_dir(int parent_fd, const char *name, bool create, Failure *f) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        if (create) {
                if (mkdirat(parent_fd, name, STORE_DIR_MODE) < 0) {
                        if (errno != EEXIST)
                                return negative_errno();
                } else if (fsync(parent_fd) < 0) {
                        r = negative_errno();
                        (void) unlinkat(parent_fd, name, AT_REMOVEDIR);
                        return r;
                }
        }
        fd = open_dir_at(parent_fd, name);
        if (fd == -ENOTDIR || fd == -ELOOP)
                return failure_set(f, -EBADMSG, "it is not a directory");
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return negative_errno();
        r = check_ownership(&st, f);
        return r < 0 ? r : TAKE_FD(fd);
}

/* Up to the state directory the path belongs to the system: links are followed and modes are not ours to judge. */
static int open_own_dir(int root_fd, const char *path, bool create, Failure *f) {
        _cleanup_free_ char *parent = strndup(path, (size_t) (strrchr(path, '/') - path));
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!parent)
                return -ENOMEM;
        if (create) {
                r = mkdir_parents_at(root_fd, parent, PARENT_MODE);
                if (r < 0)
                        return r;
        }
        fd = openat(root_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return negative_errno();
        return store_open_dir(fd, strrchr(path, '/') + 1, create, f);
}

int store_open_state(Store *store, bool create, Failure *f) {
        return open_own_dir(store->root_fd, LP_STATE_DIR, create, f);
}

int store_open_patches(Store *store, const char *release, const char *name, bool create, Failure *f) {
        const char *const path[] = { LP_PATCHES_DIR_NAME, release, name };
        _cleanup_close_ int fd = store_open_state(store, create, f);

        for (size_t i = 0; i < ELEMENTSOF(path) && path[i] && fd >= 0; i++) {
                int child = store_open_dir(fd, path[i], create, f);

                safe_close(fd);
                fd = child;
        }
        return TAKE_FD(fd);
}

int store_open_file(int dir_fd, const char *name, Failure *f) {
        /* O_NONBLOCK: a FIFO must not hold up the start. */
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        struct stat st;
        int r;

        if (fd < 0 && errno == ELOOP)
                return failure_set(f, -EBADMSG, "it is a symbolic link");
        if (fd < 0 && errno == ENXIO) /* a socket, or a device without a driver */
                return failure_set(f, -EBADMSG, "it is not a regular file");
        if (fd < 0 || fstat(fd, &st) < 0)
                return negative_errno();
        if (!S_ISREG(st.st_mode))
                return failure_set(f, -EBADMSG, "it is not a regular file");
        r = check_ownership(&st, f);
        return r < 0 ? r : TAKE_FD(fd);
}

static int refuse_busy(int lock_fd, Failure *f) {
        _cleanup_free_ char *pid = NULL;

        if (read_fd(lock_fd, KIB(1), &pid, NULL) < 0 || !*pid)
                return failure_set(f, REFUSED_BUSY, "Another livepatchd process is using " STORE_STATE_PATH
                                   ". Nothing was changed; try again when it has ended");
        pid[strspn(pid, "0123456789")] = '\0';
        return failure_set(f, REFUSED_BUSY, "Process %s is using " STORE_STATE_PATH
                           ". Nothing was changed; try again when it has ended", pid);
}

static int take_lock(Store *store, uint64_t timeout_usec, Failure *f) {
        uint64_t begin = now_monotonic();
        char pid[sizeof("4294967295\n")];
        int n;

        /* Never unlinked: a process that holds a removed file and one that holds its successor would both go on. */
        store->lock_fd = openat(store->run_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                                STORE_FILE_MODE);
        if (store->lock_fd < 0)
                return failure_set(f, REFUSED_STORE_FAILED, "Failed to open /" LP_RUN_DIR "/" LOCK_NAME ": %m. "
                                   "Nothing was changed");
        while (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return failure_set(f, REFUSED_STORE_FAILED, "Failed to lock /" LP_RUN_DIR "/" LOCK_NAME ": %m. "
                                           "Nothing was changed");
                if (now_monotonic() - begin >= timeout_usec)
                        return refuse_busy(store->lock_fd, f);
                (void) usleep(LOCK_POLL_USEC);
        }
        /* For people, and for the text above; the lock itself is the kernel's. */
        n = snprintf(pid, sizeof(pid), "%u\n", (unsigned) getpid());
        if (ftruncate(store->lock_fd, 0) < 0 || pwrite(store->lock_fd, pid, (size_t) n, 0) < 0)
                log_debug("Failed to write the pid into /" LP_RUN_DIR "/" LOCK_NAME ", ignoring: %m");
        return 0;
}

/* fd: of the state directory, or why there is none. */
static bool is_read_only(int fd) {
        struct statvfs st;

        if (fd < 0)
                return fd == -EROFS;
        return fstatvfs(fd, &st) >= 0 && (st.f_flag & ST_RDONLY);
}

int store_open(int root_fd, uint64_t lock_timeout_usec, Store **ret, Failure *f) {
        _cleanup_(store_closep) Store *store = calloc(1, sizeof(Store));
        Failure reason = {};
        int r, state_fd;

        if (!store)
                return failure_oom(f);
        store->lock_fd = store->run_fd = -EBADF;
        store->root_fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 3);
        if (store->root_fd < 0)
                return failure_set(f, negative_errno(), "Failed to duplicate the root directory's descriptor: %m");
        store->run_fd = open_own_dir(store->root_fd, LP_RUN_DIR, true, &reason);
        r = store->run_fd;
        if (r < 0) {
                r = failure_set(f, REFUSED_STORE_FAILED, "Failed to create /" LP_RUN_DIR ": %s. Nothing was changed",
                                reason.text ?: strerror(-r));
                failure_done(&reason);
                return r;
        }
        r = take_lock(store, lock_timeout_usec, f);
        if (r != 0)
                return r;
        /* Tried again, and complained about, by whoever writes. */
        state_fd = store_open_state(store, true, NULL);
        store->was_read_only = is_read_only(state_fd);
        safe_close(state_fd);
        *ret = TAKE_PTR(store);
        return 0;
}

bool store_was_read_only(const Store *store) {
        return store->was_read_only;
}

Store *store_close(Store *store) {
        if (!store)
                return NULL;
        safe_close(store->lock_fd);
        safe_close(store->run_fd);
        safe_close(store->root_fd);
        free(store);
        return NULL;
}
