/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether one function can be replaced. */

#include "common/string-util.h"
#include "kmod/preflight-internal.h"

static const FindingKind missing = { FINDING_BLOCKER, REFUSED_KERNEL_REFUSED, "function-missing" };
static const FindingKind ambiguous = { FINDING_BLOCKER, REFUSED_KERNEL_REFUSED, "function-ambiguous" };
static const FindingKind maybe_ambiguous = { FINDING_WARNING, 0, "function-ambiguous" };
static const FindingKind not_traceable = { FINDING_BLOCKER, REFUSED_KERNEL_REFUSED, "function-not-traceable" };
static const FindingKind diverted = { FINDING_BLOCKER, REFUSED_CONFLICT, "function-diverted" };
static const FindingKind maybe_diverted = { FINDING_WARNING, 0, "function-diverted" };
static const FindingKind probed = { FINDING_WARNING, 0, "function-probed" };
static const FindingKind trampoline = { FINDING_INFO, 0, "function-traced-directly" };
static const FindingKind stacked = { FINDING_INFO, 0, "function-patched" };
static const FindingKind stacked_on_external = { FINDING_WARNING, 0, "function-patched-by-other" };

/* klp_find_object_symbol() in kernel/livepatch/core.c: without a position the name has to be the only one, with one
 * there have to be as many. Returns 1 when there is nothing more to say about the function. */
static int judge_symbols(Judgement *j, const KernelFunction *facts, const ModuleFunction *function) {
        unsigned n = facts->n_symbols;
        int r;

        if (!j->facts->functions.symbols_known || facts->symbols_unsure)
                return 0;
        if (n == 0) {
                r = judgement_add(j, &missing, facts->object, facts->name,
                                  "The running kernel has no function '%s' in %s, and so refuses the patch. Get a "
                                  "build of the patch for exactly this kernel", facts->name, facts->object);
                return r < 0 ? r : 1;
        }
        if (function->sympos > n) {
                r = judgement_add(j, &missing, facts->object, facts->name,
                                  "The patch replaces the function number %u named '%s' in %s, and the running kernel "
                                  "has only %u. Get a build of the patch for exactly this kernel", function->sympos,
                                  facts->name, facts->object, n);
                return r < 0 ? r : 1;
        }
        if (n == 1 || function->sympos_given || function->sympos > 1)
                return 0;
        return judgement_add(j, j->subject->symbol_positions_known ? &ambiguous : &maybe_ambiguous, facts->object,
                             facts->name,
                             "The running kernel has %u symbols named '%s' in %s, and %s. Get a build of the patch "
                             "that says which", n, facts->name, facts->object,
                             j->subject->symbol_positions_known ? "the patch does not say which it means" :
                                                                  "refuses a patch that does not say which it means");
}

static int judge_traceable(Judgement *j, const KernelFunction *facts) {
        if (!j->facts->functions.traceable_known || facts->traceable || facts->symbols_unsure)
                return 0;
        if (!j->facts->functions.symbols_known)
                return judgement_add(j, &not_traceable, facts->object, facts->name,
                                     "ftrace knows no function '%s' in %s: there is none, or it cannot be traced, and "
                                     "so not be patched. Get a build of the patch for exactly this kernel",
                                     facts->name, facts->object);
        return judgement_add(j, &not_traceable, facts->object, facts->name,
                             "The function '%s' of %s cannot be traced with ftrace, and so not be patched. Get a build "
                             "of the patch that replaces a caller of it instead", facts->name, facts->object);
}

static bool patch_replaces(const KlpPatch *patch, const KernelFunction *f) {
        for (size_t i = 0; i < patch->n_objects; i++) {
                const KlpObject *object = &patch->objects[i];

                for (size_t k = 0; streq(object->name, f->object) && k < object->n_functions; k++)
                        if (streq(object->functions[k].name, f->name))
                                return true;
        }
        return false;
}

/* A live patch that replaces this function, or NULL; one that is not ours if there is one. */
static const KlpPatch *find_live_patch(const Judgement *j, const KernelFunction *f) {
        const KlpPatch *found = NULL;

        for (size_t i = 0; i < j->facts->patches.n; i++) {
                const KlpPatch *patch = &j->facts->patches.patches[i];

                if (patch_replaces(patch, f) && (!found || subject_is_external(j->subject, patch->name)))
                        found = patch;
        }
        return found;
}

