/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drift: the kernel is not as livepatchd left it, and nobody told livepatchd. */
#pragma once

#include "daemon/manager-internal.h"

/* What is wrong with a patch in this state and what to do about it; *ret NULL: nothing. Pure. */
int drift_describe(const Patch *patch, PatchState state, char **ret);

/* Has the journal know when drift begins and when it ends: once each, also over restarts of the daemon. */
void drift_review(Manager *manager, Patch *patch);
