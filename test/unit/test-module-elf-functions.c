/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ELF inspection: which functions of which objects a livepatch patches, and when the file does not tell. */

#include <inttypes.h>

#include "common/string-util.h"
#include "elf-fixture.h"

static const ModuleElfContext debian_context = { .klp_func_size = 152, .klp_object_size = 168 };

static void assert_functions_with(const Fixture *m, const ModuleElfContext *context, LivepatchKind kind,
                                  const char *expected, int line) {
        _cleanup_(module_info_freep) ModuleInfo *info = fixture_inspect(m, context);
        _cleanup_free_ char *text = fixture_describe(info);

        if (info->kind != kind)
                test_fail(__FILE__, line, "kind is %s", livepatch_kind_to_string(info->kind));
        if (!info->objects_known)
                test_fail(__FILE__, line, "its functions are not known");
        if (!streq(text, expected))
                test_fail(__FILE__, line, "\"%s\" is not \"%s\"", text, expected);
}

static void assert_unknown_with(const Fixture *m, const ModuleElfContext *context, LivepatchKind kind, int line) {
        _cleanup_(module_info_freep) ModuleInfo *info = fixture_inspect(m, context);
        _cleanup_free_ char *text = fixture_describe(info);

        if (info->kind != kind)
                test_fail(__FILE__, line, "kind is %s", livepatch_kind_to_string(info->kind));
        if (info->objects_known || info->n_objects > 0)
                test_fail(__FILE__, line, "it claims \"%s\"", text);
        if (info->replace != TRISTATE_UNKNOWN)
                test_fail(__FILE__, line, "replace is %s", tristate_to_string(info->replace));
}

#define ASSERT_FUNCTIONS(m, kind, expected) \
        assert_functions_with((m), NULL, LIVEPATCH_KIND_##kind, (expected), __LINE__)
#define ASSERT_FUNCTIONS_WITH(m, context, kind, expected) \
        assert_functions_with((m), (context), LIVEPATCH_KIND_##kind, (expected), __LINE__)
#define ASSERT_UNKNOWN(m, kind) assert_unknown_with((m), NULL, LIVEPATCH_KIND_##kind, __LINE__)
#define ASSERT_UNKNOWN_WITH(m, context, kind) assert_unknown_with((m), (context), LIVEPATCH_KIND_##kind, __LINE__)

static Tristate replace_of(const Fixture *m) {
        _cleanup_(module_info_freep) ModuleInfo *info = fixture_inspect(m, NULL);

        return info->replace;
}

/* Code that points at data is only evidence on this machine. */
static bool code_tells(Fixture *m) {
        return fixture_header(m)->e_machine == EM_X86_64;
}

/* As `strip --strip-unneeded` leaves it: no symbol tells the size of a variable. */
static void forget_variables(Fixture *m) {
        Elf64_Sym *symbols = (Elf64_Sym *) fixture_contents(m, ".symtab");

        for (size_t i = 0; i < fixture_section(m, ".symtab")->sh_size / sizeof(*symbols); i++)
                if (ELF64_ST_TYPE(symbols[i].st_info) == STT_OBJECT)
                        symbols[i].st_info = ELF64_ST_INFO(STB_LOCAL, STT_NOTYPE);
}

#define HAND_WRITTEN_FUNCTIONS "lp_target: lp_target_show,1; vmlinux: cmdline_proc_show,1 open.isra.0,2"
#define KPATCH_FUNCTIONS \
        "lp_target: lp_target_show,1 lp_target_open,1; vmlinux: cmdline_proc_show,1 twin.cold,7; lp_other:"
#define KLP_FUNCTIONS "vmlinux: cmdline_proc_show,1 twin,3; lp_target: lp_target_show,1"

TEST(hand_written) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");

        ASSERT_FUNCTIONS(&m, HAND_WRITTEN, HAND_WRITTEN_FUNCTIONS);
        ASSERT_FUNCTIONS_WITH(&m, &debian_context, HAND_WRITTEN, HAND_WRITTEN_FUNCTIONS);
        ASSERT_EQ(replace_of(&m), TRISTATE_YES);
}

TEST(hand_written_for_a_kernel_with_other_sizes) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        static const ModuleElfContext other = { .klp_func_size = 160, .klp_object_size = 200 };

        ASSERT_FUNCTIONS_WITH(&m, &other, HAND_WRITTEN, HAND_WRITTEN_FUNCTIONS);
}

