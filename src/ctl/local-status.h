/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel itself tells about live patches, for when livepatchd cannot be asked. */
#pragma once

#include <jansson.h>

/* {"manager": {"kernel_release", "architecture", "livepatch_supported"}, "patches": [{"name", "state"}]} from uname(2)
 * and sys/kernel/livepatch below root_fd. NULL when out of memory. */
json_t *local_status_read(int root_fd);
