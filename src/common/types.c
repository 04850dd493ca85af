/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The string tables of the shared enumerations: these words are the public interface. */

#include <string.h>

#include "common/types.h"

#define DEFINE_STRING_TABLE(name, type, invalid)                                        \
        const char *name##_to_string(type t) {                                          \
                if ((int) t < 0 || (size_t) t >= ELEMENTSOF(name##_table))              \
                        return NULL;                                                    \
                return name##_table[t];                                                 \
        }                                                                               \
        type name##_from_string(const char *s) {                                        \
                if (!s)                                                                 \
                        return invalid;                                                 \
                for (size_t i = 0; i < ELEMENTSOF(name##_table); i++)                   \
                        if (name##_table[i] && strcmp(name##_table[i], s) == 0)         \
                                return (type) i;                                        \
                return invalid;                                                         \
        }

static const char *const patch_state_table[_PATCH_STATE_MAX] = {
        [PATCH_AVAILABLE] = "available",     [PATCH_STAGED] = "staged",       [PATCH_APPLYING] = "applying",
        [PATCH_APPLIED] = "applied",         [PATCH_REVERTING] = "reverting", [PATCH_DISABLED] = "disabled",
        [PATCH_SUPERSEDED] = "superseded",   [PATCH_FAILED] = "failed",       [PATCH_QUARANTINED] = "quarantined",
        [PATCH_EXTERNAL] = "external",
};
DEFINE_STRING_TABLE(patch_state, PatchState, _PATCH_STATE_INVALID)

static const char *const signature_status_table[_SIGNATURE_STATUS_MAX] = {
        [SIGNATURE_TRUSTED] = "trusted",
        [SIGNATURE_UNSIGNED] = "unsigned",
        [SIGNATURE_MALFORMED] = "malformed",
        [SIGNATURE_MISMATCH] = "mismatch",
        [SIGNATURE_UNKNOWN_SIGNER] = "unknown-signer",
        [SIGNATURE_EXPIRED] = "expired",
        [SIGNATURE_NOT_YET_VALID] = "not-yet-valid",
        [SIGNATURE_WRONG_KEY_USAGE] = "wrong-key-usage",
        [SIGNATURE_REVOKED] = "revoked",
        [SIGNATURE_WEAK_ALGORITHM] = "weak-algorithm",
        [SIGNATURE_UNCHECKED] = "unchecked",
};
DEFINE_STRING_TABLE(signature_status, SignatureStatus, _SIGNATURE_STATUS_INVALID)

static const char *const signature_policy_table[_SIGNATURE_POLICY_MAX] = {
        [SIGNATURE_POLICY_REQUIRE] = "require",
        [SIGNATURE_POLICY_WARN] = "warn",
        [SIGNATURE_POLICY_KERNEL] = "kernel",
};
DEFINE_STRING_TABLE(signature_policy, SignaturePolicy, _SIGNATURE_POLICY_INVALID)

static const char *const mode_table[_MODE_MAX] = {
        [MODE_ENABLED] = "enabled",
        [MODE_NO_REAPPLY] = "no-reapply",
        [MODE_OFF] = "off",
};
DEFINE_STRING_TABLE(mode, Mode, _MODE_INVALID)

static const char *const on_stall_table[_ON_STALL_MAX] = {
        [ON_STALL_WAIT] = "wait",
        [ON_STALL_REVERT] = "revert",
};
DEFINE_STRING_TABLE(on_stall, OnStall, _ON_STALL_INVALID)

static const char *const job_type_table[_JOB_TYPE_MAX] = {
        [JOB_APPLY] = "apply",
        [JOB_REVERT] = "revert",
        [JOB_REMOVE] = "remove",
        [JOB_REAPPLY] = "reapply",
        [JOB_ROLLBACK] = "rollback",
};
DEFINE_STRING_TABLE(job_type, JobType, _JOB_TYPE_INVALID)

static const char *const job_state_table[_JOB_STATE_MAX] = {
        [JOB_QUEUED] = "queued",
        [JOB_RUNNING] = "running",
        [JOB_CANCELING] = "canceling",
        [JOB_FINISHED] = "finished",
};
DEFINE_STRING_TABLE(job_state, JobState, _JOB_STATE_INVALID)

static const char *const job_result_table[_JOB_RESULT_MAX] = {
        [JOB_RESULT_NONE] = "",
        [JOB_RESULT_DONE] = "done",
        [JOB_RESULT_FAILED] = "failed",
        [JOB_RESULT_CANCELED] = "canceled",
        [JOB_RESULT_STALLED] = "stalled",
};
DEFINE_STRING_TABLE(job_result, JobResult, _JOB_RESULT_INVALID)

static const char *const origin_table[_ORIGIN_MAX] = {
        [ORIGIN_LOCAL] = "local",
        [ORIGIN_VENDOR] = "vendor",
        [ORIGIN_FEED] = "feed",
        [ORIGIN_EXTERNAL] = "external",
};
DEFINE_STRING_TABLE(origin, Origin, _ORIGIN_INVALID)

static const char *const livepatch_kind_table[_LIVEPATCH_KIND_MAX] = {
        [LIVEPATCH_KIND_UNKNOWN] = "unknown",
        [LIVEPATCH_KIND_HAND_WRITTEN] = "hand-written",
        [LIVEPATCH_KIND_KPATCH_BUILD] = "kpatch-build",
        [LIVEPATCH_KIND_KLP_BUILD] = "klp-build",
};
DEFINE_STRING_TABLE(livepatch_kind, LivepatchKind, _LIVEPATCH_KIND_INVALID)

static const char *const lockdown_table[_LOCKDOWN_MAX] = {
        [LOCKDOWN_UNKNOWN] = "unknown",
        [LOCKDOWN_UNSUPPORTED] = "unsupported",
        [LOCKDOWN_NONE] = "none",
        [LOCKDOWN_INTEGRITY] = "integrity",
        [LOCKDOWN_CONFIDENTIALITY] = "confidentiality",
};
DEFINE_STRING_TABLE(lockdown, Lockdown, _LOCKDOWN_INVALID)

static const char *const secure_boot_table[_SECURE_BOOT_MAX] = {
        [SECURE_BOOT_UNKNOWN] = "unknown",
        [SECURE_BOOT_UNSUPPORTED] = "unsupported",
        [SECURE_BOOT_DISABLED] = "disabled",
        [SECURE_BOOT_ENABLED] = "enabled",
};
DEFINE_STRING_TABLE(secure_boot, SecureBoot, _SECURE_BOOT_INVALID)

static const char *const tristate_table[_TRISTATE_MAX] = {
        [TRISTATE_UNKNOWN] = "unknown",
        [TRISTATE_NO] = "no",
        [TRISTATE_YES] = "yes",
};
DEFINE_STRING_TABLE(tristate, Tristate, _TRISTATE_INVALID)
