/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The trust store as the verifier sees it; internal to src/kmod. */
#pragma once

#include "kmod/trust-store.h"

struct stack_st_X509;
struct x509_st;
struct x509_store_st;

/* The anchors in the order of trust_store_certificate(), and as OpenSSL wants them to build chains. The store's. */
const struct stack_st_X509 *trust_store_anchors(const TrustStore *store);
struct x509_store_st *trust_store_chain_store(const TrustStore *store);

bool trust_store_certificate_revoked(const TrustStore *store, struct x509_st *x);
