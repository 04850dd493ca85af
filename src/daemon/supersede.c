/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Levels: which patches a cumulative one has taken the place of. */

#include <string.h>

#include "common/string-util.h"
#include "daemon/record-level.h"
#include "daemon/supersede-internal.h"

bool supersede_entry_is_of(const SupersededPatch *entry, const Patch *patch) {
        if (!patch->this_kernel || !streq(entry->name, patch->name))
                return false;
        if (!entry->sha256)
                return !patch->record && patch->module.present;
        return patch->record && patch->record->order == entry->order && streq(patch->record->sha256, entry->sha256);
}

static bool is_listed(const PatchRecord *record, const Patch *patch) {
        for (size_t i = 0; i < record->n_supersedes; i++)
                if (supersede_entry_is_of(&record->supersedes[i], patch) &&
                    (!patch->record || record->order > patch->record->order))
                        return true;
        return false;
}

static bool is_applied(const Patch *patch) {
        return patch->klp && patch->klp->enabled && !patch->klp->transition;
}

static bool is_in_force(const Patch *patch) {
        return is_applied(patch) || (patch->record->reapply && !patch->record->transient_boot_id);
}

/* The orders grow from one to the next. */
const Patch *supersede_by_record(const Manager *manager, const Patch *patch) {
        for (size_t i = 0; i < manager->n_patches; i++) {
                const Patch *other = manager->patches[i];

                if (other == patch || !other->this_kernel || !other->record || other->record->rolled_back ||
                    !is_listed(other->record, patch))
                        continue;
                if (is_in_force(other) || supersede_by_record(manager, other))
                        return other;
        }
        return NULL;
}

/* A cumulative patch of the kernel's present state. Ours rather than somebody else's. */
static const Patch *find_cumulative(const Manager *manager, const Patch *except) {
        const Patch *found = NULL;

        for (size_t i = 0; i < manager->n_patches; i++) {
                const Patch *patch = manager->patches[i];

                if (patch != except && patch_is_cumulative_now(patch) && (!found || found->state == PATCH_EXTERNAL))
                        found = patch;
        }
        return found;
}

/* Somebody else's patch of which the kernel does not say whether it replaces others. */
static const Patch *find_possible_cumulative(const Manager *manager) {
        for (size_t i = 0; i < manager->n_patches; i++) {
                const Patch *patch = manager->patches[i];

                if (patch->state == PATCH_EXTERNAL && patch->klp && patch->klp->replace == TRISTATE_UNKNOWN)
                        return patch;
        }
        return NULL;
}

/* *ret_stranger: somebody else's that has replaced it or may have; nobody has a list of that. */
static const Patch *find_superseder(const Manager *manager, const Patch *patch, const Patch **ret_stranger) {
        const Patch *by;

        *ret_stranger = NULL;
        if (!patch->this_kernel || patch->klp)
                return NULL;
        by = supersede_by_record(manager, patch);
        if (by || !patch->module.present || patch_applied_at(patch) == 0)
                return by;
        by = find_cumulative(manager, patch);
        if (!by)
                *ret_stranger = find_possible_cumulative(manager);
        else if (by->state == PATCH_EXTERNAL)
                *ret_stranger = by;
        return by;
}

int supersede_refresh(const Manager *manager, Patch *patch) {
        const Patch *stranger, *by = find_superseder(manager, patch, &stranger);
        const char *by_id = by ? by->id : NULL, *name = stranger ? stranger->name : NULL;
        int r;

        if (streq_ptr(by_id, patch->superseded_by) && streq_ptr(name, patch->replaced_by))
                return 0;
        r = free_and_strdup(&patch->superseded_by, by_id);
        if (r >= 0)
                r = free_and_strdup(&patch->replaced_by, name);
        if (r >= 0)
                r = patch_update(patch);
        return r < 0 ? 0 : r | PATCH_CHANGED_STATE;
}

void supersede_update(Manager *manager) {
        for (size_t i = 0; i < manager->n_patches; i++)
                manager_notify_patch(manager, manager->patches[i], supersede_refresh(manager, manager->patches[i]));
}

