/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's own log lines (/dev/kmsg), to follow transitions and to quote the reason of a refusal. */
#pragma once

#include <stdbool.h>

#include "common/failure.h"

typedef struct KernelLogLine {
        unsigned priority;  /* 0-7 */
        uint64_t sequence;
        uint64_t timestamp; /* microseconds since boot (CLOCK_MONOTONIC-ish) */
        char *text;         /* sanitised, without the trailing newline and without the dictionary */
} KernelLogLine;
void kernel_log_line_done(KernelLogLine *line);

/* A non-blocking descriptor on dev/kmsg below root_fd positioned at the end: sees what comes from now on. Needs
 * CAP_SYSLOG where kernel.dmesg_restrict=1. Pollable. */
int kernel_log_open_at_end(int root_fd);
/* The same at the oldest record that the kernel still has. */
int kernel_log_open_at_start(int root_fd);

/* Next record written by the kernel itself (facility 0, which user space cannot forge; Documentation/ABI/testing/
 * dev-kmsg). 1: a line; 0: no more for now. An overrun (EPIPE) is skipped over and *ret_lost set to true; it is never
 * cleared, so that one variable serves a whole loop, and may be NULL. fd may be a regular file of records. */
int kernel_log_read(int fd, KernelLogLine *ret, bool *ret_lost);

/* Pure parser of one record, for tests and fuzzing. 1: a kernel line, 0: not the kernel's, -EBADMSG: malformed. */
int kernel_log_parse(const char *record, size_t size, KernelLogLine *ret);

/* Whether a line has to do with loading or patching `name`: "livepatch: ...", "<name>: ...", module loader and
 * signature messages ("Loading of ... is rejected", "Lockdown: ..."). */
bool kernel_log_line_is_relevant(const char *text, const char *name);

/* Reads on to the end and keeps the first max relevant texts: NULL-terminated, or NULL when there are none. Free with
 * strv_free(). */
int kernel_log_collect(int fd, const char *name, size_t max, char ***ret);
