/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* X.509 certificates: parsing, description, fitness for signing modules. */

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/string-util.h"
#include "kmod/certificate.h"

/* A subject longer than this is no name but an attempt to fill a screen. */
#define NAME_MAX_BYTES 256

/* DER of a SEQUENCE begins so; no PEM file does, since '0' opens neither a header nor text before one. */
#define DER_SEQUENCE 0x30

/* What shim and the distributions put into a Machine Owner Key that may sign modules but no boot loaders. */
#define OID_MODULE_SIGNING "1.3.6.1.4.1.2312.16.1.2"

void certificate_log_openssl_errors(const char *what) {
        char text[256];
        unsigned long e = ERR_peek_last_error();

        if (e != 0) {
                ERR_error_string_n(e, text, sizeof(text));
                log_debug("%s: %s", what, text);
        }
        ERR_clear_error();
}

/* OpenSSL would ask for the passphrase of an encrypted PEM block on the controlling terminal. */
static int no_passphrase(char *buffer _unused_, int size _unused_, int writing _unused_, void *userdata _unused_) {
        return -1;
}

void certificate_list_free(struct stack_st_X509 *list) {
        sk_X509_pop_free(list, X509_free);
}

const char *certificate_defect(X509 *x) {
        uint64_t not_before, not_after;

        if (X509_get_extension_flags(x) & EXFLAG_INVALID)
                return "a certificate has malformed extensions";
        if (!X509_get0_pubkey(x))
                return "a certificate has a public key that is malformed or not supported";
        if (certificate_validity(x, &not_before, &not_after) < 0)
                return "a certificate has a malformed validity";
        return NULL;
}

static int list_append(STACK_OF(X509) *list, X509 *x, const char **ret_reason) {
        const char *defect = certificate_defect(x);

        if (defect || sk_X509_push(list, x) <= 0) {
                X509_free(x);
                *ret_reason = defect;
                return defect ? -EBADMSG : -ENOMEM;
        }
        return 0;
}

static int parse_der(const uint8_t *data, size_t size, STACK_OF(X509) *list, const char **ret_reason) {
        const uint8_t *p = data;
        X509 *x = d2i_X509(NULL, &p, (long) size);

        if (!x) {
                *ret_reason = "it is not a well-formed DER certificate";
                return -EBADMSG;
        }
        if (p != data + size) {
                X509_free(x);
                *ret_reason = "something follows its DER certificate";
                return -EBADMSG;
        }
        return list_append(list, x, ret_reason);
}

static int parse_pem(const void *data, size_t size, STACK_OF(X509) *list, const char **ret_reason) {
        BIO *bio = BIO_new_mem_buf(data, (int) size);
        int r = bio ? 0 : -ENOMEM;

        while (r == 0) {
                X509 *x = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);

                if (!x)
                        break;
                r = list_append(list, x, ret_reason);
        }
        BIO_free(bio);
        if (r < 0)
                return r;
        /* That no further block starts is how the loop is meant to end. */
        if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                *ret_reason = "a PEM block in it is damaged";
        else if (sk_X509_num(list) == 0)
                *ret_reason = "there is no certificate in it";
        else
                return 0;
        return -EBADMSG;
}

int certificate_list_parse_untrusted(const void *data, size_t size, struct stack_st_X509 **ret,
                                     const char **ret_reason) {
        STACK_OF(X509) *list;
        int r;

        *ret_reason = "there is no certificate in it";
        if (size == 0 || size > CERTIFICATE_FILE_MAX)
                return -EBADMSG;
        list = sk_X509_new_null();
        if (!list)
                return -ENOMEM;
        ERR_clear_error();
        r = *(const uint8_t *) data == DER_SEQUENCE ? parse_der(data, size, list, ret_reason) :
                                                      parse_pem(data, size, list, ret_reason);
        certificate_log_openssl_errors("Certificates parsed");
        if (r < 0) {
                certificate_list_free(list);
                return r;
        }
        *ret = list;
        return 0;
}

