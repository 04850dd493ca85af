/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Livepatches written by hand: a static struct klp_patch that the module's init function hands to the kernel.
 *
 *     struct klp_patch              struct klp_object[]            struct klp_func[]
 *      0 mod     ──> __this_module   0 name  ──> string; NULL is    0 old_name   ──> string
 *      8 objs    ──> klp_object[]               vmlinux            8 new_func   ──> code
 *     16 states  ──> klp_state[]     8 funcs ──> klp_func[]        16 old_sympos
 *     24 replace                    16 callbacks ──> code          ...
 *     ...                           ...                            an empty one ends the table
 *                                   an empty one ends the table
 *
 * include/linux/livepatch.h, since 5.5 (before, there were no states and `replace` was at 16). No section and no
 * symbol name marks it, so it is looked for: a pointer to __this_module, followed by what only a klp_patch has. Many
 * structures point to their module (parameters, file operations), but not to such tables.
 *
 * A module may fill all this in while it runs, and then the file does not tell. Where there is a sign of that (two
 * patches, tables without or with too many empty entries, code that points into a table) nothing is claimed. */

#include "common/string-util.h"
#include "kmod/module-elf-table.h"

enum {
        PATCH_MOD = 0,
        PATCH_OBJS = 8,
        PATCH_STATES = 16,
        PATCH_REPLACE = 24,
        /* Lists and a kobject follow, all zero in the file, on every kernel and configuration. */
        PATCH_SIZE_MIN = 128,

        OBJECT_NAME = 0,
        OBJECT_FUNCS = 8,
        OBJECT_CALLBACKS = 16,

        FUNC_OLD_NAME = 0,
        FUNC_NEW_FUNC = 8,
        FUNC_OLD_SYMPOS = 16,
        FUNC_EXTERNAL_SIZE = 24,
};

#define SLOT(offset) (1U << (offset) / 8)
/* pre_patch, post_patch, pre_unpatch, post_unpatch: struct klp_callbacks. */
#define CALLBACK_SLOTS (SLOT(16) | SLOT(24) | SLOT(32) | SLOT(40))

/* Entries looked at in all candidates together, so that a hostile module cannot make them many times its size. */
#define BUDGET (4U * (size_t) MODULE_FUNCTIONS_MAX)

typedef struct Reader {
        ElfFile *file;
        const ModuleElfContext *context;
        uint32_t this_module;
        ElfVariables variables;
        ElfPlace *code_targets; /* sorted */
        size_t n_code_targets;
        size_t budget;
        uint64_t function_stride; /* that the tables read so far agree on */
} Reader;

static void reader_done(Reader *reader) {
        elf_variables_done(&reader->variables);
        free(reader->code_targets);
}

static int compare_places(const void *a, const void *b) {
        return elf_place_compare(a, b);
}

static int add_code_targets(Reader *reader, uint32_t section) {
        const ElfRelocation *relocations;
        ElfPlace *grown;
        size_t n;
        int r;

        r = elf_file_relocations(reader->file, section, &relocations, &n);
        if (r < 0 || n == 0)
                return r;
        grown = reallocarray(reader->code_targets, reader->n_code_targets + n, sizeof(ElfPlace));
        if (!grown)
                return -ENOMEM;
        reader->code_targets = grown;
        for (size_t i = 0; i < n; i++)
                if (elf_file_resolve(reader->file, relocations + i, grown + reader->n_code_targets) == 0)
                        reader->n_code_targets++;
        return 0;
}

/* Where code points to. Only x86-64's says so precisely. Elsewhere code may address a variable relative to its
 * neighbours (section anchors), nothing follows from that, and the file is taken at its word. */
static int read_code_targets(Reader *reader) {
        if (reader->file->machine != EM_X86_64)
                return 0;
        for (uint32_t i = 1; i < reader->file->n_sections; i++) {
                int r;

                if (!elf_file_is_code(reader->file, (ElfPlace) { i, 0 }))
                        continue;
                r = add_code_targets(reader, i);
                if (r < 0)
                        return r;
        }
        if (reader->n_code_targets > 0)
                qsort(reader->code_targets, reader->n_code_targets, sizeof(ElfPlace), compare_places);
        return 0;
}

/* Whether code points at one of size bytes from a place on. Addresses relative to the instruction pointer have an
 * addend that is less by the four bytes of the displacement and up to four of an immediate operand. */
