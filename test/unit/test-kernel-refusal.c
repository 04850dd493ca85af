/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Causes of the kernel's refusals: what the log decides, what a fact decides, and what must stay a supposition. */

#include "common/string-util.h"
#include "kmod/kernel-refusal.h"
#include "test.h"

#define SUPPOSITION "does not say why"

static KernelInfo usual(void) {
        return (KernelInfo) { .modules_disabled = TRISTATE_NO, .ftrace_enabled = TRISTATE_YES,
                              .lockdown = LOCKDOWN_NONE };
}

static void explain(int error, const KernelInfo *info, const char *line, Failure *f, int code) {
        const char *lines[] = { line, NULL };

        ASSERT_EQ(kernel_refusal_explain_insert(error, "lp_a", info, (char *const *) lines, f), code);
        ASSERT_EQ(f->code, code);
        ASSERT_CONTAINS(failure_text(f), "'lp_a'");
        ASSERT_CONTAINS(failure_text(f), "nothing was patched");
}

/* What the kernel logged (kernel.md, section 3), and a word of the cause. */
TEST(the_log_decides) {
        static const struct {
                int error;
                const char *line;
                int code;
                const char *cause;
        } cases[] = {
                { -EPERM, "Lockdown: livepatchd: unsigned module loading is restricted; see man kernel_lockdown.7",
                  REFUSED_KERNEL_REFUSED, "locked down" },
                { -EPERM, "Module lp_a is blacklisted", REFUSED_KERNEL_REFUSED, "module_blacklist=" },
                { -EKEYREJECTED, "Loading of unsigned module is rejected", REFUSED_KERNEL_REFUSED, "is not signed" },
                { -EKEYREJECTED, "Loading of module with unavailable key is rejected", REFUSED_KERNEL_REFUSED,
                  "not in the kernel's keyrings" },
                { -EKEYREJECTED, "Loading of module with unsupported crypto is rejected", REFUSED_KERNEL_REFUSED,
                  "algorithm" },
                { -ENOEXEC, "lp_a: version magic '6.2 SMP' should be '6.1 SMP'", REFUSED_KERNEL_REFUSED,
                  "another kernel" },
                { -ENOEXEC, "lp_a: disagrees about version of symbol module_layout", REFUSED_KERNEL_REFUSED,
                  "configuration or build" },
                { -ENOEXEC, "lp_a: module is marked as livepatch module, but livepatch support is disabled",
                  REFUSED_NOT_SUPPORTED, "without live patching" },
                { -ENOEXEC, "module: x86/modules: Skipping invalid relocation target, existing value is nonzero for",
                  REFUSED_KERNEL_REFUSED, "unloaded and loaded again" },
                { -ENOEXEC, "module: x86/modules: Invalid relocation target, existing value is nonzero for type 2",
                  REFUSED_KERNEL_REFUSED, "its relocations" },
                { -EINVAL, "failed to validate module [lp_a] BTF: -22", REFUSED_KERNEL_REFUSED, "BTF" },
                { -EINVAL, "lp_a: Unknown symbol gone (err -22)", REFUSED_KERNEL_REFUSED, "does not offer" },
                { -ENOENT, "lp_a: Unknown symbol gone (err -2)", REFUSED_KERNEL_REFUSED, "does not offer" },
                { -EINVAL, "livepatch: symbol 'f' not found in symbol table", REFUSED_KERNEL_REFUSED,
                  "does not exist" },
                { -EINVAL, "livepatch: unresolvable ambiguity for symbol 'f' in object '(null)'",
                  REFUSED_KERNEL_REFUSED, "several functions" },
                { -EINVAL, "livepatch: symbol position 3 for symbol 'f' in object 'vmlinux' not found",
                  REFUSED_KERNEL_REFUSED, "fewer functions" },
                { -EINVAL, "livepatch: failed to find location for function 'f'", REFUSED_KERNEL_REFUSED,
                  "cannot be traced" },
                { -EINVAL, "livepatch: module lp_a is not marked as a livepatch module", REFUSED_KERNEL_REFUSED,
                  "not marked" },
                { -EINVAL,
                  "livepatch: Livepatch patch (lp_a) is not compatible with the already installed livepatches.",
                  REFUSED_CONFLICT, "system state" },
                { -EBUSY, "livepatch: failed to register ftrace handler for function 'f' (-16)", REFUSED_CONFLICT,
                  "kprobe" },
                { -ENODEV, "livepatch: pre-patch callback failed for object 'vmlinux'", REFUSED_KERNEL_REFUSED,
                  "check of the patch's own" },
                { -EPERM, "LoadPin: kernel-module denied obj=\"/x.ko\" pid=1 cmdline=\"x\"", REFUSED_KERNEL_REFUSED,
                  "LoadPin" },
        };
        const KernelInfo info = usual();

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_failure_ Failure f = {};

                explain(cases[i].error, &info, cases[i].line, &f, cases[i].code);
                ASSERT_CONTAINS(failure_text(&f), cases[i].cause);
                ASSERT_CONTAINS(failure_text(&f), cases[i].line);
                ASSERT_NULL(strstr(failure_text(&f), SUPPOSITION));
        }
}

