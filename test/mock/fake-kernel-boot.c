/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A fake kernel: what is there after a boot, and its threads. */

#include <string.h>
#include <sys/random.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "fake-kernel.h"
#include "fake-kernel-tree.h"

#define BOOT_ID_FILE "proc/sys/kernel/random/boot_id"

typedef struct BootFile {
        const char *path;
        const char *content;
} BootFile;

static const BootFile boot_files[] = {
        { "dev/kmsg", "" },
        { "proc/cmdline", "root=/dev/vda1 ro quiet\n" },
        { "proc/sys/kernel/arch", "x86_64\n" },
        { "proc/sys/kernel/version", "#1 SMP PREEMPT_DYNAMIC\n" },
        { "proc/sys/kernel/tainted", "0\n" },
        { "proc/sys/kernel/modules_disabled", "0\n" },
        { "proc/sys/kernel/ftrace_enabled", "1\n" },
        { "sys/kernel/security/lsm", "capability,lockdown" },
        { "sys/kernel/security/lockdown", "[none] integrity confidentiality\n" },
        { "sys/module/module/parameters/sig_enforce", "N\n" },
};

/* A process with threads, kernel threads, a shell. */
static const char *const task_paths[] = {
        "proc/1/task/1",   "proc/2/task/2",   "proc/11/task/11", "proc/300/task/300", "proc/300/task/301",
        "proc/300/task/302", "proc/417/task/417", "proc/980/task/980",
};

static int write_missing(int root_fd, const char *path, const char *content) {
        return exists_at(root_fd, path) ? 0 : fake_tree_write_text(root_fd, path, content);
}

static int write_boot_id(int root_fd) {
        uint8_t random[16];
        char hex[2 * sizeof(random) + 1];
        _cleanup_free_ char *id = NULL;

        if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random))
                return negative_errno();
        hex_encode(random, sizeof(random), hex);
        id = fake_tree_format("%.8s-%.4s-%.4s-%.4s-%.12s\n", hex, hex + 8, hex + 12, hex + 16, hex + 20);
        if (!id)
                return -ENOMEM;
        return fake_tree_write_text(root_fd, BOOT_ID_FILE, id);
}

static int write_release(int root_fd, const char *release) {
        static const char config[] = "CONFIG_LIVEPATCH=y\nCONFIG_STACKTRACE=y\nCONFIG_HAVE_RELIABLE_STACKTRACE=y\n";
        _cleanup_free_ char *line = NULL, *path = NULL;
        int r;

        line = fake_tree_format("%s\n", release);
        path = fake_tree_format("boot/config-%s", release);
        if (!line || !path)
                return -ENOMEM;
        r = write_missing(root_fd, "proc/sys/kernel/osrelease", line);
        return r < 0 ? r : write_missing(root_fd, path, config);
}

static int write_tasks(int root_fd) {
        for (size_t i = 0; i < ELEMENTSOF(task_paths); i++) {
                _cleanup_free_ char *path = NULL;
                int r;

                path = fake_tree_format("%s/patch_state", task_paths[i]);
                if (!path)
                        return -ENOMEM;
                r = write_missing(root_fd, path, "-1\n");
                if (r < 0)
                        return r;
        }
        return 0;
}

int fake_kernel_create(int root_fd, const char *release) {
        int r;

        for (size_t i = 0; i < ELEMENTSOF(boot_files); i++) {
                r = write_missing(root_fd, boot_files[i].path, boot_files[i].content);
                if (r < 0)
                        return r;
        }
        r = mkdir_parents_at(root_fd, "sys/kernel/livepatch", 0755);
        if (r >= 0)
                r = mkdir_parents_at(root_fd, "ctl", 0755);
        if (r >= 0)
                r = write_release(root_fd, release);
        if (r >= 0)
                r = write_tasks(root_fd);
        if (r >= 0 && !exists_at(root_fd, BOOT_ID_FILE))
                r = write_boot_id(root_fd);
        return r;
}

/* Built-in modules, which have no initstate, survive. */
static int remove_modules(int root_fd) {
        _cleanup_strv_free_ char **names = NULL;
        int n = list_dir_at(root_fd, "sys/module", &names), r = 0;

        for (int i = 0; i < n && r >= 0; i++) {
                _cleanup_free_ char *path = fake_tree_format("sys/module/%s", names[i]);
                _cleanup_free_ char *state = fake_tree_format("sys/module/%s/initstate", names[i]);

                if (!path || !state)
                        return -ENOMEM;
                if (exists_at(root_fd, state))
                        r = fake_tree_remove(root_fd, path);
        }
        return n < 0 ? n : r;
}

int fake_kernel_reboot(int root_fd) {
        int r = fake_tree_remove(root_fd, "sys/kernel/livepatch");

        if (r >= 0)
                r = mkdir_parents_at(root_fd, "sys/kernel/livepatch", 0755);
        if (r >= 0)
                r = remove_modules(root_fd);
        if (r >= 0)
                r = write_boot_id(root_fd);
        if (r >= 0)
                r = fake_kernel_set_attribute(root_fd, "dev/kmsg", "");
        if (r >= 0)
                r = fake_kernel_set_attribute(root_fd, "proc/sys/kernel/tainted", "0\n");
        return r < 0 ? r : fake_kernel_set_tasks(root_fd, -1, 0);
}

unsigned fake_kernel_count_tasks(int root_fd) {
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(task_paths); i++)
                n += exists_at(root_fd, task_paths[i]);
        return n;
}

int fake_kernel_set_tasks(int root_fd, int target, unsigned n_switched) {
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(task_paths); i++) {
                int state = target < 0 ? -1 : n < n_switched ? target : !target, current, r;
                _cleanup_free_ char *path = fake_tree_format("%s/patch_state", task_paths[i]);

                if (!path)
                        return -ENOMEM;
                /* A test may have let a thread end. */
                if (read_int_at(root_fd, path, &current) < 0)
                        continue;
                n++;
                if (current == state)
                        continue;
                r = fake_kernel_set_attribute(root_fd, path, state < 0 ? "-1\n" : state > 0 ? "1\n" : "0\n");
                if (r < 0)
                        return r;
        }
        return 0;
}
