/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a signer's certificate to a trust anchor: is there a way, and is every step fit.
 *
 * OpenSSL finds the way and checks the signatures, the constraints and the critical extensions along it. Everything
 * that has a verdict of its own - time, strength, usage, revocation - is judged here, on the chain it found: X.509
 * purposes know no module signing (code signing came with OpenSSL 3.2), and one error code does not say whose fault
 * it was. */

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "common/string-util.h"
#include "kmod/certificate-chain.h"
#include "kmod/certificate.h"

/* Root, two intermediates and signer are what one meets; the rest is room. Bounds the work for embedded rubbish. */
#define CHAIN_DEPTH_MAX 8

typedef struct Judgement {
        const TrustStore *store;
        uint64_t now_usec;
        bool skip_validity;
        ChainVerdict *verdict;
} Judgement;

void chain_verdict_done(ChainVerdict *v) {
        free(v->text);
        free(v->anchor_fingerprint);
        *v = (ChainVerdict) {};
}

static int conclude(const Judgement *j, SignatureStatus status, X509 *culprit, const char *what) {
        _cleanup_free_ char *subject = certificate_subject(culprit);
        char *text;

        if (!subject || asprintf(&text, "The certificate '%s' %s", subject, what) < 0)
                return -ENOMEM;
        free(j->verdict->text);
        j->verdict->text = text;
        j->verdict->status = status;
        return 1;
}

/* Times are judged here, but the search has to prefer a certificate that is valid now to its predecessor. */
static int on_chain_error(int ok, X509_STORE_CTX *ctx) {
        switch (X509_STORE_CTX_get_error(ctx)) {
        case X509_V_ERR_CERT_HAS_EXPIRED:
        case X509_V_ERR_CERT_NOT_YET_VALID:
                return 1;
        default:
                return ok;
        }
}

static int judge_revocation(const Judgement *j, const STACK_OF(X509) *chain) {
        for (int i = 0; i < sk_X509_num(chain); i++) {
                X509 *x = sk_X509_value(chain, i);

                if (trust_store_certificate_revoked(j->store, x))
                        return conclude(j, SIGNATURE_REVOKED, x, "is revoked on this system");
        }
        return 0;
}

static int judge_strength(const Judgement *j, const STACK_OF(X509) *chain) {
        int n = sk_X509_num(chain);

        for (int i = 0; i < n; i++) {
                X509 *x = sk_X509_value(chain, i);

                if (!certificate_key_is_strong(x))
                        return conclude(j, SIGNATURE_WEAK_ALGORITHM, x, "has a key that is too weak");
                /* An anchor is trusted for itself, not for the signature on it. */
                if (i < n - 1 && !certificate_signature_is_strong(x))
                        return conclude(j, SIGNATURE_WEAK_ALGORITHM, x, "is itself signed with a weak algorithm");
        }
        return 0;
}

static int judge_usage(const Judgement *j, const STACK_OF(X509) *chain) {
        int n = sk_X509_num(chain);

        if (!certificate_key_usage_allows_signing(sk_X509_value(chain, 0), n == 1))
                return conclude(j, SIGNATURE_WRONG_KEY_USAGE, sk_X509_value(chain, 0),
                                "has a key usage that does not allow signatures (digitalSignature)");
        for (int i = 0; i < n; i++) {
                X509 *x = sk_X509_value(chain, i);

                if (i > 0 && !certificate_is_ca(x))
                        return conclude(j, SIGNATURE_WRONG_KEY_USAGE, x, "may not issue certificates");
                /* An intermediate's purposes bound those of what it issues; an anchor is the administrator's choice,
                 * unless it signed the module itself. */
                if ((i == 0 || i < n - 1) && !certificate_purpose_allows_modules(x))
                        return conclude(j, SIGNATURE_WRONG_KEY_USAGE, x,
                                        "has an extended key usage that does not allow code signing");
        }
        return 0;
}

