/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Turns an errno of the module loader or of livepatch sysfs into a cause that an administrator understands. */
#pragma once

#include "common/failure.h"
#include "kmod/kernel-info.h"

/* error: negative errno of finit_module(2). log_lines: what the kernel logged meanwhile (NULL-terminated, may be NULL
 * or empty). Fills in *f with the best matching refusal (REFUSED_KERNEL_REFUSED, _BUSY, _CONFLICT, _NOT_SUPPORTED,
 * _ALREADY_APPLIED never) and a text that names the cause, quotes the decisive kernel lines, says that the kernel was
 * not changed, and what to do. Table: kernel.md, section 3. Returns the code. */
int kernel_refusal_explain_insert(int error, const char *name, const KernelInfo *info, char *const *log_lines,
                                  Failure *f);

/* The same for delete_module(2) and for writing `enabled` and `force`. -ENOENT: the module is not loaded, the patch is
 * not active; -EINVAL: it has this value already; REFUSED_NOT_IN_TRANSITION: there is nothing to force. */
int kernel_refusal_explain_remove(int error, const char *name, Failure *f);
int kernel_refusal_explain_enabled(int error, const char *name, bool enabling, Failure *f);
int kernel_refusal_explain_force(int error, const char *name, Failure *f);
