/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signatures, certificates and policies: every verdict, and what may follow from it. */

#include <endian.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <time.h>

#include "common/string-util.h"
#include "kmod/module-verify.h"
#include "test.h"

#define FIXTURES "build:test/unit/fixtures/signatures/"
#define ADMIN "etc/livepatch/trusted.d/"
#define REVOKED "etc/livepatch/revoked.d/"

static char *fixture(const char *name, const char *suffix, size_t *ret_size) {
        _cleanup_free_ char *path = NULL;

        ASSERT_TRUE(asprintf(&path, FIXTURES "%s%s", name, suffix) > 0);
        return test_read_data(path, ret_size);
}

static void install(const char *name, const char *directory) {
        _cleanup_free_ char *path = NULL, *data = NULL;
        size_t size;

        data = fixture(name, ".pem", &size);
        ASSERT_TRUE(asprintf(&path, "%s%s.pem", directory, name) > 0);
        test_write_bytes(test_tmpdir(), path, data, size);
}

static TrustStore *load_store(void) {
        TrustStore *store = NULL;

        ASSERT_EQ(trust_store_new(test_tmpdir(), &store, NULL), 0);
        ASSERT_EQ(strv_length(trust_store_problems(store)), 0);
        return store;
}

static ModuleImage *image_of(const void *data, size_t size) {
        ModuleImage *image = NULL;

        ASSERT_EQ(module_image_new_from_memory(data, size, MIB(64), &image, NULL), 0);
        return image;
}

static ModuleImage *load_image(const char *name) {
        size_t size;
        _cleanup_free_ char *data = fixture(name, ".ko", &size);

        return image_of(data, size);
}

static uint64_t now(void) {
        return (uint64_t) time(NULL) * USEC_PER_SEC;
}

static void check_at(ModuleImage *image, uint64_t when, bool skip_validity, SignatureReport *ret) {
        TrustStore *store = load_store();

        ASSERT_EQ(module_signature_check(image, store, when, skip_validity, ret), 0);
        ASSERT_NOT_NULL(ret->text);
        trust_store_unref(store);
}

static void assert_image(ModuleImage *image, SignatureStatus expected, const char *text) {
        _cleanup_(signature_report_done) SignatureReport report = {};

        check_at(image, now(), false, &report);
        module_image_unref(image);
        ASSERT_STREQ(signature_status_to_string(report.status), signature_status_to_string(expected));
        ASSERT_CONTAINS(report.text, text);
}

static void assert_module(const char *name, SignatureStatus expected, const char *text) {
        assert_image(load_image(name), expected, text);
}

TEST(trusted) {
        static const char *const names[] = {
                "plain", "rsa", "plain-keyid", "rsa-keyid", "plain-sha224", "plain-sha384", "plain-sha512",
                "rsa-sha512", "rsa-sha3-256", "codesign", "modulesign", "anypurpose", "nousage", "plain-embedded",
                "authority", "twin-keyid", "deep-embedded", "outer-plain",
        };
        static const char *const anchors[] = {
                "authority", "plain", "rsa", "codesign", "modulesign", "anypurpose", "nousage", "twin",
        };

        for (size_t i = 0; i < ELEMENTSOF(anchors); i++)
                install(anchors[i], ADMIN);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(signature_report_done) SignatureReport report = {};
                ModuleImage *image = load_image(names[i]);

                check_at(image, now(), false, &report);
                module_image_unref(image);
                if (report.status != SIGNATURE_TRUSTED)
                        test_fail(__FILE__, __LINE__, "%s: %s", names[i], report.text);
        }
}

