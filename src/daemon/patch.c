/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One patch: identity, what the records say, what the kernel says, and the state that follows. */

#include "common/log.h"
#include "common/string-util.h"
#include "daemon/drift.h"
#include "daemon/job.h"
#include "daemon/patch.h"

#define BIT(state) (1U << (state))

/* From each state, the ones that livepatchd itself or a plain administrator's action on the module leads to. */
static const unsigned legal_moves[_PATCH_STATE_MAX] = {
        [PATCH_AVAILABLE] = BIT(PATCH_STAGED) | BIT(PATCH_APPLYING),
        [PATCH_STAGED] = BIT(PATCH_APPLYING) | BIT(PATCH_APPLIED) | BIT(PATCH_FAILED) | BIT(PATCH_QUARANTINED) |
                         BIT(PATCH_AVAILABLE) | BIT(PATCH_SUPERSEDED),
        [PATCH_APPLYING] = BIT(PATCH_APPLIED) | BIT(PATCH_REVERTING) | BIT(PATCH_FAILED) | BIT(PATCH_STAGED) |
                           BIT(PATCH_DISABLED) | BIT(PATCH_EXTERNAL) | BIT(PATCH_QUARANTINED),
        [PATCH_APPLIED] = BIT(PATCH_REVERTING) | BIT(PATCH_SUPERSEDED) | BIT(PATCH_APPLYING),
        [PATCH_REVERTING] = BIT(PATCH_STAGED) | BIT(PATCH_DISABLED) | BIT(PATCH_APPLIED) | BIT(PATCH_APPLYING) |
                            BIT(PATCH_FAILED) | BIT(PATCH_SUPERSEDED) | BIT(PATCH_EXTERNAL) | BIT(PATCH_QUARANTINED),
        [PATCH_DISABLED] = BIT(PATCH_STAGED) | BIT(PATCH_APPLYING) | BIT(PATCH_REVERTING) | BIT(PATCH_SUPERSEDED) |
                           BIT(PATCH_FAILED),
        [PATCH_SUPERSEDED] = BIT(PATCH_STAGED) | BIT(PATCH_APPLYING) | BIT(PATCH_DISABLED) | BIT(PATCH_REVERTING),
        [PATCH_FAILED] = BIT(PATCH_APPLYING) | BIT(PATCH_STAGED) | BIT(PATCH_APPLIED) | BIT(PATCH_QUARANTINED),
        [PATCH_QUARANTINED] = BIT(PATCH_STAGED) | BIT(PATCH_FAILED),
        [PATCH_EXTERNAL] = BIT(PATCH_REVERTING) | BIT(PATCH_APPLYING) | BIT(PATCH_APPLIED) | BIT(PATCH_STAGED) |
                           BIT(PATCH_SUPERSEDED),
};

bool patch_state_move_is_legal(PatchState from, PatchState to) {
        return from == to || (legal_moves[from] & BIT(to));
}

int patch_new(const char *name, const char *kernel_release, bool this_kernel, Patch **ret) {
        _cleanup_(patch_freep) Patch *patch = calloc(1, sizeof(Patch));
        int r;

        if (!patch)
                return -ENOMEM;
        patch->name = strdup(name);
        patch->kernel_release = strdup(kernel_release);
        if (!patch->name || !patch->kernel_release)
                return -ENOMEM;
        r = this_kernel ? asprintf(&patch->id, "%s", name) : asprintf(&patch->id, "%s@%s", name, kernel_release);
        if (r < 0) {
                patch->id = NULL;
                return -ENOMEM;
        }
        patch->this_kernel = this_kernel;
        patch->enabled_watch = -1;
        patch->state = PATCH_STAGED;
        *ret = TAKE_PTR(patch);
        return 0;
}

