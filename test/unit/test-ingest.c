/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes -> image -> signature -> ELF: what passes, what does not, and in which order it is found out. */

#include <fcntl.h>

#include "common/string-util.h"
#include "daemon/ingest.h"
#include "manager-fixture.h"
#include "test.h"

static IngestRequest request(int fd) {
        return (IngestRequest) { .root_fd = test_tmpdir(), .fd = fd, .size_max = MIB(1),
                                 .policy = SIGNATURE_POLICY_REQUIRE };
}

static void trust_good(void) {
        _cleanup_free_ char *certificate = test_read_data("build:test/unit/manager/modules/good.pem", NULL);

        test_write_file(test_tmpdir(), "etc/livepatch/trusted.d/good.pem", certificate);
}

static int refused(const char *module, SignaturePolicy policy) {
        _cleanup_close_ int fd = rig_open(module);
        IngestRequest r = request(fd);
        _cleanup_failure_ Failure failure = {};
        Candidate *candidate = NULL;
        int code;

        r.policy = policy;
        code = ingest(&r, &candidate, &failure);
        ASSERT_NULL(candidate);
        ASSERT_EQ(failure.code, code);
        ASSERT_NOT_NULL(failure.text);
        return code;
}

TEST(a_good_one) {
        _cleanup_(candidate_freep) Candidate *candidate = NULL;
        _cleanup_close_ int fd = rig_open("one");
        IngestRequest r = request(fd);

        trust_good();
        ASSERT_EQ(ingest(&r, &candidate, NULL), 0);
        ASSERT_STREQ(candidate->info->name, "lp_one");
        ASSERT_STREQ(candidate->info->kernel_release, RELEASE);
        ASSERT_TRUE(candidate->info->objects_known);
        ASSERT_EQ(verified_module_signature(candidate->verified)->status, SIGNATURE_TRUSTED);
        ASSERT_TRUE(verified_module_image(candidate->verified) == candidate->image);
        ASSERT_EQ(module_image_file_fd(candidate->image), -EBADF);
        ASSERT_NULL(candidate_free(NULL));
}

TEST(the_digest_that_is_expected) {
        _cleanup_(candidate_freep) Candidate *candidate = NULL, *again = NULL, *other = NULL;
        _cleanup_close_ int fd = rig_open("one"), other_fd = rig_open("two");
        _cleanup_failure_ Failure failure = {};
        IngestRequest r = request(fd);

        trust_good();
        ASSERT_EQ(ingest(&r, &candidate, NULL), 0);
        r.expected_sha256 = module_image_sha256(candidate->image);
        r.keep_file = true;
        ASSERT_EQ(ingest(&r, &again, NULL), 0);
        /* A descriptor of its own: the caller closes the one that it gave. */
        ASSERT_TRUE(module_image_file_fd(again->image) >= 0);
        ASSERT_TRUE(module_image_file_fd(again->image) != fd);
        r.fd = other_fd;
        ASSERT_EQ(ingest(&r, &other, &failure), REFUSED_MALFORMED_MODULE);
        ASSERT_CONTAINS(failure_text(&failure), r.expected_sha256);
        ASSERT_NULL(other);
}

TEST(signatures) {
        ASSERT_EQ(refused("one", SIGNATURE_POLICY_REQUIRE), REFUSED_UNTRUSTED_SIGNER); /* nobody is trusted yet */
        trust_good();
        ASSERT_EQ(refused("unsigned", SIGNATURE_POLICY_REQUIRE), REFUSED_UNSIGNED);
        ASSERT_EQ(refused("stranger", SIGNATURE_POLICY_REQUIRE), REFUSED_UNTRUSTED_SIGNER);
}

TEST(a_tampered_one_passes_no_policy) {
        _cleanup_free_ char *data = NULL;
        size_t size;

        trust_good();
        data = test_read_data("build:test/unit/manager/modules/one.ko", &size);
        data[100] ^= 1;
        test_write_bytes(test_tmpdir(), "tampered.ko", data, size);
        for (SignaturePolicy policy = 0; policy < _SIGNATURE_POLICY_MAX; policy++) {
                _cleanup_close_ int fd = openat(test_tmpdir(), "tampered.ko", O_RDONLY | O_CLOEXEC);
                IngestRequest r = request(fd);
                Candidate *candidate = NULL;

                r.policy = policy;
                ASSERT_EQ(ingest(&r, &candidate, NULL), REFUSED_SIGNATURE_MISMATCH);
        }
}

TEST(the_policy_decides_about_an_unsigned_one) {
        _cleanup_(candidate_freep) Candidate *candidate = NULL;
        _cleanup_close_ int fd = rig_open("unsigned");
        IngestRequest r = request(fd);

        trust_good();
        r.policy = SIGNATURE_POLICY_WARN;
        ASSERT_EQ(ingest(&r, &candidate, NULL), 0);
        ASSERT_EQ(verified_module_signature(candidate->verified)->status, SIGNATURE_UNSIGNED);
}

