/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One patch: identity, what the records say, what the kernel says, and the state that follows. */
#pragma once

#include <stdbool.h>

#include "common/types.h"
#include "daemon/guard.h"
#include "daemon/health.h"
#include "daemon/record.h"
#include "kmod/klp-sysfs.h"

typedef struct Job Job;

/* Groups of properties, for change notification. */
typedef enum PatchChange {
        PATCH_CHANGED_STATE = 1 << 0,   /* State, Drift, FailureReason, AppliedAt, AppliedBy, Replace, StackOrder,
                                         * Supersedes, SupersededBy */
        PATCH_CHANGED_OBJECTS = 1 << 1, /* Objects, ObjectsKnown */
        PATCH_CHANGED_REAPPLY = 1 << 2,
        PATCH_CHANGED_BUILD = 1 << 3,   /* everything that the module itself says, signature and origin included */
        _PATCH_CHANGED_ALL = (1 << 4) - 1,
} PatchChange;

/* Owned by the manager's table. Others read it and keep no pointer across a return to the event loop: they look it up
 * again by id. */
typedef struct Patch {
        char *id; /* the name, or NAME@RELEASE when it is for another kernel: unique */
        char *name;
        char *kernel_release;
        bool this_kernel;

        PatchRecord *record;    /* NULL: external, or the vendor's and not decided about yet */
        RuntimeRecord *runtime; /* NULL: nothing happened in this boot */
        KlpPatch *klp;          /* NULL: no directory in sysfs (disabled, replaced, not loaded) */
        KernelModule module;
        Job *job;        /* the job that works on it, or NULL */
        GuardRecord *guard;      /* NULL: the crash guard knows nothing of it */
        bool guard_step_pending; /* a change of that is on its way to the disk */
        HealthCheck *health;     /* NULL: none was begun since it was loaded */
        bool revert_tried;       /* because it is quarantined, and is or was loaded all the same */
        unsigned n_wishes;       /* SetReapply on its way to the disk */
        bool confirming;         /* its confirmation is on its way to the disk */
        uint64_t confirm_again_at; /* CLOCK_BOOTTIME: not reverted once more before that */
        char *superseded_by; /* id of the patch that has taken its place (supersede.h), or NULL */
        char *replaced_by;   /* a patch of somebody else that has replaced it or, where the kernel does not tell, may */
        char **refused_modules; /* the kernel does not load them because of this patch, which is in force */
        int enabled_watch;   /* the manager's; -1: none */

        PatchState state;
        char *drift; /* NULL, or what is wrong and what to do */
} Patch;

int patch_new(const char *name, const char *kernel_release, bool this_kernel, Patch **ret);
Patch *patch_free(Patch *patch);
DEFINE_CLEANUP(Patch *, patch_free)

/* Reads the kernel's side again (a few small files). Returns what changed (PatchChange bits), or negative errno. */
int patch_refresh(Patch *patch, int root_fd);

/* Derives state and drift again after a field was set; returns what changed. */
int patch_update(Patch *patch);

/* The state that follows from all fields: pure. */
PatchState patch_derive_state(const Patch *patch);

/* The table of legal moves. An illegal one means that somebody else acts on the kernel, and is logged, not refused. */
bool patch_state_move_is_legal(PatchState from, PatchState to);

/* Whether the loaded module is the recorded build, by build-id; UNKNOWN when neither has one. */
Tristate patch_loaded_is_recorded(const Patch *patch);

/* Whether livepatchd loaded what is loaded. Never by its name alone: without build-ids, by what was noted then. */
bool patch_is_ours(const Patch *patch);

static inline bool patch_is_loaded(const Patch *patch) {
        return patch->module.present;
}
/* Switched off, and the kernel keeps its module: its transition was forced, or something else uses it. */
static inline bool patch_is_kept_by_kernel(const Patch *patch) {
        return !patch->klp && patch->module.present && patch->module.refcnt > 0;
}
/* Why it could not be applied, or why it is still loaded; NULL: nothing is wrong. */
const char *patch_failure_reason(const Patch *patch);
static inline bool patch_in_transition(const Patch *patch) {
        return patch->klp && patch->klp->transition;
}

/* The build on record, or one that was forgotten with the boot that it took down, must not be loaded: why; or NULL. */
const GuardRecord *patch_quarantine(const Patch *patch);
static inline bool patch_is_quarantined(const Patch *patch) {
        return patch_quarantine(patch) != NULL;
}
/* NULL when it is not. */
const char *patch_quarantine_reason(const Patch *patch);

/* It is applied, completely, and has replaced what was applied before it. */
bool patch_is_cumulative_now(const Patch *patch);

/* Microseconds since the epoch, 0; uid, UID_UNKNOWN. */
static inline uint64_t patch_applied_at(const Patch *patch) {
        return patch->runtime ? patch->runtime->applied_at : 0;
}
static inline uid_t patch_applied_by(const Patch *patch) {
        return patch->runtime ? patch->runtime->applied_by : UID_UNKNOWN;
}

/* Applied on condition: reverted unless somebody confirms it. */
static inline bool patch_is_unconfirmed(const Patch *patch) {
        return patch->runtime && patch->runtime->confirm_within != 0;
}

bool patch_id_parse(const char *id, char **ret_name, char **ret_release); /* release NULL: this kernel */
