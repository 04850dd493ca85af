/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ELF inspection: who a module is, and what is refused before anything is read off it. */

#include "common/string-util.h"
#include "elf-fixture.h"

TEST(reads_identity) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        _cleanup_(module_info_freep) ModuleInfo *info = fixture_inspect(&m, NULL);

        ASSERT_STREQ(info->name, "hand_written");
        ASSERT_STREQ(info->vermagic, "6.1.0-56-amd64 SMP preempt mod_unload modversions ");
        ASSERT_STREQ(info->kernel_release, "6.1.0-56-amd64");
        ASSERT_STREQ(info->version, "1.2");
        ASSERT_STREQ(info->description, "fixes two things");
        ASSERT_STREQ(info->license, "GPL");
        ASSERT_STREQ(info->srcversion, "0123456789ABCDEF0123456");
        ASSERT_STREQ(info->depends, "lp_target");
        ASSERT_STREQ(info->build_id, "000102030405060708090a0b0c0d0e0f1011feff");
        ASSERT_EQ(info->machine, fixture_header(&m)->e_machine);
        ASSERT_TRUE(info->livepatch);
}

TEST(what_is_not_said_is_null) {
        _cleanup_fixture_ Fixture m = fixture_load("callbacks-only");
        _cleanup_(module_info_freep) ModuleInfo *info = fixture_inspect(&m, NULL);

        ASSERT_NULL(info->version);
        ASSERT_NULL(info->description);
        ASSERT_NULL(info->license);
        ASSERT_NULL(info->srcversion);
        ASSERT_NULL(info->depends);
}

TEST(a_module_without_the_word_is_no_livepatch) {
        _cleanup_fixture_ Fixture m = fixture_load("not-a-livepatch");
        _cleanup_(module_info_freep) ModuleInfo *info = fixture_inspect(&m, NULL);

        ASSERT_STREQ(info->name, "not_a_livepatch");
        ASSERT_FALSE(info->livepatch);
        ASSERT_FALSE(info->objects_known);
        ASSERT_EQ(info->kind, LIVEPATCH_KIND_UNKNOWN);
}

/* The kernel checks that the key is there; any value will do. */
TEST(the_value_of_livepatch_does_not_matter) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;

        memcpy(fixture_find(&m, "livepatch=Y"), "livepatch=N", STRLEN("livepatch=N"));
        info = fixture_inspect(&m, NULL);
        ASSERT_TRUE(info->livepatch);
}

static void replace_modinfo(Fixture *m, const char *modinfo, size_t size) {
        uint64_t offset = fixture_append(m, modinfo, size);

        fixture_section(m, ".modinfo")->sh_offset = offset;
        fixture_section(m, ".modinfo")->sh_size = size;
}

TEST(only_the_first_value_of_a_key_counts) {
        static const char modinfo[] = "\0\0version\0xversion=0\0version=1\0version=2\0versions=3";
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;

        replace_modinfo(&m, modinfo, sizeof(modinfo));
        info = fixture_inspect(&m, NULL);
        ASSERT_STREQ(info->version, "1");
        ASSERT_NULL(info->vermagic);
        ASSERT_NULL(info->kernel_release);
        ASSERT_FALSE(info->livepatch);
}

TEST(modinfo_is_made_harmless) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;

        memcpy(fixture_find(&m, "fixes two"), "\x1b[2J\n\xff\r\x9bx", 9);
        info = fixture_inspect(&m, NULL);
        ASSERT_STREQ(info->description, "?[2J????x things");
}

TEST(long_modinfo_is_cut) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;
        static const char start[] = "name=hand_written\0description=";
        char modinfo[8192];

        memset(modinfo, 'x', sizeof(modinfo));
        memcpy(modinfo, start, sizeof(start) - 1);
        modinfo[sizeof(modinfo) - 1] = '\0';
        replace_modinfo(&m, modinfo, sizeof(modinfo));
        info = fixture_inspect(&m, NULL);
        ASSERT_TRUE(strlen(info->description) <= 1024 + 3);
        ASSERT_TRUE(strlen(info->description) >= 1000);
}

TEST(a_module_may_have_no_build_id) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;

        memcpy(fixture_find(&m, ".note.gnu.build-id"), ".note.gnu.other-id", STRLEN(".note.gnu.build-id"));
        info = fixture_inspect(&m, NULL);
        ASSERT_NULL(info->build_id);
}

