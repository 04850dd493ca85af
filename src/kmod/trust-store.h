/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The X.509 trust anchors and the revocations of this system. */
#pragma once

#include <stdbool.h>

#include "common/failure.h"

typedef enum TrustOrigin {
        TRUST_ORIGIN_VENDOR, /* /usr/lib/livepatch/trusted.d: read-only here */
        TRUST_ORIGIN_ADMIN,  /* /etc/livepatch/trusted.d */
} TrustOrigin;

/* What is shown of a certificate. Text fields are sanitised: subjects are other people's text. Times are
 * microseconds since the epoch (UTC). */
typedef struct TrustCertificate {
        char *subject;
        char *issuer;
        char *fingerprint; /* SHA-256 of the DER, 64 lower-case hexadecimal digits */
        char *key;         /* "RSA 3072", "EC prime256v1", ... */
        char *skid;        /* subject key identifier, hexadecimal, or NULL */
        uint64_t not_before;
        uint64_t not_after;
        bool is_ca;
        bool revoked;
        TrustOrigin origin;
        char *file; /* name within its directory; NULL for one that was only parsed */
} TrustCertificate;

typedef struct TrustStore TrustStore;

/* Reads usr/lib/livepatch/{trusted.d,revoked.d} and etc/livepatch/{trusted.d,revoked.d} below root_fd (names in
 * common/names.h). trusted.d: *.pem, *.der, *.crt, *.cer; one certificate a file, or several in a PEM. A file of the
 * admin's hides the vendor's of the same name; one that is empty or a link to /dev/null masks it. revoked.d: the same
 * for certificates, and *.sha256 with one module digest (64 hexadecimal digits) a line, '#' comments and
 * sha256sum(1)'s "  name" allowed.
 *
 * Revoking a certificate revokes its key, and all that was issued with it; a module digest is that of the whole file or
 * of its payload, so that signing it once more does not bring it back. Hidden files are left alone.
 *
 * A missing directory is an empty one. A directory of more than 256 files and a file of more than 64 KiB cannot be
 * read. What cannot be read of trusted.d is left out and reported in trust_store_problems(); of revoked.d it also makes
 * the store *fail closed*: 0 is returned but trust_store_revocation_broken() is set and nothing verifies (what was
 * revoked is not known any more). A name with another ending is a problem, too, except for READMEs and backups. */
int trust_store_new(int root_fd, TrustStore **ret, Failure *f);
TrustStore *trust_store_ref(TrustStore *store); /* atomic; a loaded store never changes */
TrustStore *trust_store_unref(TrustStore *store);
DEFINE_CLEANUP(TrustStore *, trust_store_unref)

size_t trust_store_n_certificates(const TrustStore *store);
const TrustCertificate *trust_store_certificate(const TrustStore *store, size_t i);

/* One line a file that was left out; NULL-terminated. */
char *const *trust_store_problems(const TrustStore *store);
bool trust_store_revocation_broken(const TrustStore *store);

bool trust_store_module_revoked(const TrustStore *store, const char *sha256);

/* Reads one certificate (PEM or DER; at most 64 KiB), checks that it can serve as an anchor for module signatures (a
 * CA, or a leaf whose key usage allows signing; key strength; an expired one is refused). Changes nothing;
 * trust_store_add() does the same checks. */
int trust_certificate_parse_untrusted(const void *data, size_t size, TrustCertificate **ret, Failure *f);
TrustCertificate *trust_certificate_free(TrustCertificate *c);
DEFINE_CLEANUP(TrustCertificate *, trust_certificate_free)

/* Writes the certificate durably as etc/livepatch/trusted.d/<fingerprint>.pem (0644), making directories as needed.
 * Adding one that is there already is success. Refuses (REFUSED_REVOKED) one that revoked.d names. */
int trust_store_add(int root_fd, const void *data, size_t size, char **ret_fingerprint, Failure *f);

/* Removes the admin's file(s) holding exactly this certificate. REFUSED_NO_SUCH_CERTIFICATE; REFUSED_READ_ONLY for a
 * vendor's (the text says how to mask it). fingerprint may be an unambiguous prefix of at least 8 digits, colons and
 * case ignored. A PEM file with several certificates loses only this one. */
int trust_store_remove(int root_fd, const char *fingerprint, char **ret_fingerprint, Failure *f);