TEST(a_fact_decides) {
        KernelInfo disabled = usual(), untraced = usual();
        _cleanup_failure_ Failure a = {}, b = {}, c = {};

        disabled.modules_disabled = TRISTATE_YES;
        explain(-EPERM, &disabled, NULL, &a, REFUSED_NOT_SUPPORTED);
        ASSERT_CONTAINS(failure_text(&a), "modules_disabled=1");
        ASSERT_NULL(strstr(failure_text(&a), SUPPOSITION));
        untraced.ftrace_enabled = TRISTATE_NO;
        explain(-EBUSY, &untraced, "livepatch: failed to register ftrace handler for function 'f' (-16)", &b,
                REFUSED_CONFLICT);
        ASSERT_CONTAINS(failure_text(&b), "ftrace_enabled=0");
        explain(-EEXIST, NULL, NULL, &c, REFUSED_CONFLICT);
        ASSERT_CONTAINS(failure_text(&c), "loaded already");
}

/* A fact explains only the errno that it causes. */
TEST(a_fact_does_not_explain_another_errno) {
        KernelInfo info = usual();
        _cleanup_failure_ Failure f = {};

        info.modules_disabled = TRISTATE_YES;
        info.ftrace_enabled = TRISTATE_NO;
        explain(-EINVAL, &info, NULL, &f, REFUSED_KERNEL_REFUSED);
        ASSERT_NULL(strstr(failure_text(&f), "modules_disabled"));
        ASSERT_NULL(strstr(failure_text(&f), "ftrace_enabled"));
}

TEST(a_silent_kernel_leaves_a_supposition) {
        static const struct {
                int error;
                int code;
                const char *cause;
        } cases[] = {
                { -EPERM, REFUSED_KERNEL_REFUSED, "CAP_SYS_MODULE" },
                { -EACCES, REFUSED_KERNEL_REFUSED, "IMA" },
                { -EKEYREJECTED, REFUSED_KERNEL_REFUSED, "does not match" },
                { -ENOKEY, REFUSED_KERNEL_REFUSED, "keyrings" },
                { -ENOPKG, REFUSED_KERNEL_REFUSED, "algorithm" },
                { -EBADMSG, REFUSED_KERNEL_REFUSED, "damaged signature" },
                { -EMSGSIZE, REFUSED_KERNEL_REFUSED, "damaged signature" },
                { -ENOEXEC, REFUSED_KERNEL_REFUSED, "architecture" },
                { -EINVAL, REFUSED_KERNEL_REFUSED, "does not fit" },
                { -EBUSY, REFUSED_BUSY, "in transition" },
                { -ENODEV, REFUSED_KERNEL_REFUSED, "No such device" },
                { -EIO, REFUSED_KERNEL_REFUSED, "Input/output error" },
        };
        const KernelInfo info = usual();

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_failure_ Failure f = {}, without = {};

                explain(cases[i].error, &info, NULL, &f, cases[i].code);
                ASSERT_CONTAINS(failure_text(&f), cases[i].cause);
                ASSERT_CONTAINS(failure_text(&f), SUPPOSITION);
                ASSERT_NULL(strstr(failure_text(&f), "kernel log"));
                ASSERT_EQ(kernel_refusal_explain_insert(cases[i].error, "lp_a", NULL, NULL, &without), cases[i].code);
        }
}

TEST(suppositions_follow_the_facts) {
        KernelInfo locked = usual(), blacklisted = usual();
        _cleanup_failure_ Failure a = {}, b = {};

        locked.lockdown = LOCKDOWN_INTEGRITY;
        explain(-EPERM, &locked, NULL, &a, REFUSED_KERNEL_REFUSED);
        ASSERT_CONTAINS(failure_text(&a), "lockdown");
        ASSERT_CONTAINS(failure_text(&a), SUPPOSITION);
        blacklisted.cmdline = (char *) "ro module_blacklist=nouveau";
        explain(-EPERM, &blacklisted, NULL, &b, REFUSED_KERNEL_REFUSED);
        ASSERT_CONTAINS(failure_text(&b), "module_blacklist=");
        ASSERT_CONTAINS(failure_text(&b), SUPPOSITION);
}

/* No errno of the loader means that the patch is applied already: that would hide another build of the name. */
TEST(never_already_applied) {
        for (int e = 1; e < 200; e++) {
                _cleanup_failure_ Failure f = {};
                int code = kernel_refusal_explain_insert(-e, "lp_a", NULL, NULL, &f);

                ASSERT_TRUE(code == REFUSED_KERNEL_REFUSED || code == REFUSED_BUSY || code == REFUSED_CONFLICT ||
                            code == REFUSED_NOT_SUPPORTED);
        }
}

