/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What kpatch-build makes: one table of functions that the module's init function sorts into objects.
 *
 *     .kpatch.funcs: struct kpatch_patch_func[]       .kpatch.callbacks.*: struct kpatch_*_callback[]
 *      0 new_addr   ──> code                            0 callback ──> code
 *      8 new_size                                       8 objname  ──> string
 *     16 old_addr                                      16
 *     24 old_size
 *     32 sympos
 *     40 name       ──> .kpatch.strings
 *     48 objname    ──> .kpatch.strings, "vmlinux" for the kernel
 *     56
 *
 * kpatch's kmod/patch/kpatch-patch.h, livepatch-patch-hook.c and kpatch.lds.S, which puts a word of zeros behind each
 * table of callbacks so that an empty one is not discarded. An object may have callbacks and no functions.
 * `replace` is set in the init function, so the file does not say. */

#include "common/string-util.h"
#include "kmod/module-elf-internal.h"

enum {
        FUNC_NEW_ADDR = 0,
        FUNC_SYMPOS = 32,
        FUNC_NAME = 40,
        FUNC_OBJNAME = 48,
        FUNC_SIZE = 56,

        CALLBACK_OBJNAME = 8,
        CALLBACK_SIZE = 16,
        CALLBACKS_PADDING = 8,
};

/* One entry of a table, before the entries are sorted into objects. */
typedef struct Entry {
        const char *object; /* both are the file's */
        const char *function; /* NULL: a callback's */
        uint64_t sympos;
        size_t index; /* order in the file */
        size_t first; /* the index of the object's first entry */
} Entry;

typedef struct EntryList {
        Entry *entries;
        size_t n;
} EntryList;

static void entry_list_done(EntryList *list) {
        free(list->entries);
}

/* The string that the pointer at a place will point to. */
static int read_string(ElfFile *file, ElfPlace at, size_t max, const char **ret) {
        ElfPlace place;
        int r;

        r = elf_file_pointer(file, at, &place);
        if (r <= 0)
                return r < 0 ? r : -ENODATA;
        *ret = elf_file_string(file, place, max);
        return *ret ? 0 : -ENODATA;
}

static int check_code(ElfFile *file, ElfPlace at) {
        ElfPlace code;
        int r;

        r = elf_file_pointer(file, at, &code);
        if (r < 0)
                return r;
        return r > 0 && elf_file_is_code(file, code) ? 0 : -ENODATA;
}

static int read_function(ElfFile *file, ElfPlace at, Entry *ret) {
        int r;

        r = check_code(file, elf_place_plus(at, FUNC_NEW_ADDR));
        if (r < 0)
                return r;
        r = elf_file_constant_u64(file, elf_place_plus(at, FUNC_SYMPOS), &ret->sympos);
        if (r < 0)
                return r;
        r = read_string(file, elf_place_plus(at, FUNC_NAME), KSYM_NAME_MAX, &ret->function);
        if (r < 0)
                return r;
        return read_string(file, elf_place_plus(at, FUNC_OBJNAME), MODULE_NAME_MAX, &ret->object);
}

static int read_callback(ElfFile *file, ElfPlace at, Entry *ret) {
        int r = check_code(file, at);

        if (r < 0)
                return r;
        return read_string(file, elf_place_plus(at, CALLBACK_OBJNAME), MODULE_NAME_MAX, &ret->object);
}

static int read_table(ElfFile *file, uint32_t section, uint64_t size, size_t entry_size,
                      int (*read_entry)(ElfFile *file, ElfPlace at, Entry *ret), EntryList *list) {
        uint64_t n = size / entry_size;
        Entry *grown;

        if (size % entry_size != 0 || n > MODULE_FUNCTIONS_MAX)
                return -ENODATA;
        if (n == 0)
                return 0;
        grown = reallocarray(list->entries, list->n + (size_t) n, sizeof(Entry));
        if (!grown)
                return -ENOMEM;
        list->entries = grown;
        for (uint64_t i = 0; i < n; i++) {
                Entry *entry = list->entries + list->n;
                int r;

                *entry = (Entry) { .index = list->n };
                r = read_entry(file, (ElfPlace) { section, i * entry_size }, entry);
                if (r < 0)
                        return r;
                list->n++;
        }
        return 0;
}

