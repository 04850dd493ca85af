/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A bounded view of a relocatable ELF file that nobody vouches for: section headers, strings, words, symbols.
 *
 *     Ehdr                       checked against what load_module() takes, include/uapi/linux/elf.h
 *       e_shoff ──> Shdr[n]      translated and range-checked once, here; accessors then cannot leave the file
 *                     sh_offset ──> contents
 *                     sh_name   ──> section e_shstrndx, which ends with a NUL
 *
 * What the kernel refuses (elf_validity_cache_copy(), kernel/module/main.c) is refused here as well; where it takes
 * the first of several, several are refused, so that nobody reads another thing here than the kernel would. libelf
 * translates the records between byte orders and is never shown the file as such. */

#include <endian.h>
#include <libelf.h>

#include "common/string-util.h"
#include "kmod/module-elf-internal.h"

int elf_malformed(Failure *f, const char *format, ...) {
        _cleanup_free_ char *detail = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&detail, format, ap);
        va_end(ap);
        if (r < 0) {
                detail = NULL;
                return failure_oom(f);
        }
        return failure_set(f, REFUSED_MALFORMED_MODULE,
                           "The module is malformed: %s. It was not used; get an intact copy of it", detail);
}

static bool range_valid(const ElfFile *file, uint64_t offset, uint64_t size) {
        return offset <= file->size && size <= file->size - offset;
}

/* n records of one type into memory of this machine's byte order. Fails on ranges outside of the file only. */
static bool translate(const ElfFile *file, Elf_Type type, uint64_t offset, size_t n, size_t record_size, void *ret) {
        Elf_Data data = { .d_buf = ret, .d_type = type, .d_version = EV_CURRENT };

        if (__builtin_mul_overflow(n, record_size, &data.d_size) || !range_valid(file, offset, data.d_size))
                return false;
        /* In place, of a copy: the file is read-only and need not be aligned. */
        memcpy(ret, file->data + offset, data.d_size);
        return elf64_xlatetom(&data, &data, file->encoding) != NULL;
}

static int check_identity(const ElfFile *file, Failure *f) {
        const uint8_t *ident = file->data;

        if (file->size < sizeof(Elf64_Ehdr) || memcmp(ident, ELFMAG, SELFMAG) != 0)
                return elf_malformed(f, "it is not an ELF file");
        if (ident[EI_CLASS] != ELFCLASS64)
                return elf_malformed(f, "it is not a 64-bit ELF file");
        if (ident[EI_DATA] != ELFDATA2LSB && ident[EI_DATA] != ELFDATA2MSB)
                return elf_malformed(f, "its byte order is unknown");
        if (ident[EI_VERSION] != EV_CURRENT)
                return elf_malformed(f, "its ELF version is unknown");
        return 0;
}

static int read_header(ElfFile *file, Elf64_Ehdr *ret, Failure *f) {
        int r = check_identity(file, f);

        if (r != 0)
                return r;
        file->encoding = file->data[EI_DATA];
        if (!translate(file, ELF_T_EHDR, 0, 1, sizeof(*ret), ret))
                return elf_malformed(f, "its header cannot be read");
        if (ret->e_type != ET_REL)
                return elf_malformed(f, "it is not a relocatable file, as kernel modules are");
        if (ret->e_shentsize != sizeof(Elf64_Shdr))
                return elf_malformed(f, "its section headers have the wrong size");
        /* 0 and SHN_XINDEX announce extended numbering, which the kernel does not follow. */
        if (ret->e_shnum == 0 || ret->e_shstrndx == SHN_UNDEF || ret->e_shstrndx >= ret->e_shnum)
                return elf_malformed(f, "its section headers cannot be counted");
        if (!range_valid(file, ret->e_shoff, (uint64_t) ret->e_shnum * sizeof(Elf64_Shdr)))
                return elf_malformed(f, "its section headers lie outside of the file");
        file->machine = ret->e_machine;
        return 0;
}

