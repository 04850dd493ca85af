/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A kernel module held once as immutable bytes behind one descriptor. */
#pragma once

#include <stdbool.h>

#include "common/failure.h"

/* The decompressed bytes, sealed; what is hashed, verified, inspected and loaded. Reference counted; the count is
 * atomic, the rest never changes, so that an image may be used from a worker thread. */
typedef struct ModuleImage ModuleImage;

typedef enum ModuleCompression {
        MODULE_COMPRESSION_NONE,
        MODULE_COMPRESSION_GZIP,
        MODULE_COMPRESSION_XZ,
        MODULE_COMPRESSION_ZSTD,
        _MODULE_COMPRESSION_MAX,
} ModuleCompression;

/* Copies what a caller's descriptor holds (from offset 0, whatever its position) into a sealed memfd, decompressing
 * where the magic says so. Refuses what is not a readable regular file (REFUSED_INVALID_FILE: directories, FIFOs,
 * devices, O_PATH), is empty (REFUSED_MALFORMED_MODULE), or exceeds max_size bytes before or after decompression
 * (REFUSED_TOO_LARGE). max_size bounds memory, too; setting: what sets it, for people, or NULL. The caller keeps fd.
 * Blocks on disk; not for the event loop. */
int module_image_new_from_fd(int fd, uint64_t max_size, const char *setting, ModuleImage **ret, Failure *f);

/* The same from memory, for tests and for standard input already read. */
int module_image_new_from_memory(const void *data, size_t size, uint64_t max_size, ModuleImage **ret, Failure *f);

/* The same of a stream that is no regular file (standard input of livepatchctl): reads to the end, bounded. */
int module_image_new_from_stream(int fd, uint64_t max_size, ModuleImage **ret, Failure *f);

ModuleImage *module_image_ref(ModuleImage *image);
ModuleImage *module_image_unref(ModuleImage *image);
DEFINE_CLEANUP(ModuleImage *, module_image_unref)

const uint8_t *module_image_data(const ModuleImage *image);
size_t module_image_size(const ModuleImage *image);
ModuleCompression module_image_compression(const ModuleImage *image);

/* The sealed memfd, read-only, close-on-exec, position undefined; stays the image's. */
int module_image_fd(const ModuleImage *image);

/* SHA-256 of all bytes, signature included, as 64 lower-case hexadecimal digits. Computed once, at creation. */
const char *module_image_sha256(const ModuleImage *image);

/* SHA-256 of the signed payload (what comes before the appended signature; everything when there is none), 32 bytes.
 * Comes out of the same pass as the digest above, so that verifying a SHA-256 signature costs no second pass. */
const uint8_t *module_image_payload_sha256(const ModuleImage *image);

/* For an image that was read from a persisted file: insert through that file's own descriptor instead of the memfd
 * (IMA and LoadPin judge the file's filesystem; kernel.md, section 3). Takes fd over. The loader compares the file
 * with the image again before it uses it. Optional. */
void module_image_set_file(ModuleImage *image, int fd);
int module_image_file_fd(const ModuleImage *image);
