/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands in the way of a patch in the running kernel, found out before the kernel is touched.
 *
 * In two steps: facts are collected, which blocks for tens of milliseconds and wants privileges; the judgement over
 * them is pure. What cannot be found out never counts against a patch: the kernel still judges it when it is loaded. */
#pragma once

#include "kmod/kernel-functions.h"
#include "kmod/kernel-info.h"
#include "kmod/kernel-keys.h"
#include "kmod/klp-sysfs.h"

typedef enum FindingSeverity {
        FINDING_BLOCKER, /* the kernel will certainly refuse the patch as things are */
        FINDING_WARNING,
        FINDING_INFO,
        _FINDING_SEVERITY_MAX,
} FindingSeverity;

const char *finding_severity_to_string(FindingSeverity severity) _const_;

typedef struct Finding {
        FindingSeverity severity;
        int refusal;      /* of a blocker */
        const char *code; /* static; org.livepatch(5) lists them */
        char *object;     /* NULL unless it is about one */
        char *function;   /* NULL unless it is about one */
        char *text;       /* without a period at its end */
} Finding;

typedef struct FindingList {
        Finding *findings;
        size_t n;
} FindingList;

void finding_list_done(FindingList *list);

/* The first blocker, or NULL. */
const Finding *finding_list_blocker(const FindingList *list);

typedef struct PreflightFacts {
        KernelFunctions functions; /* filled with those to ask about by kernel_functions_add() */
        KernelKeys keys;
        KlpPatchList patches; /* what is live in the kernel, whoever loaded it */
        bool patches_known;
} PreflightFacts;

void preflight_facts_done(PreflightFacts *facts);

/* Fails only when out of memory. */
int preflight_facts_collect(int root_fd, PreflightFacts *facts);

/* Of a live patch. */
typedef struct InstalledState {
        const char *patch;
        ModuleState state;
} InstalledState;

/* A patch that would be applied. All is borrowed. */
typedef struct PreflightSubject {
        const char *name;
        const ModuleObject *objects;
        size_t n_objects;
        bool objects_known;
        bool symbol_positions_known; /* ModuleFunction.sympos_given tells the truth */
        Tristate replace;
        SignatureStatus signature_status;
        const char *signer;
        const char *key_id;      /* the key that the kernel must know (kernel_keys_wanted()), or NULL */
        Tristate is_loaded;      /* the loaded module of its name is this build; unknown also when there is none */
        size_t first;            /* where its functions begin in facts->functions */
        bool states_known;
        const ModuleState *states;
        size_t n_states;
        const InstalledState *installed; /* those that are known of, of the other live patches */
        size_t n_installed;
        char *const *external;   /* names of live patches that are not ours; NULL-terminated, or NULL */
} PreflightSubject;

/* klp_get_state(): the first one of the id, or NULL. */
const ModuleState *module_state_find(const ModuleState *states, size_t n, uint64_t id) _pure_;
/* klp_is_state_compatible(), both in kernel/livepatch/state.c: whether a patch may be loaded over one that has changed
 * the system as installed says. mine: the patch's own state of that id; NULL: it has none. */
bool module_state_accepts(const ModuleState *mine, Tristate replace, const ModuleState *installed) _pure_;

/* What a module and its signature say of the subject; the rest is left empty. Borrows from both and from key_id. */
PreflightSubject preflight_subject_of_module(const ModuleInfo *info, const SignatureReport *signature,
                                             const char *key_id);

/* Blockers come first, then warnings. Fails only when out of memory. */
int preflight_judge(const PreflightSubject *subject, const PreflightFacts *facts, const KernelInfo *kernel,
                    FindingList *ret);