TEST(hand_written_without_symbols_needs_the_sizes) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        static const ModuleElfContext wrong[] = {
                { .klp_func_size = 160, .klp_object_size = 168 }, { .klp_func_size = 152, .klp_object_size = 176 },
                { .klp_func_size = 152 },                         { .klp_object_size = 168 },
                { .klp_func_size = 1, .klp_object_size = 1 },     { .klp_func_size = 8, .klp_object_size = 8 },
                { .klp_func_size = 304, .klp_object_size = 336 }, { .klp_func_size = UINT32_MAX, .klp_object_size = 1 },
        };

        forget_variables(&m);
        ASSERT_FUNCTIONS_WITH(&m, &debian_context, HAND_WRITTEN, HAND_WRITTEN_FUNCTIONS);
        ASSERT_UNKNOWN(&m, HAND_WRITTEN);
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                ASSERT_UNKNOWN_WITH(&m, wrong + i, HAND_WRITTEN);
}

TEST(replace_is_read) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        uint8_t *replace = fixture_variable(&m, "patch") + 24;

        *replace = 0;
        ASSERT_EQ(replace_of(&m), TRISTATE_NO);
        *replace = 2;
        ASSERT_EQ(replace_of(&m), TRISTATE_UNKNOWN);
}

TEST(replace_from_a_parameter_is_unknown) {
        _cleanup_fixture_ Fixture m = fixture_load("parameter");

        ASSERT_FUNCTIONS(&m, HAND_WRITTEN, "vmlinux: cmdline_proc_show,1");
        if (!code_tells(&m))
                test_skip("what code points to is not evidence on this machine");
        ASSERT_EQ(replace_of(&m), TRISTATE_UNKNOWN);
}

TEST(empty_tables_in_bss) {
        _cleanup_fixture_ Fixture m = fixture_load("callbacks-only");

        ASSERT_FUNCTIONS(&m, HAND_WRITTEN, "vmlinux:; lp_target:");
        ASSERT_FUNCTIONS_WITH(&m, &debian_context, HAND_WRITTEN, "vmlinux:; lp_target:");
        ASSERT_EQ(replace_of(&m), TRISTATE_NO);
        forget_variables(&m);
        ASSERT_UNKNOWN_WITH(&m, &debian_context, HAND_WRITTEN);
}

TEST(tables_filled_at_run_time_are_unknown) {
        _cleanup_fixture_ Fixture filled = fixture_load("filled-table"), all = fixture_load("run-time");

        ASSERT_UNKNOWN(&filled, HAND_WRITTEN);
        ASSERT_UNKNOWN_WITH(&filled, &debian_context, HAND_WRITTEN);
        ASSERT_UNKNOWN(&all, UNKNOWN);
        ASSERT_UNKNOWN_WITH(&all, &debian_context, UNKNOWN);
}

TEST(entries_changed_at_run_time_are_unknown) {
        _cleanup_fixture_ Fixture m = fixture_load("changed-entry");

        if (!code_tells(&m))
                test_skip("what code points to is not evidence on this machine");
        ASSERT_UNKNOWN(&m, HAND_WRITTEN);
}

TEST(two_patches_are_unknown) {
        _cleanup_fixture_ Fixture m = fixture_load("two-patches");

        ASSERT_UNKNOWN(&m, HAND_WRITTEN);
}

/* A table with more room than one empty entry may be filled up at run time. */
TEST(spare_entries_are_unknown) {
        _cleanup_fixture_ Fixture funcs = fixture_load("hand-written"), objs = fixture_load("hand-written");

        fixture_symbol(&funcs, "kernel_funcs")->st_size = 4 * 152;
        ASSERT_UNKNOWN(&funcs, HAND_WRITTEN);
        fixture_symbol(&objs, "objs")->st_size = 4 * 168;
        ASSERT_UNKNOWN(&objs, HAND_WRITTEN);
}