int certificate_list_to_pem(const struct stack_st_X509 *list, char **ret, size_t *ret_size) {
        BIO *bio = BIO_new(BIO_s_mem());
        bool ok = bio;
        char *copy = NULL, *data;
        long size;

        for (int i = 0; ok && i < sk_X509_num(list); i++)
                ok = PEM_write_bio_X509(bio, sk_X509_value(list, i)) == 1;
        size = ok ? BIO_get_mem_data(bio, &data) : -1;
        if (size >= 0)
                copy = malloc((size_t) size + 1);
        if (copy) {
                memcpy(copy, data, (size_t) size);
                *ret = copy;
                *ret_size = (size_t) size;
        }
        BIO_free(bio);
        return copy ? 0 : -ENOMEM;
}

int certificate_fingerprint(const X509 *x, char *ret) {
        uint8_t digest[SHA256_DIGEST_LENGTH];

        if (X509_digest(x, EVP_sha256(), digest, NULL) != 1)
                return -ENOMEM;
        hex_encode(digest, sizeof(digest), ret);
        return 0;
}

char *certificate_name_to_text(const X509_NAME *name) {
        BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL, *data;

        /* UTF-8 as it is: sanitize_text() decides what may be shown. The NUL makes a string of the BIO's bytes. */
        if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~(unsigned long) ASN1_STRFLGS_ESC_MSB) >= 0 &&
            BIO_write(bio, "", 1) == 1 && BIO_get_mem_data(bio, &data) > 0)
                text = *data ? sanitize_text(data, NAME_MAX_BYTES) : strdup("(no name)");
        BIO_free(bio);
        return text;
}

char *certificate_subject(const X509 *x) {
        return certificate_name_to_text(X509_get_subject_name(x));
}

char *certificate_serial_to_text(const ASN1_INTEGER *serial) {
        BIGNUM *number = ASN1_INTEGER_to_BN(serial, NULL);
        char *hex = number ? BN_bn2hex(number) : NULL, *text = NULL;

        if (hex)
                text = sanitize_text(hex, NAME_MAX_BYTES);
        OPENSSL_free(hex);
        BN_free(number);
        return text;
}

static int time_to_usec(const ASN1_TIME *t, uint64_t *ret) {
        struct tm tm;
        time_t seconds;

        if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
                return -EBADMSG;
        seconds = timegm(&tm);
        *ret = seconds > 0 ? (uint64_t) seconds * USEC_PER_SEC : 0;
        return 0;
}

int certificate_validity(const X509 *x, uint64_t *ret_not_before, uint64_t *ret_not_after) {
        int r = time_to_usec(X509_get0_notBefore(x), ret_not_before);

        return r < 0 ? r : time_to_usec(X509_get0_notAfter(x), ret_not_after);
}

