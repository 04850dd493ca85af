/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The patches of a level that is returned to, on their way through verification. */

#include "common/string-util.h"
#include "daemon/policy.h"
#include "daemon/rollback-internal.h"
#include "daemon/supersede-internal.h"

static void item_done(LevelItem *item) {
        safe_close(item->fd);
        candidate_free(item->candidate);
        preflight_done(&item->preflight);
        free(item->patch_id);
        free(item->sha256);
}

void level_done(Level *level) {
        for (size_t i = 0; i < level->n_items; i++)
                item_done(&level->items[i]);
        free(level->items);
        if (level->present.patch_id)
                item_done(&level->present);
        failure_done(&level->left_out);
        failure_done(&level->failure);
        free(level->release);
        *level = (Level) {};
}

/* ---- Whether there is one ---------------------------------------------------------------------------------- */

static int check_applied(const Patch *patch, Failure *f) {
        if (!patch->this_kernel || !patch->klp)
                return failure_set(f, REFUSED_NOT_APPLIED, "'%s' is not applied. Nothing was changed", patch->id);
        if (patch->klp->transition || !patch->klp->enabled)
                return failure_set(f, REFUSED_BUSY,
                                   "'%s' is in transition. Nothing was changed. Try again when that has ended",
                                   patch->id);
        if (!patch->record || !patch_is_ours(patch) || patch->record->n_supersedes == 0)
                return failure_set(f, REFUSED_CONFLICT,
                                   "There is no level before '%s' to return to: it has not taken the place of other "
                                   "patches. Nothing was changed. 'livepatchctl revert %s' takes it out of the kernel",
                                   patch->id, patch->id);
        return 0;
}

static int check_entry(const Manager *manager, const SupersededPatch *entry, Failure *f) {
        const Patch *patch = manager_patch_by_id(manager, entry->name);

        if (!entry->sha256)
                return failure_set(f, REFUSED_CONFLICT,
                                   "The level before this one has the patch '%s', which something other than "
                                   "livepatchd had loaded, and there is no file of it. Nothing was changed. Apply a "
                                   "file of it with livepatchctl, or go on with what you have", entry->name);
        if (!patch || !patch->record || !streq(patch->record->sha256, entry->sha256))
                return failure_set(f, REFUSED_NO_SUCH_PATCH,
                                   "The level before this one has the patch '%s', and that build of it is not staged "
                                   "any more. Nothing was changed. Stage it again, or go on with what you have",
                                   entry->name);
        if (patch_is_quarantined(patch))
                return failure_set(f, REFUSED_QUARANTINED,
                                   "The level before this one has the patch '%s', which is quarantined. Nothing was "
                                   "changed. %s. To let it try again: livepatchctl unquarantine %s", patch->id,
                                   patch_quarantine_reason(patch), patch->id);
        return 0;
}

static bool is_entry_of(const PatchRecord *record, const Patch *patch) {
        for (size_t i = 0; i < record->n_supersedes; i++)
                if (streq(record->supersedes[i].name, patch->name))
                        return true;
        return false;
}

/* A cumulative patch of the former level would replace it, too. */
static int check_above(const Manager *manager, const Patch *patch, Failure *f) {
        for (size_t i = 0; i < manager->n_patches; i++) {
                const Patch *other = manager->patches[i];

                if (other != patch && other->klp && !is_entry_of(patch->record, other))
                        return failure_set(f, REFUSED_CONFLICT,
                                           "'%s' is applied, too, and belongs to no level before '%s'. Nothing was "
                                           "changed. Revert it first: livepatchctl revert %s", other->id, patch->id,
                                           other->id);
        }
        return 0;
}

int rollback_check(const Manager *manager, const Patch *patch, Failure *f) {
        int r = check_applied(patch, f);

        for (size_t i = 0; r == 0 && i < patch->record->n_supersedes; i++)
                r = check_entry(manager, &patch->record->supersedes[i], f);
        return r == 0 ? check_above(manager, patch, f) : r;
}

/* ---- Reading ----------------------------------------------------------------------------------------------- */

/* One that says nothing of itself has shown it by what it replaced. */
static bool is_cumulative(const PatchRecord *record) {
        return record->replace == TRISTATE_YES || record->n_supersedes > 0;
}