TEST(a_table_needs_its_empty_entry) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");

        fixture_symbol(&m, "kernel_funcs")->st_size = 2 * 152;
        ASSERT_UNKNOWN(&m, HAND_WRITTEN);
        fixture_symbol(&m, "kernel_funcs")->st_size = UINT64_MAX;
        ASSERT_UNKNOWN(&m, HAND_WRITTEN);
}

/* Two tables of one entry each, one of which has room for three: the sizes do not agree. */
TEST(strides_agree) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");

        fixture_symbol(&m, "module_funcs")->st_size = 4 * 152;
        ASSERT_UNKNOWN(&m, HAND_WRITTEN);
}

/* Each breaks one pointer of the structures. */
TEST(broken_pointers_are_unknown) {
        static const struct {
                const char *variable;
                uint64_t offset;
        } table[] = {
                { "patch", 8 },         { "objs", 8 },           { "objs", 168 + 8 },      { "objs", 0 },
                { "kernel_funcs", 0 },  { "kernel_funcs", 8 },   { "kernel_funcs", 152 },  { "kernel_funcs", 160 },
                { "module_funcs", 0 },  { "module_funcs", 8 },   { "objs", 16 },
        };
        static const uint64_t no_pointer = 0xfffffff0; /* a relocation type that no machine has */

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("hand-written");
                Elf64_Rela *rela = fixture_pointer(&m, table[i].variable, table[i].offset), saved = *rela;
                _cleanup_(module_info_freep) ModuleInfo *type = NULL, *symbol = NULL, *behind = NULL, *before = NULL;

                rela->r_info = ELF64_R_INFO(ELF64_R_SYM(saved.r_info), no_pointer);
                type = fixture_inspect(&m, NULL);
                ASSERT_FALSE(type->objects_known);
                rela->r_info = ELF64_R_INFO(UINT64_C(0xffffffff), ELF64_R_TYPE(saved.r_info));
                symbol = fixture_inspect(&m, NULL);
                ASSERT_FALSE(symbol->objects_known);
                *rela = saved;
                rela->r_addend = INT64_MAX;
                behind = fixture_inspect(&m, NULL);
                ASSERT_FALSE(behind->objects_known);
                rela->r_addend = INT64_MIN;
                before = fixture_inspect(&m, NULL);
                ASSERT_FALSE(before->objects_known);
        }
}

TEST(two_relocations_of_one_pointer_are_unknown) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        Elf64_Rela *callback = fixture_pointer(&m, "objs", 16);

        callback->r_offset -= 8; /* onto funcs */
        ASSERT_UNKNOWN(&m, HAND_WRITTEN);
        callback->r_offset += 4; /* across funcs and the callback */
        ASSERT_UNKNOWN(&m, HAND_WRITTEN);
}

TEST(numbers_are_constants) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");

        fixture_pointer(&m, "objs", 16)->r_offset = fixture_symbol(&m, "module_funcs")->st_value + 16;
        ASSERT_UNKNOWN(&m, HAND_WRITTEN);
}

TEST(names_are_checked) {
        static const char *const bad[] = { "", "cmdline proc", "cmd\n", "\x1b[2J", "cmd\xff", "a/b", "a-b" };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("hand-written"), k = fixture_load("kpatch-build"),
                                          b = fixture_load("klp-build");

                strcpy(fixture_find_string(&m, "cmdline_proc_show"), bad[i]);
                ASSERT_UNKNOWN(&m, HAND_WRITTEN);
                strcpy(fixture_find_string(&k, "cmdline_proc_show"), bad[i]);
                ASSERT_UNKNOWN(&k, KPATCH_BUILD);
                strcpy(fixture_find_string(&b, "cmdline_proc_show"), bad[i]);
                ASSERT_UNKNOWN(&b, KLP_BUILD);
        }
}

