/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One CMS signature over a module against the trust store.
 *
 * Follows the kernel (crypto/asymmetric_keys/pkcs7_verify.c, pkcs7_trust.c): detached, over plain data, without signed
 * attributes; one trusted signer suffices, but a signer whose certificate is at hand and whose signature does not match
 * spoils everything. CMS_verify() is not used, as it wants every signer to be trusted, would hash the module once
 * more, and judges usage by S/MIME's rules. */

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "common/string-util.h"
#include "kmod/certificate-chain.h"
#include "kmod/certificate.h"
#include "kmod/signature-check.h"

/* Each may cost a digest of the module and a search for a chain. */
#define SIGNERS_MAX 8
#define EMBEDDED_MAX 32

/* SHA-224's, which is also what RSA 2048 is worth; MD5 and SHA-1 are shorter. */
#define DIGEST_SIZE_MIN 28

#define KEY_ID_SHOWN_MAX 32

typedef struct PayloadDigest {
        int nid;
        unsigned size;
        uint8_t value[EVP_MAX_MD_SIZE];
} PayloadDigest;

typedef struct Check {
        const ModuleImage *image;
        const ModuleSignature *signature;
        const TrustStore *store;
        uint64_t now_usec;
        bool skip_validity;
        CMS_ContentInfo *cms;
        STACK_OF(X509) *embedded;
        PayloadDigest digests[SIGNERS_MAX]; /* those computed so far */
        size_t n_digests;
} Check;

static void check_done(Check *c) {
        certificate_list_free(c->embedded);
        CMS_ContentInfo_free(c->cms);
}

int signature_report_set(SignatureReport *report, SignatureStatus status, const char *format, ...) {
        char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;
        free(report->text);
        report->text = text;
        report->status = status;
        return 0;
}

/* Which of two findings counts: the one that comes first. Among several candidates for one signer's certificate (keys
 * and key identifiers may be shared) a match counts more than a mismatch; among several signers it is the reverse. */
static const SignatureStatus candidate_order[] = {
        SIGNATURE_REVOKED,       SIGNATURE_TRUSTED,  SIGNATURE_WEAK_ALGORITHM, SIGNATURE_WRONG_KEY_USAGE,
        SIGNATURE_EXPIRED,       SIGNATURE_NOT_YET_VALID, SIGNATURE_MISMATCH,  SIGNATURE_UNCHECKED,
        SIGNATURE_UNKNOWN_SIGNER,
};
static const SignatureStatus signer_order[] = {
        SIGNATURE_REVOKED,       SIGNATURE_MISMATCH, SIGNATURE_TRUSTED,  SIGNATURE_WEAK_ALGORITHM,
        SIGNATURE_WRONG_KEY_USAGE, SIGNATURE_EXPIRED, SIGNATURE_NOT_YET_VALID, SIGNATURE_UNCHECKED,
        SIGNATURE_UNKNOWN_SIGNER,
};

static size_t status_rank(const SignatureStatus *order, size_t n, SignatureStatus status) {
        size_t i = 0;

        while (i < n && order[i] != status)
                i++;
        return i;
}

/* Leaves the finding that counts in *best and nothing in *other. The first one always counts. */
static void report_merge(SignatureReport *best, SignatureReport *other, const SignatureStatus *order, size_t n) {
        if (!best->text || status_rank(order, n, other->status) < status_rank(order, n, best->status)) {
                signature_report_done(best);
                *best = *other;
                *other = (SignatureReport) {};
        } else {
                signature_report_done(other);
        }
}

/* SHA-256 is known from the time the image was made. NULL: this OpenSSL has no such digest. */
static const PayloadDigest *payload_digest(Check *c, int nid) {
        PayloadDigest *d;
        const EVP_MD *md;

        for (size_t i = 0; i < c->n_digests; i++)
                if (c->digests[i].nid == nid)
                        return &c->digests[i];
        d = &c->digests[c->n_digests];
        if (nid == NID_sha256) {
                d->size = 32;
                memcpy(d->value, module_image_payload_sha256(c->image), d->size);
        } else {
                md = EVP_get_digestbynid(nid);
                if (!md || EVP_Digest(module_image_data(c->image), c->signature->payload_size, d->value, &d->size, md,
                                      NULL) != 1)
                        return NULL;
        }
        d->nid = nid;
        c->n_digests++;
        return d;
}

