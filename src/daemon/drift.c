/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drift: the kernel is not as livepatchd left it, and nobody told livepatchd.
 *
 * What was meant to be in force is what livepatchd applied or adopted in this boot and has not reverted since: the
 * runtime record says so, and lasts as long as the kernel's memory does. A patch that is merely to be reapplied at the
 * next boot has not drifted. */

#include <stdio.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/drift.h"
#include "daemon/transaction.h"

static bool is_meant_to_be_in_force(const Patch *patch) {
        return patch->record && patch_applied_at(patch) != 0;
}

/* What is of this boot only is left alone by "reapply". */
static int describe_way_back(const Patch *patch, char **ret) {
        int r = patch->record->reapply ?
                        asprintf(ret, "'livepatchctl reapply' applies it again") :
                        asprintf(ret, "'livepatchctl apply --runtime %s' applies it again", patch->name);

        if (r < 0)
                *ret = NULL;
        return r < 0 ? -ENOMEM : 0;
}

static int describe_other_build(const Patch *patch, char **ret) {
        return asprintf(ret,
                        "Another build of this patch is loaded than the one on record (build-id %s instead of %s): "
                        "something other than livepatchd loaded it. 'livepatchctl revert %s' and then 'livepatchctl "
                        "apply %s' has the one on record in force; 'livepatchctl adopt %s' keeps the other one",
                        patch->module.build_id ?: "unknown", patch->record->build_id ?: "unknown", patch->name,
                        patch->name, patch->name);
}

/* The kernel tells which patch replaces others since 6.11 (the attribute "replace"); before, it can only be said which
 * one may have. */
static int describe_loss(const Patch *patch, PatchState state, const char *back, char **ret) {
        if (state == PATCH_REVERTING)
                return asprintf(ret, "Something other than livepatchd is switching it off. When that has ended, %s",
                                back);
        if (!patch->module.present)
                return asprintf(ret,
                                "It was applied in this boot, and something other than livepatchd has unloaded it "
                                "since. %s", back);
        if (state == PATCH_SUPERSEDED)
                return asprintf(ret,
                                "The cumulative patch '%s', which something other than livepatchd loaded, has replaced "
                                "it. %s on top of that; 'livepatchctl adopt %s' and 'livepatchctl remove %s' accepts "
                                "the change", patch->replaced_by, back, patch->replaced_by, patch->name);
        if (patch->replaced_by)
                return asprintf(ret,
                                "It was switched off, or replaced by '%s', by something other than livepatchd, and its "
                                "functions may run unpatched. %s: the module is unloaded and loaded anew",
                                patch->replaced_by, back);
        return asprintf(ret,
                        "It was switched off by something other than livepatchd, and its functions run unpatched. %s: "
                        "the module is unloaded and loaded anew", back);
}

/* On x86, a module that was patched once cannot be patched anew after it was unloaded, if the patch has relocations for
 * it, before 6.3 (clear_relocate_add() of arch/x86/kernel/module.c, which is what that release added). */
static bool kernel_is_before_6_3(const char *release) {
        unsigned major, minor;

        return sscanf(release, "%u.%u", &major, &minor) == 2 && (major < 6 || (major == 6 && minor < 3));
}

static int describe_refused_module(const Patch *patch, char **ret) {
        const char *module = patch->refused_modules[0];

        return asprintf(ret,
                        "The kernel refuses to load module '%s' because this patch cannot be applied to it. "
                        "'livepatchctl revert %s' takes the patch out, and then the module can be loaded; a build of "
                        "the patch that fits the module mends both%s", module, patch->name,
                        kernel_is_before_6_3(patch->kernel_release) ?
                                ". If the module was loaded and patched before: kernels before 6.3 on x86 cannot patch "
                                "some modules a second time, and only a reboot helps" : "");
}