TEST(bytes_behind_the_module_do_not_matter) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;

        (void) fixture_append(&m, "~Module signature appended~\n", 28);
        info = fixture_inspect(&m, NULL);
        ASSERT_TRUE(info->objects_known);
}

/* The section headers are at the end, so whatever is cut off, the file is not whole. */
TEST(every_truncation_is_refused) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");

        for (size_t size = 0; size < m.size; size++) {
                Fixture cut = { .data = malloc(size ?: 1), .size = size };

                memcpy(cut.data, m.data, size);
                ASSERT_MALFORMED(&cut, "malformed");
                fixture_done(&cut);
        }
}

/* Either it is refused, or everything that it claims has the form that the rest relies on. */
static void check_damaged(const Fixture *m) {
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;
        _cleanup_failure_ Failure f = {};
        int r = module_elf_inspect_untrusted(m->data, m->size, NULL, &info, &f);

        if (r != 0) {
                ASSERT_EQ(r, REFUSED_MALFORMED_MODULE);
                ASSERT_NULL(info);
                return;
        }
        ASSERT_TRUE(module_name_is_valid(info->name));
        ASSERT_TRUE(!info->kernel_release || kernel_release_is_valid(info->kernel_release));
        ASSERT_TRUE(info->objects_known || info->n_objects == 0);
        for (size_t i = 0; i < info->n_objects; i++) {
                ASSERT_TRUE(module_name_is_valid(info->objects[i].name));
                for (size_t j = 0; j < info->objects[i].n_functions; j++)
                        ASSERT_TRUE(info->objects[i].functions[j].sympos > 0);
        }
}

static void damage_every_byte(const char *name) {
        static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
        _cleanup_fixture_ Fixture m = fixture_load(name);

        for (size_t i = 0; i < m.size; i++)
                for (size_t j = 0; j < ELEMENTSOF(values); j++) {
                        uint8_t saved = m.data[i];

                        m.data[i] = values[j];
                        check_damaged(&m);
                        m.data[i] = saved;
                }
}

TEST(every_damaged_byte_is_survived_hand_written) {
        damage_every_byte("hand-written");
}

TEST(every_damaged_byte_is_survived_kpatch_build) {
        damage_every_byte("kpatch-build");
}

TEST(every_damaged_byte_is_survived_klp_build) {
        damage_every_byte("klp-build");
}

TEST(not_elf_is_refused) {
        static uint8_t text[] = "#!/bin/sh\necho this is no module, but long enough to have the header of one\n";
        Fixture m = { text, sizeof(text) };

        ASSERT_MALFORMED(&m, "not an ELF file");
        m.size = 0;
        ASSERT_MALFORMED(&m, "not an ELF file");
}

TEST(identity_is_checked) {
        static const struct {
                unsigned index;
                uint8_t value;
                const char *what;
        } table[] = {
                { EI_CLASS, ELFCLASS32, "64-bit" },      { EI_CLASS, ELFCLASSNONE, "64-bit" },
                { EI_DATA, ELFDATANONE, "byte order" },  { EI_DATA, 3, "byte order" },
                { EI_VERSION, EV_NONE, "ELF version" },  { EI_MAG3, 'G', "not an ELF file" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("hand-written");

                m.data[table[i].index] = table[i].value;
                ASSERT_MALFORMED(&m, table[i].what);
        }
}

TEST(only_relocatable_files_are_modules) {
        static const uint16_t types[] = { ET_NONE, ET_EXEC, ET_DYN, ET_CORE, 0xffff };

        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("hand-written");

                fixture_header(&m)->e_type = types[i];
                ASSERT_MALFORMED(&m, "not a relocatable file");
        }
}

TEST(section_header_table_is_checked) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        Elf64_Ehdr saved = *fixture_header(&m), *h = fixture_header(&m);

        h->e_shentsize = 0;
        ASSERT_MALFORMED(&m, "wrong size");
        *h = saved;
        h->e_shentsize = sizeof(Elf64_Shdr) + 1;
        ASSERT_MALFORMED(&m, "wrong size");
        *h = saved;
        h->e_shnum = 0; /* extended numbering */
        ASSERT_MALFORMED(&m, "cannot be counted");
        *h = saved;
        h->e_shnum = 0xfeff;
        ASSERT_MALFORMED(&m, "outside of the file");
        *h = saved;
        h->e_shoff = UINT64_MAX - 63;
        ASSERT_MALFORMED(&m, "outside of the file");
        *h = saved;
        h->e_shoff = m.size - 1;
        ASSERT_MALFORMED(&m, "outside of the file");
        *h = saved;
        h->e_shstrndx = SHN_XINDEX;
        ASSERT_MALFORMED(&m, "cannot be counted");
        *h = saved;
        h->e_shstrndx = h->e_shnum;
        ASSERT_MALFORMED(&m, "cannot be counted");
        *h = saved;
        h->e_shstrndx = (uint16_t) fixture_section_index(&m, ".text");
        ASSERT_MALFORMED(&m, "section names");
}