Patch *patch_free(Patch *patch) {
        if (!patch)
                return NULL;
        patch_record_free(patch->record);
        runtime_record_free(patch->runtime);
        klp_patch_free(patch->klp);
        guard_record_free(patch->guard);
        health_check_free(patch->health);
        kernel_module_done(&patch->module);
        free(patch->drift);
        free(patch->replaced_by);
        strv_free(patch->refused_modules);
        free(patch->superseded_by);
        free(patch->id);
        free(patch->name);
        free(patch->kernel_release);
        free(patch);
        return NULL;
}

Tristate patch_loaded_is_recorded(const Patch *patch) {
        const PatchRecord *record = patch->record;

        if (!record || !patch->module.present || (!record->build_id && !patch->module.build_id))
                return TRISTATE_UNKNOWN;
        /* If only one of them has one, they are not the same: a kernel with CONFIG_KALLSYMS, which CONFIG_LIVEPATCH
         * needs, shows the notes of every module (kernel/module/sysfs.c). */
        return streq_ptr(record->build_id, patch->module.build_id) ? TRISTATE_YES : TRISTATE_NO;
}

bool patch_is_cumulative_now(const Patch *patch) {
        Tristate replace;

        if (!patch->klp || !patch->klp->enabled || patch->klp->transition)
                return false;
        replace = patch->klp->replace;
        /* The attribute exists since 6.11. */
        if (replace == TRISTATE_UNKNOWN && patch->record && patch_loaded_is_recorded(patch) != TRISTATE_NO)
                replace = patch->record->replace;
        return replace == TRISTATE_YES;
}

const GuardRecord *patch_quarantine(const Patch *patch) {
        const PatchRecord *record = patch->record;

        return record ? guard_record_quarantine_of(patch->guard, record->sha256, record->build_id) :
                        guard_record_any_quarantine(patch->guard);
}

const char *patch_quarantine_reason(const Patch *patch) {
        const GuardRecord *quarantine = patch_quarantine(patch);

        return quarantine ? quarantine->reason : NULL;
}

static PatchState state_of_unloaded(const Patch *patch) {
        if (patch_is_quarantined(patch))
                return PATCH_QUARANTINED;
        if (patch->runtime && patch->runtime->failure_text)
                return PATCH_FAILED;
        return patch->superseded_by ? PATCH_SUPERSEDED : PATCH_STAGED;
}

static PatchState state_of_job(const Patch *patch) {
        if (job_type(patch->job) != JOB_REVERT && job_type(patch->job) != JOB_REMOVE)
                return PATCH_APPLYING;
        return patch->klp || patch->module.present ? PATCH_REVERTING : state_of_unloaded(patch);
}

bool patch_is_ours(const Patch *patch) {
        switch (patch_loaded_is_recorded(patch)) {
        case TRISTATE_YES:
                return true;
        case TRISTATE_NO:
                return false;
        case TRISTATE_UNKNOWN:
        case _TRISTATE_MAX:
        case _TRISTATE_INVALID:
                break;
        }
        return patch->record && patch->runtime && (patch->runtime->applied_at != 0 || patch->runtime->pending) &&
               streq_ptr(patch->runtime->sha256, patch->record->sha256);
}

PatchState patch_derive_state(const Patch *patch) {
        if (!patch->this_kernel)
                return patch_is_quarantined(patch) ? PATCH_QUARANTINED : PATCH_STAGED;
        /* A rollback works on several, one after the other: what the kernel says of each is what there is to say. */
        if (patch->job && job_state(patch->job) != JOB_QUEUED && job_type(patch->job) != JOB_ROLLBACK)
                return state_of_job(patch);
        /* Between the end of unpatching and the removal of the directory there is no transition any more. */
        if (patch->klp && (patch->klp->transition || !patch->klp->enabled))
                return patch->klp->enabled ? PATCH_APPLYING : PATCH_REVERTING;
        if (patch->klp)
                return patch_is_ours(patch) ? PATCH_APPLIED : PATCH_EXTERNAL;
        if (patch->module.present)
                return patch->superseded_by ? PATCH_SUPERSEDED : PATCH_DISABLED;
        return state_of_unloaded(patch);
}

