/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel's lists say about functions, as Debian's 6.1 and later kernels print them. */

#include "common/string-util.h"
#include "kmod/kernel-functions.h"
#include "test.h"

#define TRACEFS "sys/kernel/tracing/"
#define KPROBES "sys/kernel/debug/kprobes/list"

static const char kallsyms[] =
        "0000000000000000 A fixed_percpu_data\n"
        "ffffffff8ae105a0 t cmdline_proc_show\n"
        "ffffffff8ae11c80 t uptime_proc_show\n"
        "ffffffff8ae20000 t twice\n"
        "ffffffff8ae20100 d twice\n"
        "ffffffff8ae20200 t inlined.llvm.1234567890\n"
        "ffffffff8ae20300 t cmdline_proc_show.cold\n"
        "ffffffffc058c000 t lp_target_show\t[lp_target]\n"
        "ffffffffc058c100 t cmdline_proc_show\t[lp_target]\n"
        "ffffffffc00d1be8 t bpf_prog_6deef7357e7b4530_sd_fw_egress\t[bpf]\n";

static const char traceable[] =
        "__traceiter_initcall_level\n"
        "cmdline_proc_show\n"
        "twice\n"
        "__ftrace_invalid_address___16\n"
        "lp_target_show [lp_target]\n"
        "svm_hardware_setup [kvm_amd]\n";

static ModuleFunction kernel_list[] = {
        { .name = (char *) "cmdline_proc_show" }, { .name = (char *) "uptime_proc_show" }, { .name = (char *) "twice" },
        { .name = (char *) "inlined" },           { .name = (char *) "no_such_function" },
};
static ModuleFunction module_list[] = { { .name = (char *) "lp_target_show" }, { .name = (char *) "twice" } };
static const ModuleObject objects[] = {
        { .name = (char *) "vmlinux", .functions = kernel_list, .n_functions = ELEMENTSOF(kernel_list) },
        { .name = (char *) "lp_target", .functions = module_list, .n_functions = ELEMENTSOF(module_list) },
};

enum { CMDLINE, UPTIME, TWICE, INLINED, MISSING, TARGET, TARGET_TWICE };

static void write_all_lists(const char *users, const char *probes) {
        int fd = test_tmpdir();

        test_write_file(fd, "proc/kallsyms", kallsyms);
        test_write_file(fd, TRACEFS "available_filter_functions", traceable);
        test_write_file(fd, TRACEFS "enabled_functions", users);
        test_write_file(fd, KPROBES, probes);
        test_write_file(fd, "sys/module/lp_target/initstate", "live\n");
}

static KernelFunctions collect(void) {
        KernelFunctions functions = {};

        ASSERT_OK(kernel_functions_add(&functions, objects, ELEMENTSOF(objects)));
        ASSERT_OK(kernel_functions_collect(test_tmpdir(), &functions));
        ASSERT_EQ(functions.n, 7);
        return functions;
}

TEST(nothing_can_be_read) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = collect();

        ASSERT_FALSE(functions.symbols_known);
        ASSERT_FALSE(functions.traceable_known);
        ASSERT_FALSE(functions.users_known);
        ASSERT_FALSE(functions.probes_known);
        ASSERT_TRUE(functions.functions[CMDLINE].object_loaded);
        ASSERT_FALSE(functions.functions[TARGET].object_loaded);
}

TEST(symbols_are_counted_by_object) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("", "");
        functions = collect();
        ASSERT_TRUE(functions.symbols_known);
        ASSERT_EQ(functions.functions[CMDLINE].n_symbols, 1);
        ASSERT_EQ(functions.functions[TWICE].n_symbols, 2);
        ASSERT_EQ(functions.functions[MISSING].n_symbols, 0);
        ASSERT_EQ(functions.functions[TARGET].n_symbols, 1);
        ASSERT_EQ(functions.functions[TARGET_TWICE].n_symbols, 0);
        ASSERT_FALSE(functions.functions[CMDLINE].symbols_unsure);
        ASSERT_TRUE(functions.functions[INLINED].symbols_unsure);
}

TEST(a_module_that_is_not_loaded_is_not_asked_about) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("", "");
        ASSERT_OK(unlinkat(test_tmpdir(), "sys/module/lp_target/initstate", 0));
        functions = collect();
        ASSERT_FALSE(functions.functions[TARGET].object_loaded);
        ASSERT_EQ(functions.functions[TARGET].n_symbols, 0);
        ASSERT_FALSE(functions.functions[TARGET].traceable);
        ASSERT_EQ(functions.functions[CMDLINE].n_symbols, 1);
}

