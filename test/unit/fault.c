/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stops or fails the calls that change a disk, through the linker's --wrap. */

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "common/macro.h"
#include "fault.h"

static _Thread_local unsigned suspended;

static struct {
        bool armed;
        FaultMode mode;
        unsigned call;
        int error;
        atomic_uint n_calls;
} fault;

void fault_suspend(bool suspend) {
        if (suspend)
                suspended++;
        else
                suspended--;
}

void fault_arm(FaultMode mode, unsigned call, int error) {
        fault.armed = true;
        fault.mode = mode;
        fault.call = call;
        fault.error = error;
        fault.n_calls = 0;
}

unsigned fault_disarm(void) {
        fault.armed = false;
        return fault.n_calls;
}

/* Whether the call that is about to be made is to be stopped. */
static bool strikes(void) {
        unsigned n;

        if (!fault.armed || suspended > 0)
                return false;
        n = ++fault.n_calls;
        switch (fault.mode) {
        case FAULT_COUNT:
                return false;
        case FAULT_KILL:
        case FAULT_FAIL:
                return n == fault.call;
        case FAULT_FAIL_ALL:
                return n >= fault.call;
        }
        return false;
}

static int strike(void) {
        if (fault.mode == FAULT_KILL)
                _exit(FAULT_EXIT_STATUS);
        errno = fault.error;
        return -1;
}

/* The names are the linker's. */
ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
int __wrap_fsync(int fd);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_unlinkat(int dir_fd, const char *path, int flags);
int __wrap_unlinkat(int dir_fd, const char *path, int flags);
int __real_mkdirat(int dir_fd, const char *path, mode_t mode);
int __wrap_mkdirat(int dir_fd, const char *path, mode_t mode);

/* Not what wakes an event loop up, goes to a terminal, or into memory: a memfd has no links. */
static bool is_on_disk(int fd) {
        struct stat st;

        return fstat(fd, &st) >= 0 && S_ISREG(st.st_mode) && st.st_nlink > 0;
}

ssize_t __wrap_write(int fd, const void *data, size_t size) {
        if (!is_on_disk(fd) || !strikes())
                return __real_write(fd, data, size);
        if (fault.mode == FAULT_KILL && __real_write(fd, data, size / 2) < 0)
                _exit(1);
        return strike();
}

/* Nobody cuts the machine's power here: waiting for the disk thousands of times would prove nothing more. */
int __wrap_fsync(int fd) {
        return strikes() ? strike() : MIN(fcntl(fd, F_GETFD), 0);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to) {
        return strikes() ? strike() : __real_renameat(from_fd, from, to_fd, to);
}

int __wrap_unlinkat(int dir_fd, const char *path, int flags) {
        return strikes() ? strike() : __real_unlinkat(dir_fd, path, flags);
}

int __wrap_mkdirat(int dir_fd, const char *path, mode_t mode) {
        return strikes() ? strike() : __real_mkdirat(dir_fd, path, mode);
}
