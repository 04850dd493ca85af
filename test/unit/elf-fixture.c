/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Modules for the tests of the ELF inspection: compiled ones, and ways to damage them. */

#include <byteswap.h>

#include "common/string-util.h"
#include "elf-fixture.h"

Fixture fixture_load(const char *name) {
        _cleanup_free_ char *path = NULL, *data = NULL;
        Fixture fixture;

        ASSERT_TRUE(asprintf(&path, "build:test/unit/fixtures/elf/%s.ko", name) > 0);
        data = test_read_data(path, &fixture.size);
        fixture.data = malloc(fixture.size);
        ASSERT_NOT_NULL(fixture.data);
        memcpy(fixture.data, data, fixture.size);
        return fixture;
}

void fixture_done(Fixture *fixture) {
        free(fixture->data);
        *fixture = (Fixture) {};
}

Elf64_Ehdr *fixture_header(Fixture *fixture) {
        return (Elf64_Ehdr *) fixture->data;
}

static Elf64_Shdr *section_at(Fixture *fixture, unsigned i) {
        return (Elf64_Shdr *) (fixture->data + fixture_header(fixture)->e_shoff) + i;
}

static const char *string_at(Fixture *fixture, unsigned strings, uint64_t offset) {
        return (const char *) fixture->data + section_at(fixture, strings)->sh_offset + offset;
}

Elf64_Shdr *fixture_section(Fixture *fixture, const char *name) {
        const Elf64_Ehdr *header = fixture_header(fixture);

        for (unsigned i = 1; i < header->e_shnum; i++)
                if (streq(string_at(fixture, header->e_shstrndx, section_at(fixture, i)->sh_name), name))
                        return section_at(fixture, i);
        test_fail(__FILE__, __LINE__, "no section %s", name);
}

uint32_t fixture_section_index(Fixture *fixture, const char *name) {
        return (uint32_t) (fixture_section(fixture, name) - section_at(fixture, 0));
}

Elf64_Shdr *fixture_section_names(Fixture *fixture) {
        return section_at(fixture, fixture_header(fixture)->e_shstrndx);
}

uint8_t *fixture_contents(Fixture *fixture, const char *name) {
        return fixture->data + fixture_section(fixture, name)->sh_offset;
}

static Elf64_Rela *relocation_at(Fixture *fixture, unsigned section, uint64_t offset) {
        for (unsigned i = 1; i < fixture_header(fixture)->e_shnum; i++) {
                const Elf64_Shdr *header = section_at(fixture, i);
                Elf64_Rela *rela = (Elf64_Rela *) (fixture->data + header->sh_offset);

                if (header->sh_type != SHT_RELA || header->sh_info != section)
                        continue;
                for (uint64_t j = 0; j < header->sh_size / sizeof(*rela); j++)
                        if (rela[j].r_offset == offset)
                                return rela + j;
        }
        test_fail(__FILE__, __LINE__, "no relocation at %u:%llu", section, (unsigned long long) offset);
}

Elf64_Rela *fixture_relocation(Fixture *fixture, const char *section, uint64_t offset) {
        return relocation_at(fixture, fixture_section_index(fixture, section), offset);
}

static char *find(Fixture *fixture, const char *text, size_t size) {
        char *p = memmem(fixture->data, fixture->size, text, size);

        if (!p)
                test_fail(__FILE__, __LINE__, "no text %s", text);
        return p;
}

char *fixture_find(Fixture *fixture, const char *text) {
        return find(fixture, text, strlen(text));
}

char *fixture_find_string(Fixture *fixture, const char *text) {
        return find(fixture, text, strlen(text) + 1);
}

Elf64_Sym *fixture_symbol(Fixture *fixture, const char *name) {
        const Elf64_Shdr *table = fixture_section(fixture, ".symtab");
        Elf64_Sym *symbols = (Elf64_Sym *) (fixture->data + table->sh_offset);

        for (uint64_t i = 0; i < table->sh_size / sizeof(*symbols); i++)
                if (streq(string_at(fixture, table->sh_link, symbols[i].st_name), name))
                        return symbols + i;
        test_fail(__FILE__, __LINE__, "no symbol %s", name);
}

uint8_t *fixture_variable(Fixture *fixture, const char *name) {
        const Elf64_Sym *symbol = fixture_symbol(fixture, name);

        return fixture->data + section_at(fixture, symbol->st_shndx)->sh_offset + symbol->st_value;
}

Elf64_Rela *fixture_pointer(Fixture *fixture, const char *variable, uint64_t offset) {
        const Elf64_Sym *symbol = fixture_symbol(fixture, variable);

        return relocation_at(fixture, symbol->st_shndx, symbol->st_value + offset);
}