int patch_update(Patch *patch) {
        PatchState state = patch_derive_state(patch);
        _cleanup_free_ char *drift = NULL;
        int changed = 0, r;

        r = drift_describe(patch, state, &drift);
        if (r < 0)
                return r;
        if (state != patch->state) {
                if (!patch_state_move_is_legal(patch->state, state))
                        log_debug("Patch '%s' went from %s to %s by something else's doing", patch->id,
                                  patch_state_to_string(patch->state), patch_state_to_string(state));
                patch->state = state;
                changed |= PATCH_CHANGED_STATE;
        }
        if (!streq_ptr(drift, patch->drift)) {
                free(patch->drift);
                patch->drift = TAKE_PTR(drift);
                changed |= PATCH_CHANGED_STATE;
        }
        return changed;
}

static bool functions_equal(const KlpObject *a, const KlpObject *b) {
        if (a->n_functions != b->n_functions)
                return false;
        for (size_t i = 0; i < a->n_functions; i++)
                if (a->functions[i].sympos != b->functions[i].sympos ||
                    !streq(a->functions[i].name, b->functions[i].name))
                        return false;
        return true;
}

static bool objects_equal(const KlpPatch *a, const KlpPatch *b) {
        if (!a || !b)
                return a == b;
        if (a->n_objects != b->n_objects)
                return false;
        for (size_t i = 0; i < a->n_objects; i++)
                if (!streq(a->objects[i].name, b->objects[i].name) ||
                    a->objects[i].patched != b->objects[i].patched || a->objects[i].loaded != b->objects[i].loaded ||
                    !functions_equal(&a->objects[i], &b->objects[i]))
                        return false;
        return true;
}

static bool flags_equal(const KlpPatch *a, const KlpPatch *b) {
        if (!a || !b)
                return a == b;
        return a->enabled == b->enabled && a->transition == b->transition && a->replace == b->replace &&
               a->stack_order == b->stack_order;
}

int patch_refresh(Patch *patch, int root_fd) {
        _cleanup_(klp_patch_freep) KlpPatch *klp = NULL;
        KernelModule module = {};
        int changed = 0, r;

        if (!patch->this_kernel)
                return patch_update(patch);
        r = klp_sysfs_read(root_fd, patch->name, true, &klp);
        if (r < 0 && r != -ENOENT && r != -EOPNOTSUPP)
                return r;
        r = kernel_module_read(root_fd, patch->name, &module);
        if (r < 0)
                return r;
        if (!flags_equal(patch->klp, klp))
                changed |= PATCH_CHANGED_STATE;
        if (!objects_equal(patch->klp, klp))
                changed |= PATCH_CHANGED_OBJECTS;
        klp_patch_free(patch->klp);
        patch->klp = TAKE_PTR(klp);
        kernel_module_done(&patch->module);
        patch->module = module;
        r = patch_update(patch);
        return r < 0 ? r : changed | r;
}

const char *patch_failure_reason(const Patch *patch) {
        bool off = patch->state == PATCH_DISABLED || patch->state == PATCH_SUPERSEDED;

        if (off && !patch->job && patch_is_kept_by_kernel(patch))
                return "It is switched off, but the kernel keeps its module, because its transition was forced or "
                       "something else uses it; until the next reboot it can be neither unloaded nor applied again";
        return patch->runtime ? patch->runtime->failure_text : NULL;
}

bool patch_id_parse(const char *id, char **ret_name, char **ret_release) {
        const char *at = strchr(id, '@');
        _cleanup_free_ char *name = at ? strndup(id, (size_t) (at - id)) : strdup(id);
        _cleanup_free_ char *release = at ? strdup(at + 1) : NULL;

        if (!name || (at && !release) || !module_name_is_valid(name) || (release && !kernel_release_is_valid(release)))
                return false;
        *ret_name = TAKE_PTR(name);
        *ret_release = TAKE_PTR(release);
        return true;
}
