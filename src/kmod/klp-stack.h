/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A task's kernel stack, held against the functions of a patch. */
#pragma once

#include <stdbool.h>

#include "kmod/klp-sysfs.h"

/* klp_stack_parse() of "stack" in a thread's directory below /proc. -EACCES or -EPERM: the caller may not read it, for
 * which it needs CAP_SYS_ADMIN and what attaching a debugger needs (proc_pid_stack() and lock_trace() in
 * fs/proc/base.c). -ENOENT: the kernel has no such file (no CONFIG_STACKTRACE), or the thread is gone. */
int klp_stack_read(int task_fd, char ***ret);

/* The frames of /proc/<pid>/stack, innermost first, without their addresses: "function+0x1a/0x30 [module]". */
int klp_stack_parse(const char *content, char ***ret);

/* The function that keeps the task from switching, as far as the frames tell: one that the patch replaces or, while it
 * is being reverted, one of its own. *ret_function and *ret_object are new strings, or NULL: not known. */
int klp_stack_match(char *const *frames, const KlpPatch *patch, char **ret_function, char **ret_object);
