/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A fake kernel: sysfs, procfs and kmsg as plain files below a root directory, for tests without privilege.
 *
 * Plays a 6.12 kernel: `patched` and `replace` exist, `stack_order` does not. What plain files cannot do is in
 * README.md, with the control files. */
#pragma once

#include <stdbool.h>

#include "common/macro.h"
#include "kmod/klp-sysfs.h"
#include "kmod/module-elf.h"

/* What a kernel has when it has just booted; existing files are left alone. release: of the fake kernel. */
int fake_kernel_create(int root_fd, const char *release);

/* All modules and patches are gone, boot_id is another, the log is empty. */
int fake_kernel_reboot(int root_fd);

/* Appends a record to dev/kmsg as the kernel would. */
int fake_kernel_log(int root_fd, unsigned priority, const char *format, ...) _printf_(3, 4);

/* First line of ctl/<control>.<name> or else of ctl/<control>; NULL when there is neither. */
int fake_kernel_control(int root_fd, const char *control, const char *name, char **ret);

/* Milliseconds that a transition of this patch lasts from now on; USEC_INFINITY: it stalls. */
uint64_t fake_kernel_transition_ms(int root_fd, const char *name, bool patching);

/* Appears in sys/module and sys/kernel/livepatch, in transition unless transitions take no time. Negative errno as of
 * finit_module(2), with what a kernel logs about it. */
int fake_kernel_load(int root_fd, const ModuleInfo *info);

/* -EAGAIN: in use, -ENOENT: not loaded; as of delete_module(2). */
int fake_kernel_unload(int root_fd, const char *name);

/* The end of a transition: the log says so, a replaced patch or one switched off goes away. */
int fake_kernel_finish_transition(int root_fd, const char *name, bool patching);

/* As a write to `force` does; the patch is in transition. */
int fake_kernel_force(int root_fd, const KlpPatch *patch);

/* The first n_switched fake threads have patch_state == target, the others not; target -1: all are -1. */
int fake_kernel_set_tasks(int root_fd, int target, unsigned n_switched);
unsigned fake_kernel_count_tasks(int root_fd);

/* Overwrites an attribute in one go: readers see the old or the new value. */
int fake_kernel_set_attribute(int dir_fd, const char *path, const char *value);
