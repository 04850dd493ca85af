/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attributes, cleanup helpers and small macros that every part uses. */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((__cleanup__(fn)))
#define _printf_(a, b) __attribute__((__format__(printf, a, b)))
#define _unused_ __attribute__((__unused__))
#define _const_ __attribute__((__const__))
#define _pure_ __attribute__((__pure__))
#define _warn_unused_ __attribute__((__warn_unused_result__))
#define _noreturn_ __attribute__((__noreturn__))
#define _fallthrough_ __attribute__((__fallthrough__))

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
#define STRLEN(s) (sizeof("" s "") - 1)

#define MIN(a, b)                       \
        ({                              \
                __auto_type _a = (a);   \
                __auto_type _b = (b);   \
                _a < _b ? _a : _b;      \
        })
#define MAX(a, b)                       \
        ({                              \
                __auto_type _a = (a);   \
                __auto_type _b = (b);   \
                _a > _b ? _a : _b;      \
        })

/* Hands a resource over and leaves an empty variable for the cleanup attribute. */
#define TAKE_PTR(p)                     \
        ({                              \
                __auto_type _p = (p);   \
                (p) = NULL;             \
                _p;                     \
        })
#define TAKE_FD(fd)                     \
        ({                              \
                int _fd = (fd);         \
                (fd) = -EBADF;          \
                _fd;                    \
        })

/* Defines NAMEp(), for _cleanup_(NAMEp), out of a destructor that takes NULL. */
#define DEFINE_CLEANUP(type, fn)                        \
        static inline void fn##p(type *p) {             \
                if (*p)                                 \
                        fn(*p);                         \
        }

static inline void freep(void *p) {
        free(*(void **) p);
}

/* Closes what is open and leaves errno alone; returns -EBADF so that `fd = safe_close(fd)` reads well. */
static inline int safe_close(int fd) {
        if (fd >= 0) {
                int saved = errno;

                (void) close(fd);
                errno = saved;
        }
        return -EBADF;
}

static inline void closep(int *fd) {
        (void) safe_close(*fd);
}

static inline void fclosep(FILE **f) {
        if (*f)
                (void) fclose(*f);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)
#define _cleanup_fclose_ _cleanup_(fclosep)

/* errno as a negative status that is never 0, for the case that a library forgot to set it. */
static inline int negative_errno(void) {
        return errno > 0 ? -errno : -EIO;
}

#define USEC_PER_SEC ((uint64_t) 1000000ULL)
#define USEC_PER_MSEC ((uint64_t) 1000ULL)
#define NSEC_PER_USEC ((uint64_t) 1000ULL)
#define USEC_INFINITY ((uint64_t) UINT64_MAX)

#define KIB(n) ((uint64_t) (n) << 10)
#define MIB(n) ((uint64_t) (n) << 20)
