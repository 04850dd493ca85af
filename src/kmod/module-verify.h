/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signature + trust store + policy -> verdict; the only producer of VerifiedModule. */
#pragma once

#include "common/failure.h"
#include "common/types.h"
#include "kmod/module-image.h"
#include "kmod/trust-store.h"

/* What was found about a signature. Strings are sanitised and owned by the struct. */
typedef struct SignatureReport {
        SignatureStatus status;
        char *signer;             /* subject of its certificate; of an unknown signer issuer and serial, or key id */
        char *signer_fingerprint; /* of the signer's certificate, NULL if unknown */
        char *anchor_fingerprint; /* of the trust anchor it chains to */
        char *digest;             /* "sha256", ... */
        char *text;               /* one sentence for a person: why the status is what it is */
} SignatureReport;

void signature_report_done(SignatureReport *report);

/* Determines the status, whatever the policy; 0 or negative errno. Crypto over at most the whole image: not for the
 * event loop. Facts: Documentation/admin-guide/module-signing.rst; crypto/asymmetric_keys/pkcs7_verify.c.
 * now_usec: the time to judge validity by (CLOCK_REALTIME microseconds). skip_validity: do not judge not-before and
 * not-after (early boot with a clock that may be wrong, for modules verified and accepted before). */
int module_signature_check(const ModuleImage *image, const TrustStore *store, uint64_t now_usec, bool skip_validity,
                           SignatureReport *ret);

/* The type that proves that the bytes were judged and may be loaded: nothing else constructs it. Immutable,
 * atomically reference counted. Holds a reference of the image. */
typedef struct VerifiedModule VerifiedModule;

typedef struct VerifyParameters {
        SignaturePolicy policy;
        uint64_t now_usec;
        bool skip_validity;
} VerifyParameters;

/* REQUIRE: only TRUSTED passes. WARN: UNSIGNED and UNKNOWN_SIGNER pass too, status kept. KERNEL: additionally EXPIRED,
 * NOT_YET_VALID, WRONG_KEY_USAGE, WEAK_ALGORITHM pass. Never, under any policy: MALFORMED, MISMATCH, REVOKED, and
 * "could not check". *ret_report is filled in also on refusal (may be NULL). */
int module_verify(ModuleImage *image, const TrustStore *store, const VerifyParameters *parameters, VerifiedModule **ret,
                  SignatureReport *ret_report, Failure *f);

VerifiedModule *verified_module_ref(VerifiedModule *module);
VerifiedModule *verified_module_unref(VerifiedModule *module);
DEFINE_CLEANUP(VerifiedModule *, verified_module_unref)

const ModuleImage *verified_module_image(const VerifiedModule *module);
const SignatureReport *verified_module_signature(const VerifiedModule *module);

/* The REFUSED_* that belongs to a bad status; 0 for TRUSTED. UNCHECKED, which module_verify() reports as a negative
 * errno, is an untrusted signer here: never 0. */
int signature_status_to_refusal(SignatureStatus status);
