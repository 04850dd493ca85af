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

bool subject_is_external(const PreflightSubject *subject, const char *name);
int judge_function(Judgement *j, const KernelFunction *facts, const ModuleFunction *function);