TEST(object_names_are_checked) {
        static const char *const bad[] = { "", "lp target", "lp-target", "../x", "lp\xff" };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_fixture_ Fixture k = fixture_load("kpatch-build"), b = fixture_load("klp-build");

                strcpy((char *) fixture_variable(&k, "target"), bad[i]);
                ASSERT_UNKNOWN(&k, KPATCH_BUILD);
                strcpy(fixture_find_string(&b, "lp_target"), bad[i]);
                ASSERT_UNKNOWN(&b, KLP_BUILD);
        }
}

/* The kernel would wait for a module of this name. */
TEST(vmlinux_is_no_module) {
        _cleanup_fixture_ Fixture b = fixture_load("klp-build");

        strcpy(fixture_find_string(&b, "lp_target"), "vmlinux");
        ASSERT_UNKNOWN(&b, KLP_BUILD);
}

TEST(names_end_within_their_section) {
        _cleanup_fixture_ Fixture m = fixture_load("kpatch-build");
        Elf64_Shdr *s = fixture_section(&m, ".kpatch.strings");

        /* Filled up to its end, so that the last name has none. */
        for (uint64_t i = s->sh_size; i-- > 0 && m.data[s->sh_offset + i] == '\0';)
                m.data[s->sh_offset + i] = 'x';
        ASSERT_UNKNOWN(&m, KPATCH_BUILD);
}

/* Makes the pointer at an offset of a section point to the start of another section. */
static void point_to(Fixture *m, const char *section, uint64_t offset, const char *target) {
        Elf64_Rela *rela = fixture_relocation(m, section, offset);
        Elf64_Sym *symbol = (Elf64_Sym *) fixture_contents(m, ".symtab") + ELF64_R_SYM(rela->r_info);

        symbol->st_shndx = (uint16_t) fixture_section_index(m, target);
        symbol->st_value = 0;
        rela->r_addend = 0;
}

TEST(function_names_have_a_maximum) {
        for (size_t length = 511; length <= 512; length++) {
                _cleanup_fixture_ Fixture m = fixture_load("klp-build");
                _cleanup_(module_info_freep) ModuleInfo *info = NULL;
                char name[513] = {};
                uint64_t offset;

                memset(name, 'x', length);
                offset = fixture_append(&m, name, length + 1);
                fixture_section(&m, ".comment")->sh_flags = SHF_ALLOC;
                fixture_section(&m, ".comment")->sh_offset = offset;
                fixture_section(&m, ".comment")->sh_size = length + 1;
                for (unsigned i = 0; i < 3; i++)
                        point_to(&m, ".init.klp_funcs", i * 24, ".comment");
                /* The name of the object shares their symbol. */
                fixture_relocation(&m, ".init.klp_objects", 64)->r_addend = (int64_t) length - 20;
                info = fixture_inspect(&m, NULL);
                ASSERT_EQ(info->objects_known, length == 511);
                if (info->objects_known)
                        ASSERT_EQ(strlen(info->objects[0].functions[0].name), 511);
        }
}

TEST(kpatch_build) {
        _cleanup_fixture_ Fixture m = fixture_load("kpatch-build");

        ASSERT_FUNCTIONS(&m, KPATCH_BUILD, KPATCH_FUNCTIONS);
        ASSERT_EQ(replace_of(&m), TRISTATE_UNKNOWN);
}

TEST(kpatch_build_of_the_other_byte_order) {
        static const char *const words[] = { ".kpatch.funcs", NULL };
        _cleanup_fixture_ Fixture m = fixture_load("kpatch-build");

        fixture_swap(&m, words);
        ASSERT_FUNCTIONS(&m, KPATCH_BUILD, KPATCH_FUNCTIONS);
}

TEST(kpatch_build_tables_are_whole) {
        static const uint64_t sizes[] = { 1, 55, 57, 4 * 56 - 8, UINT32_MAX };
        _cleanup_fixture_ Fixture callbacks = fixture_load("kpatch-build"), padding = fixture_load("kpatch-build");

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("kpatch-build");
                Elf64_Shdr *s = fixture_section(&m, ".kpatch.funcs");

                s->sh_size = sizes[i];
                if (sizes[i] == UINT32_MAX)
                        s->sh_type = SHT_NOBITS;
                ASSERT_UNKNOWN(&m, KPATCH_BUILD);
        }
        fixture_section(&callbacks, ".kpatch.callbacks.post_patch")->sh_size = 20;
        ASSERT_UNKNOWN(&callbacks, KPATCH_BUILD);
        fixture_contents(&padding, ".kpatch.callbacks.post_patch")[16] = 1;
        ASSERT_UNKNOWN(&padding, KPATCH_BUILD);
}

