/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be applied on condition, and beside what is: whatever it replaces must be able to come back. */

#include <inttypes.h>

#include "common/string-util.h"
#include "daemon/confirm.h"
#include "daemon/job-internal.h"
#include "kmod/preflight.h"

int confirm_refuse_again(const Patch *patch, Failure *f) {
        return failure_set(f, REFUSED_ALREADY_APPLIED,
                           "'%s' is applied already, and waits for its confirmation. Nothing was changed: it is "
                           "reverted unless 'livepatchctl confirm %s' makes it stay", patch->name, patch->id);
}

/* Its apply is only queued, or has not come to the end of its transition. */
static bool is_being_applied_on_condition(const Patch *patch) {
        return patch->job && patch->job->type == JOB_APPLY && patch->job->options.confirm_within_usec != 0;
}

static bool is_on_condition(const Patch *patch) {
        return patch_is_unconfirmed(patch) || is_being_applied_on_condition(patch);
}

/* What of the others it will have replaced is known at the end of its transition. */
static bool replaces_on_condition(const Patch *patch) {
        if (is_being_applied_on_condition(patch) && patch->job->may_replace)
                return true;
        return is_on_condition(patch) && patch->record && patch->record->transient_boot_id &&
               patch->record->n_supersedes > 0;
}

/* What is applied over it might be lost when the level before it comes back. */
static int check_beside(const Patch *other, const char *name, Failure *f) {
        if (!replaces_on_condition(other))
                return 0;
        return failure_set(f, REFUSED_CONFLICT,
                           "'%s' takes the place of other patches on condition, and until it is confirmed the level "
                           "before it may have to come back, to which '%s' would not belong. Nothing was changed. "
                           "First use 'livepatchctl confirm %s' or 'livepatchctl rollback %s'", other->id,
                           name, other->id, other->id);
}

/* The kernel would not load it over what has changed a state of the system that it does not know, or knows in an older
 * version. */
static int check_states(const Patch *other, const ModuleInfo *info, Failure *f) {
        const PatchRecord *record = other->record;

        for (size_t i = 0; i < info->n_states; i++) {
                const ModuleState *theirs = module_state_find(record->states, record->n_states, info->states[i].id);

                if (module_state_accepts(theirs, record->replace, &info->states[i]))
                        continue;
                return failure_set(f, REFUSED_CONFLICT,
                                   "'%s' changes the system state %" PRIu64 " in a way that '%s', which it would "
                                   "replace, cannot handle, so that '%s' could not come back if nobody confirmed it. "
                                   "Nothing was changed. Apply it without --confirm-within=, or revert '%s' before",
                                   info->name, info->states[i].id, other->id, other->id, other->id);
        }
        return 0;
}

/* One that it would replace, or that it may: kpatch-build and klp-build do not say. */
static int check_replaced(const Patch *other, const ModuleInfo *info, Failure *f) {
        const char *would = info->replace == TRISTATE_YES ? "would" : "may";

        if (is_on_condition(other))
                return failure_set(f, REFUSED_CONFLICT,
                                   "'%s' %s replace '%s', which waits for its confirmation itself. Nothing was "
                                   "changed. First use 'livepatchctl confirm %s', or revert it", info->name, would,
                                   other->id, other->id);
        if (!other->klp)
                return 0;
        if (!other->record || !patch_is_ours(other))
                return failure_set(f, REFUSED_CONFLICT,
                                   "'%s' %s replace '%s', which something other than livepatchd has loaded: there is "
                                   "no file from which it could come back if nobody confirmed this one. Nothing was "
                                   "changed. Take it over with 'livepatchctl adopt %s', revert it, or apply this one "
                                   "without --confirm-within=", info->name, would, other->id, other->id);
        return check_states(other, info, f);
}

int confirm_check_apply(const Manager *manager, const Candidate *candidate, bool on_condition, Failure *f) {
        const ModuleInfo *info = candidate->info;
        int r = 0;

        for (size_t i = 0; i < manager->n_patches && r == 0; i++) {
                const Patch *other = manager->patches[i];

                if (!other->this_kernel || streq(other->name, info->name))
                        continue;
                r = check_beside(other, info->name, f);
                if (r == 0 && on_condition && info->replace != TRISTATE_NO)
                        r = check_replaced(other, info, f);
        }
        return r;
}