static int read_section(ElfFile *file, uint32_t i, const Elf64_Shdr *header, uint64_t *total, Failure *f) {
        ElfSection *section = file->sections + i;

        *section = (ElfSection) {
                .size = header->sh_size,
                .flags = header->sh_flags,
                .type = header->sh_type,
                .link = header->sh_link,
                .info = header->sh_info,
        };
        if (i == 0 || header->sh_type == SHT_NULL) {
                *section = (ElfSection) {};
                return 0;
        }
        if (header->sh_type == SHT_NOBITS)
                return 0;
        if (!range_valid(file, header->sh_offset, header->sh_size))
                return elf_malformed(f, "section %u lies outside of the file", i);
        /* Sections of an object file never share bytes; were they allowed to, reading them all would not be bounded
         * by the file's size. */
        *total += header->sh_size;
        if (*total > file->size)
                return elf_malformed(f, "its sections overlap");
        if ((header->sh_flags & (SHF_ALLOC | SHF_COMPRESSED)) == (SHF_ALLOC | SHF_COMPRESSED))
                return elf_malformed(f, "section %u is compressed, which the kernel does not read", i);
        section->data = file->data + header->sh_offset;
        return 0;
}

static int name_sections(ElfFile *file, const Elf64_Shdr *headers, uint32_t strings_index, Failure *f) {
        const ElfSection *strings = file->sections + strings_index;

        if (strings->type != SHT_STRTAB || strings->size == 0 || strings->data[strings->size - 1] != '\0')
                return elf_malformed(f, "its section names cannot be read");
        for (uint32_t i = 0; i < file->n_sections; i++) {
                if (headers[i].sh_name >= strings->size)
                        return elf_malformed(f, "section %u has no name", i);
                file->sections[i].name = (const char *) strings->data + headers[i].sh_name;
        }
        return 0;
}

static int find_symbols(ElfFile *file, const Elf64_Shdr *headers, Failure *f) {
        for (uint32_t i = 1; i < file->n_sections; i++) {
                const ElfSection *section = file->sections + i, *strings;
                uint64_t n = section->size / sizeof(Elf64_Sym);

                if (section->type != SHT_SYMTAB)
                        continue;
                if (file->symtab != 0)
                        return elf_malformed(f, "it has two symbol tables");
                if (headers[i].sh_entsize != sizeof(Elf64_Sym) || section->size % sizeof(Elf64_Sym) != 0 ||
                    n > UINT32_MAX)
                        return elf_malformed(f, "its symbol table cannot be read");
                if (section->link == 0 || section->link >= file->n_sections)
                        return elf_malformed(f, "its symbols have no names");
                strings = file->sections + section->link;
                if (strings->type != SHT_STRTAB || strings->size == 0 || strings->data[strings->size - 1] != '\0')
                        return elf_malformed(f, "its symbol names cannot be read");
                file->symtab = i;
                file->n_symbols = (uint32_t) n;
        }
        return 0;
}

/* Chains every SHT_RELA section to the one that it applies to, so that finding those of a section is no search. */
static int chain_relocations(ElfFile *file, const Elf64_Shdr *headers, Failure *f) {
        for (uint32_t i = file->n_sections - 1; i > 0; i--) {
                ElfSection *section = file->sections + i, *target;

                if (section->type != SHT_RELA)
                        continue;
                if (section->info == 0 || section->info >= file->n_sections)
                        return elf_malformed(f, "relocation section %u applies to no section", i);
                target = file->sections + section->info;
                /* The kernel skips these, too (apply_relocations(), kernel/module/main.c). */
                if (!(target->flags & SHF_ALLOC))
                        continue;
                if (headers[i].sh_entsize != sizeof(Elf64_Rela) || section->size % sizeof(Elf64_Rela) != 0)
                        return elf_malformed(f, "relocation section %u cannot be read", i);
                if (section->link == 0 || section->link != file->symtab)
                        return elf_malformed(f, "relocation section %u has no symbols", i);
                section->next_rela = target->first_rela;
                target->first_rela = i;
        }
        return 0;
}

static int read_sections(ElfFile *file, const Elf64_Ehdr *header, Failure *f) {
        _cleanup_free_ Elf64_Shdr *headers = calloc(header->e_shnum, sizeof(Elf64_Shdr));
        uint64_t total = 0;
        int r;

        file->sections = calloc(header->e_shnum, sizeof(ElfSection));
        if (!headers || !file->sections)
                return failure_oom(f);
        file->n_sections = header->e_shnum;
        if (!translate(file, ELF_T_SHDR, header->e_shoff, header->e_shnum, sizeof(Elf64_Shdr), headers))
                return elf_malformed(f, "its section headers cannot be read");
        for (uint32_t i = 0; i < file->n_sections; i++) {
                r = read_section(file, i, headers + i, &total, f);
                if (r != 0)
                        return r;
        }
        r = name_sections(file, headers, header->e_shstrndx, f);
        if (r != 0)
                return r;
        r = find_symbols(file, headers, f);
        if (r != 0)
                return r;
        return chain_relocations(file, headers, f);
}

