/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streaming decompression of untrusted data, bounded in memory; internal to src/kmod. */
#pragma once

#include "kmod/module-image.h"

typedef struct Decompressor Decompressor;

/* Takes what was decompressed; a negative result ends the decompression and is handed through. The sink bounds the
 * size of the output. */
typedef int (*DecompressSink)(void *userdata, const uint8_t *data, size_t size);

/* What the first bytes of a file announce. */
ModuleCompression decompress_detect(const uint8_t *data, size_t size);
const char *module_compression_to_string(ModuleCompression compression) _const_;

/* compression is not MODULE_COMPRESSION_NONE. */
int decompressor_new(ModuleCompression compression, DecompressSink sink, void *userdata, Decompressor **ret);
Decompressor *decompressor_free(Decompressor *d);
DEFINE_CLEANUP(Decompressor *, decompressor_free)

/* Any number of pushes, then one finish. -EBADMSG: damaged, truncated (at the finish only), or followed by something
 * that is not another member of the same format. -E2BIG: the data asks for more memory than a window of
 * DECOMPRESS_WINDOW_MAX needs. */
int decompressor_push(Decompressor *d, const uint8_t *data, size_t size);
int decompressor_finish(Decompressor *d);

/* What zstd(1) accepts without being told to, and twice the highest preset of xz(1); kernel builds use 1 or 2 MiB
 * (scripts/Makefile.modinst). Both decoders touch of it only as much as they put out. */
#define DECOMPRESS_WINDOW_LOG 27
#define DECOMPRESS_WINDOW_MAX (1U << DECOMPRESS_WINDOW_LOG)
