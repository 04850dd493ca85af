/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The symbols of kmod/module-loader.c over a fake kernel; test/mock/README.md lists the control files. */

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "fake-errno.h"
#include "fake-kernel.h"
#include "fake-kernel-tree.h"
#include "kmod/kernel-log.h"
#include "kmod/kernel-refusal.h"
#include "kmod/module-loader.h"
#include "kmod/module-loader-source.h"

#define LOG_LINES_MAX 64
#define INSERT_LOG_MAX KIB(16)
#define DEFAULT_PRIORITY 3
#define HOLD_POLL_MS 10

static void sleep_ms(unsigned ms) {
        struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long) (ms % 1000) * 1000000 };

        while (nanosleep(&t, &t) < 0 && errno == EINTR)
                ;
}

/* One line for each call, in the order of the calls. */
static int record_call(int root_fd, const char *file, const char *name, const char *detail) {
        _cleanup_close_ int fd = openat(root_fd, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        _cleanup_free_ char *line = NULL;

        if (fd < 0)
                return negative_errno();
        line = fake_tree_format("%s%s%s\n", name, *detail ? " " : "", detail);
        return line ? write_all(fd, line, strlen(line)) : -ENOMEM;
}

static void delay(int root_fd, const char *name) {
        _cleanup_free_ char *value = NULL;
        unsigned ms;

        if (fake_kernel_control(root_fd, "insert-delay-ms", name, &value) >= 0 && value && parse_uint(value, &ms) >= 0)
                sleep_ms(ms);
        while (exists_at(root_fd, "ctl/insert-hold"))
                sleep_ms(HOLD_POLL_MS);
}

/* "<5>text" or "text". */
static void log_injected(int root_fd) {
        _cleanup_free_ char *text = NULL;
        char *state = NULL;

        if (read_file_at(root_fd, "ctl/insert-log", INSERT_LOG_MAX, &text, NULL) < 0)
                return;
        for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                bool prefixed = line[0] == '<' && line[1] >= '0' && line[1] <= '7' && line[2] == '>';
                unsigned priority = prefixed ? (unsigned) (line[1] - '0') : DEFAULT_PRIORITY;

                (void) fake_kernel_log(root_fd, priority, "%s", prefixed ? line + 3 : line);
        }
}

static int injected_errno(int root_fd, const char *name) {
        _cleanup_free_ char *value = NULL;
        int r = fake_kernel_control(root_fd, "insert-errno", name, &value);

        if (r < 0 || !value)
                return r;
        log_injected(root_fd);
        return -fake_errno_from_string(value);
}

static int load(int root_fd, const VerifiedModule *module, const char *name) {
        const ModuleImage *image = verified_module_image(module);
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;
        int r = injected_errno(root_fd, name);

        if (r < 0)
                return r;
        r = module_elf_inspect_untrusted(module_image_data(image), module_image_size(image), NULL, &info, NULL);
        if (r != 0)
                return -ENOEXEC;
        return fake_kernel_load(root_fd, info);
}

int module_loader_insert(int root_fd, const VerifiedModule *module, const char *name, const KernelInfo *info,
                         Failure *f) {
        const ModuleImage *image = verified_module_image(module);
        _cleanup_strv_free_ char **lines = NULL;
        _cleanup_close_ int log_fd = -EBADF;
        int fd, r = module_loader_source(image, name, &fd, f);

        if (r != 0)
                return r;
        r = record_call(root_fd, "ctl/inserted", name, module_image_sha256(image));
        if (r < 0)
                return failure_set(f, r, "The mock cannot write ctl/inserted: %s", strerror(-r));
        delay(root_fd, name);
        log_fd = kernel_log_open_at_end(root_fd);
        r = load(root_fd, module, name);
        if (r >= 0)
                return 0;
        if (log_fd >= 0)
                (void) kernel_log_collect(log_fd, name, LOG_LINES_MAX, &lines);
        return kernel_refusal_explain_insert(r, name, info, lines, f);
}

int module_loader_remove(int root_fd, const char *name, Failure *f) {
        _cleanup_free_ char *value = NULL;
        int r;

        if (!module_name_is_valid(name))
                return failure_set(f, -EINVAL, "'%s' is not the name of a kernel module", name);
        (void) record_call(root_fd, "ctl/removed", name, "");
        r = fake_kernel_control(root_fd, "remove-errno", name, &value);
        if (r >= 0)
                r = value ? -fake_errno_from_string(value) : fake_kernel_unload(root_fd, name);
        return r < 0 ? kernel_refusal_explain_remove(r, name, f) : 0;
}