typedef struct SignerInfo {
        CMS_SignerInfo *cms;
        int digest_nid;
        int signature_nid;
} SignerInfo;

/* Whether the key is of the kind that the signature's algorithm names: rsaEncryption stands for PKCS#1 v1.5 with
 * whatever digest (sign-file.c's choice), the others name their digest as well. */
static bool algorithm_fits(const SignerInfo *si, EVP_PKEY *key) {
        int type = EVP_PKEY_get_base_id(key), digest_nid, key_nid;

        if (type != EVP_PKEY_RSA && type != EVP_PKEY_EC)
                return false;
        if (si->signature_nid == NID_rsaEncryption)
                return type == EVP_PKEY_RSA;
        return OBJ_find_sigid_algs(si->signature_nid, &digest_nid, &key_nid) == 1 && digest_nid == si->digest_nid &&
               key_nid == type;
}

/* 1 it matches, 0 it does not, -EOPNOTSUPP it cannot be checked here. */
static int signature_matches(Check *c, const SignerInfo *si, X509 *x) {
        const ASN1_OCTET_STRING *value = CMS_SignerInfo_get0_signature(si->cms);
        EVP_PKEY *key = X509_get0_pubkey(x);
        const PayloadDigest *digest;
        EVP_PKEY_CTX *ctx;
        int r = -EOPNOTSUPP;

        if (!algorithm_fits(si, key))
                return -EOPNOTSUPP;
        digest = payload_digest(c, si->digest_nid);
        if (!digest)
                return -EOPNOTSUPP;
        ctx = EVP_PKEY_CTX_new(key, NULL);
        if (ctx && EVP_PKEY_verify_init(ctx) == 1 &&
            EVP_PKEY_CTX_set_signature_md(ctx, EVP_get_digestbynid(si->digest_nid)) == 1 &&
            (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
             EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1))
                /* Negative for a value that is not even a signature: no match, either. */
                r = EVP_PKEY_verify(ctx, ASN1_STRING_get0_data(value), (size_t) ASN1_STRING_length(value),
                                    digest->value, digest->size) == 1;
        EVP_PKEY_CTX_free(ctx);
        return r;
}

static int report_identity(SignatureReport *report, X509 *x) {
        char fingerprint[SHA256_HEX_LENGTH + 1];
        int r = certificate_fingerprint(x, fingerprint);

        if (r < 0)
                return r;
        report->signer = certificate_subject(x);
        report->signer_fingerprint = strdup(fingerprint);
        return report->signer && report->signer_fingerprint ? 0 : -ENOMEM;
}

/* The digest's own strength is judged once it is known to be this signer's signature. */
static int judge_match(const SignerInfo *si, SignatureReport *report) {
        const EVP_MD *md = EVP_get_digestbynid(si->digest_nid);

        if (report->status == SIGNATURE_TRUSTED && EVP_MD_get_size(md) < DIGEST_SIZE_MIN)
                return signature_report_set(report, SIGNATURE_WEAK_ALGORITHM,
                                            "The signature by '%s' is over a %s digest, which is too weak",
                                            report->signer, OBJ_nid2sn(si->digest_nid));
        return 0;
}

static int judge_mismatch(const SignerInfo *si, int match, SignatureReport *report) {
        if (match < 0)
                return signature_report_set(report, SIGNATURE_UNCHECKED,
                                            "The signature by '%s' (%s with %s) cannot be checked on this system",
                                            report->signer, OBJ_nid2sn(si->signature_nid), OBJ_nid2sn(si->digest_nid));
        return signature_report_set(report, SIGNATURE_MISMATCH,
                                    "The module does not match the signature by '%s'", report->signer);
}