TEST(section_headers_need_not_be_aligned) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;
        size_t size = (size_t) fixture_header(&m)->e_shnum * sizeof(Elf64_Shdr);
        _cleanup_free_ uint8_t *headers = malloc(size);
        uint64_t offset;

        memcpy(headers, m.data + fixture_header(&m)->e_shoff, size);
        (void) fixture_append(&m, "xx", m.size % 2 == 0 ? 1 : 2);
        offset = fixture_append(&m, headers, size);
        fixture_header(&m)->e_shoff = offset;
        ASSERT_EQ(offset % 2, 1);
        info = fixture_inspect(&m, NULL);
        ASSERT_TRUE(info->objects_known);
}

TEST(sections_stay_within_the_file) {
        static const struct {
                uint64_t offset, size;
        } table[] = {
                { UINT64_MAX, 1 }, { 1, UINT64_MAX }, { UINT64_MAX, UINT64_MAX }, { 1U << 30, 0 }, { 0, 1U << 30 },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("hand-written");
                Elf64_Shdr *s = fixture_section(&m, ".comment");

                s->sh_offset = table[i].offset;
                s->sh_size = table[i].size;
                ASSERT_MALFORMED(&m, "outside of the file");
        }
}

TEST(sections_may_not_overlap) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        Elf64_Shdr *s = fixture_section(&m, ".comment");

        s->sh_offset = 0;
        s->sh_size = m.size;
        ASSERT_MALFORMED(&m, "overlap");
}

TEST(a_huge_bss_is_not_allocated) {
        _cleanup_fixture_ Fixture m = fixture_load("callbacks-only");
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;

        fixture_section(&m, ".bss")->sh_size = UINT64_MAX;
        info = fixture_inspect(&m, NULL);
        ASSERT_TRUE(info->objects_known);
}

TEST(section_names_are_checked) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        Elf64_Shdr *s = fixture_section_names(&m);

        fixture_section(&m, ".comment")->sh_name = UINT32_MAX;
        ASSERT_MALFORMED(&m, "has no name");
        fixture_section(&m, ".text")->sh_name = (uint32_t) s->sh_size;
        ASSERT_MALFORMED(&m, "has no name");
        m.data[s->sh_offset + s->sh_size - 1] = 'x';
        ASSERT_MALFORMED(&m, "section names");
        s->sh_size = 0;
        ASSERT_MALFORMED(&m, "section names");
}

TEST(what_is_needed_may_not_be_there_twice) {
        static const struct {
                const char *name, *what;
        } table[] = {
                { ".modinfo", "two sections .modinfo" },
                { ".gnu.linkonce.this_module", "two sections .gnu.linkonce.this_module" },
                { ".note.gnu.build-id", "two sections .note.gnu.build-id" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("hand-written");

                fixture_section(&m, ".comment")->sh_name = fixture_section(&m, table[i].name)->sh_name;
                ASSERT_MALFORMED(&m, table[i].what);
        }
}

TEST(what_is_needed_is_loaded) {
        static const char *const names[] = { ".modinfo", ".gnu.linkonce.this_module", ".note.gnu.build-id" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("hand-written");

                fixture_section(&m, names[i])->sh_flags &= ~(Elf64_Xword) SHF_ALLOC;
                ASSERT_MALFORMED(&m, "is not loaded");
        }
}

TEST(what_is_needed_is_there) {
        _cleanup_fixture_ Fixture no_modinfo = fixture_load("hand-written"), no_module = fixture_load("hand-written"),
                                  empty = fixture_load("hand-written"), bss = fixture_load("hand-written");

        fixture_section(&no_modinfo, ".modinfo")->sh_type = SHT_NULL;
        ASSERT_MALFORMED(&no_modinfo, "no .modinfo");
        fixture_section(&no_module, ".gnu.linkonce.this_module")->sh_type = SHT_NULL;
        ASSERT_MALFORMED(&no_module, "no .gnu.linkonce.this_module");
        fixture_section(&empty, ".modinfo")->sh_size = 0;
        ASSERT_MALFORMED(&empty, "no .modinfo");
        fixture_section(&bss, ".gnu.linkonce.this_module")->sh_type = SHT_NOBITS;
        ASSERT_MALFORMED(&bss, "no valid name");
}

TEST(compressed_sections_are_not_followed) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");

        fixture_section(&m, ".modinfo")->sh_flags |= SHF_COMPRESSED;
        ASSERT_MALFORMED(&m, "compressed");
}

