/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Enumerations that the daemon, its clients and its records share, each with a to/from string pair. */
#pragma once

#include <errno.h>

#include "common/macro.h"

/* What a user sees as the state of a patch (architecture.md, "What a patch is"). */
typedef enum PatchState {
        PATCH_AVAILABLE,
        PATCH_STAGED,
        PATCH_APPLYING,
        PATCH_APPLIED,
        PATCH_REVERTING,
        PATCH_DISABLED,
        PATCH_SUPERSEDED,
        PATCH_FAILED,
        PATCH_QUARANTINED,
        PATCH_EXTERNAL,
        _PATCH_STATE_MAX,
        _PATCH_STATE_INVALID = -EINVAL,
} PatchState;

/* The verdict on a module's signature. TRUSTED is the only good one, and not what zeroed memory says. */
typedef enum SignatureStatus {
        SIGNATURE_UNCHECKED, /* could not or need not be checked (an external patch); never "fine" */
        SIGNATURE_TRUSTED,
        SIGNATURE_UNSIGNED,
        SIGNATURE_MALFORMED,
        SIGNATURE_MISMATCH,
        SIGNATURE_UNKNOWN_SIGNER,
        SIGNATURE_EXPIRED,
        SIGNATURE_NOT_YET_VALID,
        SIGNATURE_WRONG_KEY_USAGE,
        SIGNATURE_REVOKED,
        SIGNATURE_WEAK_ALGORITHM,
        _SIGNATURE_STATUS_MAX,
        _SIGNATURE_STATUS_INVALID = -EINVAL,
} SignatureStatus;

typedef enum SignaturePolicy {
        SIGNATURE_POLICY_REQUIRE,
        SIGNATURE_POLICY_WARN,
        SIGNATURE_POLICY_KERNEL,
        _SIGNATURE_POLICY_MAX,
        _SIGNATURE_POLICY_INVALID = -EINVAL,
} SignaturePolicy;

/* Kill switches: the kernel command line and /etc/livepatch/disabled. */
typedef enum Mode {
        MODE_ENABLED,
        MODE_NO_REAPPLY,
        MODE_OFF,
        _MODE_MAX,
        _MODE_INVALID = -EINVAL,
} Mode;

typedef enum OnStall {
        ON_STALL_WAIT,
        ON_STALL_REVERT,
        _ON_STALL_MAX,
        _ON_STALL_INVALID = -EINVAL,
} OnStall;

typedef enum JobType {
        JOB_APPLY,
        JOB_REVERT,
        JOB_REMOVE,
        JOB_REAPPLY,
        JOB_ROLLBACK,
        _JOB_TYPE_MAX,
        _JOB_TYPE_INVALID = -EINVAL,
} JobType;

typedef enum JobState {
        JOB_QUEUED,
        JOB_RUNNING,
        JOB_CANCELING,
        JOB_FINISHED,
        _JOB_STATE_MAX,
        _JOB_STATE_INVALID = -EINVAL,
} JobState;

typedef enum JobResult {
        JOB_RESULT_NONE, /* not finished: the empty string on the bus */
        JOB_RESULT_DONE,
        JOB_RESULT_FAILED,
        JOB_RESULT_CANCELED,
        JOB_RESULT_STALLED,
        _JOB_RESULT_MAX,
        _JOB_RESULT_INVALID = -EINVAL,
} JobResult;

/* Where a patch's file comes from. */
typedef enum Origin {
        ORIGIN_LOCAL,    /* handed over by an administrator */
        ORIGIN_VENDOR,   /* /usr/lib/livepatch/patches */
        ORIGIN_FEED,
        ORIGIN_EXTERNAL, /* loaded by something else */
        _ORIGIN_MAX,
        _ORIGIN_INVALID = -EINVAL,
} Origin;

/* How the module describes what it patches (kernel.md, section 4). */
typedef enum LivepatchKind {
        LIVEPATCH_KIND_UNKNOWN,
        LIVEPATCH_KIND_HAND_WRITTEN,
        LIVEPATCH_KIND_KPATCH_BUILD,
        LIVEPATCH_KIND_KLP_BUILD,
        _LIVEPATCH_KIND_MAX,
        _LIVEPATCH_KIND_INVALID = -EINVAL,
} LivepatchKind;

typedef enum Lockdown {
        LOCKDOWN_UNKNOWN,
        LOCKDOWN_UNSUPPORTED,
        LOCKDOWN_NONE,
        LOCKDOWN_INTEGRITY,
        LOCKDOWN_CONFIDENTIALITY,
        _LOCKDOWN_MAX,
        _LOCKDOWN_INVALID = -EINVAL,
} Lockdown;

typedef enum SecureBoot {
        SECURE_BOOT_UNKNOWN,
        SECURE_BOOT_UNSUPPORTED,
        SECURE_BOOT_DISABLED,
        SECURE_BOOT_ENABLED,
        _SECURE_BOOT_MAX,
        _SECURE_BOOT_INVALID = -EINVAL,
} SecureBoot;

/* A fact that may be unknown; on the bus "unknown", "no", "yes". */
typedef enum Tristate {
        TRISTATE_UNKNOWN,
        TRISTATE_NO,
        TRISTATE_YES,
        _TRISTATE_MAX,
        _TRISTATE_INVALID = -EINVAL,
} Tristate;

/* X_to_string() returns NULL for a value out of range; X_from_string() returns _X_INVALID for an unknown name. */
#define DECLARE_STRING_TABLE(name, type)               \
        const char *name##_to_string(type t) _const_;   \
        type name##_from_string(const char *s) _pure_

DECLARE_STRING_TABLE(patch_state, PatchState);
DECLARE_STRING_TABLE(signature_status, SignatureStatus);
DECLARE_STRING_TABLE(signature_policy, SignaturePolicy);
DECLARE_STRING_TABLE(mode, Mode);
DECLARE_STRING_TABLE(on_stall, OnStall);
DECLARE_STRING_TABLE(job_type, JobType);
DECLARE_STRING_TABLE(job_state, JobState);
DECLARE_STRING_TABLE(job_result, JobResult);
DECLARE_STRING_TABLE(origin, Origin);
DECLARE_STRING_TABLE(livepatch_kind, LivepatchKind);
DECLARE_STRING_TABLE(lockdown, Lockdown);
DECLARE_STRING_TABLE(secure_boot, SecureBoot);
DECLARE_STRING_TABLE(tristate, Tristate);
