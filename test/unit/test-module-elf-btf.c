/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes of the kernel's structures out of type information that is put together here. */

#include <fcntl.h>

#include "kmod/module-elf.h"
#include "test.h"

#define BTF_FILE "sys/kernel/btf/vmlinux"
#define INFO(kind, n_members) ((uint32_t) (kind) << 24 | (uint32_t) (n_members))

static const char strings[] = "\0klp_func\0klp_object\0kobject";
enum { NAME_NONE = 0, NAME_FUNC = 1, NAME_OBJECT = 10, NAME_OTHER = 21 };

typedef struct Blob {
        struct {
                uint16_t magic;
                uint8_t version, flags;
                uint32_t header_size, types_offset, types_size, strings_offset, strings_size;
        } header;
        uint32_t types[256];
        size_t n;
} Blob;

static void add(Blob *blob, uint32_t name, uint32_t info, uint32_t size, size_t n_extra_words) {
        blob->types[blob->n++] = name;
        blob->types[blob->n++] = info;
        blob->types[blob->n++] = size;
        for (size_t i = 0; i < n_extra_words; i++)
                blob->types[blob->n++] = UINT32_MAX;
}

static void blob_init(Blob *blob) {
        *blob = (Blob) { .header = { .magic = 0xeb9f, .version = 1, .header_size = 24 } };
        /* One of each kind, in the order of their numbers, with what follows it. */
        add(blob, NAME_OTHER, INFO(1, 0), 4, 1);
        add(blob, NAME_NONE, INFO(2, 0), 1, 0);
        add(blob, NAME_NONE, INFO(3, 0), 0, 3);
        add(blob, NAME_OTHER, INFO(4, 2), 64, 6);
        add(blob, NAME_FUNC, INFO(5, 1), 7, 3);
        add(blob, NAME_OTHER, INFO(6, 2), 4, 4);
        add(blob, NAME_FUNC, INFO(7, 0), 0, 0);
        add(blob, NAME_FUNC, INFO(8, 0), 1, 0);
        add(blob, NAME_NONE, INFO(9, 0), 1, 0);
        add(blob, NAME_NONE, INFO(10, 0), 1, 0);
        add(blob, NAME_NONE, INFO(11, 0), 1, 0);
        add(blob, NAME_OTHER, INFO(12, 0), 1, 0);
        add(blob, NAME_NONE, INFO(13, 3), 1, 6);
        add(blob, NAME_OTHER, INFO(14, 0), 1, 1);
        add(blob, NAME_OTHER, INFO(15, 1), 8, 3);
        add(blob, NAME_OTHER, INFO(16, 0), 8, 0);
        add(blob, NAME_OTHER, INFO(17, 0), 1, 1);
        add(blob, NAME_OTHER, INFO(18, 0), 1, 0);
        add(blob, NAME_OTHER, INFO(19, 1), 8, 3);
        add(blob, NAME_FUNC, INFO(4, 1) | 1U << 31, 152, 3);
        add(blob, NAME_OBJECT, INFO(4, 0), 168, 0);
}

static void blob_finish(Blob *blob) {
        blob->header.types_size = (uint32_t) (blob->n * 4);
        blob->header.strings_offset = blob->header.types_size;
        blob->header.strings_size = sizeof(strings);
}

static int blob_read(const Blob *blob, size_t size, ModuleElfContext *ret) {
        size_t types_size = blob->n * 4, whole = sizeof(blob->header) + types_size + sizeof(strings);
        _cleanup_free_ uint8_t *data = calloc(1, whole);

        memcpy(data, &blob->header, sizeof(blob->header));
        memcpy(data + sizeof(blob->header), blob->types, types_size);
        memcpy(data + sizeof(blob->header) + types_size, strings, sizeof(strings));
        test_write_bytes(test_tmpdir(), BTF_FILE, data, size < whole ? size : whole);
        return module_elf_context_from_btf(test_tmpdir(), ret);
}

TEST(sizes_are_read) {
        ModuleElfContext context = {};
        Blob blob;

        blob_init(&blob);
        blob_finish(&blob);
        ASSERT_EQ(blob_read(&blob, SIZE_MAX, &context), 0);
        ASSERT_EQ(context.klp_func_size, 152);
        ASSERT_EQ(context.klp_object_size, 168);
}

TEST(a_kernel_without_type_information) {
        ModuleElfContext context = { 1, 1 };

        ASSERT_EQ(module_elf_context_from_btf(test_tmpdir(), &context), 0);
        ASSERT_EQ(context.klp_func_size, 0);
        ASSERT_EQ(context.klp_object_size, 0);
}

