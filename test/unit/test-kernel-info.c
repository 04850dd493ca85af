/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kernel facts out of a fake root: what is not known is never invented. */

#include <sys/utsname.h>

#include "common/fd-util.h"
#include "kmod/kernel-info.h"
#include "test.h"

#define SECURE_BOOT "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

static void write_file(const char *path, const char *content) {
        test_write_file(test_tmpdir(), path, content);
}

static KernelInfo *read_info(void) {
        KernelInfo *info = NULL;

        ASSERT_OK(kernel_info_read(test_tmpdir(), &info));
        return info;
}

TEST(nothing_is_known_of_an_empty_root) {
        _cleanup_(kernel_info_freep) KernelInfo *info = read_info();
        struct utsname name;

        ASSERT_OK(uname(&name));
        ASSERT_STREQ(info->release, name.release);
        ASSERT_STREQ(info->architecture, name.machine);
        ASSERT_NULL(info->boot_id);
        ASSERT_NULL(info->cmdline);
        ASSERT_FALSE(info->livepatch_supported);
        ASSERT_EQ(info->config_livepatch, TRISTATE_UNKNOWN);
        ASSERT_EQ(info->lockdown, LOCKDOWN_UNKNOWN);
        ASSERT_EQ(info->secure_boot, SECURE_BOOT_UNSUPPORTED);
        ASSERT_EQ(info->sig_enforce, TRISTATE_UNKNOWN);
        ASSERT_EQ(info->modules_disabled, TRISTATE_UNKNOWN);
        ASSERT_EQ(info->ftrace_enabled, TRISTATE_UNKNOWN);
        ASSERT_EQ(info->reliable_stacktrace, TRISTATE_UNKNOWN);
        ASSERT_EQ(info->taint, 0);
        ASSERT_FALSE(info->kdump);
        ASSERT_EQ(info->mode, MODE_ENABLED);
}