/* Size of a table of callbacks without the word of zeros behind it. */
static int measure_callbacks(ElfFile *file, uint32_t section, uint64_t *ret) {
        uint64_t size = file->sections[section].size, padding;
        int r;

        if (size % CALLBACK_SIZE != CALLBACKS_PADDING) {
                *ret = size;
                return 0;
        }
        size -= CALLBACKS_PADDING;
        r = elf_file_constant_u64(file, (ElfPlace) { section, size }, &padding);
        if (r < 0)
                return r;
        *ret = size;
        return padding == 0 ? 0 : -ENODATA;
}

static int read_callbacks(ElfFile *file, EntryList *list, Failure *f) {
        static const char *const sections[] = {
                ".kpatch.callbacks.pre_patch",
                ".kpatch.callbacks.post_patch",
                ".kpatch.callbacks.pre_unpatch",
                ".kpatch.callbacks.post_unpatch",
        };

        for (size_t i = 0; i < ELEMENTSOF(sections); i++) {
                uint32_t index;
                uint64_t size;
                int r;

                r = elf_file_find_section(file, sections[i], &index, f);
                if (r != 0)
                        return r;
                if (index == 0)
                        continue;
                r = measure_callbacks(file, index, &size);
                if (r < 0)
                        return r;
                r = read_table(file, index, size, CALLBACK_SIZE, read_callback, list);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compare_by_object(const void *a, const void *b) {
        const Entry *x = a, *y = b;
        int r = strcmp(x->object, y->object);

        if (r != 0)
                return r;
        return x->index < y->index ? -1 : x->index > y->index;
}

static int compare_by_first(const void *a, const void *b) {
        const Entry *x = a, *y = b;

        if (x->first != y->first)
                return x->first < y->first ? -1 : 1;
        return x->index < y->index ? -1 : x->index > y->index;
}

/* Objects in the order of their first entries, functions in the order of the file. */
static void sort_entries(EntryList *list) {
        if (list->n == 0)
                return;
        qsort(list->entries, list->n, sizeof(Entry), compare_by_object);
        for (size_t i = 0; i < list->n; i++) {
                Entry *entry = list->entries + i;
                bool same = i > 0 && streq(entry[-1].object, entry->object);

                entry->first = same ? entry[-1].first : entry->index;
        }
        qsort(list->entries, list->n, sizeof(Entry), compare_by_first);
}

static int add_entries(const EntryList *list, ModuleObjects *ret) {
        for (size_t i = 0; i < list->n; i++) {
                const Entry *entry = list->entries + i;
                int r;

                if (entry->index == entry->first) {
                        r = module_objects_add(ret, entry->object);
                        if (r < 0)
                                return r;
                }
                if (!entry->function)
                        continue;
                r = module_objects_add_function(ret, ret->n_objects - 1, entry->function, entry->sympos);
                if (r < 0)
                        return r;
        }
        return 0;
}

int module_elf_read_kpatch_build(ElfFile *file, bool *ret_found, ModuleObjects *ret, Failure *f) {
        _cleanup_(entry_list_done) EntryList list = {};
        uint32_t index;
        int r;

        r = elf_file_find_section(file, ".kpatch.funcs", &index, f);
        if (r != 0)
                return r;
        *ret_found = index != 0;
        if (index == 0)
                return 0;
        r = read_table(file, index, file->sections[index].size, FUNC_SIZE, read_function, &list);
        if (r < 0)
                return r;
        r = read_callbacks(file, &list, f);
        if (r != 0)
                return r;
        sort_entries(&list);
        return add_entries(&list, ret);
}
