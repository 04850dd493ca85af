/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl inspect: reports and verdicts on signed modules, against a kernel and trust anchors of the test's. */

#include <fcntl.h>
#include <string.h>

#include "common/string-util.h"
#include "ctl/inspect-report.h"
#include "ctl/json-util.h"
#include "test.h"

#define FIXTURES "build:test/unit/fixtures/ctl/"
#define RELEASE "6.1.0-56-amd64"

static char *load(const char *name, size_t *ret_size) {
        _cleanup_free_ char *path = NULL;

        ASSERT_TRUE(asprintf(&path, FIXTURES "%s", name) > 0);
        return test_read_data(path, ret_size);
}

/* A root with a kernel of this release that can be live-patched, and one trust anchor. */
static int make_root(const char *release, const char *certificate) {
        int fd = test_tmpdir();
        size_t size;
        _cleanup_free_ char *pem = load(certificate, &size);

        test_write_file(fd, "proc/sys/kernel/osrelease", release);
        test_write_file(fd, "proc/sys/kernel/arch", "x86_64\n");
        test_write_file(fd, "sys/kernel/livepatch/.keep", "");
        test_write_bytes(fd, "etc/livepatch/trusted.d/signer.pem", pem, size);
        return fd;
}

static int inspect_bytes(int root_fd, const void *data, size_t size, json_t **ret, CtlError *e) {
        _cleanup_close_ int fd = -EBADF;

        test_write_bytes(root_fd, "module.ko", data, size);
        fd = openat(root_fd, "module.ko", O_RDONLY | O_CLOEXEC);
        ASSERT_OK(fd);
        return inspect_report_new(NULL, root_fd, fd, ret, e);
}

static json_t *inspect(int root_fd, const char *name) {
        _cleanup_ctl_error_ CtlError e = {};
        json_t *report = NULL;
        size_t size;
        _cleanup_free_ char *data = load(name, &size);

        if (inspect_bytes(root_fd, data, size, &report, &e) != 0)
                test_fail(__FILE__, __LINE__, "not inspected: %s", ctl_error_text(&e));
        return report;
}

static void assert_refused(const json_t *report, const char *refusal, const char *text) {
        _cleanup_free_ char *name = NULL;

        ASSERT_TRUE(asprintf(&name, "org.livepatch.Error.%s", refusal) > 0);
        ASSERT_FALSE(json_flag(report, "would_apply"));
        ASSERT_STREQ(json_text(report, "refusal"), name);
        ASSERT_CONTAINS(json_text(report, "refusal_text"), text);
}

static const json_t *find_object(const json_t *report, const char *name) {
        const json_t *objects = json_object_get(report, "objects"), *object;
        size_t i;

        json_array_foreach(objects, i, object)
                if (streq(json_text(object, "name"), name))
                        return object;
        return NULL;
}

TEST(a_trusted_livepatch_for_this_kernel_passes) {
        json_auto_t *report = inspect(make_root(RELEASE "\n", "signed-hand-written.pem"), "signed-hand-written.ko");
        const json_t *object = find_object(report, "vmlinux");

        ASSERT_STREQ(json_text(report, "refusal_text"), "");
        ASSERT_TRUE(json_flag(report, "would_apply"));
        ASSERT_STREQ(json_text(report, "refusal"), "");
        ASSERT_STREQ(json_text(report, "signature_status"), "trusted");
        ASSERT_CONTAINS(json_text(report, "signer"), "Signer of the tests");
        ASSERT_STREQ(json_text(report, "kernel_release"), RELEASE);
        ASSERT_STREQ(json_text(report, "running_kernel_release"), RELEASE);
        ASSERT_STREQ(json_text(report, "architecture"), "x86_64");
        ASSERT_STREQ(json_text(report, "kind"), "hand-written");
        ASSERT_STREQ(json_text(report, "compression"), "none");
        ASSERT_TRUE(json_flag(report, "livepatch"));
        ASSERT_TRUE(json_flag(report, "objects_known"));
        ASSERT_NOT_NULL(object);
        ASSERT_TRUE(json_array_size(json_object_get(object, "functions")) > 0);
        ASSERT_EQ(strlen(json_text(report, "sha256")), 64);
}

