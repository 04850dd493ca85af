/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A caller's module on its way to being judged: what Apply, Stage and Inspect have in common. */
#pragma once

#include "daemon/manager-internal.h"

/* Ends all; called when the manager is freed, after its workers. Their callers are told. */
void requests_cancel(Manager *manager);

/* Whether a build of this patch has been judged and is being written to the disk. */
bool requests_stage(const Manager *manager, const char *patch_id);