TEST(report_of_a_trusted_one) {
        _cleanup_(signature_report_done) SignatureReport report = {};
        ModuleImage *image = load_image("deep-embedded");
        TrustStore *store;

        install("authority", ADMIN);
        store = load_store();
        check_at(image, now(), false, &report);
        ASSERT_EQ(report.status, SIGNATURE_TRUSTED);
        ASSERT_STREQ(report.signer, "CN=deep");
        ASSERT_STREQ(report.digest, "sha256");
        ASSERT_TRUE(sha256_is_valid(report.signer_fingerprint));
        ASSERT_STREQ(report.anchor_fingerprint, trust_store_certificate(store, 0)->fingerprint);
        trust_store_unref(store);
        module_image_unref(image);
}

TEST(pinned_leaf) {
        install("plain", ADMIN);
        assert_module("plain", SIGNATURE_TRUSTED, "'CN=plain' is trusted");
        assert_module("other", SIGNATURE_UNKNOWN_SIGNER, "not known here (issuer 'CN=authority', serial ");
}

TEST(self_signed_signers) {
        install("self", ADMIN);
        install("mok", ADMIN);
        assert_module("self", SIGNATURE_TRUSTED, "kernel key");
        assert_module("self-keyid", SIGNATURE_TRUSTED, "kernel key");
        /* keyCertSign alone: good enough for an anchor, as for the kernel. */
        assert_module("mok", SIGNATURE_TRUSTED, "'CN=mok'");
        assert_module("stranger", SIGNATURE_UNKNOWN_SIGNER, "issuer 'CN=stranger'");
}

TEST(unknown_signers) {
        assert_module("plain", SIGNATURE_UNKNOWN_SIGNER, "issuer 'CN=authority', serial ");
        assert_module("plain-keyid", SIGNATURE_UNKNOWN_SIGNER, "key id ");
        assert_module("stranger-embedded", SIGNATURE_UNKNOWN_SIGNER, "'CN=stranger' is not trusted here");
        install("authority", ADMIN);
        /* The issuer is known, the signer is not. */
        assert_module("plain", SIGNATURE_UNKNOWN_SIGNER, "issuer 'CN=authority'");
        assert_module("stranger-embedded", SIGNATURE_UNKNOWN_SIGNER, "'CN=stranger' is not trusted here");
        /* The trusted certificate that it brings along has nothing to do with it. */
        assert_module("anchor-embedded", SIGNATURE_UNKNOWN_SIGNER, "'CN=stranger' is not trusted here");
}

TEST(embedded_certificates_are_no_anchors) {
        install("stranger", ADMIN);
        assert_module("plain-embedded", SIGNATURE_UNKNOWN_SIGNER, "'CN=plain' is not trusted here");
        assert_module("deep-embedded", SIGNATURE_UNKNOWN_SIGNER, "'CN=deep' is not trusted here");
}

TEST(intermediate_as_anchor) {
        install("intermediate", ADMIN);
        assert_module("deep-embedded", SIGNATURE_TRUSTED, "'CN=deep'");
        assert_module("plain-embedded", SIGNATURE_UNKNOWN_SIGNER, "'CN=plain'");
}

TEST(leaf_issues_nothing) {
        install("authority", ADMIN);
        assert_module("by-plain-embedded", SIGNATURE_WRONG_KEY_USAGE, "'CN=plain' may not issue");
        install("plain", ADMIN);
        assert_module("by-plain-embedded", SIGNATURE_WRONG_KEY_USAGE, "'CN=plain' may not issue");
}

TEST(key_usages) {
        install("authority", ADMIN);
        install("serverauth", ADMIN);
        install("encipher", ADMIN);
        assert_module("serverauth", SIGNATURE_WRONG_KEY_USAGE, "extended key usage");
        assert_module("encipher", SIGNATURE_WRONG_KEY_USAGE, "key usage that does not allow signatures");
        assert_module("deep-tls-embedded", SIGNATURE_WRONG_KEY_USAGE, "'CN=intermediate-tls' has an extended");
}

