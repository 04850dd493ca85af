/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What config.c and config-files.c share. */
#pragma once

#include "daemon/config.h"

/* Adds a line to config->problems; -ENOMEM or 0. The number of lines is bounded. */
int config_problem(Config *config, const char *format, ...) _printf_(2, 3);

/* Whoever wrote what cannot be understood may have meant to tighten what another file relaxes: from here on signatures
 * are required, whatever else is read. */
void config_pin_signature_policy(Config *config);