TEST(kpatch_build_numbers_are_checked) {
        _cleanup_fixture_ Fixture m = fixture_load("kpatch-build"), moved = fixture_load("kpatch-build");
        uint64_t *sympos = (uint64_t *) (fixture_contents(&m, ".kpatch.funcs") + 32);

        *sympos = UINT32_MAX;
        ASSERT_FUNCTIONS(&m, KPATCH_BUILD,
                         "lp_target: lp_target_show,4294967295 lp_target_open,1; "
                         "vmlinux: cmdline_proc_show,1 twin.cold,7; lp_other:");
        *sympos = UINT64_C(1) << 32;
        ASSERT_UNKNOWN(&m, KPATCH_BUILD);
        fixture_relocation(&moved, ".kpatch.funcs", 0)->r_offset = 32;
        ASSERT_UNKNOWN(&moved, KPATCH_BUILD);
}

TEST(kpatch_build_pointers_are_needed) {
        static const uint64_t offsets[] = { 0, 40, 48, 3 * 56, 3 * 56 + 40, 3 * 56 + 48 };

        for (size_t i = 0; i < ELEMENTSOF(offsets); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("kpatch-build");

                fixture_relocation(&m, ".kpatch.funcs", offsets[i])->r_offset = UINT64_MAX;
                ASSERT_UNKNOWN(&m, KPATCH_BUILD);
        }
}

TEST(tables_may_not_be_there_twice) {
        _cleanup_fixture_ Fixture k = fixture_load("kpatch-build"), b = fixture_load("klp-build");

        fixture_section(&k, ".kpatch.strings")->sh_name = fixture_section(&k, ".kpatch.funcs")->sh_name;
        ASSERT_MALFORMED(&k, "two sections .kpatch.funcs");
        fixture_section(&b, ".init.klp_funcs")->sh_name = fixture_section(&b, ".init.klp_objects")->sh_name;
        ASSERT_MALFORMED(&b, "two sections .init.klp_objects");
}

TEST(klp_build) {
        _cleanup_fixture_ Fixture m = fixture_load("klp-build"), old = fixture_load("klp-build-old");

        ASSERT_FUNCTIONS(&m, KLP_BUILD, KLP_FUNCTIONS);
        ASSERT_EQ(replace_of(&m), TRISTATE_UNKNOWN);
        ASSERT_FUNCTIONS(&old, KLP_BUILD, KLP_FUNCTIONS);
}

TEST(klp_build_of_the_other_byte_order) {
        static const char *const words[] = { ".init.klp_objects", ".init.klp_funcs", NULL };
        _cleanup_fixture_ Fixture m = fixture_load("klp-build");
        uint32_t *n = (uint32_t *) (fixture_contents(&m, ".init.klp_objects") + 56);

        /* The number of functions is half a word: into the other half, so that it comes out in the first one. */
        for (unsigned i = 0; i < 2; i++, n += 64 / sizeof(*n)) {
                n[1] = n[0];
                n[0] = 0;
        }
        fixture_swap(&m, words);
        ASSERT_FUNCTIONS(&m, KLP_BUILD, KLP_FUNCTIONS);
}

TEST(klp_build_tables_are_whole) {
        static const uint64_t sizes[] = { 0, 1, 63, 65, 2 * 64 - 8 };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("klp-build");

                fixture_section(&m, ".init.klp_objects")->sh_size = sizes[i];
                ASSERT_UNKNOWN(&m, KLP_BUILD);
        }
}