TEST(an_empty_list_of_symbols_is_a_hidden_one) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("", "");
        test_write_file(test_tmpdir(), "proc/kallsyms", "");
        functions = collect();
        ASSERT_FALSE(functions.symbols_known);
}

TEST(the_unit_has_the_hidden_list_elsewhere) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("", "");
        test_write_file(test_tmpdir(), "proc/kallsyms", "");
        test_write_file(test_tmpdir(), "dev/livepatch-kallsyms", kallsyms);
        functions = collect();
        ASSERT_TRUE(functions.symbols_known);
        ASSERT_EQ(functions.functions[TWICE].n_symbols, 2);
}

TEST(a_list_of_symbols_that_breaks_off_counts_for_nothing) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("", "");
        test_write_file(test_tmpdir(), "proc/kallsyms", "ffffffff8ae105a0 t cmdline_proc_show\nsomething else\n");
        functions = collect();
        ASSERT_FALSE(functions.symbols_known);
        ASSERT_EQ(functions.functions[CMDLINE].n_symbols, 0);
}

TEST(lines_across_reads) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        ASSERT_NOT_NULL(f);
        for (unsigned i = 0; i < 20000; i++)
                (void) fprintf(f, "ffffffff8ae105a0 t function_%u\n%s", i,
                               i % 100 == 0 ? "ffffffff8ae105a0 t twice\n" : "");
        ASSERT_EQ(fclose(f), 0);
        test_write_file(test_tmpdir(), "proc/kallsyms", text);
        functions = collect();
        ASSERT_EQ(functions.functions[TWICE].n_symbols, 200);
}

TEST(traceable_functions) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("", "");
        functions = collect();
        ASSERT_TRUE(functions.traceable_known);
        ASSERT_TRUE(functions.functions[CMDLINE].traceable);
        ASSERT_FALSE(functions.functions[UPTIME].traceable);
        ASSERT_TRUE(functions.functions[TWICE].traceable);
        ASSERT_TRUE(functions.functions[TARGET].traceable);
        ASSERT_FALSE(functions.functions[TARGET_TWICE].traceable);
}

TEST(tracefs_in_debugfs) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        test_write_file(test_tmpdir(), "sys/kernel/debug/tracing/available_filter_functions", traceable);
        functions = collect();
        ASSERT_TRUE(functions.traceable_known);
        ASSERT_TRUE(functions.functions[CMDLINE].traceable);
        ASSERT_FALSE(functions.users_known);
}

TEST(an_empty_list_of_traceable_functions_says_nothing) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("", "");
        test_write_file(test_tmpdir(), TRACEFS "available_filter_functions", "");
        functions = collect();
        ASSERT_FALSE(functions.traceable_known);
}

TEST(a_kprobe_with_a_post_handler) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};
        const KernelFunction *f;

        write_all_lists("cmdline_proc_show (1) R I  \ttramp: 0xffffffffc046c000 (kprobe_ftrace_handler+0x0/0x1b0) "
                        "->kprobe_ftrace_handler+0x0/0x1b0\n",
                        "ffffffff8ae105a0  k  cmdline_proc_show+0x0    [FTRACE]\n");
        functions = collect();
        f = &functions.functions[CMDLINE];
        ASSERT_TRUE(f->diverted);
        ASSERT_FALSE(f->diverted_by_klp);
        ASSERT_TRUE(f->probed);
        ASSERT_STREQ(f->user, "kprobe_ftrace_handler");
        ASSERT_FALSE(functions.functions[UPTIME].diverted);
        ASSERT_FALSE(functions.functions[UPTIME].probed);
}

TEST(a_user_from_a_module) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("cmdline_proc_show (1) R I  \ttramp: 0xffffffffc046c000 "
                        "(lp_divert_handler+0x0/0x10 [lp_divert]) ->ftrace_regs_caller+0x0/0x65\n"
                        "lp_target_show [lp_target] (1)   I  ->handler+0x0/0x10 [other]\n"
                        "twice (1) R I  \ttramp: 0xffffffffc046c000 (handler+0x0/0x10) ->caller+0x0/0x10 [far]\n", "");
        functions = collect();
        ASSERT_STREQ(functions.functions[CMDLINE].user, "lp_divert_handler [lp_divert]");
        ASSERT_STREQ(functions.functions[TARGET].user, "handler [other]");
        ASSERT_STREQ(functions.functions[TWICE].user, "handler");
}

