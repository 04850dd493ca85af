/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /sys/kernel/livepatch, on every kernel from 5.10 on (attributes may be missing). */
#pragma once

#include <stdbool.h>

#include "common/failure.h"
#include "common/types.h"
#include "kmod/kernel-module.h" /* what is loaded and what is patched are asked for together */

typedef struct KlpFunction {
        char *name;
        unsigned sympos; /* 1-based, as the kernel shows it */
} KlpFunction;

typedef struct KlpObject {
        char *name;
        Tristate patched; /* UNKNOWN before 6.1 (no attribute) */
        bool loaded;      /* "vmlinux", or /sys/module/<name> is live */
        KlpFunction *functions;
        size_t n_functions;
} KlpObject;

/* One directory below /sys/kernel/livepatch: exists only while the patch is enabled or in transition. */
typedef struct KlpPatch {
        char *name;
        bool enabled;    /* during a transition: its target */
        bool transition; /* at most one in the whole system */
        Tristate replace;     /* since 6.11 */
        unsigned stack_order; /* since 6.14; 0 unknown */
        KlpObject *objects;
        size_t n_objects;
} KlpPatch;

void klp_patch_done(KlpPatch *patch);
KlpPatch *klp_patch_free(KlpPatch *patch);
DEFINE_CLEANUP(KlpPatch *, klp_patch_free)

typedef struct KlpPatchList {
        KlpPatch *patches;
        size_t n;
} KlpPatchList;
void klp_patch_list_done(KlpPatchList *list);

/* All of them, sorted by name; a patch that vanishes while being read is left out. -EOPNOTSUPP when the kernel has no
 * /sys/kernel/livepatch. Without objects when with_objects is false (cheaper: two reads a patch). */
int klp_sysfs_list(int root_fd, bool with_objects, KlpPatchList *ret);

/* -ENOENT when the patch has no directory: disabled, replaced or not loaded. */
int klp_sysfs_read(int root_fd, const char *name, bool with_objects, KlpPatch **ret);

/* Just the two flags, for a follower that asks often. -ENOENT as above. */
int klp_sysfs_read_state(int root_fd, const char *name, bool *ret_enabled, bool *ret_transition);

/* Name of the patch in transition, or *ret = NULL. */
int klp_sysfs_transition_owner(int root_fd, char **ret);

/* Writes `enabled`. Blocks up to seconds (the first pass over all tasks runs inside the write): never on the event
 * loop. During this patch's own transition it reverses it. Errors as kernel.md section 1: -EINVAL value is current,
 * -EBUSY another patch is in transition (REFUSED_BUSY), -ENOENT/-ENODEV it is gone. */
int klp_sysfs_set_enabled(int root_fd, const char *name, bool enabled, Failure *f);

/* Writes `force`: all tasks count as switched, those that still use the code of before included. What the transition
 * switches off keeps its module loaded until the next reboot. REFUSED_NOT_IN_TRANSITION when there is nothing to force.
 * For a worker. */
int klp_sysfs_force_transition(int root_fd, const char *name, Failure *f);