static bool code_points_to(const Reader *reader, ElfPlace place, uint64_t size) {
        size_t low = 0, high = reader->n_code_targets;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (elf_place_compare(reader->code_targets + middle, &place) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < reader->n_code_targets && reader->code_targets[low].section == place.section &&
               reader->code_targets[low].offset < place.offset + size;
}

static int check_function(ElfFile *file, ElfPlace entry) {
        ElfPlace name, code;
        int r;

        r = elf_file_pointer(file, elf_place_plus(entry, FUNC_OLD_NAME), &name);
        if (r > 0)
                r = elf_file_pointer(file, elf_place_plus(entry, FUNC_NEW_FUNC), &code);
        if (r <= 0)
                return r < 0 ? r : -ENODATA;
        return elf_file_is_code(file, code) &&
               klp_function_name_is_valid(elf_file_string(file, name, KSYM_NAME_MAX)) ? 0 : -ENODATA;
}

/* *ret is "vmlinux" where there is no name. */
static int object_name(ElfFile *file, ElfPlace entry, const char **ret) {
        const char *name;
        ElfPlace place;
        int r;

        r = elf_file_pointer(file, elf_place_plus(entry, OBJECT_NAME), &place);
        if (r < 0)
                return r;
        if (r == 0) {
                *ret = "vmlinux";
                return 0;
        }
        name = elf_file_string(file, place, MODULE_NAME_MAX);
        /* To the kernel "vmlinux" would be a module of this name. */
        if (!module_name_is_valid(name) || streq(name, "vmlinux"))
                return -ENODATA;
        *ret = name;
        return 0;
}

static int check_object(ElfFile *file, ElfPlace entry) {
        const char *name;
        ElfPlace place;
        int r;

        r = object_name(file, entry, &name);
        if (r < 0)
                return r;
        r = elf_file_pointer(file, elf_place_plus(entry, OBJECT_FUNCS), &place);
        if (r <= 0 || !elf_file_is_data(file, place))
                return r < 0 ? r : -ENODATA;
        for (unsigned i = 0; i < 4; i++) {
                r = elf_file_pointer(file, elf_place_plus(entry, OBJECT_CALLBACKS + i * 8), &place);
                if (r < 0 || (r > 0 && !elf_file_is_code(file, place)))
                        return r < 0 ? r : -ENODATA;
        }
        return 0;
}

/* A table, and that nothing in it is filled in at run time. */
static int measure_table(Reader *reader, const TableShape *shape, ElfPlace at, Table *ret) {
        uint64_t size = elf_variables_size(&reader->variables, at);
        int r;

        r = elf_table_measure(reader->file, shape, at, size, &reader->budget, ret);
        if (r < 0)
                return r;
        /* Only to where an empty entry's first pointers are: behind that, code may mean the next variable. */
        if (code_points_to(reader, at, ret->n * ret->stride + FUNC_EXTERNAL_SIZE))
                return -ENODATA;
        return 0;
}

static int read_function(Reader *reader, ElfPlace entry, ModuleObjects *objects) {
        ElfPlace name;
        uint64_t sympos;
        int r;

        r = elf_file_pointer(reader->file, elf_place_plus(entry, FUNC_OLD_NAME), &name);
        if (r <= 0)
                return r < 0 ? r : -ENODATA;
        r = elf_file_constant_u64(reader->file, elf_place_plus(entry, FUNC_OLD_SYMPOS), &sympos);
        if (r < 0)
                return r;
        return module_objects_add_function(objects, objects->n_objects - 1,
                                           elf_file_string(reader->file, name, KSYM_NAME_MAX), sympos);
}

static int read_functions(Reader *reader, ElfPlace at, ModuleObjects *objects) {
        const TableShape shape = {
                .allowed = SLOT(FUNC_OLD_NAME) | SLOT(FUNC_NEW_FUNC),
                .required = SLOT(FUNC_OLD_NAME) | SLOT(FUNC_NEW_FUNC),
                .check = check_function,
                .stride = reader->context->klp_func_size,
        };
        Table table;
        int r;

        r = measure_table(reader, &shape, at, &table);
        if (r < 0)
                return r;
        if (table.n > 0 && reader->function_stride != 0 && reader->function_stride != table.stride)
                return -ENODATA;
        if (table.n > 0)
                reader->function_stride = table.stride;
        for (size_t i = 0; i < table.n; i++) {
                r = read_function(reader, elf_place_plus(at, i * table.stride), objects);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_object(Reader *reader, ElfPlace entry, ModuleObjects *objects) {
        const char *name;
        ElfPlace funcs;
        int r;

        r = object_name(reader->file, entry, &name);
        if (r < 0)
                return r;
        r = module_objects_add(objects, name);
        if (r < 0)
                return r;
        r = elf_file_pointer(reader->file, elf_place_plus(entry, OBJECT_FUNCS), &funcs);
        if (r <= 0)
                return r < 0 ? r : -ENODATA;
        return read_functions(reader, funcs, objects);
}

static int read_objects(Reader *reader, ElfPlace at, ModuleObjects *objects) {
        const TableShape shape = {
                .allowed = SLOT(OBJECT_NAME) | SLOT(OBJECT_FUNCS) | CALLBACK_SLOTS,
                .required = SLOT(OBJECT_FUNCS),
                .check = check_object,
                .stride = reader->context->klp_object_size,
        };
        Table table;
        int r;

        r = measure_table(reader, &shape, at, &table);
        if (r < 0)
                return r;
        for (size_t i = 0; i < table.n; i++) {
                r = read_object(reader, elf_place_plus(at, i * table.stride), objects);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Whether this may be a klp_patch: 1 and its table of objects, or 0. */
static int patch_shape(Reader *reader, ElfPlace patch, ElfPlace *ret_objects) {
        const ElfPlace rest = elf_place_plus(patch, PATCH_REPLACE);
        ElfPlace states;
        int r;

        r = elf_file_pointer(reader->file, elf_place_plus(patch, PATCH_OBJS), ret_objects);
        if (r <= 0 || !elf_file_is_data(reader->file, *ret_objects))
                return r == -ENOMEM ? r : 0;
        r = elf_file_pointer(reader->file, elf_place_plus(patch, PATCH_STATES), &states);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        r = elf_file_check_constant(reader->file, rest, PATCH_SIZE_MIN - PATCH_REPLACE);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return 1;
}

static Tristate read_replace(const Reader *reader, ElfPlace patch) {
        const ElfPlace at = elf_place_plus(patch, PATCH_REPLACE);
        const ElfPlace from = elf_place_plus(patch, PATCH_REPLACE - 7);
        uint8_t value;

        /* Set by the init function, say from a module parameter. */
        if (!elf_file_u8(reader->file, at, &value) || value > 1 || code_points_to(reader, from, 8))
                return TRISTATE_UNKNOWN;
        return value ? TRISTATE_YES : TRISTATE_NO;
}

/* 0: they are known, and may be none; -ENODATA, -ENOMEM. */
static int read_states(const Reader *reader, ElfPlace patch, ModuleStates *ret) {
        const ElfPlace from = elf_place_plus(patch, PATCH_STATES - 8);
        ModuleStates states;
        ElfPlace at;
        int r;

        /* The pointer is set by the init function: up to where an absolute address is. */
        if (code_points_to(reader, from, 8 + 1))
                return -ENODATA;
        r = elf_file_pointer(reader->file, elf_place_plus(patch, PATCH_STATES), &at);
        if (r <= 0)
                return r;
        r = module_elf_read_states(reader->file, at, elf_variables_size(&reader->variables, at), &states);
        if (r < 0)
                return r;
        if (code_points_to(reader, at, module_elf_states_size(&states))) {
                free(states.states);
                return -ENODATA;
        }
        *ret = states;
        return 0;
}

typedef struct Result {
        bool found;        /* something looks like a klp_patch */
        size_t n_complete; /* and can be read to its end */
        ModuleObjects objects;
        HandWritten more;
} Result;

static void result_done(Result *result) {
        module_objects_done(&result->objects);
        free(result->more.states.states);
}

static int read_candidate(Reader *reader, ElfPlace patch, Result *result) {
        _cleanup_(module_objects_done) ModuleObjects objects = {};
        ElfPlace at;
        int r;

        r = patch_shape(reader, patch, &at);
        if (r <= 0)
                return r;
        result->found = true;
        reader->function_stride = 0;
        r = read_objects(reader, at, &objects);
        if (r == -ENODATA)
                return 0;
        if (r < 0)
                return r;
        /* Which one the init function takes is not for the file to say. */
        if (++result->n_complete > 1)
                return -ENODATA;
        result->objects = objects;
        objects = (ModuleObjects) {};
        result->more.replace = read_replace(reader, patch);
        r = read_states(reader, patch, &result->more.states);
        result->more.states_known = r == 0;
        return r == -ENOMEM ? r : 0;
}

static int read_candidates_of(Reader *reader, uint32_t section, Result *result) {
        const ElfRelocation *relocations;
        size_t n;
        int r;

        r = elf_file_relocations(reader->file, section, &relocations, &n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                ElfPlace target;

                if (elf_file_resolve(reader->file, relocations + i, &target) < 0 ||
                    target.section != reader->this_module || target.offset != 0)
                        continue;
                r = read_candidate(reader, (ElfPlace) { section, relocations[i].offset - PATCH_MOD }, result);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_candidates(Reader *reader, Result *result) {
        int r;

        r = elf_variables_read(reader->file, &reader->variables);
        if (r < 0)
                return r;
        r = read_code_targets(reader);
        if (r < 0)
                return r;
        for (uint32_t i = 1; i < reader->file->n_sections; i++) {
                if (i == reader->this_module || !elf_file_is_data(reader->file, (ElfPlace) { i, 0 }))
                        continue;
                r = read_candidates_of(reader, i, result);
                if (r < 0)
                        return r;
        }
        return result->n_complete == 1 && reader->budget > 0 ? 0 : -ENODATA;
}

int module_elf_read_hand_written(ElfFile *file, const ModuleElfContext *context, uint32_t this_module, bool *ret_found,
                                 ModuleObjects *ret, HandWritten *ret_more) {
        _cleanup_(reader_done) Reader reader = {
                .file = file,
                .context = context,
                .this_module = this_module,
                .budget = BUDGET,
        };
        Result result = {};
        int r;

        r = read_candidates(&reader, &result);
        *ret_found = result.found;
        if (r < 0) {
                result_done(&result);
                return r;
        }
        *ret = result.objects;
        *ret_more = result.more;
        return 0;
}
