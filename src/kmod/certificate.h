/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* X.509 certificates: parsing, description, fitness for signing modules; internal to src/kmod.
 *
 * OpenSSL's types are only passed through here, as incomplete types: its headers stay in the .c files. */
#pragma once

#include <stdbool.h>

#include "common/macro.h"
#include "kmod/trust-store.h"

struct X509_name_st;
struct asn1_string_st;
struct stack_st_X509;
struct x509_st;

/* More is no certificate file. */
#define CERTIFICATE_FILE_MAX KIB(64)

/* A module-signing key gives what 112 bits of symmetric security give: RSA 2048, an elliptic curve of 224 bits (NIST
 * SP 800-57, part 1, table 2). */
#define CERTIFICATE_SECURITY_BITS_MIN 112

/* All certificates of a PEM file, or the one of a DER file. -EBADMSG: *ret_reason (never to be freed) says in what
 * way it is no such file. Free with certificate_list_free(). */
int certificate_list_parse_untrusted(const void *data, size_t size, struct stack_st_X509 **ret,
                                     const char **ret_reason);
void certificate_list_free(struct stack_st_X509 *list);

/* What is wrong with a certificate whose DER could be decoded, or NULL. The functions below want one that has no
 * defect. */
const char *certificate_defect(struct x509_st *x);

/* PEM of n certificates one after the other, not NUL-terminated. */
int certificate_list_to_pem(const struct stack_st_X509 *list, char **ret, size_t *ret_size);

/* What a person is shown; file and origin are left alone. */
int certificate_describe(struct x509_st *x, TrustCertificate *ret);
void trust_certificate_done(TrustCertificate *c);

/* Sanitised; NULL when out of memory. */
char *certificate_subject(const struct x509_st *x);
char *certificate_name_to_text(const struct X509_name_st *name);
char *certificate_serial_to_text(const struct asn1_string_st *serial);

/* 65 bytes. */
int certificate_fingerprint(const struct x509_st *x, char *ret);

/* Microseconds since the epoch. */
int certificate_validity(const struct x509_st *x, uint64_t *ret_not_before, uint64_t *ret_not_after);

bool certificate_is_ca(struct x509_st *x);
bool certificate_key_is_strong(struct x509_st *x);
/* The signature that its issuer made over it. */
bool certificate_signature_is_strong(struct x509_st *x);

/* extendedKeyUsage: absent, or names code signing, any, or the shim's module signing. */
bool certificate_purpose_allows_modules(struct x509_st *x);
/* keyUsage: absent, or digitalSignature; of an anchor also keyCertSign, as for the kernel, which looks at none. */
bool certificate_key_usage_allows_signing(struct x509_st *x, bool is_anchor);

/* Whether revoking `revoked` takes x with it: the same certificate or key, or issued by it. */
bool certificate_is_revoked_by(struct x509_st *x, struct x509_st *revoked);

/* Empties OpenSSL's error queue of this thread into one debug message. */
void certificate_log_openssl_errors(const char *what);
