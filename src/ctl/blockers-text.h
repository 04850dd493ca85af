/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tasks that hold up a transition, as text; made from the document of --json. */
#pragma once

#include "ctl/output.h"

/* document: of "blockers", with at least one of them. As a table, or with --full a paragraph for each. */
void blockers_print(Output *out, const json_t *document);

/* One sentence for when there is none: what that means. NULL when out of memory. */
char *blockers_describe_none(const json_t *document);