TEST(validity) {
        install("authority", ADMIN);
        install("expired", ADMIN);
        install("future", ADMIN);
        assert_module("expired", SIGNATURE_EXPIRED, "'CN=expired' expired on 20");
        assert_module("future", SIGNATURE_NOT_YET_VALID, "'CN=future' is not valid before 20");
}

TEST(validity_of_the_chain) {
        install("authority-expired", ADMIN);
        assert_module("under-expired-embedded", SIGNATURE_EXPIRED, "'CN=authority-expired' expired on 20");
        install("under-expired", ADMIN);
        /* An anchor of its own, whatever became of its issuer. */
        assert_module("under-expired-embedded", SIGNATURE_TRUSTED, "'CN=under-expired'");
}

TEST(time_decides) {
        static const uint64_t year = 365ULL * 86400 * USEC_PER_SEC;
        ModuleImage *image = load_image("deep-embedded");
        static const struct {
                int years;
                bool skip_validity;
                SignatureStatus expected;
        } cases[] = {
                { 0, false, SIGNATURE_TRUSTED },
                { 20, false, SIGNATURE_EXPIRED },
                { -20, false, SIGNATURE_NOT_YET_VALID },
                { 20, true, SIGNATURE_TRUSTED },
                { -20, true, SIGNATURE_TRUSTED },
        };

        install("authority", ADMIN);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(signature_report_done) SignatureReport report = {};

                check_at(image, now() + (uint64_t) cases[i].years * year, cases[i].skip_validity, &report);
                ASSERT_EQ(report.status, cases[i].expected);
        }
        module_image_unref(image);
}

TEST(renewed_authority) {
        /* Same name, same key; the search must not stop at the one that has expired. */
        install("authority-old", ADMIN);
        assert_module("deep-embedded", SIGNATURE_EXPIRED, "'CN=authority' expired");
        install("authority", ADMIN);
        assert_module("deep-embedded", SIGNATURE_TRUSTED, "'CN=deep'");
}

TEST(weak_algorithms) {
        install("authority", ADMIN);
        install("plain", ADMIN);
        install("rsa", ADMIN);
        install("weak", ADMIN);
        install("weak-curve", ADMIN);
        assert_module("weak", SIGNATURE_WEAK_ALGORITHM, "'CN=weak' has a key that is too weak");
        assert_module("weak-curve", SIGNATURE_WEAK_ALGORITHM, "'CN=weak-curve' has a key");
        assert_module("plain-sha1", SIGNATURE_WEAK_ALGORITHM, "SHA1 digest");
        assert_module("rsa-sha1", SIGNATURE_WEAK_ALGORITHM, "SHA1 digest");
        assert_module("rsa-md5", SIGNATURE_WEAK_ALGORITHM, "MD5 digest");
}

TEST(weak_signature_on_a_certificate) {
        install("authority", ADMIN);
        assert_module("sha1-issued-embedded", SIGNATURE_WEAK_ALGORITHM, "'CN=sha1-issued' is itself signed");
        /* An anchor is trusted for itself. */
        install("sha1-issued", ADMIN);
        assert_module("sha1-issued-embedded", SIGNATURE_TRUSTED, "");
}

TEST(cannot_be_checked) {
        install("rsa", ADMIN);
        assert_module("rsa-pss", SIGNATURE_UNCHECKED, "cannot be checked");
}

static void assert_tampered(const char *name, size_t offset, SignatureStatus expected, const char *text) {
        size_t size;
        _cleanup_free_ char *data = fixture(name, ".ko", &size);

        data[offset] = (char) (data[offset] ^ 1);
        assert_image(image_of(data, size), expected, text);
}

