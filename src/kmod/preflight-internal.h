/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the judgement share. */
#pragma once

#include "kmod/preflight.h"

typedef struct Judgement {
        const PreflightSubject *subject;
        const PreflightFacts *facts;
        const KernelInfo *kernel;
        FindingList list;
} Judgement;

typedef struct FindingKind {
        FindingSeverity severity;
        int refusal;
        const char *code;
} FindingKind;

/* function may be NULL. */
int judgement_add(Judgement *j, const FindingKind *kind, const char *object, const char *function, const char *format,
                  ...) _printf_(5, 6);

/* "a, b"; NULL when out of memory. */
char *join_names(char *const *list);

/* preflight-patches.c */
bool subject_is_external(const PreflightSubject *subject, const char *name);
int judge_name(Judgement *j);
int judge_transition(Judgement *j);
int judge_replace(Judgement *j);

/* preflight-states.c */
int judge_states(Judgement *j);

/* preflight-function.c */
int judge_function(Judgement *j, const KernelFunction *facts, const ModuleFunction *function);