TEST(modinfo_ends_with_nul) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");

        fixture_section(&m, ".modinfo")->sh_size--;
        ASSERT_MALFORMED(&m, "cut off");
}

TEST(names_are_checked) {
        static const char *const names[] = { "", "a-b", "a/b", "..", "a b", "a\nb", "a\x80", "a.b" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("hand-written");

                strcpy((char *) fixture_contents(&m, ".gnu.linkonce.this_module") + 24, names[i]);
                ASSERT_MALFORMED(&m, "no valid name");
        }
}

TEST(a_name_ends_within_its_field) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written"), cut = fixture_load("hand-written");

        memset(fixture_contents(&m, ".gnu.linkonce.this_module") + 24, 'x', 56);
        ASSERT_MALFORMED(&m, "no valid name");
        fixture_section(&cut, ".gnu.linkonce.this_module")->sh_size = 24 + 55;
        ASSERT_MALFORMED(&cut, "no valid name");
}

TEST(modinfo_agrees_about_the_name) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");

        memcpy(fixture_find(&m, "name=hand"), "name=head", STRLEN("name=head"));
        ASSERT_MALFORMED(&m, "two names");
}

/* The kernel relocates the structure before it uses the name. */
TEST(a_name_that_relocation_changes_is_refused) {
        static const uint64_t offsets[] = { 24 - 7, 24, 24 + 55 };
        uint64_t init = 312;

        for (size_t i = 0; i < ELEMENTSOF(offsets); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("hand-written");

                fixture_relocation(&m, ".gnu.linkonce.this_module", init)->r_offset = offsets[i];
                ASSERT_MALFORMED(&m, "not a constant");
        }
}

TEST(vermagic_starts_with_a_release) {
        static const char *const releases[] = { "../../etc/x", " 6.1.0-56-", ".1.0-56-am", "6.1\t0-56-a" };

        for (size_t i = 0; i < ELEMENTSOF(releases); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("hand-written");

                memcpy(fixture_find(&m, "6.1.0-56-amd64"), releases[i], strlen(releases[i]));
                ASSERT_MALFORMED(&m, "vermagic");
        }
}

TEST(build_id_is_checked) {
        static const struct {
                unsigned word;
                uint32_t value;
                const char *what;
        } table[] = {
                { 0, 5, "no build-id" },          { 0, UINT32_MAX, "no build-id" },
                { 2, NT_GNU_ABI_TAG, "no build-id" }, { 3, 0x00554e48, "no build-id" },
                { 1, 0, "wrong size" },           { 1, 21, "wrong size" },
                { 1, UINT32_MAX, "wrong size" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("hand-written");

                ((uint32_t *) fixture_contents(&m, ".note.gnu.build-id"))[table[i].word] = table[i].value;
                ASSERT_MALFORMED(&m, table[i].what);
        }
        for (uint64_t size = 0; size < 16; size++) {
                _cleanup_fixture_ Fixture m = fixture_load("hand-written");

                fixture_section(&m, ".note.gnu.build-id")->sh_size = size;
                ASSERT_MALFORMED(&m, "no build-id");
        }
}

TEST(symbol_tables_are_checked) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        Elf64_Shdr saved = *fixture_section(&m, ".symtab"), *s = fixture_section(&m, ".symtab");

        s->sh_entsize = 0;
        ASSERT_MALFORMED(&m, "symbol table");
        *s = saved;
        s->sh_size--;
        ASSERT_MALFORMED(&m, "symbol table");
        *s = saved;
        s->sh_link = 0;
        ASSERT_MALFORMED(&m, "no names");
        *s = saved;
        s->sh_link = UINT32_MAX;
        ASSERT_MALFORMED(&m, "no names");
        *s = saved;
        s->sh_link = fixture_section_index(&m, ".symtab"); /* itself */
        ASSERT_MALFORMED(&m, "symbol names");
        *s = saved;
        fixture_section(&m, ".comment")->sh_type = SHT_SYMTAB;
        fixture_section(&m, ".comment")->sh_size = 0;
        fixture_section(&m, ".comment")->sh_entsize = sizeof(Elf64_Sym);
        fixture_section(&m, ".comment")->sh_link = saved.sh_link;
        ASSERT_MALFORMED(&m, "two symbol tables");
}

