/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one path of a module up to the kernel's door: bytes -> image -> signature -> ELF. */

#include <fcntl.h>
#include <time.h>

#include "common/string-util.h"
#include "daemon/ingest.h"

Candidate *candidate_free(Candidate *candidate) {
        if (!candidate)
                return NULL;
        verified_module_unref(candidate->verified);
        module_image_unref(candidate->image);
        module_info_free(candidate->info);
        free(candidate);
        return NULL;
}

Inspection *inspection_free(Inspection *inspection) {
        if (!inspection)
                return NULL;
        module_image_unref(inspection->image);
        signature_report_done(&inspection->signature);
        module_info_free(inspection->info);
        failure_done(&inspection->refusal);
        free(inspection);
        return NULL;
}

static uint64_t now_realtime(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

/* As it stands in livepatch.conf(5). */
static int describe_limit(uint64_t size, char **ret) {
        static const char *const units[] = { "", "K", "M", "G" };
        size_t unit = 0;

        while (unit + 1 < ELEMENTSOF(units) && size > 0 && size % KIB(1) == 0) {
                size /= KIB(1);
                unit++;
        }
        if (asprintf(ret, "ModuleSizeMax=%llu%s", (unsigned long long) size, units[unit]) >= 0)
                return 0;
        *ret = NULL;
        return -ENOMEM;
}

static int read_image(const IngestRequest *request, ModuleImage **ret, Failure *f) {
        _cleanup_(module_image_unrefp) ModuleImage *image = NULL;
        _cleanup_free_ char *limit = NULL;
        int r;

        if (describe_limit(request->size_max, &limit) < 0)
                return failure_oom(f);
        r = module_image_new_from_fd(request->fd, request->size_max, limit, &image, f);
        if (r != 0)
                return r;
        if (request->expected_sha256 && !streq(module_image_sha256(image), request->expected_sha256))
                return failure_set(f, REFUSED_MALFORMED_MODULE,
                                   "The file of this patch has changed on disk: its SHA-256 is %s and not %s, as when "
                                   "it was staged. It was not loaded. Stage or apply the original file again",
                                   module_image_sha256(image), request->expected_sha256);
        if (request->keep_file && module_image_compression(image) == MODULE_COMPRESSION_NONE) {
                int copy = fcntl(request->fd, F_DUPFD_CLOEXEC, 3);

                if (copy >= 0)
                        module_image_set_file(image, copy);
        }
        *ret = TAKE_PTR(image);
        return 0;
}

static int verify_image(const IngestRequest *request, ModuleImage *image, VerifiedModule **ret, SignatureReport *report,
                        Failure *f) {
        _cleanup_(trust_store_unrefp) TrustStore *trust = NULL;
        VerifyParameters parameters = {
                .policy = request->policy,
                .now_usec = now_realtime(),
                .skip_validity = request->skip_validity,
        };
        int r = trust_store_new(request->root_fd, &trust, f);

        if (r != 0)
                return r;
        return module_verify(image, trust, &parameters, ret, report, f);
}

/* The running kernel's BTF is megabytes, and is wanted only for a hand-written module whose symbols were stripped. */
static int inspect_elf(const IngestRequest *request, const ModuleImage *image, ModuleInfo **ret, Failure *f) {
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;
        ModuleElfContext context = {};
        int r = module_elf_inspect_untrusted(module_image_data(image), module_image_size(image), NULL, &info, f);

        if (r != 0)
                return r;
        if (info->livepatch && !info->objects_known && module_elf_context_from_btf(request->root_fd, &context) >= 0) {
                info = module_info_free(info);
                r = module_elf_inspect_untrusted(module_image_data(image), module_image_size(image), &context, &info,
                                                 f);
                if (r != 0)
                        return r;
        }
        *ret = TAKE_PTR(info);
        return 0;
}

int ingest(const IngestRequest *request, Candidate **ret, Failure *f) {
        _cleanup_(candidate_freep) Candidate *candidate = calloc(1, sizeof(Candidate));
        int r;

        if (!candidate)
                return failure_oom(f);
        r = read_image(request, &candidate->image, f);
        if (r != 0)
                return r;
        r = verify_image(request, candidate->image, &candidate->verified, NULL, f);
        if (r != 0)
                return r;
        r = inspect_elf(request, candidate->image, &candidate->info, f);
        if (r != 0)
                return r;
        *ret = TAKE_PTR(candidate);
        return 0;
}

int ingest_inspect(const IngestRequest *request, Inspection **ret, Failure *f) {
        _cleanup_(inspection_freep) Inspection *inspection = calloc(1, sizeof(Inspection));
        _cleanup_(verified_module_unrefp) VerifiedModule *verified = NULL;
        int r;

        if (!inspection)
                return failure_oom(f);
        inspection->signature.status = SIGNATURE_UNCHECKED;
        r = read_image(request, &inspection->image, f);
        if (r != 0)
                return r;
        r = verify_image(request, inspection->image, &verified, &inspection->signature, &inspection->refusal);
        if (r < 0)
                return failure_move(f, &inspection->refusal);
        if (r == 0) {
                r = inspect_elf(request, inspection->image, &inspection->info, &inspection->refusal);
                if (r < 0)
                        return failure_move(f, &inspection->refusal);
        }
        *ret = TAKE_PTR(inspection);
        return 0;
}