TEST(a_kernel_without_live_patching) {
        ModuleElfContext context = { 1, 1 };
        Blob blob;

        blob_init(&blob);
        blob.n -= 3 + 3 + 3;
        blob_finish(&blob);
        ASSERT_EQ(blob_read(&blob, SIZE_MAX, &context), 0);
        ASSERT_EQ(context.klp_func_size, 0);
        ASSERT_EQ(context.klp_object_size, 0);
}

TEST(two_structures_of_one_name) {
        ModuleElfContext context = { 1, 1 };
        Blob blob;

        blob_init(&blob);
        add(&blob, NAME_FUNC, INFO(4, 0), 160, 0);
        add(&blob, NAME_FUNC, INFO(4, 0), 152, 0);
        add(&blob, NAME_OBJECT, INFO(4, 0), 168, 0);
        blob_finish(&blob);
        ASSERT_EQ(blob_read(&blob, SIZE_MAX, &context), 0);
        ASSERT_EQ(context.klp_func_size, 0);
        ASSERT_EQ(context.klp_object_size, 168);
}

TEST(kinds_of_a_newer_kernel) {
        static const uint32_t kinds[] = { 0, 20, 127 };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                ModuleElfContext context = { 1, 1 };
                Blob blob;

                blob_init(&blob);
                add(&blob, NAME_OTHER, INFO(kinds[i], 0), 8, 0);
                blob_finish(&blob);
                ASSERT_EQ(blob_read(&blob, SIZE_MAX, &context), 0);
                ASSERT_EQ(context.klp_func_size, 0);
                ASSERT_EQ(context.klp_object_size, 0);
        }
}

TEST(headers_are_checked) {
        static const struct {
                size_t word;
                uint32_t value;
        } table[] = {
                { 0, 0x00019feb },       { 0, 0x0002eb9f },       { 1, 23 },         { 1, UINT32_MAX },
                { 2, UINT32_MAX },       { 2, 0x7fffffff },       { 3, UINT32_MAX }, { 4, UINT32_MAX },
                { 4, 0x7fffffff },       { 5, UINT32_MAX },       { 5, 0 },          { 5, 5 },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                ModuleElfContext context = { 1, 1 };
                Blob blob;

                blob_init(&blob);
                blob_finish(&blob);
                memcpy((uint8_t *) &blob.header + 4 * table[i].word, &table[i].value, 4);
                ASSERT_EQ(blob_read(&blob, SIZE_MAX, &context), -EBADMSG);
                ASSERT_EQ(context.klp_func_size, 1);
        }
}

TEST(truncated_files_are_refused) {
        Blob blob;

        blob_init(&blob);
        blob_finish(&blob);
        for (size_t size = 0; size < sizeof(blob.header) + blob.n * 4 + sizeof(strings); size++) {
                ModuleElfContext context = { 1, 1 };

                ASSERT_EQ(blob_read(&blob, size, &context), -EBADMSG);
        }
}

TEST(types_stay_within_their_section) {
        ModuleElfContext context = { 1, 1 };
        Blob blob;

        blob_init(&blob);
        add(&blob, NAME_OTHER, INFO(4, 0xffffff), 8, 0);
        blob_finish(&blob);
        ASSERT_EQ(blob_read(&blob, SIZE_MAX, &context), -EBADMSG);
        blob_init(&blob);
        blob.types[blob.n++] = NAME_OTHER; /* a third of a type */
        blob_finish(&blob);
        ASSERT_EQ(blob_read(&blob, SIZE_MAX, &context), -EBADMSG);
}

TEST(names_outside_of_the_strings_are_no_names) {
        ModuleElfContext context = { 1, 1 };
        Blob blob;

        blob_init(&blob);
        add(&blob, UINT32_MAX, INFO(4, 0), 8, 0);
        add(&blob, sizeof(strings), INFO(4, 0), 8, 0);
        blob_finish(&blob);
        ASSERT_EQ(blob_read(&blob, SIZE_MAX, &context), 0);
        ASSERT_EQ(context.klp_func_size, 152);
}

TEST(an_unreadable_file_is_a_failure) {
        ModuleElfContext context = { 1, 1 };

        test_write_file(test_tmpdir(), "sys/kernel/btf", "not a directory");
        ASSERT_EQ(module_elf_context_from_btf(test_tmpdir(), &context), -ENOTDIR);
        ASSERT_EQ(context.klp_func_size, 1);
}
