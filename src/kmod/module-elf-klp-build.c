/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What klp-build makes (in the kernel's tree since 6.19): compact tables that the module's init function expands.
 *
 *     .init.klp_objects: struct klp_object_ext[]      .init.klp_funcs: struct klp_func_ext[]
 *      0 name       ──> string; NULL is vmlinux         0 old_name ──> string
 *      8 funcs      ──> .init.klp_funcs                 8 new_func ──> code
 *     16 callbacks                                     16 sympos
 *     56 nr_funcs   (32 bits)                          24
 *     64
 *
 * include/linux/livepatch_external.h, scripts/livepatch/init.c. The sections were called __klp_objects and __klp_funcs
 * until shortly before the release of 6.19. `replace` is set in the init function, so the file does not say. */

#include "common/string-util.h"
#include "kmod/module-elf-internal.h"

enum {
        OBJECT_NAME = 0,
        OBJECT_FUNCS = 8,
        OBJECT_N_FUNCS = 56,
        OBJECT_SIZE = 64,

        FUNC_OLD_NAME = 0,
        FUNC_NEW_FUNC = 8,
        FUNC_SYMPOS = 16,
        FUNC_SIZE = 24,
};

static int read_function(ElfFile *file, ElfPlace at, ModuleObjects *objects) {
        ElfPlace name, code;
        uint64_t sympos;
        int r;

        r = elf_file_pointer(file, elf_place_plus(at, FUNC_OLD_NAME), &name);
        if (r > 0)
                r = elf_file_pointer(file, elf_place_plus(at, FUNC_NEW_FUNC), &code);
        if (r <= 0)
                return r < 0 ? r : -ENODATA;
        if (!elf_file_is_code(file, code))
                return -ENODATA;
        r = elf_file_constant_u64(file, elf_place_plus(at, FUNC_SYMPOS), &sympos);
        if (r < 0)
                return r;
        return module_objects_add_function(objects, objects->n_objects - 1,
                                           elf_file_string(file, name, KSYM_NAME_MAX), sympos);
}

static int read_object_name(ElfFile *file, ElfPlace at, ModuleObjects *objects) {
        const char *name;
        ElfPlace place;
        int r;

        r = elf_file_pointer(file, elf_place_plus(at, OBJECT_NAME), &place);
        if (r < 0)
                return r;
        if (r == 0)
                return module_objects_add(objects, "vmlinux");
        name = elf_file_string(file, place, MODULE_NAME_MAX);
        /* To the kernel that would be a module of this name. */
        if (name && streq(name, "vmlinux"))
                return -ENODATA;
        return module_objects_add(objects, name);
}

static int read_object(ElfFile *file, ElfPlace at, ModuleObjects *objects) {
        ElfPlace funcs;
        uint32_t n;
        int r;

        r = read_object_name(file, at, objects);
        if (r < 0)
                return r;
        r = elf_file_constant_u32(file, elf_place_plus(at, OBJECT_N_FUNCS), &n);
        if (r < 0)
                return r;
        r = elf_file_pointer(file, elf_place_plus(at, OBJECT_FUNCS), &funcs);
        if (r < 0)
                return r;
        if (n > MODULE_FUNCTIONS_MAX || (r == 0 && n > 0))
                return -ENODATA;
        for (uint32_t i = 0; i < n; i++) {
                r = read_function(file, elf_place_plus(funcs, (uint64_t) i * FUNC_SIZE), objects);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int find_objects(const ElfFile *file, uint32_t *ret, Failure *f) {
        uint32_t old;
        int r;

        r = elf_file_find_section(file, ".init.klp_objects", ret, f);
        if (r != 0)
                return r;
        r = elf_file_find_section(file, "__klp_objects", &old, f);
        if (r != 0)
                return r;
        if (*ret != 0 && old != 0)
                return elf_malformed(f, "it describes what it patches twice");
        if (*ret == 0)
                *ret = old;
        return 0;
}

int module_elf_read_klp_build(ElfFile *file, bool *ret_found, ModuleObjects *ret, Failure *f) {
        const ElfSection *section;
        uint32_t index;
        int r;

        r = find_objects(file, &index, f);
        if (r != 0)
                return r;
        *ret_found = index != 0;
        if (index == 0)
                return 0;
        section = file->sections + index;
        if (section->size == 0 || section->size % OBJECT_SIZE != 0)
                return -ENODATA;
        for (uint64_t at = 0; at < section->size; at += OBJECT_SIZE) {
                r = read_object(file, (ElfPlace) { index, at }, ret);
                if (r < 0)
                        return r;
        }
        return 0;
}
