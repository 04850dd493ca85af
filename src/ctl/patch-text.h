/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Patches as text: rows of tables, paragraphs; made from the documents of --json. */
#pragma once

#include "ctl/output.h"

/* The patches of "list", sorted as livepatchd sends them. NULL when out of memory. */
Table *patch_table_new(const json_t *patches, bool with_description);

/* The shorter table of "status": with what is wrong instead of who signed what. */
Table *patch_status_table_new(const json_t *patches);

/* For when only the kernel could be asked: names and states. */
Table *patch_kernel_table_new(const json_t *patches);

/* How long an unconfirmed patch has still, as format_duration() has it. */
const char *patch_time_left(const json_t *patch, char *buffer, size_t size);

/* What an administrator should know about this patch; empty when all is well. NULL when out of memory. */
char *patch_remark(const json_t *patch);

/* Everything about one patch. */
void patch_show(Output *out, const json_t *patch);
