/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys by which the kernel itself judges module signatures, as far as it shows them. */
#pragma once

#include <stdbool.h>

#include "kmod/module-verify.h"

typedef struct KernelKeys {
        bool known;      /* /proc/keys could be read, and shows the kernel's own keyrings */
        char **keyrings; /* ".builtin_trusted_keys", ...; those that hold keys for modules and exist here */
        char **ids;      /* of every X.509 key that is shown: its subject key identifier, in hexadecimal digits */
} KernelKeys;

void kernel_keys_done(KernelKeys *keys);

/* Fails only when out of memory. */
int kernel_keys_read(int root_fd, KernelKeys *ret);

bool kernel_keys_contain(const KernelKeys *keys, const char *id);

/* The subject key identifier of the one key that must be known for this signature to be accepted by the kernel. *ret is
 * NULL where that cannot be said: several signers, certificates within the signature by which the kernel may find
 * another way, a signer whose certificate is not here or has no identifier. */
int kernel_keys_wanted(const ModuleImage *image, const TrustStore *store, const SignatureReport *report, char **ret);
