/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The appended module signature, split from its payload; a pure parser that trusts nothing.
 *
 * What scripts/sign-file.c appends (struct module_signature: include/linux/module_signature.h):
 *
 *      +---------+--------+------+------+---------+------------+------------+-----+---------+--------+
 *      | payload | PKCS#7 | algo | hash | id_type | signer_len | key_id_len | pad | sig_len | marker |
 *      |  >= 1   |sig_len |  1   |  1   |    1    |     1      |     1      |  3  |  4, BE  |   28   |
 *      +---------+--------+------+------+---------+------------+------------+-----+---------+--------+
 *
 * There is no NUL behind the marker, and only the outermost signature counts: one that was appended twice has the
 * first signature, trailer and marker included, in its payload. */

#include <endian.h>
#include <string.h>

#include "kmod/module-signature.h"

#define MARKER "~Module signature appended~\n"
#define MARKER_LENGTH (sizeof(MARKER) - 1)

/* PKEY_ID_PKCS7 of enum pkey_id_type; the other two are refused by every kernel since 4.3. */
#define ID_TYPE_PKCS7 2

/* How far from the end a marker is looked for, to tell a damaged signature from a module that never had one. */
#define NEAR_THE_END 64

typedef struct Trailer {
        uint8_t algo;
        uint8_t hash;
        uint8_t id_type;
        uint8_t signer_len;
        uint8_t key_id_len;
        uint8_t pad[3];
        uint32_t sig_len; /* big endian */
} Trailer;

_Static_assert(sizeof(Trailer) == 12, "the trailer has no padding of its own");

static int refuse_unsigned(const uint8_t *data, size_t size, Failure *f) {
        size_t n = MIN(size, (size_t) NEAR_THE_END);
        const uint8_t *tail = data + size - n;
        const uint8_t *marker = n > 0 ? memmem(tail, n, MARKER, MARKER_LENGTH) : NULL;

        if (marker)
                return failure_set(f, REFUSED_UNSIGNED,
                                   "The module counts as unsigned: %zu bytes follow the end of its signature",
                                   (size_t) (data + size - marker) - MARKER_LENGTH);
        return failure_set(f, REFUSED_UNSIGNED, "The module is not signed");
}

static int refuse_malformed(Failure *f, const char *what) {
        return failure_set(f, REFUSED_SIGNATURE_MALFORMED, "The module's signature is malformed: %s", what);
}

/* mod_check_sig() in kernel/module_signature.c; the kernel answers EBADMSG (ENOPKG to the type). */
static int check_trailer(const Trailer *t, Failure *f) {
        if (t->id_type != ID_TYPE_PKCS7)
                return refuse_malformed(f, "its trailer announces something else than PKCS#7");
        if (t->algo != 0 || t->hash != 0 || t->signer_len != 0 || t->key_id_len != 0)
                return refuse_malformed(f, "its trailer has values in fields that PKCS#7 leaves zero");
        if (t->pad[0] != 0 || t->pad[1] != 0 || t->pad[2] != 0)
                return refuse_malformed(f, "the padding of its trailer is not zero");
        return 0;
}

int module_signature_parse_untrusted(const uint8_t *data, size_t size, ModuleSignature *ret, Failure *f) {
        size_t pkcs7_size, rest;
        Trailer trailer;
        int r;

        /* A file that is nothing but a marker is unsigned to the kernel, too (module_sig_check()). */
        if (size <= MARKER_LENGTH || memcmp(data + size - MARKER_LENGTH, MARKER, MARKER_LENGTH) != 0)
                return refuse_unsigned(data, size, f);
        rest = size - MARKER_LENGTH;
        if (rest <= sizeof(trailer))
                return refuse_malformed(f, "there is a marker, but no room for a trailer before it");
        rest -= sizeof(trailer);
        memcpy(&trailer, data + rest, sizeof(trailer));
        r = check_trailer(&trailer, f);
        if (r != 0)
                return r;
        pkcs7_size = be32toh(trailer.sig_len);
        if (pkcs7_size == 0)
                return refuse_malformed(f, "its trailer announces 0 bytes of signature");
        if (pkcs7_size >= rest)
                return refuse_malformed(f, "its trailer announces more bytes of signature than the file has");
        *ret = (ModuleSignature) {
                .payload_size = rest - pkcs7_size,
                .pkcs7_offset = rest - pkcs7_size,
                .pkcs7_size = pkcs7_size,
        };
        return 0;
}