static const char *describe_user(const KernelFunction *f) {
        if (streq_ptr(f->user, "kprobe_ftrace_handler") || (!f->user && f->probed))
                return "a kprobe with a post handler";
        return f->user ?: "a user that the kernel does not name";
}

/* Only one user at a time may change where a function goes on (Documentation/trace/ftrace-uses.rst,
 * FTRACE_OPS_FL_IPMODIFY). All patches of a function share livepatch's one (klp_patch_func() in
 * kernel/livepatch/patch.c), and a livepatch that is there already is that user. */
static int judge_users(Judgement *j, const KernelFunction *facts, bool is_patched) {
        /* enabled_functions names the function, not which one of several of the name. */
        bool sure = j->facts->patches_known && j->facts->functions.symbols_known && facts->n_symbols == 1;

        if (!j->facts->functions.users_known || !facts->diverted || facts->diverted_by_klp || is_patched)
                return 0;
        return judgement_add(j, sure ? &diverted : &maybe_diverted, facts->object, facts->name,
                             "The function '%s' of %s is diverted by %s, and ftrace allows only one that does so. Find "
                             "it in /sys/kernel/tracing/enabled_functions and /sys/kernel/debug/kprobes/list, and stop "
                             "it", facts->name, facts->object, describe_user(facts));
}

/* The kernel names BPF's trampolines so (bpf_trampoline_update() in kernel/bpf/trampoline.c). */
static int describe_direct_user(const KernelFunction *f, char **ret) {
        int r;

        if (!f->direct_user)
                r = asprintf(ret, "A BPF program (fentry, fexit) or another direct caller");
        else if (startswith(f->direct_user, "bpf_trampoline_"))
                r = asprintf(ret, "A BPF program (fentry, fexit; %s)", f->direct_user);
        else
                r = asprintf(ret, "The direct caller '%s'", f->direct_user);
        if (r >= 0)
                return 0;
        *ret = NULL;
        return -ENOMEM;
}

static int judge_trampoline(Judgement *j, const KernelFunction *facts) {
        _cleanup_free_ char *user = NULL;

        if (!facts->has_trampoline)
                return 0;
        if (describe_direct_user(facts, &user) < 0)
                return -ENOMEM;
        return judgement_add(j, &trampoline, facts->object, facts->name,
                             "%s is attached to the function '%s' of %s; kernels before 6.0 let only one of it and the "
                             "patch have the function", user, facts->name, facts->object);
}

/* Documentation/livepatch/livepatch.rst, "Limitations"; kprobes in a body that is not run any more are not hit. */
static int judge_tracers(Judgement *j, const KernelFunction *facts) {
        int r = 0;

        if (facts->probed && !facts->diverted)
                r = judgement_add(j, &probed, facts->object, facts->name,
                                  "There are kprobes on the function '%s' of %s: inside of it they are not hit any "
                                  "more while the patch is applied, and a return probe may get in its way",
                                  facts->name, facts->object);
        return r < 0 ? r : judge_trampoline(j, facts);
}

static int judge_stack(Judgement *j, const KernelFunction *facts, const KlpPatch *below) {
        if (!below || streq(below->name, j->subject->name))
                return 0;
        if (subject_is_external(j->subject, below->name))
                return judgement_add(j, &stacked_on_external, facts->object, facts->name,
                                     "The function '%s' of %s is replaced already by the patch '%s', which something "
                                     "other than livepatchd loaded: its change is lost while this patch is applied",
                                     facts->name, facts->object, below->name);
        return judgement_add(j, &stacked, facts->object, facts->name,
                             "The function '%s' of %s is replaced already by the patch '%s'; this one goes on top",
                             facts->name, facts->object, below->name);
}

int judge_function(Judgement *j, const KernelFunction *facts, const ModuleFunction *function) {
        const KlpPatch *below = find_live_patch(j, facts);
        int r = judge_symbols(j, facts, function);

        if (r != 0)
                return MIN(r, 0);
        r = judge_traceable(j, facts);
        if (r >= 0)
                r = judge_users(j, facts, below);
        if (r >= 0)
                r = judge_tracers(j, facts);
        return r < 0 ? r : judge_stack(j, facts, below);
}
