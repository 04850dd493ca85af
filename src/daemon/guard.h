/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The crash guard: what is on disk about a build while it is loaded and settles, and what follows after a crash.
 *
 *     loading -> settling -> proven          written before the load, after it, and when SettleTimeSec= is over
 *        |          |
 *        +----------+--> quarantined         the machine went down meanwhile, as a later boot finds; or it is not
 *                                            healthy (health.h)
 *
 * A record that names another boot than the running one, and is armed (loading or settling), is the trace of a machine
 * that went down, unless that boot is known to have ended cleanly. */
#pragma once

#include <stdbool.h>

#include "common/failure.h"

typedef enum GuardPhase {
        GUARD_LOADING,  /* in the kernel's hands */
        GUARD_SETTLING, /* loaded; in transition, or watched after it */
        GUARD_PROVEN,
        GUARD_QUARANTINED,
        _GUARD_PHASE_MAX,
        _GUARD_PHASE_INVALID = -EINVAL,
} GuardPhase;
const char *guard_phase_to_string(GuardPhase phase) _const_;
GuardPhase guard_phase_from_string(const char *s) _pure_;

/* One build of one patch: var/lib/livepatch/guard/<release>/<name>.json. Strings owned. */
typedef struct GuardRecord {
        char *name;
        char *kernel_release;
        char *sha256;
        char *build_id; /* NULL: it has none */
        char *boot_id;  /* in which it was armed */
        GuardPhase phase;
        bool proven;             /* this build has settled once */
        unsigned crashes;        /* consecutive ones while a proven build settled */
        uint64_t armed_at;       /* CLOCK_REALTIME, microseconds */
        uint64_t settling_since; /* CLOCK_MONOTONIC of that boot, microseconds; 0: the transition is not over */
        char *reason;            /* of the quarantine */
} GuardRecord;

GuardRecord *guard_record_free(GuardRecord *record);
DEFINE_CLEANUP(GuardRecord *, guard_record_free)
int guard_record_copy(const GuardRecord *record, GuardRecord **ret);

/* JSON behind a checksum, read and written as strictly as manifests (record.h). */
#define GUARD_RECORD_SIZE_MAX KIB(64)
int guard_record_parse(const char *data, size_t size, GuardRecord **ret, Failure *f);
int guard_record_format(const GuardRecord *record, char **ret);

/* The record of a build that is about to be loaded; previous: what is known of the name, or NULL. */
int guard_record_arm(const GuardRecord *previous, const char *name, const char *kernel_release, const char *sha256,
                     const char *boot_id, uint64_t now, GuardRecord **ret);
static inline bool guard_record_is_armed(const GuardRecord *record) {
        return record->phase == GUARD_LOADING || record->phase == GUARD_SETTLING;
}
/* The refusal to load what this record, of a quarantine, is about. */
int guard_record_refuse(const GuardRecord *record, Failure *f);
/* Whether a file is the build that the record is about. The same build signed anew is another file. build_id: NULL when
 * it has none. */
bool guard_record_is_of(const GuardRecord *record, const char *sha256, const char *build_id) _pure_;
/* Takes the build out of suspicion: whether anything is left that is worth keeping. */
bool guard_record_disarm(GuardRecord *record);

typedef enum GuardVerdict {
        GUARD_VERDICT_KEEP,
        GUARD_VERDICT_DISARM,     /* that boot ended cleanly */
        GUARD_VERDICT_COUNT,      /* a proven build's first crash: it is reapplied */
        GUARD_VERDICT_QUARANTINE,
} GuardVerdict;

/* A proven build is quarantined at this many crashes in a row. */
#define GUARD_CRASHES_MAX 2U

/* What an earlier boot's record means in this one. Pure. clean_boot_ids: of boots that ended cleanly; NULL-terminated,
 * or NULL. */
GuardVerdict guard_judge(const GuardRecord *record, const char *boot_id, char *const *clean_boot_ids) _pure_;

/* What a record says when the kernel has done its part. Loading arms it without being asked. */
typedef enum GuardStep {
        GUARD_STEP_NONE,
        GUARD_STEP_SETTLE,     /* the transition is over: the settle time begins */
        GUARD_STEP_PROVE,
        GUARD_STEP_DISARM,     /* it is not in the kernel any more */
        GUARD_STEP_QUARANTINE, /* guard_reason */
        GUARD_STEP_LIFT,       /* the quarantine */
} GuardStep;

bool guard_boot_id_is_valid(const char *s) _pure_;
