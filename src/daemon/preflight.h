/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Preflight of modules that are handed in or on record: facts on a worker, judgement on the loop. */
#pragma once

#include "daemon/manager.h"
#include "kmod/preflight.h"

/* What is to be known of one module besides what it says itself. */
typedef struct PreflightModule {
        const ModuleInfo *info;           /* borrowed */
        const SignatureReport *signature; /* borrowed */
        char *key_id;
        size_t first; /* of its functions in the facts */
} PreflightModule;

typedef struct Preflight {
        PreflightFacts facts;
        PreflightModule module; /* of a preflight of one */
        bool collected;
} Preflight;

void preflight_done(Preflight *preflight);

/* Adds the module's functions to those to be asked about. Reads trust anchors where the kernel judges signatures. All
 * three block, are for workers, and fail only when out of memory. */
int preflight_add(int root_fd, const ModuleInfo *info, const ModuleImage *image, const SignatureReport *signature,
                  PreflightFacts *facts, PreflightModule *ret);
/* The same of one module, and the facts about it; nothing if it is not for this kernel, of which they would be. */
int preflight_collect(int root_fd, const char *release, const ModuleInfo *info, const ModuleImage *image,
                      const SignatureReport *signature, Preflight *ret);

/* Judges by the kernel's facts and the patches of now. */
int preflight_findings(const Manager *manager, const PreflightFacts *facts, const PreflightModule *module,
                       FindingList *ret);

/* 0, or the refusal that the first blocker is. */
int preflight_refuse(const FindingList *findings, const char *name, Failure *f);

/* Both in one, for a module that is about to be applied. */
int preflight_check(const Manager *manager, const Preflight *preflight, Failure *f);