/* A certificate that the SignerInfo names. */
static int check_candidate(Check *c, const SignerInfo *si, X509 *x, SignatureReport *report) {
        _cleanup_(chain_verdict_done) ChainVerdict chain = {};
        int match, r;

        r = report_identity(report, x);
        if (r < 0)
                return r;
        r = certificate_chain_judge(c->store, x, c->embedded, c->now_usec, c->skip_validity, &chain);
        if (r < 0)
                return r;
        report->status = chain.status;
        report->text = TAKE_PTR(chain.text);
        report->anchor_fingerprint = TAKE_PTR(chain.anchor_fingerprint);
        if (chain.status == SIGNATURE_REVOKED)
                return 0;
        match = signature_matches(c, si, x);
        return match > 0 ? judge_match(si, report) : judge_mismatch(si, match, report);
}

static int check_candidates(Check *c, const SignerInfo *si, const STACK_OF(X509) *list, SignatureReport *best) {
        for (int i = 0; i < sk_X509_num(list); i++) {
                _cleanup_(signature_report_done) SignatureReport report = { .status = SIGNATURE_UNCHECKED };
                X509 *x = sk_X509_value(list, i);
                int r;

                if (CMS_SignerInfo_cert_cmp(si->cms, x) != 0)
                        continue;
                r = check_candidate(c, si, x, &report);
                if (r < 0)
                        return r;
                report_merge(best, &report, candidate_order, ELEMENTSOF(candidate_order));
        }
        return 0;
}

static char *signer_id_to_text(CMS_SignerInfo *si) {
        ASN1_OCTET_STRING *key_id = NULL;
        ASN1_INTEGER *serial = NULL;
        X509_NAME *issuer = NULL;
        char *text = NULL;

        if (CMS_SignerInfo_get0_signer_id(si, &key_id, &issuer, &serial) != 1)
                return strdup("(not named)");
        if (key_id) {
                char hex[2 * KEY_ID_SHOWN_MAX + 1];

                hex_encode(ASN1_STRING_get0_data(key_id), MIN((size_t) ASN1_STRING_length(key_id),
                           (size_t) KEY_ID_SHOWN_MAX), hex);
                return asprintf(&text, "key id %s", hex) < 0 ? NULL : text;
        } else {
                _cleanup_free_ char *name = certificate_name_to_text(issuer), *n = certificate_serial_to_text(serial);

                if (!name || !n || asprintf(&text, "issuer '%s', serial %s", name, n) < 0)
                        return NULL;
                return text;
        }
}

static int report_unknown(CMS_SignerInfo *si, SignatureReport *report) {
        report->signer = signer_id_to_text(si);
        if (!report->signer)
                return -ENOMEM;
        return signature_report_set(report, SIGNATURE_UNKNOWN_SIGNER,
                                    "The module is signed with a key that is not known here (%s)", report->signer);
}

static int check_signer(Check *c, CMS_SignerInfo *cms, SignatureReport *report) {
        X509_ALGOR *digest, *signature;
        const ASN1_OBJECT *oid;
        SignerInfo si = { .cms = cms };
        int r;

        CMS_SignerInfo_get0_algs(cms, NULL, NULL, &digest, &signature);
        X509_ALGOR_get0(&oid, NULL, NULL, digest);
        si.digest_nid = OBJ_obj2nid(oid);
        X509_ALGOR_get0(&oid, NULL, NULL, signature);
        si.signature_nid = OBJ_obj2nid(oid);

        r = check_candidates(c, &si, trust_store_anchors(c->store), report);
        if (r >= 0)
                r = check_candidates(c, &si, c->embedded, report);
        if (r >= 0 && !report->text)
                r = report_unknown(cms, report);
        if (r >= 0)
                r = free_and_strdup(&report->digest, OBJ_nid2ln(si.digest_nid));
        return r;
}

