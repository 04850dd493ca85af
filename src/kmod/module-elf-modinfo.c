/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The .modinfo section: NUL-separated key=value strings, read as the kernel reads them. */

#include "common/string-util.h"
#include "kmod/module-elf-internal.h"

/* What a person is shown of one value. */
#define MODINFO_VALUE_MAX ((size_t) KIB(1))

/* The first value of a key, as get_modinfo() of kernel/module/main.c; it ends within the section, which ends with a
 * NUL. */
static const char *modinfo_get(const ElfSection *section, const char *key) {
        const char *p = (const char *) section->data, *end = p + section->size;
        size_t n = strlen(key);

        for (; p < end; p += strlen(p) + 1)
                if (strncmp(p, key, n) == 0 && p[n] == '=')
                        return p + n + 1;
        return NULL;
}

static int copy_values(const ElfSection *section, ModuleInfo *info, Failure *f) {
        const struct {
                const char *key;
                char **value;
        } copies[] = {
                { "vermagic", &info->vermagic }, { "version", &info->version },
                { "description", &info->description }, { "license", &info->license },
                { "srcversion", &info->srcversion }, { "depends", &info->depends },
        };

        for (size_t i = 0; i < ELEMENTSOF(copies); i++) {
                const char *value = modinfo_get(section, copies[i].key);

                if (!value)
                        continue;
                *copies[i].value = sanitize_text(value, MODINFO_VALUE_MAX);
                if (!*copies[i].value)
                        return failure_oom(f);
        }
        return 0;
}

static int copy_release(const char *vermagic, ModuleInfo *info, Failure *f) {
        _cleanup_free_ char *release = strndup(vermagic, strcspn(vermagic, " "));

        if (!release)
                return failure_oom(f);
        if (!kernel_release_is_valid(release))
                return elf_malformed(f, "its vermagic starts with no kernel release");
        info->kernel_release = TAKE_PTR(release);
        return 0;
}

int module_elf_read_modinfo(const ElfFile *file, ModuleInfo *info, Failure *f) {
        const ElfSection *section;
        const char *name, *vermagic;
        uint32_t index;
        int r;

        r = elf_file_find_section(file, ".modinfo", &index, f);
        if (r != 0)
                return r;
        section = file->sections + index;
        if (index == 0 || !section->data || section->size == 0)
                return elf_malformed(f, "it has no .modinfo, which every kernel module has");
        if (section->data[section->size - 1] != '\0')
                return elf_malformed(f, "its .modinfo is cut off");

        name = modinfo_get(section, "name");
        if (name && !streq(name, info->name))
                return elf_malformed(f, "it gives itself two names");
        /* Its presence counts, not its value: check_modinfo_livepatch(), kernel/module/main.c. */
        info->livepatch = modinfo_get(section, "livepatch") != NULL;
        vermagic = modinfo_get(section, "vermagic");
        if (vermagic) {
                r = copy_release(vermagic, info, f);
                if (r != 0)
                        return r;
        }
        return copy_values(section, info, f);
}
