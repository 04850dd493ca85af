/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads and verifies one module as livepatchd does, and nothing else: to be measured against a digest of the file. */

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "common/macro.h"
#include "kmod/module-verify.h"

#define SIZE_MAX_BYTES MIB(256)

static int verify(int root_fd, int fd, Failure *f) {
        VerifyParameters parameters = {
                .policy = SIGNATURE_POLICY_REQUIRE,
                .now_usec = (uint64_t) time(NULL) * USEC_PER_SEC,
        };
        _cleanup_(trust_store_unrefp) TrustStore *trust = NULL;
        _cleanup_(module_image_unrefp) ModuleImage *image = NULL;
        _cleanup_(verified_module_unrefp) VerifiedModule *verified = NULL;
        int r;

        r = module_image_new_from_fd(fd, SIZE_MAX_BYTES, NULL, &image, f);
        if (r != 0)
                return r;
        r = trust_store_new(root_fd, &trust, f);
        if (r != 0)
                return r;
        return module_verify(image, trust, &parameters, &verified, NULL, f);
}

int main(int argc, char *argv[]) {
        _cleanup_close_ int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -EBADF;
        _cleanup_failure_ Failure failure = {};

        if (argc != 2 || root_fd < 0 || fd < 0) {
                (void) fprintf(stderr, "usage: verify-module FILE\n");
                return EXIT_FAILURE;
        }
        if (verify(root_fd, fd, &failure) != 0) {
                (void) fprintf(stderr, "%s: %s\n", argv[1], failure_text(&failure));
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