int elf_file_open_untrusted(const uint8_t *data, size_t size, ElfFile **ret, Failure *f) {
        _cleanup_(elf_file_freep) ElfFile *file = calloc(1, sizeof(ElfFile));
        Elf64_Ehdr header;
        int r;

        if (!file)
                return failure_oom(f);
        if (elf_version(EV_CURRENT) == EV_NONE)
                return failure_set(f, -EPROTO, "libelf does not know the current ELF version");
        file->data = data;
        file->size = size;
        r = read_header(file, &header, f);
        if (r != 0)
                return r;
        r = read_sections(file, &header, f);
        if (r != 0)
                return r;
        *ret = TAKE_PTR(file);
        return 0;
}

ElfFile *elf_file_free(ElfFile *file) {
        if (!file)
                return NULL;
        for (uint32_t i = 0; i < file->n_sections; i++)
                free(file->sections[i].relocations);
        free(file->sections);
        free(file);
        return NULL;
}

int elf_file_find_section(const ElfFile *file, const char *name, uint32_t *ret, Failure *f) {
        uint32_t found = 0;

        for (uint32_t i = 1; i < file->n_sections; i++) {
                const ElfSection *section = file->sections + i;

                if (section->type == SHT_NULL || !streq(section->name, name))
                        continue;
                if (found != 0)
                        return elf_malformed(f, "it has two sections %s", name);
                if (!(section->flags & SHF_ALLOC))
                        return elf_malformed(f, "its section %s is not loaded", name);
                found = i;
        }
        *ret = found;
        return 0;
}

static const uint8_t *bytes_at(const ElfFile *file, ElfPlace place, uint64_t size) {
        const ElfSection *section = file->sections + place.section;

        if (!section->data || place.offset > section->size || size > section->size - place.offset)
                return NULL;
        return section->data + place.offset;
}

bool elf_file_u64(const ElfFile *file, ElfPlace place, uint64_t *ret) {
        const uint8_t *p = bytes_at(file, place, sizeof(uint64_t));
        uint64_t value;

        if (!p)
                return false;
        memcpy(&value, p, sizeof(value));
        *ret = file->encoding == ELFDATA2LSB ? le64toh(value) : be64toh(value);
        return true;
}

bool elf_file_u32(const ElfFile *file, ElfPlace place, uint32_t *ret) {
        const uint8_t *p = bytes_at(file, place, sizeof(uint32_t));
        uint32_t value;

        if (!p)
                return false;
        memcpy(&value, p, sizeof(value));
        *ret = file->encoding == ELFDATA2LSB ? le32toh(value) : be32toh(value);
        return true;
}

bool elf_file_u8(const ElfFile *file, ElfPlace place, uint8_t *ret) {
        const uint8_t *p = bytes_at(file, place, sizeof(uint8_t));

        if (!p)
                return false;
        *ret = *p;
        return true;
}

const char *elf_file_string(const ElfFile *file, ElfPlace place, size_t max) {
        const char *p = (const char *) bytes_at(file, place, 1);
        uint64_t left;

        if (!p)
                return NULL;
        left = file->sections[place.section].size - place.offset;
        return memchr(p, '\0', MIN(left, (uint64_t) max + 1)) ? p : NULL;
}

bool elf_file_symbol(const ElfFile *file, uint32_t index, Elf64_Sym *ret) {
        uint64_t start;

        if (index >= file->n_symbols)
                return false;
        start = (uint64_t) (file->sections[file->symtab].data - file->data);
        return translate(file, ELF_T_SYM, start + (uint64_t) index * sizeof(*ret), 1, sizeof(*ret), ret);
}

/* A function pointer of old 64-bit PowerPC points to a descriptor in .opd. */
bool elf_file_is_code(const ElfFile *file, ElfPlace place) {
        if (file->machine == EM_PPC64 && streq(file->sections[place.section].name, ".opd"))
                return true;
        return (file->sections[place.section].flags & (SHF_ALLOC | SHF_EXECINSTR)) == (SHF_ALLOC | SHF_EXECINSTR);
}

bool elf_file_is_data(const ElfFile *file, ElfPlace place) {
        return (file->sections[place.section].flags & (SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR)) ==
               (SHF_ALLOC | SHF_WRITE);
}
