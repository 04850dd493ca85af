/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be told about a module file without livepatchd: who signed it, what it patches, whether it would pass. */
#pragma once

#include <jansson.h>

#include "ctl/error.h"
#include "ctl/options.h"

/* Reads the module (from a regular file) and judges it against the kernel and the trust anchors below root_fd, as with
 * SignaturePolicy=require. o: how to reach livepatchd, which is asked whose the live patches are, if there are any;
 * NULL: it is not asked. *ret has "would_apply", and where that is false "refusal" (an error name) and
 * "refusal_text". Returns 0 also then; the exit code only when the file cannot be read or is no module. */
int inspect_report_new(const Options *o, int root_fd, int module_fd, json_t **ret, CtlError *e);
