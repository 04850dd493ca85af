/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The passes over the kernel's lists of symbols and functions, and what they share. */
#pragma once

#include "kmod/kernel-functions.h"

/* An index of the functions by name, for one pass. */
typedef struct FunctionIndex {
        KernelFunction **sorted;
        size_t n;
} FunctionIndex;

/* One line without its newline; it may be changed. Positive: enough, the pass ends here. */
typedef int (*LineHandler)(char *line, void *userdata);

/* Calls the handler for each line of a file of the kernel's, however large; -ENODATA if there was none. */
int kernel_lines_foreach(int root_fd, const char *path, LineHandler handler, void *userdata);

/* The functions of this name are [*ret_first, *ret_first + result) of index->sorted. */
size_t function_index_find(const FunctionIndex *index, const char *name, size_t *ret_first);

/* Cuts "name [module]" or "name\t[module]" at its blanks; "vmlinux" when no module is named. Returns the object and, in
 * *ret_rest, what follows. NULL: not of this form. */
const char *function_line_split(char *line, char **ret_rest);

int kernel_symbols_count(int root_fd, const FunctionIndex *index, KernelFunctions *functions);
int ftrace_functions_read(int root_fd, const FunctionIndex *index, KernelFunctions *functions);
int ftrace_users_read(int root_fd, const FunctionIndex *index, KernelFunctions *functions);
int kprobes_read(int root_fd, const FunctionIndex *index, KernelFunctions *functions);
