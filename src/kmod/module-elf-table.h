/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arrays of struct klp_func and struct klp_object in a module's data: how many entries, how far apart. */
#pragma once

#include "kmod/module-elf-internal.h"

/* Their sizes depend on the kernel's configuration: both hold a struct kobject and lists, so they cannot be smaller;
 * debugging options that make them larger stay well below. */
#define KLP_STRIDE_MIN 128U
#define KLP_STRIDE_MAX 1024U

/* A variable, as the symbol table has it. */
typedef struct ElfVariable {
        ElfPlace at;
        uint64_t size;
} ElfVariable;

typedef struct ElfVariables {
        ElfVariable *variables; /* sorted by place */
        size_t n;
} ElfVariables;

void elf_variables_done(ElfVariables *variables);
int elf_variables_read(const ElfFile *file, ElfVariables *ret);
/* Size of the variable that starts there, or 0: there is none, or two that do not agree. */
uint64_t elf_variables_size(const ElfVariables *variables, ElfPlace at);

/* What an entry of a table looks like. */
typedef struct TableShape {
        /* The pointers of one entry, in units of eight bytes: those it may have, those it must have. */
        uint32_t allowed;
        uint32_t required;
        /* Whether what the pointers of an entry point to makes sense: 0, -ENODATA, -ENOMEM. */
        int (*check)(ElfFile *file, ElfPlace entry);
        uint64_t stride; /* as the kernel's type information has it; 0 unknown */
} TableShape;

typedef struct Table {
        ElfPlace at;
        uint64_t stride;
        size_t n;
} Table;

/* Measures the table at a place. size is its variable's, or 0 if not known; *budget is the number of entries that may
 * be looked at. -ENODATA when it does not add up. */
int elf_table_measure(ElfFile *file, const TableShape *shape, ElfPlace at, uint64_t size, size_t *budget, Table *ret);
