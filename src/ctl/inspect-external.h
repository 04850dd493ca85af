/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose the live patches are. */
#pragma once

#include "ctl/options.h"

/* Names of those of this kernel that livepatchd did not load; none where it cannot be asked. Fails only when out of
 * memory. */
int inspect_list_external(const Options *o, const char *release, char ***ret);
