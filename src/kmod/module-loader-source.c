/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which descriptor finit_module(2) gets: the sealed image, or the persisted file with the same bytes. */

#include <string.h>
#include <sys/stat.h>

#include "kmod/module-loader-source.h"

#define COMPARE_CHUNK KIB(256)

/* 0: the same, 1: different, or a negative errno. Reads to the announced end and one byte beyond. */
static int compare_bytes(int fd, const uint8_t *data, size_t size) {
        _cleanup_free_ uint8_t *buffer = malloc(COMPARE_CHUNK);
        size_t offset = 0;

        if (!buffer)
                return -ENOMEM;
        for (;;) {
                ssize_t n = pread(fd, buffer, COMPARE_CHUNK, (off_t) offset);

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return negative_errno();
                }
                if (n == 0)
                        return offset == size ? 0 : 1;
                if ((size_t) n > size - offset || memcmp(buffer, data + offset, (size_t) n) != 0)
                        return 1;
                offset += (size_t) n;
        }
}

static int compare_file(int fd, const uint8_t *data, size_t size) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return negative_errno();
        if (!S_ISREG(st.st_mode) || (uint64_t) st.st_size != size)
                return 1;
        return compare_bytes(fd, data, size);
}

/* IMA and LoadPin judge a module by the filesystem of its descriptor (security/integrity/ima/, security/loadpin/), so a
 * persisted file goes in by itself. Only root can write it; a write while the kernel reads it fails with ETXTBSY
 * (fs/kernel_read_file.c takes deny_write_access()). */
int module_loader_source(const ModuleImage *image, const char *name, int *ret, Failure *f) {
        int fd = module_image_file_fd(image), r;

        if (fd < 0) {
                *ret = module_image_fd(image);
                return 0;
        }
        r = compare_file(fd, module_image_data(image), module_image_size(image));
        if (r < 0)
                return failure_set(f, r,
                                   "Failed to read the file of module '%s' again before loading it: %s. The module was "
                                   "not loaded.",
                                   name, strerror(-r));
        if (r > 0)
                return failure_set(f, REFUSED_CONFLICT,
                                   "The file of module '%s' has changed on disk since it was verified. The module was "
                                   "not loaded. Find out who changed it, and apply the patch again from its source.",
                                   name);
        *ret = fd;
        return 0;
}
