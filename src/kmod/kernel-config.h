/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration that the running kernel was built with. */
#pragma once

#include "common/failure.h"
#include "common/types.h"

/* The first that can be read of proc/config.gz, boot/config-<release>, usr/lib/modules/<release>/config and
 * usr/lib/modules/<release>/build/.config, as text owned by the caller. -ENOENT: none of them. */
int kernel_config_load(int root_fd, const char *release, char **ret);

/* Whether the option ("CONFIG_LIVEPATCH") is set to y or m. UNKNOWN without a configuration (NULL). */
Tristate kernel_config_get(const char *config, const char *option) _pure_;