TEST(another_signer) {
        json_auto_t *report = inspect(make_root(RELEASE "\n", "signed-not-a-livepatch.pem"), "signed-hand-written.ko");

        assert_refused(report, "UntrustedSigner", "");
        ASSERT_STREQ(json_text(report, "signature_status"), "unknown-signer");
}

TEST(another_kernel) {
        json_auto_t *report = inspect(make_root("6.1.0-57-amd64\n", "signed-hand-written.pem"),
                                      "signed-hand-written.ko");

        assert_refused(report, "WrongKernel", "It was built for kernel " RELEASE ", and 6.1.0-57-amd64 is running");
}

TEST(another_architecture) {
        json_auto_t *report = NULL;
        int root_fd = make_root(RELEASE "\n", "signed-hand-written.pem");

        test_write_file(root_fd, "proc/sys/kernel/arch", "s390x\n");
        report = inspect(root_fd, "signed-hand-written.ko");
        assert_refused(report, "WrongArchitecture", "It was built for x86_64, and this machine is s390x");
}

TEST(a_kernel_that_cannot_be_patched) {
        json_auto_t *report = NULL;
        int root_fd = make_root(RELEASE "\n", "signed-hand-written.pem");

        ASSERT_OK(unlinkat(root_fd, "sys/kernel/livepatch/.keep", 0));
        ASSERT_OK(unlinkat(root_fd, "sys/kernel/livepatch", AT_REMOVEDIR));
        report = inspect(root_fd, "signed-hand-written.ko");
        assert_refused(report, "NotSupported", "cannot be live-patched");
}

TEST(an_ordinary_module) {
        json_auto_t *report = inspect(make_root(RELEASE "\n", "signed-not-a-livepatch.pem"),
                                      "signed-not-a-livepatch.ko");

        assert_refused(report, "NotALivepatch", "not a livepatch");
        ASSERT_STREQ(json_text(report, "signature_status"), "trusted");
        ASSERT_FALSE(json_flag(report, "livepatch"));
}

TEST(one_byte_changed) {
        _cleanup_ctl_error_ CtlError e = {};
        json_auto_t *report = NULL;
        size_t size;
        _cleanup_free_ char *data = load("signed-hand-written.ko", &size);
        char *description = memmem(data, size, "vermagic=", 9);

        ASSERT_NOT_NULL(description);
        description[strlen("vermagic=" RELEASE " ")] ^= 1;
        ASSERT_EQ(inspect_bytes(make_root(RELEASE "\n", "signed-hand-written.pem"), data, size, &report, &e), 0);
        assert_refused(report, "SignatureMismatch", "");
}

TEST(one_byte_more_means_unsigned) {
        _cleanup_ctl_error_ CtlError e = {};
        _cleanup_free_ char *grown = NULL;
        json_auto_t *report = NULL;
        size_t size;
        _cleanup_free_ char *data = load("signed-hand-written.ko", &size);

        grown = malloc(size + 1);
        ASSERT_NOT_NULL(grown);
        memcpy(grown, data, size);
        grown[size] = '\n';
        ASSERT_EQ(inspect_bytes(make_root(RELEASE "\n", "signed-hand-written.pem"), grown, size + 1, &report, &e), 0);
        assert_refused(report, "Unsigned", "");
        ASSERT_STREQ(json_text(report, "signature_status"), "unsigned");
}

static void assert_no_module(const void *data, size_t size) {
        _cleanup_ctl_error_ CtlError e = {};
        json_t *report = NULL;

        ASSERT_EQ(inspect_bytes(make_root(RELEASE "\n", "signed-hand-written.pem"), data, size, &report, &e), 5);
        ASSERT_NULL(report);
        ASSERT_STREQ(e.name, "org.livepatch.Error.MalformedModule");
}

TEST(what_is_no_module) {
        size_t size;
        _cleanup_free_ char *data = load("signed-hand-written.ko", &size);

        assert_no_module("", 0);
        assert_no_module("hello", 5);
        assert_no_module(data, 64);
        assert_no_module(data, size / 2);
}
