/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* May this module be staged for, or applied to, this kernel? Pure. */

#include "common/names.h"
#include "common/string-util.h"
#include "daemon/policy.h"

int policy_check_kernel(const KernelInfo *kernel, Failure *f) {
        if (kernel->mode == MODE_OFF)
                return failure_set(f, REFUSED_SWITCHED_OFF,
                                   "Live patching is switched off on this system, by '" LP_CMDLINE_OFF
                                   "' on the kernel command line or by the file /" LP_DISABLED_FILE
                                   ". Nothing was changed. Remove the switch (a command line takes effect at the next "
                                   "boot) to apply patches");
        if (!kernel->livepatch_supported)
                return failure_set(f, REFUSED_NOT_SUPPORTED,
                                   "The running kernel %s cannot be live-patched: it has no /sys/kernel/livepatch%s. "
                                   "Nothing was changed. Boot a kernel built with CONFIG_LIVEPATCH=y",
                                   kernel->release,
                                   kernel->config_livepatch == TRISTATE_NO ? " (CONFIG_LIVEPATCH is not set)" : "");
        return 0;
}

static int check_kind(const KernelInfo *kernel, const ModuleInfo *info, Failure *f) {
        unsigned machine = module_elf_machine_from_architecture(kernel->architecture);

        if (machine != 0 && info->machine != machine)
                return failure_set(f, REFUSED_WRONG_ARCHITECTURE,
                                   "The module '%s' is for %s, and this machine is %s. It was not loaded. Get the "
                                   "build for this architecture",
                                   info->name, module_elf_machine_to_string(info->machine), kernel->architecture);
        if (!info->livepatch)
                return failure_set(f, REFUSED_NOT_A_LIVEPATCH,
                                   "The module '%s' is not a livepatch: its module information has no 'livepatch' "
                                   "key. It was not loaded. Ordinary modules are loaded with modprobe(8)",
                                   info->name);
        if (!info->kernel_release)
                return failure_set(f, REFUSED_MALFORMED_MODULE,
                                   "The module '%s' does not say which kernel it was built for (no vermagic). It was "
                                   "not loaded", info->name);
        return 0;
}

int policy_check_module(const KernelInfo *kernel, const ModuleInfo *info, Failure *f) {
        int r = check_kind(kernel, info, f);

        if (r != 0)
                return r;
        /* With CONFIG_MODVERSIONS the kernel itself skips the release word of vermagic (same_magic() in
         * kernel/module/version.c), and would load a patch that was made for other code. */
        if (!streq(info->kernel_release, kernel->release))
                return failure_set(f, REFUSED_WRONG_KERNEL,
                                   "The module '%s' was built for kernel %s, and the running kernel is %s. It was not "
                                   "loaded. 'livepatchctl stage' keeps it for when that kernel runs, if it is "
                                   "installed", info->name, info->kernel_release, kernel->release);
        return 0;
}

int policy_check_stage(const KernelInfo *kernel, const ModuleInfo *info, bool release_installed, Failure *f) {
        int r = check_kind(kernel, info, f);

        if (r != 0)
                return r;
        if (!release_installed && !streq(info->kernel_release, kernel->release))
                return failure_set(f, REFUSED_WRONG_KERNEL,
                                   "The module '%s' was built for kernel %s, which is not installed here (there is no "
                                   "/usr/lib/modules/%s). It was not staged. Install that kernel first",
                                   info->name, info->kernel_release, info->kernel_release);
        return 0;
}
