/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The crash guard: what is on disk about a build while it is loaded and settles, and what follows after a crash.
 *
 *     loading -> settling -> proven          written before the load, after it, and when SettleTimeSec= is over
 *        |          |
 *        +----------+--> quarantined         the machine went down meanwhile, as a later boot finds; or it is not
 *                                            healthy (health.h)
 *
 * A record that names another boot than the running one, and is armed (loading or settling), is the trace of a machine
 * that went down, unless that boot is known to have ended cleanly.
 *
 * A name may have had many builds. One record holds them all: it is the present build's, with the verdicts on former
 * ones behind it, so that none of them is forgotten when the next one is loaded. */
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

/* Builds of one patch: var/lib/livepatch/guard/<release>/<name>.json. Strings owned. */
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
        struct GuardRecord *former; /* the verdict on another build, proven or quarantined, and so on: the one that was
                                     * loaded last comes first */
} GuardRecord;

GuardRecord *guard_record_free(GuardRecord *record);
DEFINE_CLEANUP(GuardRecord *, guard_record_free)
int guard_record_copy(const GuardRecord *record, GuardRecord **ret);

/* JSON behind a checksum, read and written as strictly as manifests (record.h). */
#define GUARD_RECORD_SIZE_MAX KIB(64)
/* Former builds that are remembered: more than anybody has of one name, and each is looked at for each load. */
#define GUARD_FORMER_MAX 8U
/* Of theirs, so that eight of them and what JSON adds fit into a record. */
#define GUARD_FORMER_REASON_MAX 1024
int guard_record_parse(const char *data, size_t size, GuardRecord **ret, Failure *f);
int guard_record_format(const GuardRecord *record, char **ret);

/* The record of a build that is about to be loaded; previous: what is known of the name, or NULL. */
int guard_record_arm(const GuardRecord *previous, const char *name, const char *kernel_release, const char *sha256,
                     const char *boot_id, uint64_t now, GuardRecord **ret);
static inline bool guard_record_is_armed(const GuardRecord *record) {
        return record->phase == GUARD_LOADING || record->phase == GUARD_SETTLING;
}
/* Whether a file is the build that the record is about, former ones apart. The same build signed anew is another file.
 * build_id: NULL when it has none. */
bool guard_record_is_of(const GuardRecord *record, const char *sha256, const char *build_id) _pure_;

/* ---- All builds of the name (guard-builds.c); record may be NULL in what only looks ---- */

/* The quarantine that concerns this build, or any build at all; NULL: there is none. */
const GuardRecord *guard_record_quarantine_of(const GuardRecord *record, const char *sha256,
                                              const char *build_id) _pure_;
const GuardRecord *guard_record_any_quarantine(const GuardRecord *record) _pure_;
unsigned guard_record_n_quarantined(const GuardRecord *record) _pure_;
/* The refusal to load what this quarantine is about. */
int guard_record_refuse(const GuardRecord *quarantine, Failure *f);
/* Puts the verdicts that previous holds, except that on the record's own build, behind the record. */
int guard_record_remember(GuardRecord *record, const GuardRecord *previous);
/* Takes the present build out of suspicion; of one that nothing is known of, what was known of the name before stands
 * again in *record. Whether anything is left that is worth keeping; if not, *record is left as it was. */
bool guard_record_disarm(GuardRecord **record);
/* Lifts all quarantines, and what would be one if it could have been written; returns how many. *record: what is left,
 * or NULL. */
unsigned guard_record_lift(GuardRecord **record, const char *boot_id);

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
/* The crash of a proven build is put down to it, and not held against it yet. */
void guard_record_count_crash(GuardRecord *record);
/* For the reason of a quarantine: how the machine went down with an armed record. */
const char *guard_record_what_happened(const GuardRecord *record) _pure_;

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
