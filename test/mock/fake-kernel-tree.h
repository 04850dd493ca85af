/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Directory trees below the fake root. */
#pragma once

#include "common/macro.h"

/* Where directories are built and torn down out of everybody's sight; one per process. */
#define FAKE_SCRATCH fake_tree_scratch()
const char *fake_tree_scratch(void);

/* In the directory of a patch that another one has replaced, until it goes. */
#define FAKE_REPLACED "replaced"

/* In the directory of a module whose reference the kernel keeps, since its patch was forced. */
#define FAKE_FORCED "forced"

/* Creates a file with its parents. */
int fake_tree_write(int dir_fd, const char *path, const void *data, size_t size);
int fake_tree_write_text(int dir_fd, const char *path, const char *text);

/* rm -rf; a missing path is success. */
int fake_tree_remove(int dir_fd, const char *path);

/* asprintf(3) that returns NULL when out of memory. */
char *fake_tree_format(const char *format, ...) _printf_(1, 2);