static int conclude_time(const Judgement *j, SignatureStatus status, X509 *x, uint64_t usec) {
        time_t seconds = (time_t) (usec / USEC_PER_SEC);
        char date[64], what[128];
        struct tm tm;

        if (!gmtime_r(&seconds, &tm) || strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
                return -EOVERFLOW;
        (void) snprintf(what, sizeof(what), "%s %s", status == SIGNATURE_EXPIRED ? "expired on" : "is not valid before",
                        date);
        return conclude(j, status, x, what);
}

static int judge_times(const Judgement *j, const STACK_OF(X509) *chain) {
        for (int i = 0; !j->skip_validity && i < sk_X509_num(chain); i++) {
                X509 *x = sk_X509_value(chain, i);
                uint64_t not_before, not_after;
                int r = certificate_validity(x, &not_before, &not_after);

                if (r < 0)
                        return conclude(j, SIGNATURE_EXPIRED, x, "has a validity that cannot be read");
                if (j->now_usec > not_after)
                        return conclude_time(j, SIGNATURE_EXPIRED, x, not_after);
                if (j->now_usec < not_before)
                        return conclude_time(j, SIGNATURE_NOT_YET_VALID, x, not_before);
        }
        return 0;
}

/* The last of a complete chain is an anchor. */
static int judge_chain(const Judgement *j, const STACK_OF(X509) *chain) {
        static int (*const judges[])(const Judgement *, const STACK_OF(X509) *) = {
                judge_revocation,
                judge_strength,
                judge_usage,
                judge_times,
        };
        char fingerprint[SHA256_HEX_LENGTH + 1];
        int r = certificate_fingerprint(sk_X509_value(chain, sk_X509_num(chain) - 1), fingerprint);

        if (r < 0)
                return r;
        r = free_and_strdup(&j->verdict->anchor_fingerprint, fingerprint);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(judges); i++)
                r = judges[i](j, chain);
        if (r != 0)
                return MIN(r, 0);
        r = conclude(j, SIGNATURE_TRUSTED, sk_X509_value(chain, 0), "is trusted");
        return MIN(r, 0);
}

static bool is_anchor(const TrustStore *store, X509 *x) {
        const STACK_OF(X509) *anchors = trust_store_anchors(store);

        for (int i = 0; i < sk_X509_num(anchors); i++)
                if (X509_cmp(sk_X509_value(anchors, i), x) == 0)
                        return true;
        return false;
}

static int judge_anchor(const Judgement *j, X509 *signer) {
        STACK_OF(X509) *chain = sk_X509_new_null();
        int r = -ENOMEM;

        if (chain && sk_X509_push(chain, signer) > 0)
                r = judge_chain(j, chain);
        sk_X509_free(chain);
        return r;
}

static X509_STORE_CTX *chain_context_new(const Judgement *j, X509 *signer, STACK_OF(X509) *embedded) {
        X509_STORE_CTX *ctx = X509_STORE_CTX_new();
        X509_VERIFY_PARAM *param;

        if (!ctx || X509_STORE_CTX_init(ctx, trust_store_chain_store(j->store), signer, embedded) != 1) {
                X509_STORE_CTX_free(ctx);
                return NULL;
        }
        param = X509_STORE_CTX_get0_param(ctx);
        /* An intermediate or a leaf may be the anchor; the default purposes refuse signers of code. */
        (void) X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
        (void) X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_ANY);
        X509_VERIFY_PARAM_set_depth(param, CHAIN_DEPTH_MAX);
        X509_VERIFY_PARAM_set_auth_level(param, 0);
        if (j->skip_validity)
                (void) X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_NO_CHECK_TIME);
        else
                X509_VERIFY_PARAM_set_time(param, (time_t) (j->now_usec / USEC_PER_SEC));
        X509_STORE_CTX_set_verify_cb(ctx, on_chain_error);
        return ctx;
}

/* What OpenSSL found wrong, where that is more than "leads to no anchor". */
static int judge_broken_chain(const Judgement *j, X509_STORE_CTX *ctx, X509 *signer) {
        const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
        X509 *culprit = X509_STORE_CTX_get_current_cert(ctx) ?: signer;
        int r = chain ? judge_revocation(j, chain) : 0;

        if (r != 0)
                return r;
        switch (X509_STORE_CTX_get_error(ctx)) {
        case X509_V_ERR_INVALID_CA:
        case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
        case X509_V_ERR_PATH_LENGTH_EXCEEDED:
                return conclude(j, SIGNATURE_WRONG_KEY_USAGE, culprit, "may not issue certificates here");
        case X509_V_ERR_OUT_OF_MEM:
                return -ENOMEM;
        default:
                return conclude(j, SIGNATURE_UNKNOWN_SIGNER, signer,
                                "is not trusted here, and no trusted one issued it");
        }
}

int certificate_chain_judge(const TrustStore *store, X509 *signer, struct stack_st_X509 *embedded, uint64_t now_usec,
                            bool skip_validity, ChainVerdict *ret) {
        _cleanup_(chain_verdict_done) ChainVerdict verdict = { .status = SIGNATURE_UNCHECKED };
        Judgement j = { store, now_usec, skip_validity, &verdict };
        int r;

        if (is_anchor(store, signer)) {
                r = judge_anchor(&j, signer);
        } else {
                X509_STORE_CTX *ctx = chain_context_new(&j, signer, embedded);

                if (!ctx)
                        return -ENOMEM;
                r = X509_verify_cert(ctx) == 1 ? judge_chain(&j, X509_STORE_CTX_get0_chain(ctx)) :
                                                 judge_broken_chain(&j, ctx, signer);
                X509_STORE_CTX_free(ctx);
        }
        if (r < 0)
                return r;
        *ret = verdict;
        verdict = (ChainVerdict) {};
        return 0;
}