/* Without a directory in /sys/kernel/livepatch and without a record, only the list tells of somebody else's. */
static int list_external(const Manager *manager, char ***ret) {
        for (size_t i = 0; i < manager->n_patches; i++) {
                const Patch *patch = manager->patches[i];

                for (size_t k = 0; patch->this_kernel && patch->record && k < patch->record->n_supersedes; k++) {
                        const SupersededPatch *entry = &patch->record->supersedes[k];
                        _cleanup_(kernel_module_done) KernelModule module = {};
                        int r;

                        if (entry->sha256 || kernel_module_read(manager->root_fd, entry->name, &module) < 0 ||
                            !module.present)
                                continue;
                        r = strv_append(ret, entry->name);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int supersede_take_external(Manager *manager) {
        _cleanup_strv_free_ char **names = NULL;
        int r = list_external(manager, &names);

        for (char **name = names; r >= 0 && name && *name; name++) {
                Patch *patch;

                r = manager_make_patch(manager, *name, manager->kernel->release, &patch);
        }
        return r;
}

/* ---- The list ---------------------------------------------------------------------------------------------- */

bool supersede_may(const Manager *manager, const Patch *patch, Tristate replace) {
        for (size_t i = 0; i < manager->n_patches && replace != TRISTATE_NO; i++)
                if (manager->patches[i] != patch && is_applied(manager->patches[i]))
                        return true;
        return false;
}

static const SupersededPatch *find_entry(const PatchRecord *record, const char *name) {
        for (size_t i = 0; record && i < record->n_supersedes; i++)
                if (streq(record->supersedes[i].name, name))
                        return &record->supersedes[i];
        return NULL;
}

static int compare_entries(const void *a, const void *b) {
        const SupersededPatch *x = a, *y = b;

        if (x->order != y->order)
                return x->order < y->order ? -1 : 1;
        return strcmp(x->name, y->name);
}

/* before: the list so far. A patch that stood in for this one, which could not be reapplied at boot, is in it. */
static int add_applied(const Patch *patch, const PatchRecord *before, PatchRecord *record) {
        const SupersededPatch *entry = find_entry(before, patch->name);
        bool ours = patch->record && patch_is_ours(patch);
        SupersededPatch new = { .name = patch->name, .applied = true };

        if (ours) {
                new.sha256 = patch->record->sha256;
                new.order = patch->record->order;
                new.reapply = patch->record->reapply && !patch->record->transient_boot_id;
                if (entry && supersede_entry_is_of(entry, patch))
                        new.reapply |= entry->reapply;
        }
        return superseded_list_append(&record->supersedes, &record->n_supersedes, &new);
}

/* What was superseded before is below this one, too. If that was for this boot only, and this one is loaded once more,
 * it is what was in force just before. */
static int add_former(const PatchRecord *before, const SupersededPatch *entry, PatchRecord *record) {
        SupersededPatch new = *entry; /* shares its strings */

        new.applied = entry->applied && before->transient_boot_id;
        return superseded_list_append(&record->supersedes, &record->n_supersedes, &new);
}

int supersede_capture(const Manager *manager, const Patch *patch, PatchRecord *record) {
        const PatchRecord *before = patch->record;
        int r = 0;

        if (before && (before->rolled_back || !streq(before->sha256, record->sha256)))
                before = NULL;
        record_clear_level(record);
        for (size_t i = 0; i < manager->n_patches && r >= 0; i++)
                if (manager->patches[i] != patch && is_applied(manager->patches[i]))
                        r = add_applied(manager->patches[i], before, record);
        for (size_t i = 0; before && i < before->n_supersedes && r >= 0; i++)
                if (!find_entry(record, before->supersedes[i].name))
                        r = add_former(before, &before->supersedes[i], record);
        if (r < 0 || record->n_supersedes == 0)
                return r;
        qsort(record->supersedes, record->n_supersedes, sizeof(SupersededPatch), compare_entries);
        /* It comes after what it takes the place of. */
        if (record->order <= record->supersedes[record->n_supersedes - 1].order)
                record->order = manager_next_order(manager);
        return 0;
}

/* Whether it is a cumulative patch is seen from this, too: only sysfs of 6.11 and later says so of all. */
int supersede_review(const Manager *manager, PatchRecord *record) {
        size_t n = 0, before = record->n_supersedes;
        uint64_t order = 0;

        for (size_t i = 0; i < before; i++) {
                SupersededPatch *entry = &record->supersedes[i];
                const Patch *patch = manager_patch_by_id(manager, entry->name);

                if (patch && patch->klp) {
                        free(entry->name);
                        free(entry->sha256);
                        continue;
                }
                order = MAX(order, entry->order);
                record->supersedes[n++] = *entry;
        }
        record->n_supersedes = n;
        /* It comes after what it takes the place of. */
        if (n == 0 || record->order > order)
                return n != before;
        record->order = manager_next_order(manager);
        return 1;
}
