/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words of the kernel command line, taken apart as the kernel itself does. */
#pragma once

#include "common/failure.h"

/* Calls fn with each parameter and its value (NULL: none), quotes removed, until it returns non-zero, which is then the
 * result. Stops at "--": what follows belongs to init. */
typedef int (*KernelCmdlineFn)(const char *key, const char *value, void *userdata);
int kernel_cmdline_foreach(const char *cmdline, KernelCmdlineFn fn, void *userdata);
