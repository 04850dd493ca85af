/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The appended module signature, split from its payload; a pure parser that trusts nothing. */
#pragma once

#include "common/failure.h"

/* A signature with a chain of certificates has some kilobytes. What is larger parses here, and verifies nowhere. */
#define SIGNATURE_SIZE_MAX KIB(256)

typedef struct ModuleSignature {
        size_t payload_size;  /* the signed bytes are [0, payload_size) */
        size_t pkcs7_offset;  /* == payload_size */
        size_t pkcs7_size;    /* > 0 */
} ModuleSignature;

/* 0: a well-formed trailer, *ret filled in. REFUSED_UNSIGNED: no marker at the very end (one byte behind it is enough,
 * as for the kernel). REFUSED_SIGNATURE_MALFORMED: marker, but the trailer's fields are not what the kernel accepts
 * (kernel/module_signature.c, mod_check_sig()). Looks at the last bytes only. */
int module_signature_parse_untrusted(const uint8_t *data, size_t size, ModuleSignature *ret, Failure *f);
