/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands in a patch's way, as text; made from the documents of --json. */
#pragma once

#include "ctl/output.h"

Style finding_style(const char *severity);

/* A line each, behind a label. */
void findings_print(Output *out, const char *label, const json_t *findings);
