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
bool reapply_wants(const Manager *manager, const Patch *patch);

/* Or is applied already, or about to be. */
bool reapply_is_done(const Patch *patch);

/* reapply-level.c. The place in the order up to which a cumulative patch, applied or to be reapplied, has taken over:
 * what comes before it would be applied over it. */
uint64_t reapply_cumulative_order(const Manager *manager);
/* The ids of those to be reapplied now, in their order, appended. */
int reapply_list(const Manager *manager, char ***ret);
/* Of those that one which cannot be applied has taken the place of; nothing when it is no cumulative patch. */
int reapply_list_level_below(const Manager *manager, const Patch *above, char ***ret);
/* Whether it is such a one. For this boot: it is not itself wanted. */
bool reapply_stands_in(const Manager *manager, const Patch *patch);