TEST(routine_lines_are_not_quoted) {
        const char *lines[] = {
                "lp_a: loading out-of-tree module taints kernel.",
                "lp_a: module verification failed: signature and/or required key missing - tainting kernel",
                "lp_a: tainting kernel with TAINT_LIVEPATCH",
                "livepatch: enabling patch 'lp_a'",
                "livepatch: symbol 'f' not found in symbol table",
                "livepatch: 'lp_a': unpatching complete",
                NULL,
        };
        _cleanup_failure_ Failure f = {};

        ASSERT_EQ(kernel_refusal_explain_insert(-EINVAL, "lp_a", NULL, (char *const *) lines, &f),
                  REFUSED_KERNEL_REFUSED);
        ASSERT_CONTAINS(failure_text(&f), "(kernel log: \"livepatch: symbol 'f' not found in symbol table\")");
}

TEST(few_lines_are_quoted_and_the_decisive_one_first) {
        const char *lines[] = { "lp_a: 1", "lp_a: 2", "lp_a: 3", "lp_a: 4", "lp_a: 5", "lp_a: 6",
                                "lp_a: Unknown symbol gone (err -2)", NULL };
        _cleanup_failure_ Failure f = {};

        (void) kernel_refusal_explain_insert(-ENOENT, "lp_a", NULL, (char *const *) lines, &f);
        ASSERT_CONTAINS(failure_text(&f), "(kernel log: \"lp_a: Unknown symbol gone (err -2)\", \"lp_a: 1\"");
        ASSERT_CONTAINS(failure_text(&f), "\"lp_a: 4\")");
        ASSERT_NULL(strstr(failure_text(&f), "lp_a: 5"));
}

TEST(long_lines_are_cut) {
        char line[4096];
        _cleanup_failure_ Failure f = {};

        memset(line, 'x', sizeof(line) - 1);
        line[sizeof(line) - 1] = '\0';
        explain(-EINVAL, NULL, line, &f, REFUSED_KERNEL_REFUSED);
        ASSERT_TRUE(strlen(failure_text(&f)) < 1000);
}

TEST(unloading) {
        _cleanup_failure_ Failure f = {};

        ASSERT_EQ(kernel_refusal_explain_remove(-EAGAIN, "lp_a", &f), REFUSED_BUSY);
        ASSERT_CONTAINS(failure_text(&f), "still in use");
        ASSERT_EQ(kernel_refusal_explain_remove(-EBUSY, "lp_a", &f), REFUSED_BUSY);
        ASSERT_EQ(kernel_refusal_explain_remove(-ENOENT, "lp_a", &f), -ENOENT);
        ASSERT_CONTAINS(failure_text(&f), "not loaded");
        ASSERT_EQ(kernel_refusal_explain_remove(-EPERM, "lp_a", &f), REFUSED_KERNEL_REFUSED);
        ASSERT_CONTAINS(failure_text(&f), "stays loaded");
        ASSERT_EQ(kernel_refusal_explain_remove(-ENOSYS, "lp_a", &f), REFUSED_NOT_SUPPORTED);
        ASSERT_EQ(kernel_refusal_explain_remove(-EIO, "lp_a", &f), REFUSED_KERNEL_REFUSED);
        ASSERT_CONTAINS(failure_text(&f), "Input/output error");
}

TEST(forcing) {
        static const int nothing_to_force[] = { -EINVAL, -ENOENT, -ENODEV };
        _cleanup_failure_ Failure f = {};

        for (size_t i = 0; i < ELEMENTSOF(nothing_to_force); i++) {
                ASSERT_EQ(kernel_refusal_explain_force(nothing_to_force[i], "lp_a", &f), REFUSED_NOT_IN_TRANSITION);
                ASSERT_CONTAINS(failure_text(&f), "Nothing was changed");
        }
        ASSERT_EQ(kernel_refusal_explain_force(-EACCES, "lp_a", &f), -EACCES);
        ASSERT_CONTAINS(failure_text(&f), "Permission denied");
}

TEST(switching) {
        _cleanup_failure_ Failure f = {};

        ASSERT_EQ(kernel_refusal_explain_enabled(-EINVAL, "lp_a", false, &f), -EINVAL);
        ASSERT_CONTAINS(failure_text(&f), "disabled already");
        ASSERT_EQ(kernel_refusal_explain_enabled(-EINVAL, "lp_a", true, &f), -EINVAL);
        ASSERT_CONTAINS(failure_text(&f), "enabled already");
        ASSERT_EQ(kernel_refusal_explain_enabled(-EBUSY, "lp_a", false, &f), REFUSED_BUSY);
        ASSERT_CONTAINS(failure_text(&f), "another patch is in transition");
        ASSERT_EQ(kernel_refusal_explain_enabled(-ENOENT, "lp_a", false, &f), -ENOENT);
        ASSERT_EQ(kernel_refusal_explain_enabled(-ENODEV, "lp_a", false, &f), -ENOENT);
        ASSERT_EQ(kernel_refusal_explain_enabled(-EACCES, "lp_a", false, &f), -EACCES);
        ASSERT_CONTAINS(failure_text(&f), "Permission denied");
}
