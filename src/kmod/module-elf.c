/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ELF inspection of a module: who it is, which kernel it is for, which functions of which objects it patches. */

#include "common/string-util.h"
#include "kmod/module-elf-internal.h"

/* struct module, include/linux/module.h, 64-bit: enum state, struct list_head, char name[MODULE_NAME_LEN]. */
#define MODULE_NAME_OFFSET 24U
#define MODULE_NAME_SIZE 56U

/* A SHA-1 has 20 bytes, a SHA-256 32; ld takes longer ones from its command line. */
#define BUILD_ID_MAX 64U

static int read_name(ElfFile *file, uint32_t this_module, ModuleInfo *info, Failure *f) {
        const ElfPlace at = { this_module, MODULE_NAME_OFFSET };
        const char *name;
        int r;

        if (this_module == 0)
                return elf_malformed(f, "it has no .gnu.linkonce.this_module, which every kernel module has");
        name = elf_file_string(file, at, MODULE_NAME_MAX);
        if (!name || !module_name_is_valid(name) ||
            file->sections[this_module].size < MODULE_NAME_OFFSET + MODULE_NAME_SIZE)
                return elf_malformed(f, "it has no valid name");
        /* The kernel takes these bytes as they are after relocation. */
        r = elf_file_check_constant(file, at, MODULE_NAME_SIZE);
        if (r == -ENODATA)
                return elf_malformed(f, "its name is not a constant");
        if (r == 0)
                info->name = strdup(name);
        return info->name ? 0 : failure_oom(f);
}

/* One note: namesz, descsz and type, then "GNU" and the build-id, each padded to four bytes (elf(5)). */
static int read_build_id(const ElfFile *file, ModuleInfo *info, Failure *f) {
        const ElfSection *section;
        uint32_t index, name_size, size, type;
        const char *owner;
        int r;

        r = elf_file_find_section(file, ".note.gnu.build-id", &index, f);
        if (r != 0 || index == 0)
                return r;
        section = file->sections + index;
        owner = elf_file_string(file, (ElfPlace) { index, 12 }, STRLEN("GNU"));
        if (!elf_file_u32(file, (ElfPlace) { index, 0 }, &name_size) ||
            !elf_file_u32(file, (ElfPlace) { index, 4 }, &size) ||
            !elf_file_u32(file, (ElfPlace) { index, 8 }, &type) || !owner || !streq(owner, "GNU") ||
            name_size != sizeof("GNU") || type != NT_GNU_BUILD_ID)
                return elf_malformed(f, "its build-id note is no build-id");
        if (size == 0 || size > BUILD_ID_MAX || size > section->size - 16)
                return elf_malformed(f, "its build-id has a wrong size");
        info->build_id = malloc(2 * (size_t) size + 1);
        if (!info->build_id)
                return failure_oom(f);
        hex_encode(section->data + 16, size, info->build_id);
        return 0;
}

/* The tools' sections are unmistakable; a static struct klp_patch is what is left to look for. */
static int read_objects(ElfFile *file, const ModuleElfContext *context, uint32_t this_module, ModuleInfo *info,
                        ModuleObjects *objects, Failure *f) {
        HandWritten more = {};
        bool found = false;
        int r;

        r = module_elf_read_kpatch_build(file, &found, objects, f);
        if (found) {
                info->kind = LIVEPATCH_KIND_KPATCH_BUILD;
                return r;
        }
        if (r != 0)
                return r;
        r = module_elf_read_klp_build(file, &found, objects, f);
        if (found) {
                info->kind = LIVEPATCH_KIND_KLP_BUILD;
                return r;
        }
        if (r != 0)
                return r;
        r = module_elf_read_hand_written(file, context, this_module, &found, objects, &more);
        if (found)
                info->kind = LIVEPATCH_KIND_HAND_WRITTEN;
        if (r < 0)
                return r;
        info->replace = more.replace;
        info->states_known = more.states_known;
        info->states = more.states.states;
        info->n_states = more.states.n;
        return 0;
}

static int read_livepatch(ElfFile *file, const ModuleElfContext *context, uint32_t this_module, ModuleInfo *info,
                          Failure *f) {
        _cleanup_(module_objects_done) ModuleObjects objects = {};
        int r;

        r = read_objects(file, context, this_module, info, &objects, f);
        if (r == -ENODATA)
                return 0; /* objects_known stays false */
        if (r == -ENOMEM)
                return failure_oom(f);
        if (r != 0)
                return r;
        info->objects_known = true;
        info->n_objects = objects.n_objects;
        info->objects = TAKE_PTR(objects.objects);
        objects = (ModuleObjects) {};
        return 0;
}

int module_elf_inspect_untrusted(const uint8_t *data, size_t size, const ModuleElfContext *context, ModuleInfo **ret,
                                 Failure *f) {
        static const ModuleElfContext nothing_known = {};
        _cleanup_(elf_file_freep) ElfFile *file = NULL;
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;
        uint32_t this_module;
        int r;

        r = elf_file_open_untrusted(data, size, &file, f);
        if (r != 0)
                return r;
        r = elf_file_find_section(file, ".gnu.linkonce.this_module", &this_module, f);
        if (r != 0)
                return r;
        info = calloc(1, sizeof(ModuleInfo));
        if (!info)
                return failure_oom(f);
        info->machine = file->machine;
        r = read_name(file, this_module, info, f);
        if (r != 0)
                return r;
        r = module_elf_read_modinfo(file, info, f);
        if (r != 0)
                return r;
        r = read_build_id(file, info, f);
        if (r != 0)
                return r;
        if (info->livepatch) {
                r = read_livepatch(file, context ?: &nothing_known, this_module, info, f);
                if (r != 0)
                        return r;
        }
        *ret = TAKE_PTR(info);
        return 0;
}

ModuleInfo *module_info_free(ModuleInfo *info) {
        ModuleObjects objects;

        if (!info)
                return NULL;
        objects = (ModuleObjects) { .objects = info->objects, .n_objects = info->n_objects };
        module_objects_done(&objects);
        free(info->name);
        free(info->vermagic);
        free(info->kernel_release);
        free(info->version);
        free(info->description);
        free(info->license);
        free(info->srcversion);
        free(info->depends);
        free(info->build_id);
        free(info->states);
        free(info);
        return NULL;
}