static char *key_to_text(X509 *x) {
        EVP_PKEY *key = X509_get0_pubkey(x);
        const char *type = EVP_PKEY_get0_type_name(key);
        char group[64], *text = NULL;

        if (!type)
                type = OBJ_nid2sn(EVP_PKEY_get_base_id(key));
        if (streq(type, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1)
                return asprintf(&text, "EC %s", group) < 0 ? NULL : text;
        if (startswith(type, "RSA"))
                return asprintf(&text, "%s %d", type, EVP_PKEY_get_bits(key)) < 0 ? NULL : text;
        return strdup(type);
}

static int skid_to_text(X509 *x, char **ret) {
        const ASN1_OCTET_STRING *skid = X509_get0_subject_key_id(x);
        size_t size;

        *ret = NULL;
        if (!skid)
                return 0;
        size = MIN((size_t) ASN1_STRING_length(skid), (size_t) NAME_MAX_BYTES / 2);
        *ret = malloc(2 * size + 1);
        if (!*ret)
                return -ENOMEM;
        hex_encode(ASN1_STRING_get0_data(skid), size, *ret);
        return 0;
}

int certificate_describe(X509 *x, TrustCertificate *ret) {
        char fingerprint[SHA256_HEX_LENGTH + 1];
        int r = certificate_fingerprint(x, fingerprint);

        if (r < 0)
                return r;
        r = certificate_validity(x, &ret->not_before, &ret->not_after);
        if (r < 0)
                return r;
        ret->fingerprint = strdup(fingerprint);
        ret->subject = certificate_subject(x);
        ret->issuer = certificate_name_to_text(X509_get_issuer_name(x));
        ret->key = key_to_text(x);
        ret->is_ca = certificate_is_ca(x);
        if (!ret->fingerprint || !ret->subject || !ret->issuer || !ret->key)
                return -ENOMEM;
        return skid_to_text(x, &ret->skid);
}

void trust_certificate_done(TrustCertificate *c) {
        free(c->subject);
        free(c->issuer);
        free(c->fingerprint);
        free(c->key);
        free(c->skid);
        free(c->file);
        *c = (TrustCertificate) {};
}

TrustCertificate *trust_certificate_free(TrustCertificate *c) {
        if (c)
                trust_certificate_done(c);
        free(c);
        return NULL;
}

bool certificate_is_ca(X509 *x) {
        /* 1: basicConstraints says so. The others are guesses about certificates of the nineties. */
        return X509_check_ca(x) == 1;
}

bool certificate_key_is_strong(X509 *x) {
        return EVP_PKEY_get_security_bits(X509_get0_pubkey(x)) >= CERTIFICATE_SECURITY_BITS_MIN;
}

bool certificate_signature_is_strong(X509 *x) {
        int bits;

        return X509_get_signature_info(x, NULL, NULL, &bits, NULL) == 1 && bits >= CERTIFICATE_SECURITY_BITS_MIN;
}

static bool purpose_is_signing(const ASN1_OBJECT *purpose) {
        char oid[64];
        int n;

        switch (OBJ_obj2nid(purpose)) {
        case NID_code_sign:
        case NID_anyExtendedKeyUsage:
                return true;
        default:
                n = OBJ_obj2txt(oid, sizeof(oid), purpose, 1);
                return n > 0 && (size_t) n < sizeof(oid) && streq(oid, OID_MODULE_SIGNING);
        }
}

bool certificate_purpose_allows_modules(X509 *x) {
        int critical;
        EXTENDED_KEY_USAGE *purposes = X509_get_ext_d2i(x, NID_ext_key_usage, &critical, NULL);
        bool found = false;

        if (!purposes)
                return critical == -1; /* absent, as opposed to malformed or there twice */
        for (int i = 0; !found && i < sk_ASN1_OBJECT_num(purposes); i++)
                found = purpose_is_signing(sk_ASN1_OBJECT_value(purposes, i));
        EXTENDED_KEY_USAGE_free(purposes);
        return found;
}

bool certificate_key_usage_allows_signing(X509 *x, bool is_anchor) {
        uint32_t allowed = KU_DIGITAL_SIGNATURE | (is_anchor ? KU_KEY_CERT_SIGN : 0);

        /* All bits are set where there is no such extension. */
        return X509_get_key_usage(x) & allowed;
}

bool certificate_is_revoked_by(X509 *x, X509 *revoked) {
        EVP_PKEY *key = X509_get0_pubkey(revoked);

        /* By key, not by the bytes of the certificate: whoever holds an ECDSA certificate can make another encoding of
         * its issuer's signature, and so a certificate with the same content and another digest. */
        if (X509_cmp(x, revoked) == 0 || EVP_PKEY_eq(X509_get0_pubkey(x), key) == 1)
                return true;
        return X509_check_issued(revoked, x) == X509_V_OK && X509_verify(x, key) == 1;
}
