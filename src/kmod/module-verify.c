/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signature + trust store + policy -> verdict; the only producer of VerifiedModule. */

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "common/names.h"
#include "common/string-util.h"
#include "kmod/module-verify.h"
#include "kmod/signature-check.h"

#define SHA256_BYTES 32

struct VerifiedModule {
        atomic_uint n_ref;
        ModuleImage *image;
        SignatureReport report;
};

void signature_report_done(SignatureReport *report) {
        free(report->signer);
        free(report->signer_fingerprint);
        free(report->anchor_fingerprint);
        free(report->digest);
        free(report->text);
        *report = (SignatureReport) { .status = SIGNATURE_UNCHECKED };
}

static int signature_report_copy(SignatureReport *ret, const SignatureReport *from) {
        _cleanup_(signature_report_done) SignatureReport copy = { .status = from->status };

        if (free_and_strdup(&copy.signer, from->signer) < 0 ||
            free_and_strdup(&copy.signer_fingerprint, from->signer_fingerprint) < 0 ||
            free_and_strdup(&copy.anchor_fingerprint, from->anchor_fingerprint) < 0 ||
            free_and_strdup(&copy.digest, from->digest) < 0 || free_and_strdup(&copy.text, from->text) < 0)
                return -ENOMEM;
        *ret = copy;
        copy = (SignatureReport) {};
        return 0;
}

/* By the digest of the file, or of the payload: a second signature does not bring back a module that was withdrawn. */
static bool image_is_revoked(const ModuleImage *image, const TrustStore *store) {
        char payload[SHA256_HEX_LENGTH + 1];

        hex_encode(module_image_payload_sha256(image), SHA256_BYTES, payload);
        return trust_store_module_revoked(store, module_image_sha256(image)) ||
               trust_store_module_revoked(store, payload);
}

/* A second signature beneath the one that counts: worth a word where that one is not good. */
static int note_inner_signature(const ModuleImage *image, const ModuleSignature *outer, SignatureReport *report) {
        ModuleSignature inner;
        char *text;

        if (report->status == SIGNATURE_TRUSTED || report->status == SIGNATURE_REVOKED)
                return 0;
        if (module_signature_parse_untrusted(module_image_data(image), outer->payload_size, &inner, NULL) != 0)
                return 0;
        if (asprintf(&text, "%s; another signature lies beneath it, but only the outermost counts", report->text) < 0)
                return -ENOMEM;
        free(report->text);
        report->text = text;
        return 0;
}

static int check_signed(const ModuleImage *image, const ModuleSignature *signature, const TrustStore *store,
                        uint64_t now_usec, bool skip_validity, SignatureReport *report) {
        int r = signature_check(image, signature, store, now_usec, skip_validity, report);

        return r < 0 ? r : note_inner_signature(image, signature, report);
}

int module_signature_check(const ModuleImage *image, const TrustStore *store, uint64_t now_usec, bool skip_validity,
                           SignatureReport *ret) {
        _cleanup_(signature_report_done) SignatureReport report = { .status = SIGNATURE_UNCHECKED };
        _cleanup_failure_ Failure failure = {};
        ModuleSignature signature;
        int r;

        if (trust_store_revocation_broken(store)) {
                r = signature_report_set(&report, SIGNATURE_UNCHECKED,
                                         "Revocations cannot be read, so nothing can be verified");
        } else if (image_is_revoked(image, store)) {
                r = signature_report_set(&report, SIGNATURE_REVOKED, "The module is revoked on this system");
        } else {
                r = module_signature_parse_untrusted(module_image_data(image), module_image_size(image), &signature,
                                                     &failure);
                if (r == 0)
                        r = check_signed(image, &signature, store, now_usec, skip_validity, &report);
                else if (r > 0)
                        r = signature_report_set(&report, r == REFUSED_UNSIGNED ? SIGNATURE_UNSIGNED :
                                                                                  SIGNATURE_MALFORMED,
                                                 "%s", failure_text(&failure));
        }
        if (r < 0)
                return r;
        *ret = report;
        report = (SignatureReport) {};
        return 0;
}

int signature_status_to_refusal(SignatureStatus status) {
        switch (status) {
        case SIGNATURE_TRUSTED:
                return 0;
        case SIGNATURE_UNSIGNED:
                return REFUSED_UNSIGNED;
        case SIGNATURE_MALFORMED:
                return REFUSED_SIGNATURE_MALFORMED;
        case SIGNATURE_MISMATCH:
                return REFUSED_SIGNATURE_MISMATCH;
        case SIGNATURE_EXPIRED:
                return REFUSED_SIGNER_EXPIRED;
        case SIGNATURE_NOT_YET_VALID:
                return REFUSED_SIGNER_NOT_YET_VALID;
        case SIGNATURE_WRONG_KEY_USAGE:
                return REFUSED_WRONG_KEY_USAGE;
        case SIGNATURE_REVOKED:
                return REFUSED_REVOKED;
        case SIGNATURE_WEAK_ALGORITHM:
                return REFUSED_WEAK_ALGORITHM;
        case SIGNATURE_UNKNOWN_SIGNER:
        case SIGNATURE_UNCHECKED:
        case _SIGNATURE_STATUS_MAX:
        case _SIGNATURE_STATUS_INVALID:
                break;
        }
        return REFUSED_UNTRUSTED_SIGNER;
}

