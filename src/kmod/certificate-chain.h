/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a signer's certificate to a trust anchor: is there a way, and is every step fit; internal to src/kmod. */
#pragma once

#include <stdbool.h>

#include "common/types.h"
#include "kmod/trust-store-internal.h"

typedef struct ChainVerdict {
        SignatureStatus status;
        char *text;               /* why; without a period */
        char *anchor_fingerprint; /* NULL where no anchor was reached */
} ChainVerdict;

void chain_verdict_done(ChainVerdict *v);

/* Judges the signer as one of modules. `embedded` may serve as intermediates, never as anchors. 0 with a status of
 * TRUSTED, REVOKED, WEAK_ALGORITHM, WRONG_KEY_USAGE, EXPIRED, NOT_YET_VALID or UNKNOWN_SIGNER, or a negative errno. */
int certificate_chain_judge(const TrustStore *store, struct x509_st *signer, struct stack_st_X509 *embedded,
                            uint64_t now_usec, bool skip_validity, ChainVerdict *ret);
