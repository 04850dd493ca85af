/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The descriptor that goes into the kernel holds the bytes that were verified, or none does. */

#include <fcntl.h>

#include "kmod/module-loader-source.h"
#include "test.h"

#define SIZE (600 * 1024)

/* Several comparison chunks of bytes. */
static uint8_t *content(void) {
        uint8_t *bytes = malloc(SIZE + 1);

        ASSERT_NOT_NULL(bytes);
        for (size_t i = 0; i < SIZE + 1; i++)
                bytes[i] = (uint8_t) (i * 31 >> 3);
        memcpy(bytes, "\x7f" "ELF", 4);
        return bytes;
}

static ModuleImage *image_with_file(const uint8_t *image_bytes, const uint8_t *file_bytes, size_t file_size) {
        ModuleImage *image = NULL;
        int fd;

        ASSERT_EQ(module_image_new_from_memory(image_bytes, SIZE, MIB(1), &image, NULL), 0);
        test_write_bytes(test_tmpdir(), "module.ko", file_bytes, file_size);
        fd = openat(test_tmpdir(), "module.ko", O_RDONLY | O_CLOEXEC);
        ASSERT_OK(fd);
        module_image_set_file(image, fd);
        return image;
}

static void assert_changed(ModuleImage *image) {
        _cleanup_failure_ Failure f = {};
        int fd = -EBADF;

        ASSERT_EQ(module_loader_source(image, "lp_a", &fd, &f), REFUSED_CONFLICT);
        ASSERT_EQ(fd, -EBADF);
        ASSERT_CONTAINS(failure_text(&f), "'lp_a' has changed on disk");
}

TEST(an_image_alone) {
        _cleanup_(module_image_unrefp) ModuleImage *image = NULL;
        _cleanup_free_ uint8_t *bytes = content();
        int fd = -EBADF;

        ASSERT_EQ(module_image_new_from_memory(bytes, SIZE, MIB(1), &image, NULL), 0);
        ASSERT_EQ(module_loader_source(image, "lp_a", &fd, NULL), 0);
        ASSERT_EQ(fd, module_image_fd(image));
}

TEST(a_file_with_the_same_bytes) {
        _cleanup_(module_image_unrefp) ModuleImage *image = NULL;
        _cleanup_free_ uint8_t *bytes = content();
        int fd = -EBADF;

        image = image_with_file(bytes, bytes, SIZE);
        ASSERT_EQ(module_loader_source(image, "lp_a", &fd, NULL), 0);
        ASSERT_EQ(fd, module_image_file_fd(image));
}

TEST(a_file_that_differs_in_one_bit) {
        static const size_t places[] = { 0, 256 * 1024 - 1, 256 * 1024, SIZE - 1 };
        _cleanup_free_ uint8_t *bytes = content(), *other = content();

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                _cleanup_(module_image_unrefp) ModuleImage *image = NULL;

                other[places[i]] ^= 1;
                image = image_with_file(bytes, other, SIZE);
                assert_changed(image);
                other[places[i]] ^= 1;
        }
}

TEST(a_file_of_another_length) {
        _cleanup_(module_image_unrefp) ModuleImage *shorter = NULL, *longer = NULL, *empty = NULL;
        _cleanup_free_ uint8_t *bytes = content();

        shorter = image_with_file(bytes, bytes, SIZE - 1);
        assert_changed(shorter);
        longer = image_with_file(bytes, bytes, SIZE + 1);
        assert_changed(longer);
        empty = image_with_file(bytes, bytes, 0);
        assert_changed(empty);
}

TEST(a_descriptor_that_cannot_be_read) {
        _cleanup_(module_image_unrefp) ModuleImage *image = NULL;
        _cleanup_free_ uint8_t *bytes = content();
        _cleanup_failure_ Failure f = {};
        int fd = -EBADF;

        image = image_with_file(bytes, bytes, SIZE);
        module_image_set_file(image, openat(test_tmpdir(), "module.ko", O_WRONLY | O_CLOEXEC));
        ASSERT_EQ(module_loader_source(image, "lp_a", &fd, &f), -EBADF);
        ASSERT_CONTAINS(failure_text(&f), "was not loaded");
        ASSERT_EQ(fd, -EBADF);
}