TEST(mismatch) {
        size_t payload_size;

        free(fixture("payload", "", &payload_size));
        assert_tampered("plain", 10, SIGNATURE_UNKNOWN_SIGNER, "not known");
        assert_tampered("stranger-embedded", 10, SIGNATURE_MISMATCH, "does not match the signature by 'CN=stranger'");
        install("plain", ADMIN);
        install("rsa", ADMIN);
        assert_tampered("plain", 0, SIGNATURE_MISMATCH, "does not match the signature by 'CN=plain'");
        assert_tampered("plain", payload_size - 1, SIGNATURE_MISMATCH, "does not match");
        assert_tampered("plain-sha512", 10, SIGNATURE_MISMATCH, "does not match");
        assert_tampered("plain-sha1", 10, SIGNATURE_MISMATCH, "does not match");
        assert_tampered("rsa", 10, SIGNATURE_MISMATCH, "does not match");
        assert_tampered("outer-plain", 10, SIGNATURE_MISMATCH, "another signature lies beneath");
}

TEST(damaged_signature_value) {
        size_t size;
        _cleanup_free_ char *data = fixture("rsa", ".ko", &size);

        install("rsa", ADMIN);
        /* The last byte of the PKCS#7 is the signature's; 40 bytes of trailer follow. */
        data[size - 41] = (char) (data[size - 41] ^ 1);
        assert_image(image_of(data, size), SIGNATURE_MISMATCH, "does not match");
}

TEST(mismatch_of_an_expired_signer) {
        install("expired", ADMIN);
        assert_tampered("expired", 10, SIGNATURE_MISMATCH, "does not match");
}

TEST(unsigned_modules) {
        size_t size, payload_size;
        _cleanup_free_ char *data = fixture("plain", ".ko", &size), *payload = fixture("payload", "", &payload_size);

        install("plain", ADMIN);
        assert_image(image_of(payload, payload_size), SIGNATURE_UNSIGNED, "The module is not signed");
        assert_image(image_of(data, size - 1), SIGNATURE_UNSIGNED, "The module is not signed");
        data[size] = '\n'; /* in place of the terminating NUL */
        assert_image(image_of(data, size + 1), SIGNATURE_UNSIGNED, "1 bytes follow");
}

/* A module of the usual payload and this signature. */
static ModuleImage *image_with_signature(const void *signature, size_t size) {
        static const char marker[] = "~Module signature appended~\n";
        size_t payload_size, n;
        _cleanup_free_ char *payload = fixture("payload", "", &payload_size), *module = NULL;
        uint8_t trailer[12] = { 0, 0, 2 };
        uint32_t length = htobe32((uint32_t) size);

        memcpy(trailer + 8, &length, sizeof(length));
        n = payload_size + size + sizeof(trailer) + STRLEN("~Module signature appended~\n");
        module = malloc(n);
        memcpy(module, payload, payload_size);
        memcpy(module + payload_size, signature, size);
        memcpy(module + payload_size + size, trailer, sizeof(trailer));
        memcpy(module + payload_size + size + sizeof(trailer), marker, STRLEN("~Module signature appended~\n"));
        return image_of(module, n);
}

TEST(malformed_signatures) {
        size_t size;
        _cleanup_free_ char *signature = fixture("plain", ".p7s", &size), *huge = calloc(1, KIB(257));

        install("authority", ADMIN);
        install("plain", ADMIN);
        assert_image(image_with_signature(signature, size), SIGNATURE_TRUSTED, "'CN=plain'");
        assert_image(image_with_signature(signature, size - 1), SIGNATURE_MALFORMED, "not well-formed");
        assert_image(image_with_signature(signature + 1, size - 1), SIGNATURE_MALFORMED, "not well-formed");
        assert_image(image_with_signature("x", 1), SIGNATURE_MALFORMED, "not well-formed");
        signature[size] = '\0';
        assert_image(image_with_signature(signature, size + 1), SIGNATURE_MALFORMED, "something follows");
        memcpy(huge, signature, size);
        assert_image(image_with_signature(huge, KIB(257)), SIGNATURE_MALFORMED, "larger than 256 KiB");
}

