/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Levels: which patches a cumulative one has taken the place of, and what follows from that.
 *
 * The manifest of the cumulative patch lists what it supersedes, and the one write that makes the patch last (or, for
 * this boot only, is the end of its transition) is the commit point: from then on the listed patches are superseded.
 * Everything else follows, again and again until it is done, after the job as at every start: their modules are
 * unloaded, and they are not reapplied at boot. A rollback is committed by the same manifest, which then says
 * "rolled_back": the listed patches are wanted at boot as before, and the list goes when all their manifests say so.
 *
 * An entry stands for its patch only while that has the order it had then: what is applied or enabled anew gets another
 * one, and is a newer wish. So chains of levels come to an end. */
#pragma once

#include "daemon/manager-internal.h"

/* Derives Patch.superseded_by and replaced_by; returns what changed. And that of all, and tells. */
int supersede_refresh(const Manager *manager, Patch *patch);
void supersede_update(Manager *manager);

/* At the start: puts those that somebody else loaded, and that are listed, into the table. */
int supersede_take_external(Manager *manager);

/* Whether applying it might replace something that is applied now. */
bool supersede_may(const Manager *manager, const Patch *patch, Tristate replace);
/* Lists in the record, which is of a build of the patch, what it would replace, and what it has replaced before. */
int supersede_capture(const Manager *manager, const Patch *patch, PatchRecord *record);
/* After the transition: keeps those in the list that are really gone. Returns 1 when the record has changed. */
int supersede_review(const Manager *manager, PatchRecord *record);

/* Does what is left to be done. done, which may be NULL, is called from the loop, or before this returns if there is
 * nothing to do; what fails is tried again at the next start. */
typedef void (*SupersedeDone)(void *userdata);
void supersede_settle(Manager *manager, SupersedeDone done, void *userdata);