/* Refusals are listed, and so is what passes: a new status is a compiler warning here, and a refusal. */
static bool policy_accepts(SignaturePolicy policy, SignatureStatus status) {
        switch (status) {
        case SIGNATURE_TRUSTED:
                return true;
        case SIGNATURE_UNSIGNED:
        case SIGNATURE_UNKNOWN_SIGNER:
                return policy == SIGNATURE_POLICY_WARN || policy == SIGNATURE_POLICY_KERNEL;
        case SIGNATURE_EXPIRED:
        case SIGNATURE_NOT_YET_VALID:
        case SIGNATURE_WRONG_KEY_USAGE:
        case SIGNATURE_WEAK_ALGORITHM:
                return policy == SIGNATURE_POLICY_KERNEL;
        case SIGNATURE_MALFORMED:
        case SIGNATURE_MISMATCH:
        case SIGNATURE_REVOKED:
        case SIGNATURE_UNCHECKED:
        case _SIGNATURE_STATUS_MAX:
        case _SIGNATURE_STATUS_INVALID:
                break;
        }
        return false;
}

static const char *status_advice(SignatureStatus status) {
        switch (status) {
        case SIGNATURE_UNSIGNED:
                return "Sign it with the kernel's scripts/sign-file and a key whose certificate is trusted here, or "
                       "set SignaturePolicy= in /" LP_CONFIG_FILE;
        case SIGNATURE_MALFORMED:
                return "Obtain or sign the module again; no policy accepts a malformed signature";
        case SIGNATURE_MISMATCH:
                return "The module was changed or damaged after it was signed; obtain it again from its publisher";
        case SIGNATURE_UNKNOWN_SIGNER:
                return "Add its certificate with 'livepatchctl trust add FILE' if you trust it";
        case SIGNATURE_EXPIRED:
                return "Obtain a module signed with a current certificate, or check the system's clock";
        case SIGNATURE_NOT_YET_VALID:
                return "Check the system's clock, or wait until the certificate is valid";
        case SIGNATURE_WRONG_KEY_USAGE:
                return "Sign the module with a certificate that is meant for signing code";
        case SIGNATURE_REVOKED:
                return "Obtain a replacement from the publisher; no policy accepts what is named in revoked.d";
        case SIGNATURE_WEAK_ALGORITHM:
                return "Sign the module with RSA 2048 or an elliptic curve of 224 bits, or more, and SHA-256 or better";
        case SIGNATURE_UNCHECKED:
                return "'livepatchctl trust list' tells what is wrong with the certificates of this system";
        case SIGNATURE_TRUSTED:
        case _SIGNATURE_STATUS_MAX:
        case _SIGNATURE_STATUS_INVALID:
                break;
        }
        return "No policy accepts this";
}

static int refuse(const TrustStore *store, const SignatureReport *report, Failure *f) {
        int code = signature_status_to_refusal(report->status);

        /* "Could not check" is not a verdict. */
        if (report->status == SIGNATURE_UNCHECKED)
                code = trust_store_revocation_broken(store) ? -EUCLEAN : -ENOPKG;
        return failure_set(f, code, "%s. The module was not loaded. %s.", report->text, status_advice(report->status));
}

static VerifiedModule *verified_module_new(ModuleImage *image, const SignatureReport *report) {
        VerifiedModule *module = calloc(1, sizeof(VerifiedModule));

        if (!module)
                return NULL;
        if (signature_report_copy(&module->report, report) < 0) {
                free(module);
                return NULL;
        }
        atomic_init(&module->n_ref, 1);
        module->image = module_image_ref(image);
        return module;
}

int module_verify(ModuleImage *image, const TrustStore *store, const VerifyParameters *parameters, VerifiedModule **ret,
                  SignatureReport *ret_report, Failure *f) {
        _cleanup_(signature_report_done) SignatureReport report = { .status = SIGNATURE_UNCHECKED };
        VerifiedModule *module = NULL;
        int r = module_signature_check(image, store, parameters->now_usec, parameters->skip_validity, &report);

        if (r == -ENOMEM)
                return failure_oom(f);
        if (r < 0)
                return failure_set(f, r, "The module's signature could not be checked: %s. The module was not loaded.",
                                   strerror(-r));
        if (policy_accepts(parameters->policy, report.status)) {
                module = verified_module_new(image, &report);
                if (!module)
                        return failure_oom(f);
        } else {
                r = refuse(store, &report, f);
                assert(r != 0);
        }
        if (ret_report) {
                *ret_report = report;
                report = (SignatureReport) {};
        }
        if (module)
                *ret = module;
        return r;
}

VerifiedModule *verified_module_ref(VerifiedModule *module) {
        if (module)
                (void) atomic_fetch_add_explicit(&module->n_ref, 1, memory_order_relaxed);
        return module;
}

VerifiedModule *verified_module_unref(VerifiedModule *module) {
        if (!module || atomic_fetch_sub_explicit(&module->n_ref, 1, memory_order_acq_rel) > 1)
                return NULL;
        signature_report_done(&module->report);
        module_image_unref(module->image);
        free(module);
        return NULL;
}

const ModuleImage *verified_module_image(const VerifiedModule *module) {
        return module->image;
}

const SignatureReport *verified_module_signature(const VerifiedModule *module) {
        return &module->report;
}