TEST(signatures_of_another_kind) {
        install("authority", ADMIN);
        install("plain", ADMIN);
        assert_module("attributes", SIGNATURE_MALFORMED, "signed attributes");
        assert_module("attached", SIGNATURE_MALFORMED, "content of its own");
        assert_module("content-type", SIGNATURE_MALFORMED, "plain data");
        assert_module("no-signed-data", SIGNATURE_MALFORMED, "no signed data");
        assert_module("no-signer", SIGNATURE_MALFORMED, "no signer");
        assert_module("many", SIGNATURE_MALFORMED, "too many signers");
}

TEST(two_signers) {
        install("plain", ADMIN);
        assert_module("two", SIGNATURE_TRUSTED, "'CN=plain'");
        assert_module("two-stranger", SIGNATURE_TRUSTED, "'CN=plain'");
        assert_module("two-digests", SIGNATURE_TRUSTED, "'CN=plain'");
        install("expired", ADMIN);
        install("revoked", ADMIN);
        assert_module("two-expired", SIGNATURE_TRUSTED, "'CN=plain'");
        assert_module("two-bad", SIGNATURE_EXPIRED, "'CN=expired'");
        assert_module("two-revoked", SIGNATURE_TRUSTED, "'CN=");
        install("revoked", REVOKED);
        assert_module("two-revoked", SIGNATURE_REVOKED, "'CN=revoked'");
}

TEST(one_mismatch_spoils_all) {
        size_t size, n;
        _cleanup_free_ char *signature = fixture("two-stranger", ".p7s", &n), *plain = fixture("two", ".ko", &size);
        ModuleImage *image;

        /* The second signer's value is the last thing in the signature; break it and nothing else. */
        signature[n - 1] = (char) (signature[n - 1] ^ 1);
        install("plain", ADMIN);
        install("stranger", ADMIN);
        image = image_with_signature(signature, n);
        assert_image(image, SIGNATURE_MISMATCH, "does not match");
        plain[0] = (char) (plain[0] ^ 1);
        assert_image(image_of(plain, size), SIGNATURE_MISMATCH, "does not match");
}

TEST(only_the_outermost_counts) {
        install("plain", ADMIN);
        assert_module("outer-plain", SIGNATURE_TRUSTED, "'CN=plain'");
        assert_module("outer-stranger", SIGNATURE_UNKNOWN_SIGNER, "another signature lies beneath");
}

TEST(shared_key_identifier) {
        /* A stranger's certificate that claims the key identifier of a trusted one. */
        install("twin", ADMIN);
        assert_module("twin-keyid", SIGNATURE_TRUSTED, "'CN=twin'");
        assert_module("twin-embedded", SIGNATURE_MISMATCH, "does not match the signature by 'CN=twin'");
        install("twin-stranger", ADMIN);
        assert_module("twin-embedded", SIGNATURE_TRUSTED, "'CN=twin-stranger'");
}

TEST(revoked_certificates) {
        install("authority", ADMIN);
        install("plain", ADMIN);
        install("revoked", ADMIN);
        install("revoked", REVOKED);
        assert_module("revoked", SIGNATURE_REVOKED, "'CN=revoked' is revoked");
        assert_tampered("revoked", 10, SIGNATURE_REVOKED, "is revoked");
        assert_module("plain", SIGNATURE_TRUSTED, "'CN=plain'");
        install("intermediate", REVOKED);
        assert_module("deep-embedded", SIGNATURE_REVOKED, "is revoked");
}

TEST(revoked_and_expired) {
        install("expired", ADMIN);
        install("expired", REVOKED);
        assert_module("expired", SIGNATURE_REVOKED, "'CN=expired' is revoked");
}

TEST(revoked_authority) {
        install("plain", ADMIN);
        install("authority", REVOKED);
        /* Pinned or not: what the revoked authority issued went with it. */
        assert_module("plain", SIGNATURE_REVOKED, "'CN=plain' is revoked");
        assert_module("deep-embedded", SIGNATURE_REVOKED, "is revoked");
}