static bool is_lost(const Patch *patch, PatchState state) {
        switch (state) {
        case PATCH_REVERTING:
                /* Without a transition of its own, a cumulative patch has replaced it, and the kernel cleans up. */
                return patch_in_transition(patch);
        case PATCH_DISABLED:
        case PATCH_STAGED:
        case PATCH_FAILED:
                return true;
        case PATCH_SUPERSEDED:
                return patch->replaced_by != NULL;
        case PATCH_AVAILABLE:
        case PATCH_APPLYING:
        case PATCH_APPLIED:
        case PATCH_QUARANTINED:
        case PATCH_EXTERNAL:
        case _PATCH_STATE_MAX:
        case _PATCH_STATE_INVALID:
                break;
        }
        return false;
}

static bool drift_is_refused_module(const Patch *patch) {
        return patch->klp && patch->klp->enabled && patch->refused_modules && patch->refused_modules[0];
}

int drift_describe(const Patch *patch, PatchState state, char **ret) {
        _cleanup_free_ char *back = NULL;
        char *text = NULL;
        int r = 0;

        *ret = NULL;
        if (!patch->this_kernel || patch->job)
                return 0;
        if (drift_is_refused_module(patch))
                r = describe_refused_module(patch, &text);
        else if (!patch->record)
                return 0;
        else if (patch_loaded_is_recorded(patch) == TRISTATE_NO)
                r = describe_other_build(patch, &text);
        else if (is_meant_to_be_in_force(patch) && is_lost(patch, state)) {
                if (describe_way_back(patch, &back) < 0)
                        return -ENOMEM;
                r = describe_loss(patch, state, back, &text);
        }
        if (r < 0)
                return -ENOMEM;
        *ret = text;
        return 0;
}

/* ---- In the journal ---------------------------------------------------------------------------------------- */

static void on_noted(void *userdata _unused_, Transaction *transaction) {
        if (transaction->failure.code != 0)
                log_debug("Failed to note the drift of '%s', ignoring: %s", transaction->name,
                          failure_text(&transaction->failure));
}

static int copy_runtime(const Patch *patch, RuntimeRecord **ret) {
        _cleanup_(runtime_record_freep) RuntimeRecord *runtime = NULL;
        int r = patch->runtime ? runtime_record_copy(patch->runtime, &runtime) :
                                 runtime_record_new(patch->name, &runtime);

        if (r < 0)
                return r;
        r = free_and_strdup(&runtime->drift, patch->drift);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(runtime);
        return 0;
}

/* Which text the journal has, so that the next process does not repeat it. */
static void note(Manager *manager, Patch *patch) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        RuntimeRecord *runtime = NULL;
        int r = transaction_new(manager, patch->name, patch->kernel_release, &transaction);

        if (r >= 0)
                r = copy_runtime(patch, &transaction->runtime_after);
        if (r >= 0)
                r = copy_runtime(patch, &runtime);
        if (r >= 0) {
                runtime_record_free(patch->runtime);
                patch->runtime = runtime;
                r = transaction_submit(TAKE_PTR(transaction), on_noted, NULL);
        }
        if (r < 0)
                log_debug_errno(r, "Failed to note the drift of '%s', ignoring: %m", patch->id);
}

void drift_review(Manager *manager, Patch *patch) {
        const char *noted = patch->runtime ? patch->runtime->drift : NULL;
        LogField fields[] = {
                { LP_FIELD_PATCH, patch->name },
                { LP_FIELD_OPERATION, "watch" },
                { LP_FIELD_KERNEL, patch->kernel_release },
                { LP_FIELD_SHA256, patch->record ? patch->record->sha256 : NULL },
                {},
        };

        /* While a job works on it, the job tells. */
        if (!manager->started || manager->stopping || patch->job || streq_ptr(noted, patch->drift))
                return;
        if (patch->drift && drift_is_refused_module(patch))
                log_event(LOG_ERR, LP_MESSAGE_MODULE_REFUSED, fields, "'%s': %s", patch->name, patch->drift);
        else if (patch->drift)
                log_event(LOG_WARNING, LP_MESSAGE_DRIFT, fields, "'%s' is not as it was left: %s", patch->name,
                          patch->drift);
        else
                log_event(LOG_NOTICE, LP_MESSAGE_DRIFT_ENDED, fields, "'%s' is again as it should be", patch->name);
        note(manager, patch);
}
