/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Adding and removing trust anchors: the only writer of etc/livepatch/trusted.d. */

#include <ctype.h>
#include <openssl/x509.h>
#include <time.h>

#include "common/fd-util.h"
#include "common/names.h"
#include "common/string-util.h"
#include "kmod/certificate.h"
#include "kmod/trust-store-internal.h"

#define ADMIN_DIR LP_CONFIG_DIR "/" LP_TRUSTED_DIR_NAME
#define VENDOR_DIR LP_VENDOR_DIR "/" LP_TRUSTED_DIR_NAME

/* Fewer digits identify nothing. */
#define FINGERPRINT_PREFIX_MIN 8

#define SHOWN_MAX 80

static uint64_t now_realtime(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

static int check_anchor(X509 *x, const TrustCertificate *c, Failure *f) {
        bool ca = certificate_is_ca(x);

        if (c->not_after < now_realtime())
                return failure_set(f, REFUSED_SIGNER_EXPIRED,
                                   "The certificate '%s' has expired. It was not added.", c->subject);
        if (!certificate_key_is_strong(x))
                return failure_set(f, REFUSED_WEAK_ALGORITHM,
                                   "The key of the certificate '%s' (%s) is too weak. It was not added; at least "
                                   "RSA 2048 or an elliptic curve of 224 bits is needed.", c->subject, c->key);
        if (!ca && (!certificate_key_usage_allows_signing(x, true) || !certificate_purpose_allows_modules(x)))
                return failure_set(f, REFUSED_WRONG_KEY_USAGE,
                                   "The certificate '%s' is neither a certificate authority's nor one for signing "
                                   "code. It was not added, as no module could be verified with it.", c->subject);
        return 0;
}

static int parse_one(const void *data, size_t size, STACK_OF(X509) **ret, Failure *f) {
        STACK_OF(X509) *list;
        const char *reason;
        int r, n;

        if (size > CERTIFICATE_FILE_MAX)
                return failure_set(f, REFUSED_INVALID_CERTIFICATE, "A certificate file may have at most 64 KiB");
        r = certificate_list_parse_untrusted(data, size, &list, &reason);
        if (r == -EBADMSG)
                return failure_set(f, REFUSED_INVALID_CERTIFICATE,
                                   "This is no X.509 certificate in PEM or DER form: %s", reason);
        if (r < 0)
                return failure_oom(f);
        n = sk_X509_num(list);
        if (n != 1) {
                certificate_list_free(list);
                return failure_set(f, REFUSED_INVALID_CERTIFICATE,
                                   "The file holds %d certificates. None was added; add each one by itself.", n);
        }
        *ret = list;
        return 0;
}

/* The certificate as a list of one, which the caller frees. */
static int parse_anchor(const void *data, size_t size, STACK_OF(X509) **ret_list, TrustCertificate **ret, Failure *f) {
        _cleanup_(trust_certificate_freep) TrustCertificate *c = NULL;
        STACK_OF(X509) *list;
        int r = parse_one(data, size, &list, f);

        if (r != 0)
                return r;
        c = calloc(1, sizeof(TrustCertificate));
        if (c)
                c->origin = TRUST_ORIGIN_ADMIN;
        if (!c || certificate_describe(sk_X509_value(list, 0), c) < 0)
                r = failure_oom(f);
        else
                r = check_anchor(sk_X509_value(list, 0), c, f);
        if (r != 0) {
                certificate_list_free(list);
                return r;
        }
        *ret_list = list;
        *ret = TAKE_PTR(c);
        return 0;
}

int trust_certificate_parse_untrusted(const void *data, size_t size, TrustCertificate **ret, Failure *f) {
        STACK_OF(X509) *list;
        int r = parse_anchor(data, size, &list, ret, f);

        if (r == 0)
                certificate_list_free(list);
        return r;
}

static bool store_has(const TrustStore *store, const char *fingerprint) {
        for (size_t i = 0; i < trust_store_n_certificates(store); i++)
                if (streq(trust_store_certificate(store, i)->fingerprint, fingerprint))
                        return true;
        return false;
}

static int write_list(int root_fd, const char *path, const STACK_OF(X509) *list, Failure *f) {
        _cleanup_free_ char *pem = NULL;
        size_t size;
        int r = certificate_list_to_pem(list, &pem, &size);

        if (r < 0)
                return failure_oom(f);
        r = write_file_atomic_at(root_fd, path, pem, size, 0644);
        if (r < 0)
                return failure_set(f, REFUSED_STORE_FAILED,
                                   "Cannot write /%s: %s. The trusted certificates are unchanged.", path, strerror(-r));
        return 0;
}

static int add_to_directory(int root_fd, const STACK_OF(X509) *list, const TrustCertificate *c, Failure *f) {
        _cleanup_(trust_store_unrefp) TrustStore *store = NULL;
        _cleanup_free_ char *path = NULL;
        int r = trust_store_new(root_fd, &store, f);

        if (r != 0)
                return r;
        if (trust_store_revocation_broken(store))
                return failure_set(f, -EUCLEAN,
                                   "The revocations cannot be read, so it is not known whether '%s' was revoked. "
                                   "It was not added; repair /" LP_CONFIG_DIR "/" LP_REVOKED_DIR_NAME " first.",
                                   c->subject);
        if (trust_store_certificate_revoked(store, sk_X509_value(list, 0)))
                return failure_set(f, REFUSED_REVOKED,
                                   "The certificate '%s' is revoked on this system. It was not added.", c->subject);
        if (store_has(store, c->fingerprint))
                return 0;
        r = mkdir_parents_at(root_fd, ADMIN_DIR, 0755);
        if (r < 0)
                return failure_set(f, REFUSED_STORE_FAILED, "Cannot create /" ADMIN_DIR ": %s. Nothing was changed.",
                                   strerror(-r));
        if (asprintf(&path, ADMIN_DIR "/%s.pem", c->fingerprint) < 0) {
                path = NULL;
                return failure_oom(f);
        }
        return write_list(root_fd, path, list, f);
}

int trust_store_add(int root_fd, const void *data, size_t size, char **ret_fingerprint, Failure *f) {
        _cleanup_(trust_certificate_freep) TrustCertificate *c = NULL;
        STACK_OF(X509) *list;
        int r = parse_anchor(data, size, &list, &c, f);

        if (r != 0)
                return r;
        r = add_to_directory(root_fd, list, c, f);
        certificate_list_free(list);
        if (r == 0 && ret_fingerprint)
                *ret_fingerprint = TAKE_PTR(c->fingerprint);
        return r;
}

/* Lower-case digits without colons and blanks; -EINVAL for what is no fingerprint or prefix of one. */
static int normalize_fingerprint(const char *s, char *ret) {
        size_t n = 0;

        for (; *s; s++) {
                if (*s == ':' || *s == ' ')
                        continue;
                if (!isxdigit((unsigned char) *s) || n == SHA256_HEX_LENGTH)
                        return -EINVAL;
                ret[n++] = (char) tolower((unsigned char) *s);
        }
        ret[n] = '\0';
        return n >= FINGERPRINT_PREFIX_MIN ? 0 : -EINVAL;
}

/* The one certificate meant, or NULL and a refusal. */
static const TrustCertificate *find_one(const TrustStore *store, const char *fingerprint, Failure *f) {
        char prefix[SHA256_HEX_LENGTH + 1];
        const TrustCertificate *found = NULL;

        if (normalize_fingerprint(fingerprint, prefix) < 0) {
                _cleanup_free_ char *shown = sanitize_text(fingerprint, SHOWN_MAX);

                (void) failure_set(f, REFUSED_NO_SUCH_CERTIFICATE,
                                   "'%s' is no fingerprint: give 8 to 64 hexadecimal digits, as "
                                   "'livepatchctl trust list' shows them", strempty(shown));
                return NULL;
        }
        for (size_t i = 0; i < trust_store_n_certificates(store); i++) {
                const TrustCertificate *c = trust_store_certificate(store, i);

                if (!startswith(c->fingerprint, prefix) || (found && streq(found->fingerprint, c->fingerprint)))
                        continue;
                if (found) {
                        (void) failure_set(f, REFUSED_NO_SUCH_CERTIFICATE,
                                           "More than one trusted certificate begins with %s, among them '%s' and "
                                           "'%s'. None was removed; give more digits.",
                                           prefix, found->subject, c->subject);
                        return NULL;
                }
                found = c;
        }
        if (!found)
                (void) failure_set(f, REFUSED_NO_SUCH_CERTIFICATE,
                                   "No trusted certificate has the fingerprint %s", prefix);
        return found;
}

/* A vendor's file of the same name would come back into force if the admin's were unlinked. */
static int remove_file(int root_fd, const char *path, const char *name, Failure *f) {
        _cleanup_free_ char *vendor = NULL;
        int r;

        if (asprintf(&vendor, VENDOR_DIR "/%s", name) < 0) {
                vendor = NULL;
                return failure_oom(f);
        }
        r = exists_at(root_fd, vendor) ? write_file_atomic_at(root_fd, path, "", 0, 0644) :
                                         unlink_durable_at(root_fd, path);
        if (r < 0)
                return failure_set(f, REFUSED_STORE_FAILED, "Cannot remove /%s: %s", path, strerror(-r));
        return 0;
}

static int remove_from_list(STACK_OF(X509) *list, const char *fingerprint) {
        for (int i = sk_X509_num(list) - 1; i >= 0; i--) {
                char other[SHA256_HEX_LENGTH + 1];
                int r = certificate_fingerprint(sk_X509_value(list, i), other);

                if (r < 0)
                        return r;
                if (streq(other, fingerprint))
                        X509_free(sk_X509_delete(list, i));
        }
        return 0;
}

static int remove_from_file(int root_fd, const char *name, const char *fingerprint, Failure *f) {
        _cleanup_free_ char *path = NULL, *data = NULL;
        STACK_OF(X509) *list;
        const char *reason;
        size_t size;
        int r;

        if (asprintf(&path, ADMIN_DIR "/%s", name) < 0) {
                path = NULL;
                return failure_oom(f);
        }
        r = read_file_at(root_fd, path, CERTIFICATE_FILE_MAX, &data, &size);
        if (r >= 0)
                r = certificate_list_parse_untrusted(data, size, &list, &reason);
        if (r < 0)
                return failure_set(f, r, "Cannot read /%s again: %s", path, strerror(-r));
        r = remove_from_list(list, fingerprint);
        if (r < 0)
                r = failure_oom(f);
        else if (sk_X509_num(list) == 0)
                r = remove_file(root_fd, path, name, f);
        else
                r = write_list(root_fd, path, list, f);
        certificate_list_free(list);
        return r;
}

static int refuse_vendor(const TrustStore *store, const char *fingerprint, Failure *f) {
        for (size_t i = 0; i < trust_store_n_certificates(store); i++) {
                const TrustCertificate *c = trust_store_certificate(store, i);
                _cleanup_free_ char *name = NULL;

                if (c->origin != TRUST_ORIGIN_VENDOR || !streq(c->fingerprint, fingerprint))
                        continue;
                name = sanitize_text(c->file, SHOWN_MAX);
                return failure_set(f, REFUSED_READ_ONLY,
                                   "The certificate '%s' belongs to the distribution, in /" VENDOR_DIR "/%s. It is "
                                   "still trusted; to mask it, make /" ADMIN_DIR "/%s a link to /dev/null.",
                                   c->subject, strempty(name), strempty(name));
        }
        return 0;
}

static int remove_everywhere(int root_fd, const TrustStore *store, const char *fingerprint, Failure *f) {
        const char *last = NULL;

        for (size_t i = 0; i < trust_store_n_certificates(store); i++) {
                const TrustCertificate *c = trust_store_certificate(store, i);
                int r;

                /* Those of one file follow each other, and go together. */
                if (!streq(c->fingerprint, fingerprint) || streq_ptr(last, c->file))
                        continue;
                r = remove_from_file(root_fd, c->file, fingerprint, f);
                if (r != 0)
                        return r;
                last = c->file;
        }
        return 0;
}

int trust_store_remove(int root_fd, const char *fingerprint, char **ret_fingerprint, Failure *f) {
        _cleanup_(trust_store_unrefp) TrustStore *store = NULL;
        _cleanup_free_ char *copy = NULL;
        const TrustCertificate *found;
        int r = trust_store_new(root_fd, &store, f);

        if (r != 0)
                return r;
        found = find_one(store, fingerprint, f);
        if (!found)
                return REFUSED_NO_SUCH_CERTIFICATE;
        copy = strdup(found->fingerprint);
        if (!copy)
                return failure_oom(f);
        /* Removing only the admin's copy of a certificate that a vendor's file holds, too, would change nothing. */
        r = refuse_vendor(store, copy, f);
        if (r == 0)
                r = remove_everywhere(root_fd, store, copy, f);
        if (r == 0 && ret_fingerprint)
                *ret_fingerprint = TAKE_PTR(copy);
        return r;
}