static int item_fill(const Manager *manager, const Patch *patch, LevelItem *item, Failure *f) {
        *item = (LevelItem) {
                .patch_id = strdup(patch->id),
                .sha256 = strdup(patch->record->sha256),
                .cumulative = is_cumulative(patch->record),
                .fd = -EBADF,
        };
        if (!item->patch_id || !item->sha256)
                return failure_oom(f);
        item->fd = store_open_module(manager->store, patch->record, f);
        if (item->fd < 0)
                return f->code ?: item->fd;
        item->request = manager_ingest_stored(manager, patch->record, item->fd, item->sha256);
        return 0;
}

static int level_add(const Manager *manager, const Patch *patch, Level *level, Failure *f) {
        LevelItem *grown = reallocarray(level->items, level->n_items + 1, sizeof(LevelItem));
        int r;

        if (!grown)
                return failure_oom(f);
        level->items = grown;
        r = item_fill(manager, patch, &grown[level->n_items], f);
        if (r == 0)
                level->n_items++;
        else
                item_done(&grown[level->n_items]);
        return r;
}

void level_leave_out(Level *level, Failure *why) {
        if (level->left_out.code == 0)
                (void) failure_move(&level->left_out, why);
        failure_done(why);
}

/* Whether the level can do without what has failed. */
static bool does_without(Level *level, int error, Failure *why) {
        if (!level->partly || error == -ENOMEM)
                return false;
        level_leave_out(level, why);
        return true;
}

static int level_take(const Manager *manager, const SupersededPatch *entry, Level *level, bool *replaces, Failure *f) {
        const Patch *patch = manager_patch_by_id(manager, entry->name);
        int r = check_entry(manager, entry, f);

        if (r != 0)
                return r;
        *replaces |= is_cumulative(patch->record);
        return patch->klp && patch->klp->enabled && patch_is_ours(patch) ? 0 : level_add(manager, patch, level, f);
}

int level_list(const Manager *manager, const Patch *patch, bool partly, Level *ret, Failure *f) {
        const PatchRecord *record = patch->record;
        bool replaces = false;
        int r = 0;

        *ret = (Level) { .root_fd = manager->root_fd, .release = strdup(manager->kernel->release), .partly = partly };
        if (!ret->release)
                return failure_oom(f);
        for (size_t i = 0; r == 0 && i < record->n_supersedes; i++) {
                const SupersededPatch *entry = &record->supersedes[i];

                if (partly && !entry->applied)
                        continue;
                r = level_take(manager, entry, ret, &replaces, f);
                if (r != 0 && does_without(ret, r, f))
                        r = 0;
        }
        if (r == 0 && replaces && !partly)
                r = item_fill(manager, patch, &ret->present, f);
        return r;
}

static int item_read(const Level *level, LevelItem *item, Failure *f) {
        _cleanup_failure_ Failure why = {};
        const Candidate *candidate;
        int r = ingest(&item->request, &item->candidate, &why);

        if (r != 0)
                return failure_set(f, r, "The file of '%s' cannot be used: %s", item->patch_id, failure_text(&why));
        candidate = item->candidate;
        r = preflight_collect(level->root_fd, level->release, candidate->info, candidate->image,
                              verified_module_signature(candidate->verified), &item->preflight);
        return r < 0 ? failure_oom(f) : 0;
}

void level_read(Level *level) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < level->n_items; i++) {
                r = item_read(level, &level->items[i], &level->failure);
                if (r == 0 || !does_without(level, r, &level->failure))
                        continue;
                level->items[i].candidate = candidate_free(level->items[i].candidate);
                r = 0;
        }
        if (r == 0 && level->present.patch_id)
                r = item_read(level, &level->present, &level->failure);
        level->failure.code = r;
}

/* Of the patches behind a cumulative one, the kernel's state then is not the one of now. */
static int judge_item(const Manager *manager, const Level *level, size_t i, Failure *f) {
        const LevelItem *item = &level->items[i];
        int r = policy_check_kernel(manager->kernel, f);

        if (r == 0)
                r = policy_check_module(manager->kernel, item->candidate->info, f);
        if (r == 0 && !streq(item->candidate->info->name, item->patch_id))
                r = failure_set(f, REFUSED_MALFORMED_MODULE, "The file of '%s' holds the module '%s'", item->patch_id,
                                item->candidate->info->name);
        if (r == 0 && (i == 0 || !level->items[0].cumulative))
                r = preflight_check(manager, &item->preflight, f);
        return r;
}

int level_judge(const Manager *manager, Level *level, Failure *f) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < level->n_items; i++) {
                if (!level->items[i].candidate)
                        continue;
                r = judge_item(manager, level, i, f);
                if (r == 0 || !does_without(level, r, f))
                        continue;
                level->items[i].candidate = candidate_free(level->items[i].candidate);
                r = 0;
        }
        return r;
}
