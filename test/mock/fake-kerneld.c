/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plays the kernel over a fake root: ends transitions and reacts to writes to `enabled`. Usage: README.md. */

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "fake-kernel.h"
#include "fake-kernel-tree.h"
#include "kmod/klp-sysfs.h"
#include "kmod/module-image.h"

#define POLL_MS 20
#define PATCHES_MAX 64
#define DEFAULT_RELEASE "6.12.0-fake"

/* The one transition that a kernel can have at a time. */
typedef struct Transition {
        char name[MODULE_NAME_MAX + 1]; /* empty: none */
        bool target;
        uint64_t started_ms;
} Transition;

static uint64_t now_ms(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / 1000000;
}

static void transition_start(Transition *t, const char *name, bool target) {
        (void) snprintf(t->name, sizeof(t->name), "%s", name);
        t->target = target;
        t->started_ms = now_ms();
}

static void log_start(int root_fd, const char *name, bool target) {
        (void) fake_kernel_log(root_fd, 5, "livepatch: '%s': starting %s transition", name,
                               target ? "patching" : "unpatching");
}

/* Threads switch one by one; of a stalled transition all but the last. */
static int transition_follow(int root_fd, Transition *t) {
        uint64_t duration = fake_kernel_transition_ms(root_fd, t->name, t->target), elapsed = now_ms() - t->started_ms;
        unsigned n = fake_kernel_count_tasks(root_fd);
        int r;

        if (elapsed < duration) {
                uint64_t switched = duration == USEC_INFINITY ? n - 1 : n * elapsed / duration;

                return fake_kernel_set_tasks(root_fd, t->target, (unsigned) switched);
        }
        r = fake_kernel_finish_transition(root_fd, t->name, t->target);
        t->name[0] = '\0';
        return r;
}

static bool is_forced(int root_fd, const KlpPatch *patch) {
        _cleanup_free_ char *path = fake_tree_format("sys/kernel/livepatch/%s/force", patch->name);
        int value;

        return path && read_int_at(root_fd, path, &value) >= 0 && value != 0;
}

/* What changed since the last look. The loader has logged the start of a patch's first transition itself. */
static int patch_in_transition(int root_fd, Transition *t, const KlpPatch *patch) {
        bool seen = streq(t->name, patch->name);

        if (!seen || t->target != patch->enabled) {
                if (seen || !patch->enabled)
                        log_start(root_fd, patch->name, patch->enabled);
                transition_start(t, patch->name, patch->enabled);
        }
        if (is_forced(root_fd, patch)) {
                t->name[0] = '\0';
                return fake_kernel_force(root_fd, patch);
        }
        return transition_follow(root_fd, t);
}

/* A real kernel refuses the write while another patch is in transition; here it has to wait. */
static int patch_switched_off(int root_fd, Transition *t, const KlpPatch *patch) {
        _cleanup_free_ char *path = NULL, *owner = NULL, *replaced = NULL;
        int r = klp_sysfs_transition_owner(root_fd, &owner);

        if (r < 0 || owner)
                return r;
        replaced = fake_tree_format("sys/kernel/livepatch/%s/" FAKE_REPLACED, patch->name);
        if (!replaced)
                return -ENOMEM;
        if (exists_at(root_fd, replaced))
                return 0;
        path = fake_tree_format("sys/kernel/livepatch/%s/transition", patch->name);
        if (!path)
                return -ENOMEM;
        r = fake_kernel_set_attribute(root_fd, path, "1\n");
        if (r < 0)
                return r;
        log_start(root_fd, patch->name, false);
        transition_start(t, patch->name, false);
        return transition_follow(root_fd, t);
}

static int step(int root_fd, Transition *t) {
        _cleanup_(klp_patch_list_done) KlpPatchList list = {};
        int r = klp_sysfs_list(root_fd, false, &list);

        for (size_t i = 0; r >= 0 && i < list.n; i++) {
                const KlpPatch *patch = list.patches + i;

                if (patch->transition)
                        r = patch_in_transition(root_fd, t, patch);
                else if (!patch->enabled)
                        r = patch_switched_off(root_fd, t, patch);
        }
        /* The root may be rebooted or deleted under us. */
        return r == -ENOENT || r == -EOPNOTSUPP ? 0 : r;
}

static int run(int root_fd, char *argv[] _unused_) {
        const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };
        Transition transition = {};

        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        for (;;) {
                int r = step(root_fd, &transition);

                if (r < 0)
                        return r;
                (void) nanosleep(&pause, NULL);
        }
}

static int create(int root_fd, char *argv[]) {
        return fake_kernel_create(root_fd, argv[0] ?: DEFAULT_RELEASE);
}

static int reboot_(int root_fd, char *argv[] _unused_) {
        return fake_kernel_reboot(root_fd);
}

/* As if somebody had called insmod(8). */
static int load(int root_fd, char *argv[]) {
        _cleanup_(module_image_unrefp) ModuleImage *image = NULL;
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;
        _cleanup_close_ int fd = argv[0] ? open(argv[0], O_RDONLY | O_CLOEXEC) : -EBADF;
        int r;

        if (fd < 0)
                return argv[0] ? negative_errno() : -EINVAL;
        r = module_image_new_from_fd(fd, MIB(64), NULL, &image, NULL);
        if (r != 0)
                return -ENOEXEC;
        r = module_elf_inspect_untrusted(module_image_data(image), module_image_size(image), NULL, &info, NULL);
        return r != 0 ? -ENOEXEC : fake_kernel_load(root_fd, info);
}

/* As if somebody had called rmmod(8). */
static int unload(int root_fd, char *argv[]) {
        return argv[0] ? fake_kernel_unload(root_fd, argv[0]) : -EINVAL;
}

static int log_line(int root_fd, char *argv[]) {
        unsigned priority;

        if (!argv[0] || !argv[1] || parse_uint(argv[0], &priority) < 0)
                return -EINVAL;
        return fake_kernel_log(root_fd, priority, "%s", argv[1]);
}

int main(int argc, char *argv[]) {
        static const struct {
                const char *name;
                int (*run)(int root_fd, char *argv[]);
        } verbs[] = {
                { "create", create }, { "load", load },     { "log", log_line },
                { "reboot", reboot_ }, { "run", run },       { "unload", unload },
        };
        _cleanup_close_ int root_fd = argc >= 3 ? open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EBADF;

        for (size_t i = 0; argc >= 3 && root_fd >= 0 && i < ELEMENTSOF(verbs); i++) {
                int r;

                if (!streq(verbs[i].name, argv[1]))
                        continue;
                r = verbs[i].run(root_fd, argv + 3);
                if (r < 0)
                        (void) fprintf(stderr, "fake-kerneld: %s: %s\n", argv[1], strerror(-r));
                return r < 0 ? 1 : 0;
        }
        (void) fprintf(stderr, "Usage: fake-kerneld create|load|log|reboot|run|unload ROOT [ARGUMENT...]\n");
        return 2;
}