TEST(direct_callers) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("unknown (1)     D  \n\tdirect-->nobody+0x0/0x10\n"
                        "cmdline_proc_show (1) R   D    \ttramp: ftrace_regs_caller+0x0/0x65 "
                        "(call_direct_funcs+0x0/0x10)\n\tdirect-->bpf_trampoline_6442478315+0x0/0x1000\n"
                        "uptime_proc_show (1)     D  \n"
                        "lp_target_show [lp_target] (2) R   D  \n\tother\n\tdirect-->my_tramp1+0x0/0x20 [direct]\n",
                        "");
        functions = collect();
        ASSERT_TRUE(functions.functions[CMDLINE].has_trampoline);
        ASSERT_FALSE(functions.functions[CMDLINE].diverted);
        ASSERT_STREQ(functions.functions[CMDLINE].direct_user, "bpf_trampoline_6442478315");
        ASSERT_TRUE(functions.functions[UPTIME].has_trampoline);
        ASSERT_NULL(functions.functions[UPTIME].direct_user);
        ASSERT_STREQ(functions.functions[TARGET].direct_user, "my_tramp1 [direct]");
        ASSERT_NULL(functions.functions[TARGET_TWICE].direct_user);
        ASSERT_FALSE(functions.functions[MISSING].has_trampoline);
}

TEST(a_plain_kprobe_diverts_nothing) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("cmdline_proc_show (1) R    \ttramp: 0xffffffffc0591000 (kprobe_ftrace_handler+0x0/0x1b0) "
                        "->kprobe_ftrace_handler+0x0/0x1b0\n",
                        "ffffffff8ae105a0  k  cmdline_proc_show+0x0    [FTRACE]\n");
        functions = collect();
        ASSERT_FALSE(functions.functions[CMDLINE].diverted);
        ASSERT_TRUE(functions.functions[CMDLINE].probed);
}

TEST(livepatch_itself) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("cmdline_proc_show (1)   I  \ttramp: 0xffffffffc0599000 (klp_ftrace_handler+0x0/0x110) "
                        "->klp_ftrace_handler+0x0/0x110\n"
                        "lp_target_show [lp_target] (1)   I  \ttramp: 0xffffffffc05a0000 "
                        "(klp_ftrace_handler+0x0/0x110) ->klp_ftrace_handler+0x0/0x110\n", "");
        functions = collect();
        ASSERT_TRUE(functions.functions[CMDLINE].diverted_by_klp);
        ASSERT_TRUE(functions.functions[TARGET].diverted);
        ASSERT_TRUE(functions.functions[TARGET].diverted_by_klp);
        ASSERT_FALSE(functions.functions[TARGET_TWICE].diverted);
}

TEST(several_users_are_not_named) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("cmdline_proc_show (2) R I   ->arch_ftrace_ops_list_func+0x0/0x1d0\n", "");
        functions = collect();
        ASSERT_TRUE(functions.functions[CMDLINE].diverted);
        ASSERT_FALSE(functions.functions[CMDLINE].diverted_by_klp);
        ASSERT_NULL(functions.functions[CMDLINE].user);
}

/* t_show() of 6.12 has more columns, and a line of its own for a direct caller. */
TEST(a_trampoline_of_bpf) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("cmdline_proc_show (1)     D   M \ttramp: ftrace_regs_caller+0x0/0x69 "
                        "(call_direct_funcs+0x0/0x20)->call_direct_funcs+0x0/0x20\n"
                        "\tdirect-->bpf_trampoline_6442506592+0x0/0xc0\n", "");
        functions = collect();
        ASSERT_TRUE(functions.users_known);
        ASSERT_TRUE(functions.functions[CMDLINE].has_trampoline);
        ASSERT_FALSE(functions.functions[CMDLINE].diverted);
}

TEST(users_in_another_form_are_unknown) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("cmdline_proc_show 1 user\n", "cmdline_proc_show\n");
        functions = collect();
        ASSERT_FALSE(functions.users_known);
        ASSERT_FALSE(functions.probes_known);
        ASSERT_TRUE(functions.symbols_known);
}

TEST(probes_inside_and_in_modules) {
        _cleanup_(kernel_functions_done) KernelFunctions functions = {};

        write_all_lists("", "ffffffffc058c004  r  lp_target_show+0x4  lp_target [DISABLED]\n"
                            "ffffffff8ae20010  k  twice+0x10    [OPTIMIZED]\n");
        functions = collect();
        ASSERT_TRUE(functions.functions[TARGET].probed);
        ASSERT_TRUE(functions.functions[TWICE].probed);
        ASSERT_FALSE(functions.functions[TARGET_TWICE].probed);
        ASSERT_FALSE(functions.functions[CMDLINE].probed);
}
