/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which patches are to be reapplied: the newest cumulative one, and what was applied after it. */

#include "common/string-util.h"
#include "daemon/reapply.h"
#include "daemon/supersede-internal.h"

/* A rollback is committed, and the manifest does not say so yet. */
static bool is_wished_again(const Manager *manager, const Patch *patch) {
        for (size_t i = 0; i < manager->n_patches; i++) {
                const PatchRecord *record = manager->patches[i]->record;

                for (size_t k = 0; record && record->rolled_back && k < record->n_supersedes; k++)
                        if (record->supersedes[k].reapply && supersede_entry_is_of(&record->supersedes[k], patch))
                                return true;
        }
        return false;
}

bool reapply_wants(const Manager *manager, const Patch *patch) {
        if (!patch->this_kernel || !patch->record || (patch->superseded_by && !patch->replaced_by))
                return false;
        return patch->record->reapply || is_wished_again(manager, patch);
}

/* One that says nothing of itself has shown it by what it replaced. */
static bool is_cumulative(const PatchRecord *record) {
        return record->replace == TRISTATE_YES || record->n_supersedes > 0;
}

/* What is being switched off by somebody else is waited for, and loaded anew. */
bool reapply_is_done(const Patch *patch) {
        return patch->klp && patch->klp->enabled && patch_loaded_is_recorded(patch) != TRISTATE_NO;
}

uint64_t reapply_cumulative_order(const Manager *manager) {
        uint64_t order = 0;

        for (size_t i = 0; i < manager->n_patches; i++) {
                const Patch *patch = manager->patches[i];

                if (patch->record && (patch_is_cumulative_now(patch) ||
                                      (reapply_wants(manager, patch) && is_cumulative(patch->record))))
                        order = MAX(order, patch->record->order);
        }
        return order;
}

int reapply_list(const Manager *manager, char ***ret) {
        uint64_t from = reapply_cumulative_order(manager);

        /* The table is sorted by the order that the records say. */
        for (size_t i = 0; i < manager->n_patches; i++) {
                const Patch *patch = manager->patches[i];
                int r;

                if (!reapply_wants(manager, patch) || reapply_is_done(patch) || patch->job ||
                    patch->record->order < from)
                        continue;
                r = strv_append(ret, patch->id);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- What stands in for a cumulative patch that cannot be applied ------------------------------------------- */

static bool is_wanted_by(const Patch *above, const Patch *patch) {
        for (size_t i = 0; i < above->record->n_supersedes; i++)
                if (above->record->supersedes[i].reapply &&
                    supersede_entry_is_of(&above->record->supersedes[i], patch))
                        return true;
        return false;
}

static bool is_below(const Patch *above, const Patch *patch) {
        if (patch == above || !patch->this_kernel || !patch->record || patch->record->order >= above->record->order)
                return false;
        return patch->record->reapply || is_wanted_by(above, patch);
}

int reapply_list_level_below(const Manager *manager, const Patch *above, char ***ret) {
        uint64_t from = 0;

        if (!is_cumulative(above->record) || above->record->rolled_back)
                return 0;
        for (size_t i = 0; i < manager->n_patches; i++)
                if (is_below(above, manager->patches[i]) && is_cumulative(manager->patches[i]->record))
                        from = MAX(from, manager->patches[i]->record->order);
        for (size_t i = 0; i < manager->n_patches; i++) {
                const Patch *patch = manager->patches[i];
                int r;

                if (!is_below(above, patch) || patch->klp || patch->job || patch->record->order < from)
                        continue;
                r = strv_append(ret, patch->id);
                if (r < 0)
                        return r;
        }
        return 0;
}

bool reapply_stands_in(const Manager *manager, const Patch *patch) {
        for (size_t i = 0; i < manager->n_patches; i++) {
                const Patch *above = manager->patches[i];

                if (reapply_wants(manager, above) && !above->klp && is_cumulative(above->record) &&
                    is_below(above, patch))
                        return true;
        }
        return false;
}
