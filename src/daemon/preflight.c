/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Preflight of modules that are handed in or on record: facts on a worker, judgement on the loop. */

#include "common/string-util.h"
#include "daemon/manager-internal.h"
#include "daemon/preflight.h"

void preflight_done(Preflight *preflight) {
        preflight_facts_done(&preflight->facts);
        free(preflight->module.key_id);
        *preflight = (Preflight) {};
}

/* Only where the kernel judges signatures itself. */
static int find_key(int root_fd, const ModuleImage *image, const SignatureReport *signature, char **ret) {
        _cleanup_(trust_store_unrefp) TrustStore *trust = NULL;
        KernelInfo kernel = {};

        if (kernel_info_refresh(root_fd, &kernel) < 0 || kernel.sig_enforce != TRISTATE_YES ||
            trust_store_new(root_fd, &trust, NULL) != 0)
                return 0;
        return kernel_keys_wanted(image, trust, signature, ret);
}

int preflight_add(int root_fd, const ModuleInfo *info, const ModuleImage *image, const SignatureReport *signature,
                  PreflightFacts *facts, PreflightModule *ret) {
        PreflightModule module = { .info = info, .signature = signature, .first = facts->functions.n };
        int r = find_key(root_fd, image, signature, &module.key_id);

        if (r >= 0)
                r = kernel_functions_add(&facts->functions, info->objects, info->n_objects);
        if (r < 0) {
                free(module.key_id);
                return r;
        }
        *ret = module;
        return 0;
}

int preflight_collect(int root_fd, const char *release, const ModuleInfo *info, const ModuleImage *image,
                      const SignatureReport *signature, Preflight *ret) {
        int r;

        if (!info->livepatch || !streq_ptr(info->kernel_release, release))
                return 0;
        r = preflight_add(root_fd, info, image, signature, &ret->facts, &ret->module);
        if (r >= 0)
                r = preflight_facts_collect(root_fd, &ret->facts);
        ret->collected = r >= 0;
        return r;
}

/* What the manager has not heard of yet is not its own either. By the records and not by the state, which during a
 * transition is that of the transition. */
static int list_external(const Manager *manager, const PreflightFacts *facts, char ***ret) {
        for (size_t i = 0; i < facts->patches.n; i++) {
                const char *name = facts->patches.patches[i].name;
                const Patch *patch = manager_patch_by_id(manager, name);
                int r;

                if (patch && patch->record && patch_loaded_is_recorded(patch) != TRISTATE_NO)
                        continue;
                r = strv_append(ret, name);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Of other live patches, by what is on record of the builds that are loaded. */
static int list_installed(const Manager *manager, const PreflightFacts *facts, const char *name, InstalledState **ret,
                          size_t *ret_n) {
        InstalledState *states = NULL;
        size_t n = 0;

        for (size_t i = 0; i < facts->patches.n; i++) {
                const Patch *patch = manager_patch_by_id(manager, facts->patches.patches[i].name);
                InstalledState *grown;

                if (!patch || streq(patch->name, name) || !patch->record || patch->record->n_states == 0 ||
                    patch_loaded_is_recorded(patch) != TRISTATE_YES)
                        continue;
                grown = reallocarray(states, n + patch->record->n_states, sizeof(InstalledState));
                if (!grown) {
                        free(states);
                        return -ENOMEM;
                }
                states = grown;
                for (size_t k = 0; k < patch->record->n_states; k++)
                        states[n++] = (InstalledState) { patch->name, patch->record->states[k] };
        }
        *ret = states;
        *ret_n = n;
        return 0;
}

static Tristate is_loaded(const Manager *manager, const ModuleInfo *info) {
        const Patch *patch = manager_patch_by_id(manager, info->name);

        if (!patch || !patch->module.present || (!patch->module.build_id && !info->build_id))
                return TRISTATE_UNKNOWN;
        return streq_ptr(patch->module.build_id, info->build_id) ? TRISTATE_YES : TRISTATE_NO;
}

int preflight_findings(const Manager *manager, const PreflightFacts *facts, const PreflightModule *module,
                       FindingList *ret) {
        const ModuleInfo *info = module->info;
        _cleanup_strv_free_ char **external = NULL;
        _cleanup_free_ InstalledState *installed = NULL;
        PreflightSubject subject;
        size_t n_installed;
        int r = list_external(manager, facts, &external);

        if (r >= 0)
                r = list_installed(manager, facts, info->name, &installed, &n_installed);
        if (r < 0)
                return r;
        subject = preflight_subject_of_module(info, module->signature, module->key_id);
        subject.is_loaded = is_loaded(manager, info);
        subject.first = module->first;
        subject.installed = installed;
        subject.n_installed = n_installed;
        subject.external = external;
        return preflight_judge(&subject, facts, manager_kernel(manager), ret);
}

int preflight_refuse(const FindingList *findings, const char *name, Failure *f) {
        const Finding *blocker = finding_list_blocker(findings);

        if (!blocker)
                return 0;
        return failure_set(f, blocker->refusal, "'%s' was not loaded, since the kernel would refuse it. %s", name,
                           blocker->text);
}

int preflight_check(const Manager *manager, const Preflight *preflight, Failure *f) {
        _cleanup_(finding_list_done) FindingList findings = {};

        if (!preflight->collected)
                return 0;
        if (preflight_findings(manager, &preflight->facts, &preflight->module, &findings) < 0)
                return failure_oom(f);
        return preflight_refuse(&findings, preflight->module.info->name, f);
}
