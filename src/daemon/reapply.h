/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Applying everything that is to be reapplied, one after the other, whatever happens to any of them. */
#pragma once

#include "daemon/manager-internal.h"

typedef struct Reapply Reapply;

/* Runs for the job, and calls job_finish() when all have been tried. */
int reapply_start(Manager *manager, Job *job, Reapply **ret);
Reapply *reapply_free(Reapply *reapply);
DEFINE_CLEANUP(Reapply *, reapply_free)

/* Ends with the patch that is being applied. */
int reapply_cancel(Reapply *reapply, Failure *f);
/* Gives up the patch that is being applied, and goes on with the next one. */
void reapply_cancel_current(Reapply *reapply);
void reapply_wake(Reapply *reapply);

/* Whether it is one of those that are reapplied. */
bool reapply_wants(const Patch *patch);

/* The place in the order up to which a cumulative patch that is applied has taken over: what comes before it would be
 * applied over it. */
uint64_t reapply_cumulative_order(const Manager *manager);
