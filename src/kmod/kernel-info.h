/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Facts about the running kernel that decide whether and how it can be live-patched. */
#pragma once

#include <stdbool.h>

#include "common/failure.h"
#include "common/types.h"

typedef struct KernelInfo {
        char *release;      /* uname -r */
        char *version;      /* uname -v */
        char *architecture; /* uname -m */
        char *boot_id;      /* 32 hexadecimal digits, no dashes */
        char *cmdline;
        bool livepatch_supported; /* /sys/kernel/livepatch exists */
        Tristate config_livepatch; /* from /boot/config-*, /proc/config.gz or /usr/lib/modules/<release>/config */
        Lockdown lockdown;
        SecureBoot secure_boot;
        Tristate sig_enforce;      /* /sys/module/module/parameters/sig_enforce, or implied by lockdown */
        Tristate modules_disabled; /* kernel.modules_disabled */
        Tristate ftrace_enabled;
        Tristate reliable_stacktrace; /* false: the kernel has no reliable stacks, transitions may never finish */
        uint64_t taint;
        bool kdump; /* this is a crash kernel: /proc/vmcore exists */
        Mode mode;  /* kill switches: the kernel command line and etc/livepatch/disabled, the stronger one wins */
} KernelInfo;

/* root_fd: everything is read below it; release, version and architecture from proc/sys/kernel/{osrelease,version,arch}
 * where present and root_fd is not the real root's, else uname(2). A fact that cannot be read is unknown, never a
 * failure; only out of memory and a missing release are. */
int kernel_info_read(int root_fd, KernelInfo **ret);
KernelInfo *kernel_info_free(KernelInfo *info);
DEFINE_CLEANUP(KernelInfo *, kernel_info_free)

/* The volatile part again (taint, ftrace_enabled, modules_disabled, lockdown, sig_enforce, mode): cheap. */
int kernel_info_refresh(int root_fd, KernelInfo *info);

/* "O (out-of-tree module), E (unsigned module)": one phrase a set bit; owned by the caller. */
int kernel_taint_describe(uint64_t taint, char **ret);
