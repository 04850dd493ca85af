/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake kernel is neither killed nor out of space: what it writes meanwhile is not counted as the daemon's.
 *
 * For tests that are linked with --wrap= for these functions, and with fault.c. */

#include "fault.h"
#include "kmod/klp-sysfs.h"
#include "kmod/module-loader.h"

int __real_module_loader_insert(int root_fd, const VerifiedModule *module, const char *name, const KernelInfo *info,
                                Failure *f);
int __wrap_module_loader_insert(int root_fd, const VerifiedModule *module, const char *name, const KernelInfo *info,
                                Failure *f);
int __real_module_loader_remove(int root_fd, const char *name, Failure *f);
int __wrap_module_loader_remove(int root_fd, const char *name, Failure *f);
int __real_klp_sysfs_set_enabled(int root_fd, const char *name, bool enabled, Failure *f);
int __wrap_klp_sysfs_set_enabled(int root_fd, const char *name, bool enabled, Failure *f);

int __wrap_module_loader_insert(int root_fd, const VerifiedModule *module, const char *name, const KernelInfo *info,
                                Failure *f) {
        int r;

        fault_suspend(true);
        r = __real_module_loader_insert(root_fd, module, name, info, f);
        fault_suspend(false);
        return r;
}

int __wrap_module_loader_remove(int root_fd, const char *name, Failure *f) {
        int r;

        fault_suspend(true);
        r = __real_module_loader_remove(root_fd, name, f);
        fault_suspend(false);
        return r;
}

int __wrap_klp_sysfs_set_enabled(int root_fd, const char *name, bool enabled, Failure *f) {
        int r;

        fault_suspend(true);
        r = __real_klp_sysfs_set_enabled(root_fd, name, enabled, f);
        fault_suspend(false);
        return r;
}
