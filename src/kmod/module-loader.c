/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Puts a verified module into the kernel and takes one out again; never by force. */

#include <libkmod.h>
#include <sys/syscall.h>

#include "common/string-util.h"
#include "kmod/kernel-log.h"
#include "kmod/kernel-refusal.h"
#include "kmod/klp-sysfs.h"
#include "kmod/module-loader.h"
#include "kmod/module-loader-source.h"

/* What a failing load logs is a handful of lines; a module with many unknown symbols logs one for each. */
#define LOG_LINES_MAX 64

static inline void kmod_unrefp(struct kmod_ctx **ctx) {
        (void) kmod_unref(*ctx);
}

static inline void kmod_module_unrefp(struct kmod_module **module) {
        (void) kmod_module_unref(*module);
}

/* Kernels from 6.5 on merge concurrent loads of one inode and report success to both (kernel/module/main.c,
 * idempotent_init_module()), and a name that is taken is found late, after the whole module was read. */
static int refuse_if_loaded(int root_fd, const char *name, const KernelInfo *info, Failure *f) {
        _cleanup_(kernel_module_done) KernelModule loaded = {};
        int r = kernel_module_read(root_fd, name, &loaded);

        if (r < 0)
                return failure_set(f, r, "Failed to find out whether module '%s' is loaded: %s. Nothing was changed.",
                                   name, strerror(-r));
        return loaded.present ? kernel_refusal_explain_insert(-EEXIST, name, info, NULL, f) : 0;
}

/* printk() stores its records before finit_module(2) returns, so that there is nothing to wait for. Without the log
 * (dmesg_restrict) the errno alone has to do. */
static int explain(int root_fd, int error, int log_fd, const char *name, const KernelInfo *info, Failure *f) {
        _cleanup_(kernel_info_freep) KernelInfo *now = NULL;
        _cleanup_strv_free_ char **lines = NULL;

        if (!info && kernel_info_read(root_fd, &now) >= 0)
                info = now;
        if (log_fd >= 0)
                (void) kernel_log_collect(log_fd, name, LOG_LINES_MAX, &lines);
        return kernel_refusal_explain_insert(error, name, info, lines, f);
}

int module_loader_insert(int root_fd, const VerifiedModule *module, const char *name, const KernelInfo *info,
                         Failure *f) {
        _cleanup_close_ int log_fd = -EBADF;
        int fd, r = refuse_if_loaded(root_fd, name, info, f);

        if (r != 0)
                return r;
        r = module_loader_source(verified_module_image(module), name, &fd, f);
        if (r != 0)
                return r;
        log_fd = kernel_log_open_at_end(root_fd);
        /* Neither module parameters nor flags: those would override the kernel's checks (uapi/linux/module.h). */
        if (syscall(SYS_finit_module, fd, "", 0) < 0)
                return explain(root_fd, negative_errno(), log_fd, name, info, f);
        return 0;
}

static void discard_log(void *data _unused_, int priority _unused_, const char *file _unused_, int line _unused_,
                        const char *function _unused_, const char *format _unused_, va_list ap _unused_) {
}

static int remove_by_name(const char *name) {
        /* No configuration: modprobe.d has no say in unloading. */
        static const char *const no_config[] = { NULL };
        _cleanup_(kmod_unrefp) struct kmod_ctx *ctx = kmod_new(NULL, no_config);
        _cleanup_(kmod_module_unrefp) struct kmod_module *module = NULL;
        int r;

        if (!ctx)
                return -ENOMEM;
        kmod_set_log_fn(ctx, discard_log, NULL);
        r = kmod_module_new_from_name(ctx, name, &module);
        if (r < 0)
                return r;
        return kmod_module_remove_module(module, 0);
}

int module_loader_remove(int root_fd _unused_, const char *name, Failure *f) {
        int r;

        if (!module_name_is_valid(name))
                return failure_set(f, -EINVAL, "'%s' is not the name of a kernel module", name);
        r = remove_by_name(name);
        return r < 0 ? kernel_refusal_explain_remove(r, name, f) : 0;
}
