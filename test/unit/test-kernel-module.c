/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /sys/module/<name>: presence, and build-id notes that nobody vouches for. */

#include <elf.h>

#include "common/fd-util.h"
#include "kmod/kernel-module.h"
#include "test.h"

#define NOTE "sys/module/lp/notes/.note.gnu.build-id"

static void add_module(const char *state) {
        test_write_file(test_tmpdir(), "sys/module/lp/initstate", state);
        test_write_file(test_tmpdir(), "sys/module/lp/refcnt", "1\n");
}

/* Appends one note; returns the new size. */
static size_t put_note(uint8_t *buffer, size_t at, uint32_t namesz, uint32_t descsz, uint32_t type, const char *name,
                       size_t name_size, const char *description, size_t description_size) {
        Elf64_Nhdr header = { .n_namesz = namesz, .n_descsz = descsz, .n_type = type };

        memcpy(buffer + at, &header, sizeof(header));
        at += sizeof(header);
        memcpy(buffer + at, name, name_size);
        at += name_size;
        memcpy(buffer + at, description, description_size);
        return at + description_size;
}

static void assert_build_id(const uint8_t *note, size_t size, const char *expected) {
        _cleanup_(kernel_module_done) KernelModule m = {};

        add_module("live\n");
        test_write_bytes(test_tmpdir(), NOTE, note, size);
        ASSERT_OK(kernel_module_read(test_tmpdir(), "lp", &m));
        ASSERT_TRUE(m.present);
        if (expected)
                ASSERT_STREQ(m.build_id, expected);
        else
                ASSERT_NULL(m.build_id);
}

TEST(loaded) {
        _cleanup_(kernel_module_done) KernelModule m = {};

        add_module("live\n");
        test_write_file(test_tmpdir(), "sys/module/lp/srcversion", "533BB7E5866E52F63B9ACCB\n");
        test_write_file(test_tmpdir(), "sys/module/lp/version", "1.2\x1b[31m\n");
        test_write_file(test_tmpdir(), "sys/module/lp/taint", "OEK\n");
        ASSERT_OK(kernel_module_read(test_tmpdir(), "lp", &m));
        ASSERT_TRUE(m.present);
        ASSERT_TRUE(m.live);
        ASSERT_EQ(m.refcnt, 1);
        ASSERT_STREQ(m.srcversion, "533BB7E5866E52F63B9ACCB");
        ASSERT_STREQ(m.version, "1.2?[31m");
        ASSERT_STREQ(m.taint, "OEK");
        ASSERT_NULL(m.build_id);
}

TEST(not_loaded) {
        KernelModule m = { .present = true, .live = true };

        ASSERT_OK(kernel_module_read(test_tmpdir(), "lp", &m));
        ASSERT_FALSE(m.present);
        ASSERT_FALSE(m.live);
        ASSERT_EQ(m.refcnt, -1);
}

TEST(built_in_modules_are_not_loaded) {
        KernelModule m = { .present = true };

        test_write_file(test_tmpdir(), "sys/module/lp/parameters/x", "1\n");
        test_write_file(test_tmpdir(), "sys/module/lp/version", "1.2\n");
        ASSERT_OK(kernel_module_read(test_tmpdir(), "lp", &m));
        ASSERT_FALSE(m.present);
        ASSERT_NULL(m.version);
}

TEST(coming_and_going_is_present_but_not_live) {
        _cleanup_(kernel_module_done) KernelModule coming = {}, going = {};

        add_module("coming\n");
        ASSERT_OK(kernel_module_read(test_tmpdir(), "lp", &coming));
        ASSERT_TRUE(coming.present);
        ASSERT_FALSE(coming.live);
        add_module("going\n");
        ASSERT_OK(kernel_module_read(test_tmpdir(), "lp", &going));
        ASSERT_TRUE(going.present);
        ASSERT_FALSE(going.live);
}

TEST(without_reference_counts) {
        _cleanup_(kernel_module_done) KernelModule m = {};

        test_write_file(test_tmpdir(), "sys/module/lp/initstate", "live\n");
        ASSERT_OK(kernel_module_read(test_tmpdir(), "lp", &m));
        ASSERT_EQ(m.refcnt, -1);
}

TEST(build_id) {
        uint8_t note[64] = {};

        assert_build_id(note, put_note(note, 0, 4, 3, NT_GNU_BUILD_ID, "GNU", 4, "\x01\xab\xff", 3), "01abff");
}

TEST(build_id_behind_another_note) {
        uint8_t note[128] = {};
        size_t size = put_note(note, 0, 5, 1, NT_GNU_BUILD_ID, "Xen\0\0\0\0", 8, "\x11\0\0", 4);

        size = put_note(note, size, 4, 4, NT_GNU_PROPERTY_TYPE_0, "GNU", 4, "\x22\x22\x22\x22", 4);
        assert_build_id(note, put_note(note, size, 4, 4, NT_GNU_BUILD_ID, "GNU", 4, "\x33\x33\x33\x33", 4), "33333333");
}

TEST(notes_that_promise_too_much) {
        uint8_t note[64] = {};

        assert_build_id(note, 0, NULL);
        assert_build_id(note, put_note(note, 0, 4, 8, NT_GNU_BUILD_ID, "GNU", 4, "\x01\x02\x03\x04", 4), NULL);
        assert_build_id(note, put_note(note, 0, 4, UINT32_MAX, NT_GNU_BUILD_ID, "GNU", 4, "\x01", 1), NULL);
        assert_build_id(note, put_note(note, 0, UINT32_MAX, 4, NT_GNU_BUILD_ID, "GNU", 4, "\x01", 1), NULL);
        assert_build_id(note, put_note(note, 0, 4, UINT32_MAX - 1, 1, "GNU", 4, "\x01", 1), NULL);
        assert_build_id(note, sizeof(Elf64_Nhdr) - 1, NULL);
}

TEST(notes_of_another_kind) {
        uint8_t note[128] = {};
        char large[80] = {};

        assert_build_id(note, put_note(note, 0, 4, 4, NT_GNU_ABI_TAG, "GNU", 4, "\x01\x02\x03\x04", 4), NULL);
        assert_build_id(note, put_note(note, 0, 4, 4, NT_GNU_BUILD_ID, "Go\0", 4, "\x01\x02\x03\x04", 4), NULL);
        assert_build_id(note, put_note(note, 0, 4, 0, NT_GNU_BUILD_ID, "GNU", 4, "", 0), NULL);
        assert_build_id(note, put_note(note, 0, 4, 80, NT_GNU_BUILD_ID, "GNU", 4, large, 80), NULL);
}