TEST(revoked_stranger) {
        install("stranger", REVOKED);
        assert_module("stranger-embedded", SIGNATURE_REVOKED, "'CN=stranger' is revoked");
}

static void revoke_digest(const void *data, size_t size) {
        unsigned char digest[32];
        char hex[65];

        ASSERT_EQ(EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL), 1);
        hex_encode(digest, sizeof(digest), hex);
        test_write_file(test_tmpdir(), REVOKED "modules.sha256", hex);
}

TEST(revoked_modules) {
        size_t size, payload_size;
        _cleanup_free_ char *data = fixture("plain", ".ko", &size), *payload = fixture("payload", "", &payload_size);

        install("plain", ADMIN);
        install("rsa", ADMIN);
        revoke_digest(data, size);
        assert_module("plain", SIGNATURE_REVOKED, "The module is revoked");
        assert_module("rsa", SIGNATURE_TRUSTED, "");
        /* Whoever signs it. */
        revoke_digest(payload, payload_size);
        assert_module("rsa", SIGNATURE_REVOKED, "The module is revoked");
        assert_image(image_of(payload, payload_size), SIGNATURE_REVOKED, "The module is revoked");
}

static int verify(const char *name, SignaturePolicy policy, VerifiedModule **ret, SignatureReport *report, Failure *f) {
        VerifyParameters parameters = { .policy = policy, .now_usec = now() };
        TrustStore *store = NULL;
        ModuleImage *image = load_image(name);
        int r;

        ASSERT_EQ(trust_store_new(test_tmpdir(), &store, NULL), 0);
        r = module_verify(image, store, &parameters, ret, report, f);
        trust_store_unref(store);
        module_image_unref(image);
        return r;
}

TEST(verified_module) {
        _cleanup_(signature_report_done) SignatureReport report = {};
        VerifiedModule *module = NULL;

        install("plain", ADMIN);
        ASSERT_EQ(verify("plain", SIGNATURE_POLICY_REQUIRE, &module, &report, NULL), 0);
        ASSERT_NOT_NULL(verified_module_ref(module));
        verified_module_unref(module);
        ASSERT_STREQ(verified_module_signature(module)->signer, "CN=plain");
        ASSERT_STREQ(report.signer, "CN=plain");
        ASSERT_TRUE(module_image_size(verified_module_image(module)) > 0);
        verified_module_unref(module);
        ASSERT_NULL(verified_module_unref(NULL));
}

/* What each policy lets pass: the table of module-verify.h. */
static const struct {
        const char *module;
        SignatureStatus status;
        int refusal;
        bool warn, kernel;
        const char *advice;
} policies[] = {
        { "unsigned", SIGNATURE_UNSIGNED, REFUSED_UNSIGNED, true, true, "sign-file" },
        { "stranger", SIGNATURE_UNKNOWN_SIGNER, REFUSED_UNTRUSTED_SIGNER, true, true, "livepatchctl trust add FILE" },
        { "attached", SIGNATURE_MALFORMED, REFUSED_SIGNATURE_MALFORMED, false, false, "again" },
        { "tampered", SIGNATURE_MISMATCH, REFUSED_SIGNATURE_MISMATCH, false, false, "publisher" },
        { "expired", SIGNATURE_EXPIRED, REFUSED_SIGNER_EXPIRED, false, true, "clock" },
        { "future", SIGNATURE_NOT_YET_VALID, REFUSED_SIGNER_NOT_YET_VALID, false, true, "clock" },
        { "serverauth", SIGNATURE_WRONG_KEY_USAGE, REFUSED_WRONG_KEY_USAGE, false, true, "signing code" },
        { "revoked", SIGNATURE_REVOKED, REFUSED_REVOKED, false, false, "revoked.d" },
        { "plain-sha1", SIGNATURE_WEAK_ALGORITHM, REFUSED_WEAK_ALGORITHM, false, true, "SHA-256" },
        { "rsa-pss", SIGNATURE_UNCHECKED, -ENOPKG, false, false, "trust list" },
};