TEST(too_large) {
        _cleanup_close_ int fd = rig_open("large");
        _cleanup_failure_ Failure exact = {}, odd = {};
        IngestRequest r = request(fd);
        Candidate *candidate = NULL;

        trust_good();
        r.size_max = KIB(128);
        ASSERT_EQ(ingest(&r, &candidate, &exact), REFUSED_TOO_LARGE);
        ASSERT_CONTAINS(failure_text(&exact), "the limit is 131072 (ModuleSizeMax=128K)");
        r.size_max = KIB(128) + 1;
        ASSERT_EQ(ingest(&r, &candidate, &odd), REFUSED_TOO_LARGE);
        ASSERT_CONTAINS(failure_text(&odd), "(ModuleSizeMax=131073)");
}

TEST(no_module_at_all) {
        _cleanup_close_ int pipe_fd = -EBADF, dir_fd = -EBADF, text_fd = -EBADF, empty_fd = -EBADF;
        IngestRequest r = request(-EBADF);
        Candidate *candidate = NULL;
        int fds[2];

        trust_good();
        r.policy = SIGNATURE_POLICY_WARN;
        ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
        pipe_fd = fds[0];
        safe_close(fds[1]);
        r.fd = pipe_fd;
        ASSERT_EQ(ingest(&r, &candidate, NULL), REFUSED_INVALID_FILE);
        r.fd = dir_fd = openat(test_tmpdir(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_EQ(ingest(&r, &candidate, NULL), REFUSED_INVALID_FILE);
        test_write_file(test_tmpdir(), "text", "this is no module\n");
        r.fd = text_fd = openat(test_tmpdir(), "text", O_RDONLY | O_CLOEXEC);
        ASSERT_EQ(ingest(&r, &candidate, NULL), REFUSED_MALFORMED_MODULE);
        test_write_file(test_tmpdir(), "empty", "");
        r.fd = empty_fd = openat(test_tmpdir(), "empty", O_RDONLY | O_CLOEXEC);
        ASSERT_EQ(ingest(&r, &candidate, NULL), REFUSED_MALFORMED_MODULE);
        ASSERT_NULL(candidate);
}

/* With signatures required, hostile bytes meet nothing but the trailer's parser and OpenSSL. */
TEST(the_signature_comes_before_the_elf) {
        _cleanup_close_ int fd = -EBADF;
        IngestRequest r = request(-EBADF);
        Candidate *candidate = NULL;

        trust_good();
        test_write_file(test_tmpdir(), "text", "this is no module\n");
        r.fd = fd = openat(test_tmpdir(), "text", O_RDONLY | O_CLOEXEC);
        ASSERT_EQ(ingest(&r, &candidate, NULL), REFUSED_UNSIGNED);
}

TEST(inspecting_a_good_one) {
        _cleanup_(inspection_freep) Inspection *inspection = NULL;
        _cleanup_close_ int fd = rig_open("one");
        IngestRequest r = request(fd);

        trust_good();
        ASSERT_EQ(ingest_inspect(&r, &inspection, NULL), 0);
        ASSERT_EQ(inspection->refusal.code, 0);
        ASSERT_EQ(inspection->signature.status, SIGNATURE_TRUSTED);
        ASSERT_STREQ(inspection->info->name, "lp_one");
        ASSERT_NULL(inspection_free(NULL));
}

TEST(inspecting_one_whose_signature_does_not_pass) {
        _cleanup_(inspection_freep) Inspection *inspection = NULL, *allowed = NULL;
        _cleanup_close_ int fd = rig_open("unsigned");
        IngestRequest r = request(fd);

        trust_good();
        ASSERT_EQ(ingest_inspect(&r, &inspection, NULL), 0);
        ASSERT_EQ(inspection->refusal.code, REFUSED_UNSIGNED);
        ASSERT_EQ(inspection->signature.status, SIGNATURE_UNSIGNED);
        ASSERT_NULL(inspection->info);
        ASSERT_TRUE(sha256_is_valid(module_image_sha256(inspection->image)));
        r.policy = SIGNATURE_POLICY_WARN;
        ASSERT_EQ(ingest_inspect(&r, &allowed, NULL), 0);
        ASSERT_EQ(allowed->refusal.code, 0);
        ASSERT_STREQ(allowed->info->name, "lp_unsigned");
}

TEST(inspecting_what_is_no_module) {
        _cleanup_(inspection_freep) Inspection *inspection = NULL;
        _cleanup_close_ int fd = -EBADF;
        IngestRequest r = request(-EBADF);

        trust_good();
        test_write_file(test_tmpdir(), "text", "this is no module\n");
        r.policy = SIGNATURE_POLICY_WARN;
        r.fd = fd = openat(test_tmpdir(), "text", O_RDONLY | O_CLOEXEC);
        ASSERT_EQ(ingest_inspect(&r, &inspection, NULL), 0);
        ASSERT_EQ(inspection->refusal.code, REFUSED_MALFORMED_MODULE);
        ASSERT_NULL(inspection->info);
        ASSERT_EQ(inspection->signature.status, SIGNATURE_UNSIGNED);
}