TEST(klp_build_counts_are_checked) {
        static const uint32_t counts[] = { 4, 65536, 65537, UINT32_MAX };

        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("klp-build");

                *(uint32_t *) (fixture_contents(&m, ".init.klp_objects") + 56) = counts[i];
                ASSERT_UNKNOWN(&m, KLP_BUILD);
        }
}

TEST(klp_build_pointers_are_needed) {
        static const uint64_t offsets[] = { 0, 8, 2 * 24, 2 * 24 + 8 };
        _cleanup_fixture_ Fixture objs = fixture_load("klp-build");

        for (size_t i = 0; i < ELEMENTSOF(offsets); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("klp-build");

                fixture_relocation(&m, ".init.klp_funcs", offsets[i])->r_offset = UINT64_MAX;
                ASSERT_UNKNOWN(&m, KLP_BUILD);
        }
        fixture_relocation(&objs, ".init.klp_objects", 8)->r_offset = UINT64_MAX;
        ASSERT_UNKNOWN(&objs, KLP_BUILD);
}

TEST(unknown_machines_are_unknown) {
        static const char *const names[] = { "hand-written", "kpatch-build", "klp-build" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_fixture_ Fixture m = fixture_load(names[i]);
                _cleanup_(module_info_freep) ModuleInfo *info = NULL;

                fixture_header(&m)->e_machine = EM_MIPS;
                info = fixture_inspect(&m, NULL);
                ASSERT_EQ(info->machine, EM_MIPS);
                ASSERT_FALSE(info->objects_known);
        }
}

/* As many functions as fit, and one more: bounded, and quickly so. */
TEST(functions_have_a_maximum) {
        for (uint32_t n = 65536; n <= 65537; n++) {
                _cleanup_fixture_ Fixture m = fixture_load("klp-build");
                size_t rela_size = (size_t) n * 2 * sizeof(Elf64_Rela), table_size = (size_t) n * 24;
                Elf64_Rela name = *fixture_relocation(&m, ".init.klp_funcs", 0);
                Elf64_Rela code = *fixture_relocation(&m, ".init.klp_funcs", 8);
                _cleanup_free_ Elf64_Rela *rela = malloc(rela_size);
                _cleanup_free_ uint8_t *table = calloc(1, table_size);
                _cleanup_(module_info_freep) ModuleInfo *info = NULL;
                uint64_t rela_offset, table_offset;
                Elf64_Shdr *s;

                for (uint32_t i = 0; i < n; i++) {
                        rela[2 * i] = name;
                        rela[2 * i].r_offset = (uint64_t) i * 24;
                        rela[2 * i + 1] = code;
                        rela[2 * i + 1].r_offset = (uint64_t) i * 24 + 8;
                }
                rela_offset = fixture_append(&m, rela, rela_size);
                table_offset = fixture_append(&m, table, table_size);
                s = fixture_section(&m, ".rela.init.klp_funcs");
                s->sh_offset = rela_offset;
                s->sh_size = rela_size;
                s = fixture_section(&m, ".init.klp_funcs");
                s->sh_offset = table_offset;
                s->sh_size = table_size;
                *(uint32_t *) (fixture_contents(&m, ".init.klp_objects") + 56) = n - 1; /* the other object has one */
                info = fixture_inspect(&m, NULL);
                ASSERT_EQ(info->objects_known, n == 65536);
                if (info->objects_known)
                        ASSERT_EQ(info->objects[0].n_functions, 65535);
        }
}

/* ---- States ------------------------------------------------------------------------------------------------ */

/* "1.2 7.0"; "?" when they are not known. */
static void assert_states(const Fixture *m, const char *expected, int line) {
        _cleanup_(module_info_freep) ModuleInfo *info = fixture_inspect(m, NULL);
        char text[200] = "";

        for (size_t i = 0; i < info->n_states; i++)
                (void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%" PRIu64 ".%u", i > 0 ? " " : "",
                                info->states[i].id, info->states[i].version);
        if (!info->states_known) {
                ASSERT_EQ(info->n_states, 0);
                (void) strcpy(text, "?");
        }
        if (!streq(text, expected))
                test_fail(__FILE__, line, "the states are \"%s\" and not \"%s\"", text, expected);
}
#define ASSERT_STATES(m, expected) assert_states((m), (expected), __LINE__)

