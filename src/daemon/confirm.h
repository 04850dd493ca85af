/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commit-confirm: what was applied on condition is reverted when nobody confirms it in time. */
#pragma once

#include "daemon/manager-internal.h"

/* Shorter nobody could confirm, and longer nobody waits. */
#define CONFIRM_WITHIN_MIN_USEC USEC_PER_SEC
#define CONFIRM_WITHIN_MAX_USEC (7 * 24 * 3600 * USEC_PER_SEC)

/* The transition is complete: the time begins to run. within_usec 0: no condition. */
void confirm_begin(RuntimeRecord *runtime, uint64_t within_usec, bool for_this_boot);
/* What the patch waits for stays as it is in its next runtime record. */
void confirm_carry_over(RuntimeRecord *runtime, const RuntimeRecord *before);
/* The record of a patch whose time is over, and that is not applied any more. */
int confirm_note_expired(RuntimeRecord *runtime, const char *patch_id);

/* Whether its own apply has taken the place of others, which come back with its end. */
bool confirm_has_superseded(const Patch *patch);

/* confirm-check.c: may this be applied, on condition or without, as things are now? */
int confirm_check_apply(const Manager *manager, const Candidate *candidate, bool on_condition, Failure *f);
/* The answer to whoever applies once more what waits for its confirmation. */
int confirm_refuse_again(const Patch *patch, Failure *f);

int manager_init_confirm(Manager *manager);
/* Looks again when the next one's time is over. */
void manager_schedule_confirm(Manager *manager);
bool manager_has_unconfirmed(const Manager *manager);