/* Those that OpenSSL cannot make sense of are no help in building a chain. */
static int take_embedded(Check *c) {
        c->embedded = CMS_get1_certs(c->cms);
        if (!c->embedded)
                c->embedded = sk_X509_new_null();
        if (!c->embedded)
                return -ENOMEM;
        for (int i = sk_X509_num(c->embedded) - 1; i >= 0; i--)
                if (certificate_defect(sk_X509_value(c->embedded, i)))
                        X509_free(sk_X509_delete(c->embedded, i));
        return 0;
}

/* NULL, or in what way it is not what sign-file makes and the kernel accepts. */
static const char *check_structure(const Check *c) {
        const STACK_OF(CMS_SignerInfo) *signers;

        /* CMS_get0_eContentType() and others take signed data for granted. */
        if (OBJ_obj2nid(CMS_get0_type(c->cms)) != NID_pkcs7_signed)
                return "it is CMS, but no signed data";
        if (CMS_is_detached(c->cms) != 1)
                return "it carries content of its own instead of standing for the module";
        if (OBJ_obj2nid(CMS_get0_eContentType(c->cms)) != NID_pkcs7_data)
                return "it is not over plain data";
        signers = CMS_get0_SignerInfos(c->cms);
        if (sk_CMS_SignerInfo_num(signers) < 1)
                return "it has no signer";
        if (sk_CMS_SignerInfo_num(signers) > SIGNERS_MAX)
                return "it has too many signers";
        for (int i = 0; i < sk_CMS_SignerInfo_num(signers); i++)
                /* -1 where there is no such field; EKEYREJECTED in pkcs7_verify(). */
                if (CMS_signed_get_attr_count(sk_CMS_SignerInfo_value(signers, i)) >= 0)
                        return "it has signed attributes, which the kernel refuses (sign it with -noattr)";
        return NULL;
}

static int check_parse(Check *c, SignatureReport *report) {
        const uint8_t *start = module_image_data(c->image) + c->signature->pkcs7_offset, *p = start;
        const char *defect = NULL;
        int r = 0;

        if (c->signature->pkcs7_size > SIGNATURE_SIZE_MAX)
                defect = "it is larger than 256 KiB";
        else if (!(c->cms = d2i_CMS_ContentInfo(NULL, &p, (long) c->signature->pkcs7_size)))
                defect = "it is not well-formed CMS (PKCS#7)";
        else if (p != start + c->signature->pkcs7_size)
                defect = "something follows it inside the signature's area";
        else
                defect = check_structure(c);
        if (!defect) {
                r = take_embedded(c);
                if (r >= 0 && sk_X509_num(c->embedded) > EMBEDDED_MAX)
                        defect = "it has too many certificates";
        }
        if (!defect)
                return r;
        r = signature_report_set(report, SIGNATURE_MALFORMED, "The module's signature is malformed: %s", defect);
        return r < 0 ? r : 1;
}

int signature_check(const ModuleImage *image, const ModuleSignature *signature, const TrustStore *store,
                    uint64_t now_usec, bool skip_validity, SignatureReport *report) {
        _cleanup_(check_done) Check c = {
                .image = image,
                .signature = signature,
                .store = store,
                .now_usec = now_usec,
                .skip_validity = skip_validity,
        };
        const STACK_OF(CMS_SignerInfo) *signers;
        int r;

        ERR_clear_error();
        r = check_parse(&c, report);
        if (r == 0) {
                signers = CMS_get0_SignerInfos(c.cms);
                for (int i = 0; r >= 0 && i < sk_CMS_SignerInfo_num(signers); i++) {
                        _cleanup_(signature_report_done) SignatureReport one = { .status = SIGNATURE_UNCHECKED };

                        r = check_signer(&c, sk_CMS_SignerInfo_value(signers, i), &one);
                        if (r >= 0)
                                report_merge(report, &one, signer_order, ELEMENTSOF(signer_order));
                }
        }
        certificate_log_openssl_errors("Signature checked");
        return MIN(r, 0);
}
