/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arrays of struct klp_func and struct klp_object in a module's data: how many entries, how far apart.
 *
 * The kernel walks them up to the first empty entry (klp_for_each_object_static() and klp_for_each_func_static(),
 * include/linux/livepatch.h). The size of an entry is the kernel's secret, but what a compiler leaves in the file
 * gives it away: pointers are relocations, everything that the kernel fills in later is 0. With the size of the
 * variable only one stride explains all relocations and leaves exactly one empty entry. Without (a module stripped of
 * its local symbols) the kernel's type information is needed: another table may follow at any distance. A table that
 * no stride explains is not understood. */

#include "kmod/module-elf-table.h"

static int compare_variables(const void *a, const void *b) {
        const ElfVariable *x = a, *y = b;

        return elf_place_compare(&x->at, &y->at);
}

void elf_variables_done(ElfVariables *variables) {
        free(variables->variables);
        *variables = (ElfVariables) {};
}

int elf_variables_read(const ElfFile *file, ElfVariables *ret) {
        ElfVariable *variables;
        size_t n = 0;

        if (file->n_symbols > ELF_VARIABLES_MAX)
                return -ENODATA;
        if (file->n_symbols == 0)
                return 0;
        variables = calloc(file->n_symbols, sizeof(ElfVariable));
        if (!variables)
                return -ENOMEM;
        for (uint32_t i = 0; i < file->n_symbols; i++) {
                Elf64_Sym symbol;

                if (!elf_file_symbol(file, i, &symbol) || ELF64_ST_TYPE(symbol.st_info) != STT_OBJECT ||
                    symbol.st_size == 0 || symbol.st_shndx == SHN_UNDEF || symbol.st_shndx >= file->n_sections)
                        continue;
                variables[n++] = (ElfVariable) { { symbol.st_shndx, symbol.st_value }, symbol.st_size };
        }
        qsort(variables, n, sizeof(ElfVariable), compare_variables);
        *ret = (ElfVariables) { variables, n };
        return 0;
}

uint64_t elf_variables_size(const ElfVariables *variables, ElfPlace at) {
        size_t low = 0, high = variables->n;
        uint64_t size;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (elf_place_compare(&variables->variables[middle].at, &at) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        if (low == variables->n || elf_place_compare(&variables->variables[low].at, &at) != 0)
                return 0;
        size = variables->variables[low].size;
        for (; low < variables->n && elf_place_compare(&variables->variables[low].at, &at) == 0; low++)
                if (variables->variables[low].size != size)
                        return 0;
        return size;
}

/* One table while its stride is being looked for. */
typedef struct Search {
        ElfFile *file;
        const TableShape *shape;
        ElfPlace at;
        uint64_t size; /* 0 unknown */
        const ElfRelocation *relocations; /* from the table's start on; to its end if size is known */
        size_t n_relocations;
        size_t *budget;
} Search;

/* Eats the relocations of the entry that starts at an offset of the table: 1 if it is one, 0 if it is empty. */
static int take_entry(const Search *search, uint64_t offset, uint64_t stride, size_t *i) {
        uint64_t start = search->at.offset + offset;
        uint32_t seen = 0;
        int r;

        for (; *i < search->n_relocations && search->relocations[*i].offset < start + stride; (*i)++) {
                uint64_t distance = search->relocations[*i].offset - start;
                uint32_t slot;

                if (distance % sizeof(uint64_t) != 0 || distance / sizeof(uint64_t) >= 32)
                        return -ENODATA;
                slot = 1U << distance / sizeof(uint64_t);
                if (!(search->shape->allowed & slot) || (seen & slot))
                        return -ENODATA;
                seen |= slot;
        }
        if (seen == 0)
                return 0;
        if ((seen & search->shape->required) != search->shape->required)
                return -ENODATA;
        r = search->shape->check(search->file, elf_place_plus(search->at, offset));
        return r < 0 ? r : 1;
}

/* Walks the table with one stride; the number of entries before the empty one. */
static int try_stride(const Search *search, uint64_t stride, Table *ret) {
        uint64_t limit = search->size != 0 ? search->size :
                                             search->file->sections[search->at.section].size - search->at.offset;
        size_t n = 0, i = 0;
        int r;

        do {
                if (*search->budget == 0 || limit < stride || n > (limit - stride) / stride)
                        return -ENODATA;
                (*search->budget)--;
                r = take_entry(search, n * stride, stride, &i);
                if (r < 0)
                        return r;
                n += r > 0;
        } while (r > 0);
        /* Spare entries, or data of another kind behind it: not what it seems to be. */
        if (search->size != 0 && (i < search->n_relocations || (n + 1) * stride != search->size))
                return -ENODATA;
        *ret = (Table) { .at = search->at, .stride = stride, .n = n };
        return 0;
}

static int search_by_size(const Search *search, Table *ret) {
        for (uint64_t stride = KLP_STRIDE_MIN; stride <= KLP_STRIDE_MAX; stride += sizeof(uint64_t)) {
                int r;

                if (search->size % stride != 0)
                        continue;
                r = try_stride(search, stride, ret);
                if (r == -ENODATA)
                        continue;
                /* A multiple of what the kernel has means spare entries, which may be filled in at run time. */
                if (r == 0 && search->shape->stride != 0 && stride != search->shape->stride &&
                    stride % search->shape->stride == 0)
                        return -ENODATA;
                return r;
        }
        return -ENODATA;
}

/* Without a single pointer: empty if there is no room for more than the empty entry. A larger one is filled in by the
 * module's init function. */
static int measure_empty(const Search *search, Table *ret) {
        uint64_t one = search->shape->stride ?: 2 * KLP_STRIDE_MIN - 1;

        if (search->size == 0 || search->size > one)
                return -ENODATA;
        *ret = (Table) { .at = search->at };
        return 0;
}

int elf_table_measure(ElfFile *file, const TableShape *shape, ElfPlace at, uint64_t size, size_t *budget, Table *ret) {
        Search search = { .file = file, .shape = shape, .at = at, .size = size, .budget = budget };
        const ElfRelocation *relocations;
        uint64_t end;
        size_t n, i;
        int r;

        if (__builtin_add_overflow(at.offset, size, &end) || end > file->sections[at.section].size)
                return -ENODATA;
        r = elf_file_relocations(file, at.section, &relocations, &n);
        if (r < 0)
                return r;
        i = elf_relocations_lower_bound(relocations, n, at.offset);
        search.relocations = relocations + i;
        search.n_relocations = (size != 0 ? elf_relocations_lower_bound(relocations, n, end) : n) - i;
        if (search.n_relocations == 0)
                return measure_empty(&search, ret);
        if (!file->sections[at.section].data)
                return -ENODATA;
        if (size != 0)
                return search_by_size(&search, ret);
        return shape->stride != 0 ? try_stride(&search, shape->stride, ret) : -ENODATA;
}
