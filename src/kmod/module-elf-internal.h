/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the ELF inspection share: a bounded view of the file, and the list of objects being built. */
#pragma once

#include <elf.h>

#include "kmod/module-elf.h"

/* Bounds on what one module may ask for. The largest real livepatches have a few hundred functions. */
#define MODULE_OBJECTS_MAX 4096U
#define MODULE_FUNCTIONS_MAX 65536U
#define MODULE_STATES_MAX 4096U
#define ELF_RELOCATIONS_MAX (1U << 20)
#define ELF_VARIABLES_MAX (1U << 20)
/* KSYM_NAME_LEN, include/linux/kallsyms.h: 512 with the NUL since 6.1. */
#define KSYM_NAME_MAX 511U

typedef struct ElfRelocation {
        uint64_t offset; /* in the section that it changes */
        int64_t addend;
        uint32_t symbol;
        uint32_t type;
} ElfRelocation;

typedef struct ElfSection {
        const char *name;    /* of the file, NUL-terminated within it */
        const uint8_t *data; /* of the file, size bytes; NULL for SHT_NOBITS and SHT_NULL */
        uint64_t size;
        uint64_t flags;
        uint32_t type;
        uint32_t link;
        uint32_t info;
        uint32_t first_rela; /* the SHT_RELA sections that apply to this one: a chain that 0 ends */
        uint32_t next_rela;  /* of a SHT_RELA section: the next one of its chain */
        ElfRelocation *relocations; /* sorted by offset; once elf_file_relocations() was asked */
        size_t n_relocations;
        bool indexed;
} ElfSection;

/* A relocatable 64-bit ELF file in memory that is not its own. Everything below it was checked when it was opened:
 * section headers, names and contents lie within the file, no section's bytes are counted twice. */
typedef struct ElfFile {
        const uint8_t *data;
        size_t size;
        unsigned encoding; /* ELFDATA2LSB or ELFDATA2MSB */
        unsigned machine;
        ElfSection *sections;
        uint32_t n_sections;
        uint32_t symtab; /* section index, 0: none */
        uint32_t n_symbols;
        size_t n_relocations; /* indexed so far */
} ElfFile;

/* A place in a section: what a relocation points to. */
typedef struct ElfPlace {
        uint32_t section;
        uint64_t offset;
} ElfPlace;

int elf_file_open_untrusted(const uint8_t *data, size_t size, ElfFile **ret, Failure *f);
ElfFile *elf_file_free(ElfFile *file);
DEFINE_CLEANUP(ElfFile *, elf_file_free)

/* The only allocated section of that name, or 0. Two of them are a contradiction: REFUSED_MALFORMED_MODULE. */
int elf_file_find_section(const ElfFile *file, const char *name, uint32_t *ret, Failure *f);

/* False where the section has no such bytes. */
bool elf_file_u64(const ElfFile *file, ElfPlace place, uint64_t *ret);
bool elf_file_u32(const ElfFile *file, ElfPlace place, uint32_t *ret);
bool elf_file_u8(const ElfFile *file, ElfPlace place, uint8_t *ret);
/* A string of at most max bytes that ends within its section, or NULL. */
const char *elf_file_string(const ElfFile *file, ElfPlace place, size_t max);

/* False where there is no such symbol. */
bool elf_file_symbol(const ElfFile *file, uint32_t index, Elf64_Sym *ret);

/* The relocations of one section, sorted by offset; stay the file's. -ENODATA beyond ELF_RELOCATIONS_MAX. */
int elf_file_relocations(ElfFile *file, uint32_t section, const ElfRelocation **ret, size_t *ret_n);
/* The first relocation at or behind an offset, as an index into these. */
size_t elf_relocations_lower_bound(const ElfRelocation *relocations, size_t n, uint64_t offset);
/* The place that a relocation points to; -ENODATA where that is not within a section of this file. */
int elf_file_resolve(const ElfFile *file, const ElfRelocation *relocation, ElfPlace *ret);
/* What the pointer at a place will point to: 1; 0 when it stays as it is in the file (NULL); -ENODATA when a
 * relocation makes it something else, -ENOMEM. */
int elf_file_pointer(ElfFile *file, ElfPlace at, ElfPlace *ret);
/* That no relocation writes into these bytes: 0, -ENODATA, -ENOMEM. */
int elf_file_check_constant(ElfFile *file, ElfPlace at, uint64_t size);
/* A number that no relocation changes: 0, -ENODATA, -ENOMEM. */
int elf_file_constant_u64(ElfFile *file, ElfPlace at, uint64_t *ret);
int elf_file_constant_u32(ElfFile *file, ElfPlace at, uint32_t *ret);
static inline ElfPlace elf_place_plus(ElfPlace place, uint64_t n) {
        return (ElfPlace) { .section = place.section, .offset = place.offset + n };
}

static inline int elf_place_compare(const ElfPlace *a, const ElfPlace *b) {
        if (a->section != b->section)
                return a->section < b->section ? -1 : 1;
        return a->offset < b->offset ? -1 : a->offset > b->offset;
}

bool elf_file_is_code(const ElfFile *file, ElfPlace place);
bool elf_file_is_data(const ElfFile *file, ElfPlace place);

/* "The module is malformed: <detail>. ..."; returns REFUSED_MALFORMED_MODULE. */
int elf_malformed(Failure *f, const char *format, ...) _printf_(2, 3);

/* Relocation that stores a 64-bit address on this machine; UINT32_MAX if the machine is not known. */
uint32_t elf_machine_pointer_relocation(unsigned machine);

/* Fills in what .modinfo says. */
int module_elf_read_modinfo(const ElfFile *file, ModuleInfo *info, Failure *f);

/* The objects and functions read so far. */
typedef struct ModuleObjects {
        ModuleObject *objects;
        size_t n_objects;
        size_t n_functions; /* of all objects */
} ModuleObjects;

void module_objects_done(ModuleObjects *objects);

/* Both check the name and the bounds: -ENODATA when the kernel would not take it, or it is too much. */
int module_objects_add(ModuleObjects *objects, const char *name);
int module_objects_add_function(ModuleObjects *objects, size_t object, const char *name, uint64_t sympos);
bool klp_function_name_is_valid(const char *name) _pure_;

typedef struct ModuleStates {
        ModuleState *states;
        size_t n;
} ModuleStates;

/* The table at a place. size is its variable's, or 0 if not known. -ENODATA when the file does not tell, -ENOMEM. */
int module_elf_read_states(ElfFile *file, ElfPlace at, uint64_t size, ModuleStates *ret);
/* Behind the last one whose bytes code may change through its own address. */
uint64_t module_elf_states_size(const ModuleStates *states);

/* What a hand-written patch tells beside its objects. */
typedef struct HandWritten {
        Tristate replace;
        bool states_known;
        ModuleStates states;
} HandWritten;

/* One a kind. *ret_found tells whether the module is of this kind. 0; -ENODATA when the functions cannot be read off
 * the file (found is set all the same), -ENOMEM, REFUSED_MALFORMED_MODULE. */
int module_elf_read_kpatch_build(ElfFile *file, bool *ret_found, ModuleObjects *ret, Failure *f);
int module_elf_read_klp_build(ElfFile *file, bool *ret_found, ModuleObjects *ret, Failure *f);
int module_elf_read_hand_written(ElfFile *file, const ModuleElfContext *context, uint32_t this_module, bool *ret_found,
                                 ModuleObjects *ret, HandWritten *ret_more);
