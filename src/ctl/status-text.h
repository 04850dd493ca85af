/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The overview of "status" as text, made from its JSON document. */
#pragma once

#include "ctl/output.h"

void status_print(Output *out, const json_t *status);
