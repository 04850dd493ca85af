/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SHA-256 of a module while it is still being copied; internal to src/kmod. */
#pragma once

#include "common/macro.h"

typedef struct ImageDigest ImageDigest;

#define IMAGE_DIGEST_SIZE 32

/* fd is the memfd, to which bytes are only ever appended; it stays the caller's and open. */
int image_digest_new(int fd, ImageDigest **ret);
ImageDigest *image_digest_free(ImageDigest *d);
DEFINE_CLEANUP(ImageDigest *, image_digest_free)

/* [0, n_written) is there and will not change. Cheap; may start a thread, and does without where there is none. */
void image_digest_advance(ImageDigest *d, uint64_t n_written);

/* Digests of [0, size) and of [0, payload_size), once data is the complete and sealed image. Once only. */
int image_digest_finish(ImageDigest *d, const uint8_t *data, size_t size, size_t payload_size,
                        uint8_t ret_all[static IMAGE_DIGEST_SIZE], uint8_t ret_payload[static IMAGE_DIGEST_SIZE]);
