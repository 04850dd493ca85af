/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Relocations of an ELF file: what a pointer in a module's data will point to once the kernel has loaded it.
 *
 * A .ko is ET_REL: where a structure holds a pointer, its bytes are 0 and a SHT_RELA record of the section says
 * "symbol + addend". The records of a section are indexed by offset once, so that asking is a binary search. */

#include <libelf.h>

#include "common/string-util.h"
#include "kmod/module-elf-internal.h"

static int compare_relocations(const void *a, const void *b) {
        const ElfRelocation *x = a, *y = b;

        return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void translate_relocation(const ElfFile *file, const uint8_t *p, ElfRelocation *ret) {
        Elf64_Rela rela;
        Elf_Data data = { .d_buf = &rela, .d_type = ELF_T_RELA, .d_version = EV_CURRENT, .d_size = sizeof(rela) };

        memcpy(&rela, p, sizeof(rela));
        (void) elf64_xlatetom(&data, &data, file->encoding); /* cannot fail: one whole record, known encoding */
        *ret = (ElfRelocation) {
                .offset = rela.r_offset,
                .addend = rela.r_addend,
                .symbol = (uint32_t) ELF64_R_SYM(rela.r_info),
                .type = (uint32_t) ELF64_R_TYPE(rela.r_info),
        };
}

static uint64_t count_relocations(const ElfFile *file, const ElfSection *section) {
        uint64_t n = 0;

        for (uint32_t i = section->first_rela; i != 0; i = file->sections[i].next_rela)
                n += file->sections[i].size / sizeof(Elf64_Rela);
        return n;
}

static int index_relocations(ElfFile *file, ElfSection *section) {
        uint64_t n = count_relocations(file, section);
        ElfRelocation *relocation;
        bool sorted = true;

        if (n > ELF_RELOCATIONS_MAX - file->n_relocations)
                return -ENODATA;
        section->indexed = true;
        if (n == 0)
                return 0;
        section->relocations = relocation = calloc((size_t) n, sizeof(ElfRelocation));
        if (!section->relocations)
                return -ENOMEM;
        for (uint32_t i = section->first_rela; i != 0; i = file->sections[i].next_rela)
                for (uint64_t at = 0; at < file->sections[i].size; at += sizeof(Elf64_Rela)) {
                        translate_relocation(file, file->sections[i].data + at, relocation);
                        sorted &= relocation == section->relocations || relocation[-1].offset <= relocation->offset;
                        relocation++;
                }
        if (!sorted)
                qsort(section->relocations, (size_t) n, sizeof(ElfRelocation), compare_relocations);
        section->n_relocations = (size_t) n;
        file->n_relocations += (size_t) n;
        return 0;
}

int elf_file_relocations(ElfFile *file, uint32_t section, const ElfRelocation **ret, size_t *ret_n) {
        static const ElfRelocation none;
        ElfSection *s = file->sections + section;
        int r;

        if (!s->indexed) {
                r = index_relocations(file, s);
                if (r < 0)
                        return r;
        }
        *ret = s->relocations ?: &none; /* never NULL, so that places behind it can be pointed to */
        *ret_n = s->n_relocations;
        return 0;
}

size_t elf_relocations_lower_bound(const ElfRelocation *relocations, size_t n, uint64_t offset) {
        size_t low = 0, high = n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (relocations[middle].offset < offset)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

int elf_file_resolve(const ElfFile *file, const ElfRelocation *relocation, ElfPlace *ret) {
        const ElfSection *section;
        Elf64_Sym symbol;
        uint64_t offset;

        if (!elf_file_symbol(file, relocation->symbol, &symbol))
                return -ENODATA;
        /* Undefined symbols, absolute ones and SHN_LIVEPATCH are no places in this file. */
        if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx >= file->n_sections)
                return -ENODATA;
        section = file->sections + symbol.st_shndx;
        if (__builtin_add_overflow(symbol.st_value, relocation->addend, &offset) || offset > section->size)
                return -ENODATA;
        *ret = (ElfPlace) { .section = symbol.st_shndx, .offset = offset };
        return 0;
}

/* The relocations that may write into size bytes at a place. One changes at most eight bytes from its offset on. */
static int relocations_of(ElfFile *file, ElfPlace at, uint64_t size, const ElfRelocation **ret, size_t *ret_n) {
        const ElfRelocation *relocations;
        uint64_t end, from = at.offset < 7 ? 0 : at.offset - 7;
        size_t n, i;
        int r;

        if (__builtin_add_overflow(at.offset, size, &end))
                return -ENODATA;
        r = elf_file_relocations(file, at.section, &relocations, &n);
        if (r < 0)
                return r;
        i = elf_relocations_lower_bound(relocations, n, from);
        *ret = relocations + i;
        *ret_n = elf_relocations_lower_bound(relocations, n, end) - i;
        return 0;
}

/* One plain pointer exactly there, or none: whatever else writes there is not how a compiler fills a structure. */
int elf_file_pointer(ElfFile *file, ElfPlace at, ElfPlace *ret) {
        const ElfRelocation *relocations;
        uint64_t value;
        size_t n;
        int r;

        r = relocations_of(file, at, sizeof(uint64_t), &relocations, &n);
        if (r < 0)
                return r;
        if (n == 0)
                return elf_file_u64(file, at, &value) && value == 0 ? 0 : -ENODATA;
        if (n > 1 || relocations->offset != at.offset ||
            relocations->type != elf_machine_pointer_relocation(file->machine))
                return -ENODATA;
        r = elf_file_resolve(file, relocations, ret);
        return r < 0 ? r : 1;
}

int elf_file_check_constant(ElfFile *file, ElfPlace at, uint64_t size) {
        const ElfRelocation *relocations;
        size_t n;
        int r;

        r = relocations_of(file, at, size, &relocations, &n);
        if (r < 0)
                return r;
        return n == 0 ? 0 : -ENODATA;
}

int elf_file_constant_u64(ElfFile *file, ElfPlace at, uint64_t *ret) {
        int r = elf_file_check_constant(file, at, sizeof(uint64_t));

        if (r < 0)
                return r;
        return elf_file_u64(file, at, ret) ? 0 : -ENODATA;
}

int elf_file_constant_u32(ElfFile *file, ElfPlace at, uint32_t *ret) {
        int r = elf_file_check_constant(file, at, sizeof(uint32_t));

        if (r < 0)
                return r;
        return elf_file_u32(file, at, ret) ? 0 : -ENODATA;
}
