/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hostile signatures and certificates: as a module, as the signature of a given payload, as a certificate file. */

#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fd-util.h"
#include "common/names.h"
#include "kmod/module-verify.h"
#include "fuzz-anchors.h"
#include "fuzz.h"

#define IMAGE_MAX MIB(1)
#define MARKER "~Module signature appended~\n"
#define TRAILER_SIZE 12

static TrustStore *store;
static uint64_t now_usec;

/* A store is read from a directory, which is not needed any more then. */
int LLVMFuzzerInitialize(int *argc _unused_, char ***argv _unused_) {
        static const char directory[] = LP_CONFIG_DIR "/" LP_TRUSTED_DIR_NAME;
        static const char file[] = LP_CONFIG_DIR "/" LP_TRUSTED_DIR_NAME "/anchors.pem";
        char path[] = "/tmp/fuzz-signature-XXXXXX";
        _cleanup_close_ int fd = -EBADF;

        FUZZ_ASSERT(mkdtemp(path));
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        FUZZ_ASSERT(fd >= 0 && mkdir_parents_at(fd, directory, 0755) >= 0);
        FUZZ_ASSERT(write_file_atomic_at(fd, file, fuzz_anchors, strlen(fuzz_anchors), 0644) >= 0);
        FUZZ_ASSERT(trust_store_new(fd, &store, NULL) == 0 && trust_store_n_certificates(store) > 0);
        FUZZ_ASSERT(unlinkat(fd, file, 0) == 0 && unlinkat(fd, directory, AT_REMOVEDIR) == 0);
        FUZZ_ASSERT(unlinkat(fd, LP_CONFIG_DIR, AT_REMOVEDIR) == 0 && unlinkat(fd, "etc", AT_REMOVEDIR) == 0);
        FUZZ_ASSERT(rmdir(path) == 0);
        /* All of them are valid then, whenever this runs. */
        now_usec = trust_store_certificate(store, 0)->not_before + 40ULL * 86400 * USEC_PER_SEC;
        return 0;
}

static SignatureStatus check(const void *data, size_t size) {
        _cleanup_(module_image_unrefp) ModuleImage *image = NULL;
        _cleanup_(signature_report_done) SignatureReport report = { .status = SIGNATURE_UNCHECKED };

        if (module_image_new_from_memory(data, size, IMAGE_MAX, &image, NULL) != 0)
                return SIGNATURE_UNCHECKED;
        FUZZ_ASSERT(module_signature_check(image, store, now_usec, false, &report) == 0);
        FUZZ_ASSERT(report.text);
        if (report.status == SIGNATURE_TRUSTED)
                FUZZ_ASSERT(report.signer && report.signer_fingerprint && report.anchor_fingerprint && report.digest);
        return report.status;
}

/* What the signatures of the corpus are over: `seq 1 2000`. */
static size_t make_payload(char *p) {
        char *start = p;

        for (int i = 1; i <= 2000; i++)
                p += sprintf(p, "%d\n", i);
        return (size_t) (p - start);
}

static void check_as_signature(const uint8_t *data, size_t size) {
        char *module = malloc(10000 + size + TRAILER_SIZE + sizeof(MARKER)), *p;
        const uint8_t trailer[TRAILER_SIZE - 4] = { 0, 0, 2 };
        uint32_t length = htobe32((uint32_t) size);
        size_t n;

        FUZZ_ASSERT(module);
        p = module + make_payload(module);
        p = mempcpy(p, data, size);
        p = mempcpy(p, trailer, sizeof(trailer));
        p = mempcpy(p, &length, sizeof(length));
        p = mempcpy(p, MARKER, sizeof(MARKER) - 1);
        n = (size_t) (p - module);
        if (check(module, n) == SIGNATURE_TRUSTED) {
                /* Whatever it is that was trusted: it is not for other bytes. */
                module[0] ^= 1;
                FUZZ_ASSERT(check(module, n) != SIGNATURE_TRUSTED);
        }
        free(module);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        TrustCertificate *c = NULL;
        int r;

        (void) check(data, size);
        if (size > 0 && size < IMAGE_MAX)
                check_as_signature(data, size);
        r = trust_certificate_parse_untrusted(data, size, &c, NULL);
        FUZZ_ASSERT(r >= 0 && (r == 0) == !!c);
        if (c)
                FUZZ_ASSERT(c->subject && c->issuer && c->fingerprint && c->key);
        trust_certificate_free(c);
        return 0;
}
