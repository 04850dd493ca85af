/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Modules for the tests of the ELF inspection: compiled ones, and ways to damage them. */
#pragma once

#include <elf.h>

#include "kmod/module-elf.h"
#include "test.h"

typedef struct Fixture {
        uint8_t *data;
        size_t size;
} Fixture;

/* Files are read into memory of exactly their size, so that the sanitizer sees every byte read behind the end. */
Fixture fixture_load(const char *name);
void fixture_done(Fixture *fixture);
#define _cleanup_fixture_ _cleanup_(fixture_done)

/* Of this machine's byte order only. All fail the case when there is no such thing. */
Elf64_Ehdr *fixture_header(Fixture *fixture);
Elf64_Shdr *fixture_section(Fixture *fixture, const char *name);
uint8_t *fixture_contents(Fixture *fixture, const char *name);
/* The relocation at an offset of a section. */
Elf64_Rela *fixture_relocation(Fixture *fixture, const char *section, uint64_t offset);
/* Its number, and the section with the names of them all. */
uint32_t fixture_section_index(Fixture *fixture, const char *name);
Elf64_Shdr *fixture_section_names(Fixture *fixture);
/* The place in the file of a text that occurs in it; the second one of a text that a NUL ends. */
char *fixture_find(Fixture *fixture, const char *text);
char *fixture_find_string(Fixture *fixture, const char *text);
/* A variable's place in its section, and in the file. */
Elf64_Sym *fixture_symbol(Fixture *fixture, const char *name);
uint8_t *fixture_variable(Fixture *fixture, const char *name);
Elf64_Rela *fixture_pointer(Fixture *fixture, const char *variable, uint64_t offset);
/* Appends bytes; returns their offset. Pointers into the fixture become invalid. */
uint64_t fixture_append(Fixture *fixture, const void *data, size_t size);

/* The same module in the other byte order: headers, symbols, relocations, and all words of the sections named. */
void fixture_swap(Fixture *fixture, const char *const *words);

/* Inspects; fails the case unless it is taken, or is refused as malformed with a text that contains what is wrong. */
ModuleInfo *fixture_inspect(const Fixture *fixture, const ModuleElfContext *context);
void fixture_assert_malformed(const Fixture *fixture, const char *what, const char *file, int line);
#define ASSERT_MALFORMED(fixture, what) fixture_assert_malformed((fixture), (what), __FILE__, __LINE__)

/* "object: function,1 function,2; object: ..." */
char *fixture_describe(const ModuleInfo *info);
