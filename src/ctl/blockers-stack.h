/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kernel stacks of the tasks that hold up a transition, where livepatchd may not read them and its client may. */
#pragma once

#include <jansson.h>

/* document: of "blockers", of this machine. What was "not-permitted" is read here if it can be, and the function is
 * found; everything else is left as it is. */
void blockers_read_stacks(int root_fd, json_t *document);