/* An entry of the fixture's table, which has room for one and the empty one. */
static void set_state(Fixture *m, size_t i, uint64_t id, uint32_t version) {
        uint8_t *entry = fixture_variable(m, "states") + i * 24;

        memcpy(entry, &id, sizeof(id));
        memcpy(entry + 8, &version, sizeof(version));
}

TEST(states_are_read) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");

        ASSERT_STATES(&m, "1.2");
        set_state(&m, 0, UINT64_MAX, UINT32_MAX);
        ASSERT_STATES(&m, "18446744073709551615.4294967295");
        forget_variables(&m);
        ASSERT_STATES(&m, "?"); /* as its functions */
}

TEST(a_patch_may_have_no_states) {
        _cleanup_fixture_ Fixture two = fixture_load("hand-written");

        fixture_symbol(&two, "states")->st_size = 24;
        set_state(&two, 0, 0, 0);
        ASSERT_STATES(&two, "");
}

TEST(states_need_their_empty_entry) {
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");

        set_state(&m, 1, 2, 1);
        ASSERT_STATES(&m, "?");
        set_state(&m, 1, 0, 0);
        set_state(&m, 0, 0, 0); /* a spare one may be filled in at run time */
        ASSERT_STATES(&m, "?");
        set_state(&m, 0, 1, 2);
        fixture_symbol(&m, "states")->st_size = 24;
        ASSERT_STATES(&m, "?");
        fixture_symbol(&m, "states")->st_size = 72;
        ASSERT_STATES(&m, "?");
        fixture_symbol(&m, "states")->st_size = UINT64_MAX;
        ASSERT_STATES(&m, "?");
}

/* Its functions are known all the same. */
TEST(broken_pointers_to_states_are_unknown) {
        static const uint64_t no_pointer = 0xfffffff0;
        _cleanup_fixture_ Fixture m = fixture_load("hand-written");
        Elf64_Rela *rela = fixture_pointer(&m, "patch", 16), saved = *rela;

        rela->r_info = ELF64_R_INFO(ELF64_R_SYM(saved.r_info), no_pointer);
        ASSERT_STATES(&m, "?");
        rela->r_info = ELF64_R_INFO(UINT64_C(0xffffffff), ELF64_R_TYPE(saved.r_info));
        ASSERT_STATES(&m, "?");
        *rela = saved;
        rela->r_addend = INT64_MAX;
        ASSERT_STATES(&m, "?");
        rela->r_addend = INT64_MIN;
        ASSERT_STATES(&m, "?");
        *rela = saved;
        ASSERT_STATES(&m, "1.2");
}

TEST(states_are_constants) {
        static const uint64_t offsets[] = { 0, 8 };

        for (size_t i = 0; i < ELEMENTSOF(offsets); i++) {
                _cleanup_fixture_ Fixture m = fixture_load("hand-written");

                /* The pointer to the callback is put into the table instead. */
                fixture_pointer(&m, "objs", 16)->r_offset = fixture_symbol(&m, "states")->st_value + offsets[i];
                ASSERT_STATES(&m, "?");
        }
}

TEST(states_of_tools_are_unknown) {
        static const char *const names[] = { "kpatch-build", "klp-build", "klp-build-old", "run-time", "two-patches",
                                             "filled-table", "not-a-livepatch" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_fixture_ Fixture m = fixture_load(names[i]);

                ASSERT_STATES(&m, "?");
        }
}

TEST(states_without_a_table_are_none) {
        _cleanup_fixture_ Fixture m = fixture_load("parameter");

        ASSERT_STATES(&m, ""); /* `replace` beside it is set by code, the pointer is not */
}

TEST(states_that_code_fills_in_are_unknown) {
        _cleanup_fixture_ Fixture pointer = fixture_load("states-later"), table = fixture_load("states-filled");

        if (!code_tells(&pointer))
                test_skip("code of this machine does not tell");
        ASSERT_STATES(&pointer, "?");
        ASSERT_STATES(&table, "?");
}