uint64_t fixture_append(Fixture *fixture, const void *data, size_t size) {
        uint64_t offset = fixture->size;
        uint8_t *grown = realloc(fixture->data, fixture->size + size);

        ASSERT_NOT_NULL(grown);
        memcpy(grown + offset, data, size);
        *fixture = (Fixture) { grown, fixture->size + size };
        return offset;
}

#define SWAP(field)                                                                             \
        ((field) = _Generic((field),                                                            \
                            uint16_t: bswap_16((uint16_t) (field)),                             \
                            uint32_t: bswap_32((uint32_t) (field)),                             \
                            int64_t: (int64_t) bswap_64((uint64_t) (field)),                    \
                            uint64_t: bswap_64((uint64_t) (field))))

static void swap_words(uint8_t *data, uint64_t size) {
        for (uint64_t *p = (uint64_t *) data; (uint8_t *) (p + 1) <= data + size; p++)
                SWAP(*p);
}

static void swap_symbols(uint8_t *data, uint64_t size) {
        for (Elf64_Sym *s = (Elf64_Sym *) data; (uint8_t *) (s + 1) <= data + size; s++) {
                SWAP(s->st_name);
                SWAP(s->st_shndx);
                SWAP(s->st_value);
                SWAP(s->st_size);
        }
}

static void swap_note(uint8_t *data) {
        for (uint32_t *p = (uint32_t *) data; p < (uint32_t *) data + 3; p++)
                SWAP(*p);
}

static bool is_listed(const char *const *names, const char *name) {
        for (; *names; names++)
                if (streq(*names, name))
                        return true;
        return false;
}

static void swap_section(Fixture *fixture, unsigned i, const char *const *words) {
        Elf64_Shdr *s = section_at(fixture, i);
        const char *name = string_at(fixture, fixture_header(fixture)->e_shstrndx, s->sh_name);
        uint8_t *data = fixture->data + s->sh_offset;

        if (s->sh_type == SHT_SYMTAB)
                swap_symbols(data, s->sh_size);
        else if (s->sh_type == SHT_RELA || is_listed(words, name))
                swap_words(data, s->sh_size);
        else if (streq(name, ".note.gnu.build-id"))
                swap_note(data);
}

static void swap_section_header(Elf64_Shdr *s) {
        SWAP(s->sh_name);
        SWAP(s->sh_type);
        SWAP(s->sh_flags);
        SWAP(s->sh_addr);
        SWAP(s->sh_offset);
        SWAP(s->sh_size);
        SWAP(s->sh_link);
        SWAP(s->sh_info);
        SWAP(s->sh_addralign);
        SWAP(s->sh_entsize);
}

void fixture_swap(Fixture *fixture, const char *const *words) {
        Elf64_Ehdr *h = fixture_header(fixture);

        for (unsigned i = 1; i < h->e_shnum; i++)
                swap_section(fixture, i, words);
        for (unsigned i = 0; i < h->e_shnum; i++)
                swap_section_header(section_at(fixture, i));
        h->e_ident[EI_DATA] = h->e_ident[EI_DATA] == ELFDATA2LSB ? ELFDATA2MSB : ELFDATA2LSB;
        SWAP(h->e_type);
        SWAP(h->e_machine);
        SWAP(h->e_version);
        SWAP(h->e_shoff);
        SWAP(h->e_flags);
        SWAP(h->e_ehsize);
        SWAP(h->e_shentsize);
        SWAP(h->e_shnum);
        SWAP(h->e_shstrndx);
}

ModuleInfo *fixture_inspect(const Fixture *fixture, const ModuleElfContext *context) {
        _cleanup_failure_ Failure f = {};
        ModuleInfo *info = NULL;
        int r = module_elf_inspect_untrusted(fixture->data, fixture->size, context, &info, &f);

        if (r != 0)
                test_fail(__FILE__, __LINE__, "refused (%d): %s", r, failure_text(&f));
        return info;
}

void fixture_assert_malformed(const Fixture *fixture, const char *what, const char *file, int line) {
        _cleanup_failure_ Failure f = {};
        ModuleInfo *info = NULL;
        int r = module_elf_inspect_untrusted(fixture->data, fixture->size, NULL, &info, &f);

        if (r != REFUSED_MALFORMED_MODULE || info) {
                module_info_free(info);
                test_fail(file, line, "taken or failed (%d), but %s", r, what);
        }
        if (!strstr(failure_text(&f), what))
                test_fail(file, line, "\"%s\" does not say \"%s\"", failure_text(&f), what);
}

char *fixture_describe(const ModuleInfo *info) {
        char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);

        ASSERT_NOT_NULL(stream);
        for (size_t i = 0; i < info->n_objects; i++) {
                const ModuleObject *o = info->objects + i;

                fprintf(stream, "%s%s:", i > 0 ? "; " : "", o->name);
                for (size_t j = 0; j < o->n_functions; j++)
                        fprintf(stream, " %s,%u", o->functions[j].name, o->functions[j].sympos);
        }
        fclose(stream);
        return text;
}
