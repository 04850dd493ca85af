/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Returning to the level before a cumulative patch, without passing through an unpatched state.
 *
 * All files of that level are read, verified and judged first. Then its patches are loaded over the present one, in
 * their order: a cumulative one among them replaces it in one transition, ordinary ones are stacked upon it. Only then
 * is the present one switched off, where it still is on, and unloaded. The commit point comes last: the manifest of the
 * present patch says "rolled_back" (supersede.h). Before that, a boot applies the present level, and after it the
 * former one. When anything fails on the way, the present level is put back as it was.
 *
 * What nobody has confirmed (confirm.h) leaves in the same way, but in any case: as much of the former level comes back
 * as can, and there is nothing to commit, since its record was of this boot only.
 *
 * An earlier process is gone on from: what of the level is applied already is not applied again. */
#pragma once

#include "daemon/manager-internal.h"

typedef struct Rollback Rollback;

/* 0, or why there is nothing to return to. */
int rollback_check(const Manager *manager, const Patch *patch, Failure *f);

/* Runs for the job, and calls job_finish() at the end. */
int rollback_start(Manager *manager, Job *job, Rollback **ret);
Rollback *rollback_free(Rollback *rollback);
DEFINE_CLEANUP(Rollback *, rollback_free)

/* REFUSED_BUSY: too late. */
int rollback_cancel(Rollback *rollback, Failure *f);
void rollback_wake(Rollback *rollback);
