/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files named on the command line. */
#pragma once

#include <stdbool.h>

#include "ctl/error.h"

/* No kernel module comes near. livepatchd has a bound of its own. */
#define MODULE_FILE_MAX MIB(512)

/* Whether the argument means a file: "-", a path, a name that ends like a module's, or a file that exists. Otherwise it
 * is a patch's name. */
bool argument_is_file(const char *argument);

/* Opens a regular file of at most max bytes for reading; "-" is standard input, copied into a sealed memfd. */
int input_file_open(const char *path, uint64_t max, int *ret_fd, CtlError *e);