static Elf64_Shdr *relocations_of_data(Fixture *m) {
        Elf64_Shdr *headers = (Elf64_Shdr *) (m->data + fixture_header(m)->e_shoff);

        for (unsigned i = 1; i < fixture_header(m)->e_shnum; i++)
                if (headers[i].sh_type == SHT_RELA && headers[i].sh_info == fixture_symbol(m, "patch")->st_shndx)
                        return headers + i;
        test_fail(__FILE__, __LINE__, "no relocations of the data");
}

TEST(relocation_sections_are_checked) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        Elf64_Shdr *s = relocations_of_data(&m), saved = *s;

        s->sh_info = 0;
        ASSERT_MALFORMED(&m, "applies to no section");
        s->sh_info = UINT32_MAX;
        ASSERT_MALFORMED(&m, "applies to no section");
        *s = saved;
        s->sh_entsize = 0;
        ASSERT_MALFORMED(&m, "cannot be read");
        *s = saved;
        s->sh_size--;
        ASSERT_MALFORMED(&m, "cannot be read");
        *s = saved;
        s->sh_link = UINT32_MAX;
        ASSERT_MALFORMED(&m, "has no symbols");
        s->sh_link = s->sh_info; /* not a symbol table */
        ASSERT_MALFORMED(&m, "has no symbols");
        s->sh_link = 0;
        ASSERT_MALFORMED(&m, "has no symbols");
}

TEST(a_relocation_section_may_apply_to_itself) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;
        Elf64_Shdr *s = relocations_of_data(&m);

        s->sh_info = (uint32_t) (s - (Elf64_Shdr *) (m.data + fixture_header(&m)->e_shoff));
        s->sh_flags |= SHF_ALLOC;
        info = fixture_inspect(&m, NULL);
        ASSERT_FALSE(info->objects_known);
}

TEST(failures_say_what_to_do) {
        static uint8_t nothing[1];
        _cleanup_failure_ Failure f = {};
        ModuleInfo *info = NULL;

        ASSERT_EQ(module_elf_inspect_untrusted(nothing, sizeof(nothing), NULL, &info, &f), REFUSED_MALFORMED_MODULE);
        ASSERT_STREQ(failure_text(&f),
                     "The module is malformed: it is not an ELF file. It was not used; get an intact copy of it");
        ASSERT_EQ(module_elf_inspect_untrusted(nothing, sizeof(nothing), NULL, &info, NULL), REFUSED_MALFORMED_MODULE);
}

TEST(machines) {
        ASSERT_EQ(module_elf_machine_from_architecture("x86_64"), EM_X86_64);
        ASSERT_EQ(module_elf_machine_from_architecture("aarch64"), EM_AARCH64);
        ASSERT_EQ(module_elf_machine_from_architecture("s390x"), EM_S390);
        ASSERT_EQ(module_elf_machine_from_architecture("ppc64"), EM_PPC64);
        ASSERT_EQ(module_elf_machine_from_architecture("ppc64le"), EM_PPC64);
        ASSERT_EQ(module_elf_machine_from_architecture("loongarch64"), 258);
        ASSERT_EQ(module_elf_machine_from_architecture("riscv64"), EM_RISCV);
        ASSERT_EQ(module_elf_machine_from_architecture("i686"), 0);
        ASSERT_EQ(module_elf_machine_from_architecture("X86_64"), 0);
        ASSERT_EQ(module_elf_machine_from_architecture(""), 0);
        ASSERT_EQ(module_elf_machine_from_architecture(NULL), 0);
        ASSERT_STREQ(module_elf_machine_to_string(EM_X86_64), "x86_64");
        ASSERT_STREQ(module_elf_machine_to_string(EM_AARCH64), "aarch64");
        ASSERT_STREQ(module_elf_machine_to_string(3), "machine 3");
        ASSERT_STREQ(module_elf_machine_to_string(UINT32_MAX), "machine 4294967295");
}