static void assert_policy(size_t i, SignaturePolicy policy, bool passes) {
        _cleanup_(signature_report_done) SignatureReport report = {};
        _cleanup_failure_ Failure f = {};
        VerifiedModule *module = NULL;
        int r = verify(policies[i].module, policy, &module, &report, &f);

        ASSERT_EQ(report.status, policies[i].status);
        ASSERT_EQ(r, passes ? 0 : policies[i].refusal);
        ASSERT_EQ(!!module, passes);
        if (passes) {
                ASSERT_EQ(verified_module_signature(module)->status, policies[i].status);
                verified_module_unref(module);
                return;
        }
        ASSERT_CONTAINS(f.text, report.text);
        ASSERT_CONTAINS(f.text, "The module was not loaded.");
        ASSERT_CONTAINS(f.text, policies[i].advice);
}

TEST(policies) {
        static const char *const anchors[] = { "plain", "rsa", "expired", "future", "serverauth", "revoked" };

        for (size_t i = 0; i < ELEMENTSOF(anchors); i++)
                install(anchors[i], ADMIN);
        install("revoked", REVOKED);
        for (size_t i = 0; i < ELEMENTSOF(policies); i++) {
                assert_policy(i, SIGNATURE_POLICY_REQUIRE, false);
                assert_policy(i, SIGNATURE_POLICY_WARN, policies[i].warn);
                assert_policy(i, SIGNATURE_POLICY_KERNEL, policies[i].kernel);
        }
}

TEST(broken_revocations_verify_nothing) {
        static const char *const names[] = { "plain", "unsigned", "stranger" };

        install("plain", ADMIN);
        test_write_file(test_tmpdir(), REVOKED "a.sha256", "rubbish");
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                for (SignaturePolicy p = 0; p < _SIGNATURE_POLICY_MAX; p++) {
                        _cleanup_failure_ Failure f = {};
                        VerifiedModule *module = NULL;

                        ASSERT_EQ(verify(names[i], p, &module, NULL, &f), -EUCLEAN);
                        ASSERT_NULL(module);
                        ASSERT_CONTAINS(f.text, "Revocations cannot be read");
                }
}

TEST(refusals) {
        ASSERT_EQ(signature_status_to_refusal(SIGNATURE_TRUSTED), 0);
        for (SignatureStatus s = SIGNATURE_TRUSTED + 1; s < _SIGNATURE_STATUS_MAX; s++)
                ASSERT_TRUE(signature_status_to_refusal(s) > 0);
        ASSERT_TRUE(signature_status_to_refusal(_SIGNATURE_STATUS_INVALID) > 0);
}

typedef struct Shared {
        ModuleImage *image;
        TrustStore *store;
        int failures;
} Shared;

static void *verify_often(void *userdata) {
        Shared *shared = userdata;

        for (int i = 0; i < 20; i++) {
                SignatureReport report = {};

                if (module_signature_check(shared->image, shared->store, now(), false, &report) != 0 ||
                    report.status != SIGNATURE_TRUSTED)
                        (void) __atomic_add_fetch(&shared->failures, 1, __ATOMIC_SEQ_CST);
                signature_report_done(&report);
        }
        return NULL;
}

TEST(threads_share_image_and_store) {
        pthread_t threads[4];
        Shared shared = {};

        install("authority", ADMIN);
        shared.store = load_store();
        shared.image = load_image("deep-embedded");
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                ASSERT_EQ(pthread_create(&threads[i], NULL, verify_often, &shared), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                ASSERT_EQ(pthread_join(threads[i], NULL), 0);
        ASSERT_EQ(shared.failures, 0);
        trust_store_unref(shared.store);
        module_image_unref(shared.image);
}
