/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small patches for the tests of the store. */

#include "store-fixture.h"

#include "common/fd-util.h"
#include "common/string-util.h"
#include "test.h"

ModuleImage *fixture_image(const char *bytes) {
        ModuleImage *image = NULL;

        ASSERT_EQ(module_image_new_from_memory(bytes, strlen(bytes), MIB(1), &image, NULL), 0);
        return image;
}

PatchRecord *fixture_record(const char *name, const char *bytes, const char *boot_id) {
        _cleanup_(module_image_unrefp) ModuleImage *image = fixture_image(bytes);
        ModuleInfo info = { .name = (char *) name, .kernel_release = (char *) RELEASE };
        SignatureReport signature = { .status = SIGNATURE_TRUSTED };
        PatchRecord *record;

        ASSERT_EQ(patch_record_new(&info, &signature, module_image_sha256(image), &record), 0);
        ASSERT_OK(free_and_strdup(&record->transient_boot_id, boot_id));
        return record;
}

PatchRecord *fixture_put(Store *store, const char *name, const char *bytes, const char *boot_id) {
        _cleanup_(module_image_unrefp) ModuleImage *image = fixture_image(bytes);
        PatchRecord *record = fixture_record(name, bytes, boot_id);
        _cleanup_failure_ Failure failure = {};

        if (store_put_module(store, RELEASE, name, image, &failure) != 0 || store_put(store, record, &failure) != 0)
                test_fail(__FILE__, __LINE__, "%s", failure_text(&failure));
        return record;
}

static char *module_path(const PatchRecord *record) {
        char *path;

        ASSERT_TRUE(asprintf(&path, STATE "/patches/" RELEASE "/%s/%s.ko", record->name, record->sha256) > 0);
        return path;
}

void fixture_write_module(const PatchRecord *record, const char *bytes) {
        _cleanup_free_ char *path = module_path(record);

        test_write_file(test_tmpdir(), path, bytes);
}

void fixture_unlink_module(const PatchRecord *record) {
        _cleanup_free_ char *path = module_path(record);

        ASSERT_OK(unlinkat(test_tmpdir(), path, 0));
}

void fixture_link_module(const PatchRecord *record, const char *target) {
        _cleanup_free_ char *path = module_path(record);

        ASSERT_OK(symlinkat(target, test_tmpdir(), path));
}

void fixture_assert_module(Store *store, const PatchRecord *record, const char *bytes) {
        _cleanup_close_ int fd = store_open_module(store, record, NULL);
        _cleanup_free_ char *data = NULL;

        ASSERT_OK(fd);
        ASSERT_OK(read_fd(fd, KIB(64), &data, NULL));
        ASSERT_STREQ(data, bytes);
}