static void write_usual(void) {
        write_file("proc/sys/kernel/osrelease", "6.1.0-56-amd64\n");
        write_file("proc/sys/kernel/version", "#1 SMP Debian\n");
        write_file("proc/sys/kernel/arch", "s390x\n");
        write_file("proc/sys/kernel/random/boot_id", "8f3b1c1e-6f1d-4c57-9a0e-0123456789ab\n");
        write_file("proc/cmdline", "root=/dev/vda1 ro\n");
        write_file("proc/sys/kernel/tainted", "45056\n");
        write_file("proc/sys/kernel/modules_disabled", "0\n");
        write_file("proc/sys/kernel/ftrace_enabled", "1\n");
        write_file("sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
        write_file("sys/module/module/parameters/sig_enforce", "N\n");
        write_file("boot/config-6.1.0-56-amd64", "CONFIG_LIVEPATCH=y\nCONFIG_STACKTRACE=y\n"
                                                 "CONFIG_HAVE_RELIABLE_STACKTRACE=y\n");
        ASSERT_OK(mkdir_parents_at(test_tmpdir(), "sys/kernel/livepatch", 0755));
}

TEST(a_usual_kernel) {
        _cleanup_(kernel_info_freep) KernelInfo *info = NULL;

        write_usual();
        info = read_info();
        ASSERT_STREQ(info->release, "6.1.0-56-amd64");
        ASSERT_STREQ(info->version, "#1 SMP Debian");
        ASSERT_STREQ(info->architecture, "s390x");
        ASSERT_STREQ(info->boot_id, "8f3b1c1e6f1d4c579a0e0123456789ab");
        ASSERT_STREQ(info->cmdline, "root=/dev/vda1 ro");
        ASSERT_TRUE(info->livepatch_supported);
        ASSERT_EQ(info->config_livepatch, TRISTATE_YES);
        ASSERT_EQ(info->reliable_stacktrace, TRISTATE_YES);
        ASSERT_EQ(info->lockdown, LOCKDOWN_NONE);
        ASSERT_EQ(info->sig_enforce, TRISTATE_NO);
        ASSERT_EQ(info->modules_disabled, TRISTATE_NO);
        ASSERT_EQ(info->ftrace_enabled, TRISTATE_YES);
        ASSERT_EQ(info->taint, 45056);
        ASSERT_EQ(info->mode, MODE_ENABLED);
}

TEST(a_release_that_is_no_name_is_fatal) {
        KernelInfo *info = NULL;

        write_file("proc/sys/kernel/osrelease", "../../etc\n");
        ASSERT_EQ(kernel_info_read(test_tmpdir(), &info), -EBADMSG);
        write_file("proc/sys/kernel/osrelease", "\n");
        ASSERT_EQ(kernel_info_read(test_tmpdir(), &info), -EBADMSG);
        ASSERT_NULL(info);
}

TEST(boot_ids_that_are_none) {
        static const char *const bad[] = {
                "\n",
                "8f3b1c1e-6f1d-4c57-9a0e-0123456789a\n",
                "8F3B1C1E6F1D4C579A0E0123456789AB\n",
                "8f3b1c1e-6f1d-4c57-9a0e-0123456789ab0\n",
                "--------------------------------",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_(kernel_info_freep) KernelInfo *info = NULL;

                write_file("proc/sys/kernel/random/boot_id", bad[i]);
                info = read_info();
                ASSERT_NULL(info->boot_id);
        }
}

TEST(lockdown) {
        static const struct {
                const char *text;
                Lockdown lockdown;
        } cases[] = {
                { "none [integrity] confidentiality\n", LOCKDOWN_INTEGRITY },
                { "none integrity [confidentiality]\n", LOCKDOWN_CONFIDENTIALITY },
                { "none integrity confidentiality\n", LOCKDOWN_UNKNOWN },
                { "none [integrity confidentiality\n", LOCKDOWN_UNKNOWN },
                { "none [unsupported] confidentiality\n", LOCKDOWN_UNKNOWN },
                { "none [paranoia]\n", LOCKDOWN_UNKNOWN },
                { "]none[\n", LOCKDOWN_UNKNOWN },
                { "", LOCKDOWN_UNKNOWN },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(kernel_info_freep) KernelInfo *info = NULL;

                write_file("sys/kernel/security/lockdown", cases[i].text);
                info = read_info();
                ASSERT_EQ(info->lockdown, cases[i].lockdown);
        }
}

TEST(lockdown_that_is_not_built_in) {
        _cleanup_(kernel_info_freep) KernelInfo *info = NULL;

        write_file("sys/kernel/security/lsm", "capability,yama");
        info = read_info();
        ASSERT_EQ(info->lockdown, LOCKDOWN_UNSUPPORTED);
}

TEST(lockdown_enforces_signatures) {
        _cleanup_(kernel_info_freep) KernelInfo *info = NULL;

        write_usual();
        write_file("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
        info = read_info();
        ASSERT_EQ(info->sig_enforce, TRISTATE_YES);
}

TEST(signature_enforcement) {
        _cleanup_(kernel_info_freep) KernelInfo *enforced = NULL, *missing = NULL, *odd = NULL;

        write_file("sys/module/module/parameters/sig_enforce", "Y\n");
        enforced = read_info();
        ASSERT_EQ(enforced->sig_enforce, TRISTATE_YES);
        write_file("sys/module/module/parameters/sig_enforce", "?\n");
        odd = read_info();
        ASSERT_EQ(odd->sig_enforce, TRISTATE_UNKNOWN);
        ASSERT_EQ(unlinkat(test_tmpdir(), "sys/module/module/parameters/sig_enforce", 0), 0);
        missing = read_info();
        ASSERT_EQ(missing->sig_enforce, TRISTATE_NO);
}

static void assert_secure_boot(SecureBoot expected) {
        _cleanup_(kernel_info_freep) KernelInfo *info = read_info();

        ASSERT_EQ(info->secure_boot, expected);
}

TEST(secure_boot) {
        ASSERT_OK(mkdir_parents_at(test_tmpdir(), "sys/firmware/efi/efivars", 0755));
        assert_secure_boot(SECURE_BOOT_UNKNOWN);
        write_file("sys/firmware/efi/efivars/BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c", "x");
        assert_secure_boot(SECURE_BOOT_UNSUPPORTED);
        test_write_bytes(test_tmpdir(), SECURE_BOOT, "\x06\0\0\0\x01", 5);
        assert_secure_boot(SECURE_BOOT_ENABLED);
        test_write_bytes(test_tmpdir(), SECURE_BOOT, "\x06\0\0\0\0", 5);
        assert_secure_boot(SECURE_BOOT_DISABLED);
        test_write_bytes(test_tmpdir(), SECURE_BOOT, "\x06\0\0\0\x02", 5);
        assert_secure_boot(SECURE_BOOT_UNKNOWN);
        test_write_bytes(test_tmpdir(), SECURE_BOOT, "\x06\0\0\0", 4);
        assert_secure_boot(SECURE_BOOT_UNKNOWN);
        test_write_bytes(test_tmpdir(), SECURE_BOOT, "\x06\0\0\0\x01\x01", 6);
        assert_secure_boot(SECURE_BOOT_UNKNOWN);
}

TEST(mode_on_the_command_line) {
        static const struct {
                const char *cmdline;
                Mode mode;
        } cases[] = {
                { "ro livepatch=off quiet\n", MODE_OFF },
                { "livepatch=no-reapply", MODE_NO_REAPPLY },
                { "livepatch=off livepatch=no-reapply", MODE_NO_REAPPLY },
                { "livepatch=no-reapply livepatch=off", MODE_OFF },
                { "livepatch=off livepatch=on", MODE_ENABLED },
                { "livepatch=\"off\"", MODE_OFF },
                { "\"livepatch=off\"", MODE_OFF },
                /* A word that means nothing does not switch the patches on again. */
                { "livepatch=off livepatch=maybe", MODE_OFF },
                { "livepatch", MODE_ENABLED },
                { "livepatch=", MODE_ENABLED },
                { "livepatch=Off", MODE_ENABLED },
                { "livepatch=offline", MODE_ENABLED },
                { "nolivepatch=off xlivepatch=off livepatch.x=off", MODE_ENABLED },
                { "init=\"/bin/sh livepatch=off\"", MODE_ENABLED },
                { "ro -- livepatch=off", MODE_ENABLED },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(kernel_info_freep) KernelInfo *info = NULL;

                write_file("proc/cmdline", cases[i].cmdline);
                info = read_info();
                ASSERT_EQ(info->mode, cases[i].mode);
        }
}

TEST(the_file_switches_off_whatever_the_command_line_says) {
        _cleanup_(kernel_info_freep) KernelInfo *info = NULL;

        write_file("proc/cmdline", "livepatch=on\n");
        write_file("etc/livepatch/disabled", "");
        info = read_info();
        ASSERT_EQ(info->mode, MODE_OFF);
        ASSERT_EQ(unlinkat(test_tmpdir(), "etc/livepatch/disabled", 0), 0);
        ASSERT_OK(kernel_info_refresh(test_tmpdir(), info));
        ASSERT_EQ(info->mode, MODE_ENABLED);
}

TEST(refreshing) {
        _cleanup_(kernel_info_freep) KernelInfo *info = NULL;

        write_usual();
        info = read_info();
        write_file("proc/sys/kernel/tainted", "128\n");
        write_file("proc/sys/kernel/ftrace_enabled", "0\n");
        write_file("proc/sys/kernel/modules_disabled", "1\n");
        write_file("sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
        ASSERT_OK(kernel_info_refresh(test_tmpdir(), info));
        ASSERT_EQ(info->taint, 128);
        ASSERT_EQ(info->ftrace_enabled, TRISTATE_NO);
        ASSERT_EQ(info->modules_disabled, TRISTATE_YES);
        ASSERT_EQ(info->lockdown, LOCKDOWN_CONFIDENTIALITY);
        ASSERT_EQ(info->sig_enforce, TRISTATE_YES);
        ASSERT_STREQ(info->release, "6.1.0-56-amd64");
}

TEST(kernels_without_reliable_stacks) {
        _cleanup_(kernel_info_freep) KernelInfo *info = NULL, *without = NULL;

        write_usual();
        write_file("boot/config-6.1.0-56-amd64", "CONFIG_STACKTRACE=y\nCONFIG_X=y\n");
        info = read_info();
        ASSERT_EQ(info->config_livepatch, TRISTATE_NO);
        ASSERT_EQ(info->reliable_stacktrace, TRISTATE_NO);
        write_file("boot/config-6.1.0-56-amd64", "CONFIG_HAVE_RELIABLE_STACKTRACE=y\n");
        without = read_info();
        ASSERT_EQ(without->reliable_stacktrace, TRISTATE_NO);
}

TEST(crash_kernel) {
        _cleanup_(kernel_info_freep) KernelInfo *info = NULL;

        write_file("proc/vmcore", "");
        info = read_info();
        ASSERT_TRUE(info->kdump);
}

static void assert_taint(uint64_t taint, const char *expected) {
        _cleanup_free_ char *text = NULL;

        ASSERT_OK(kernel_taint_describe(taint, &text));
        ASSERT_STREQ(text, expected);
}

TEST(taint_in_words) {
        assert_taint(0, "");
        assert_taint(45056, "O (out-of-tree module), E (unsigned module), K (live-patched)");
        assert_taint(1, "P (proprietary module)");
        assert_taint(1ULL << 63 | 1 << 7, "D (kernel oops or BUG), bit 63");
}
