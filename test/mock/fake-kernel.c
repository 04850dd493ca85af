/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A fake kernel: modules and patches come and go as plain files. */

#include <elf.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "fake-kernel.h"
#include "fake-kernel-tree.h"
#include "kmod/klp-sysfs.h"

#define DEFAULT_TRANSITION_MS 50

/* Out-of-tree, unsigned, live-patched: bits 12, 13 and 15. */
#define TAINT_AFTER_LOAD "45056\n"

int fake_kernel_set_attribute(int dir_fd, const char *path, const char *value) {
        _cleanup_free_ char *temporary = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        temporary = fake_tree_format("%s.new-%d", path, (int) gettid());
        if (!temporary)
                return -ENOMEM;
        fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0)
                return negative_errno();
        r = write_all(fd, value, strlen(value));
        if (r < 0)
                return r;
        return renameat(dir_fd, temporary, dir_fd, path) < 0 ? negative_errno() : 0;
}

int fake_kernel_log(int root_fd, unsigned priority, const char *format, ...) {
        _cleanup_close_ int fd = openat(root_fd, "dev/kmsg", O_WRONLY | O_APPEND | O_CLOEXEC);
        _cleanup_free_ char *text = NULL, *record = NULL;
        struct timespec now;
        struct stat st;
        va_list ap;
        int n;

        if (fd < 0 || fstat(fd, &st) < 0)
                return negative_errno();
        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                return -ENOMEM;
        }
        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        /* The size so far grows with every record, which is all that a sequence number has to do. */
        record = fake_tree_format("%u,%llu,%llu,-;%s\n", priority, (unsigned long long) st.st_size,
                                  (unsigned long long) now.tv_sec * 1000000 +
                                          (unsigned long long) now.tv_nsec / 1000,
                                  text);
        return record ? write_all(fd, record, strlen(record)) : -ENOMEM;
}

int fake_kernel_control(int root_fd, const char *control, const char *name, char **ret) {
        _cleanup_free_ char *common = NULL, *own = NULL;
        int r;

        common = fake_tree_format("ctl/%s", control);
        own = fake_tree_format("ctl/%s.%s", control, name);
        if (!common || !own)
                return -ENOMEM;
        r = read_line_at(root_fd, own, ret);
        if (r == -ENOENT)
                r = read_line_at(root_fd, common, ret);
        if (r == -ENOENT) {
                *ret = NULL;
                return 0;
        }
        return r;
}

uint64_t fake_kernel_transition_ms(int root_fd, const char *name, bool patching) {
        _cleanup_free_ char *value = NULL;
        unsigned ms;

        if (fake_kernel_control(root_fd, patching ? "transition-ms" : "unpatch-ms", name, &value) < 0 || !value)
                return DEFAULT_TRANSITION_MS;
        if (streq(value, "stall"))
                return USEC_INFINITY;
        return parse_uint(value, &ms) < 0 ? DEFAULT_TRANSITION_MS : ms;
}

static int write_build_id(int dir_fd, const char *build_id) {
        uint8_t note[sizeof(Elf64_Nhdr) + sizeof(ELF_NOTE_GNU) + 64];
        Elf64_Nhdr header = { .n_namesz = sizeof(ELF_NOTE_GNU), .n_type = NT_GNU_BUILD_ID };
        size_t size = strlen(build_id) / 2, start = sizeof(header) + sizeof(ELF_NOTE_GNU);

        if (size > sizeof(note) - start)
                return -EINVAL;
        header.n_descsz = (Elf64_Word) size;
        memcpy(note, &header, sizeof(header));
        memcpy(note + sizeof(header), ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU));
        for (size_t i = 0; i < size; i++) {
                char digits[3] = { build_id[2 * i], build_id[2 * i + 1], '\0' };

                note[start + i] = (uint8_t) strtoul(digits, NULL, 16);
        }
        return fake_tree_write(dir_fd, "notes/.note.gnu.build-id", note, start + size);
}

static int create_module(int dir_fd, const ModuleInfo *info) {
        int r = fake_tree_write_text(dir_fd, "initstate", "live\n");

        if (r >= 0)
                r = fake_tree_write_text(dir_fd, "refcnt", info->livepatch ? "1\n" : "0\n");
        if (r >= 0)
                r = fake_tree_write_text(dir_fd, "taint", info->livepatch ? "OEK\n" : "OE\n");
        if (r >= 0 && info->srcversion)
                r = fake_tree_write_text(dir_fd, "srcversion", info->srcversion);
        if (r >= 0 && info->version)
                r = fake_tree_write_text(dir_fd, "version", info->version);
        if (r >= 0 && info->build_id)
                r = write_build_id(dir_fd, info->build_id);
        return r;
}

static int create_object(int root_fd, int patch_fd, const ModuleObject *object) {
        _cleanup_(kernel_module_done) KernelModule target = {};
        _cleanup_free_ char *patched = NULL;
        int r;

        /* An object is patched when the transition begins, if it is there (kernel/livepatch/core.c). */
        r = kernel_module_read(root_fd, object->name, &target);
        if (r < 0)
                return r;
        patched = fake_tree_format("%s/patched", object->name);
        if (!patched)
                return -ENOMEM;
        r = fake_tree_write_text(patch_fd, patched, streq(object->name, "vmlinux") || target.live ? "1\n" : "0\n");
        for (size_t i = 0; r >= 0 && i < object->n_functions; i++) {
                const ModuleFunction *function = object->functions + i;
                _cleanup_free_ char *path = NULL;

                path = fake_tree_format("%s/%s,%u", object->name, function->name, MAX(function->sympos, 1U));
                if (!path)
                        return -ENOMEM;
                r = mkdir_parents_at(patch_fd, path, 0755);
        }
        return r;
}

static int create_patch(int root_fd, int dir_fd, const ModuleInfo *info) {
        _cleanup_free_ char *replace = NULL;
        int r = fake_kernel_control(root_fd, "replace", info->name, &replace);

        if (r >= 0)
                r = fake_tree_write_text(dir_fd, "replace",
                                         replace ?: info->replace == TRISTATE_YES ? "1\n" : "0\n");
        for (size_t i = 0; r >= 0 && i < info->n_objects; i++)
                r = create_object(root_fd, dir_fd, info->objects + i);
        if (r >= 0)
                r = fake_tree_write_text(dir_fd, "enabled", "1\n");
        if (r >= 0)
                r = fake_tree_write_text(dir_fd, "force", "0\n");
        if (r >= 0)
                r = fake_tree_write_text(dir_fd, "transition", "1\n");
        return r;
}

typedef int (*FillFn)(int root_fd, int dir_fd, const ModuleInfo *info);

static int fill_module(int root_fd _unused_, int dir_fd, const ModuleInfo *info) {
        return create_module(dir_fd, info);
}

/* Builds a directory aside and moves it into place, so that nobody sees half of it. */
static int appear(int root_fd, const char *parent, const ModuleInfo *info, FillFn fill) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        path = fake_tree_format("%s/%s", parent, info->name);
        if (!path)
                return -ENOMEM;
        r = fake_tree_remove(root_fd, FAKE_SCRATCH);
        if (r < 0)
                return r;
        r = mkdir_parents_at(root_fd, FAKE_SCRATCH, 0755);
        if (r < 0)
                return r;
        fd = open_dir_at(root_fd, FAKE_SCRATCH);
        if (fd < 0)
                return fd;
        r = fill(root_fd, fd, info);
        if (r < 0)
                return r;
        return renameat(root_fd, FAKE_SCRATCH, root_fd, path) < 0 ? negative_errno() : 0;
}

/* What the kernel checks in the end (kernel/module/main.c, kernel/livepatch/core.c). */
static int check_load(int root_fd, const ModuleInfo *info) {
        _cleanup_(kernel_module_done) KernelModule loaded = {};
        _cleanup_free_ char *owner = NULL;
        int value, r;

        if (read_int_at(root_fd, "proc/sys/kernel/modules_disabled", &value) >= 0 && value != 0)
                return -EPERM;
        r = kernel_module_read(root_fd, info->name, &loaded);
        if (r < 0)
                return r;
        if (loaded.present)
                return -EEXIST;
        if (!info->livepatch)
                return 0;
        if (read_int_at(root_fd, "proc/sys/kernel/ftrace_enabled", &value) >= 0 && value == 0) {
                (void) fake_kernel_log(root_fd, 3,
                                       "livepatch: failed to register ftrace handler for function 'f' (-16)");
                return -EBUSY;
        }
        r = klp_sysfs_transition_owner(root_fd, &owner);
        return r < 0 ? r : owner ? -EBUSY : 0;
}

int fake_kernel_load(int root_fd, const ModuleInfo *info) {
        int r = check_load(root_fd, info);

        if (r < 0)
                return r;
        r = appear(root_fd, "sys/module", info, fill_module);
        if (r < 0 || !info->livepatch)
                return r;
        (void) fake_kernel_set_attribute(root_fd, "proc/sys/kernel/tainted", TAINT_AFTER_LOAD);
        (void) fake_kernel_log(root_fd, 5, "livepatch: enabling patch '%s'", info->name);
        (void) fake_kernel_log(root_fd, 5, "livepatch: '%s': starting patching transition", info->name);
        /* Every task has its state before the transition can be seen (klp_init_transition(),
         * kernel/livepatch/transition.c). */
        (void) fake_kernel_set_tasks(root_fd, 1, 0);
        r = appear(root_fd, "sys/kernel/livepatch", info, create_patch);
        if (r < 0)
                return r;
        if (fake_kernel_transition_ms(root_fd, info->name, true) == 0)
                r = fake_kernel_finish_transition(root_fd, info->name, true);
        /* fake-kerneld has seen the transition, too, and was faster with some of what replacing others means. */
        return r == -ENOENT ? 0 : r;
}

/* Out of sight at once, deleted afterwards. */
static int disappear(int root_fd, const char *parent, const char *name) {
        _cleanup_free_ char *path = NULL;
        int r;

        path = fake_tree_format("%s/%s", parent, name);
        if (!path)
                return -ENOMEM;
        r = fake_tree_remove(root_fd, FAKE_SCRATCH);
        if (r < 0)
                return r;
        if (renameat(root_fd, path, root_fd, FAKE_SCRATCH) < 0)
                return negative_errno();
        return fake_tree_remove(root_fd, FAKE_SCRATCH);
}

int fake_kernel_unload(int root_fd, const char *name) {
        _cleanup_(kernel_module_done) KernelModule loaded = {};
        int r = kernel_module_read(root_fd, name, &loaded);

        if (r < 0)
                return r;
        if (!loaded.present)
                return -ENOENT;
        return loaded.refcnt > 0 ? -EAGAIN : disappear(root_fd, "sys/module", name);
}

/* The directory first, the reference after it (kernel/livepatch/core.c, klp_free_patch_finish()). */
static int drop_patch(int root_fd, const char *name) {
        _cleanup_free_ char *refcnt = NULL, *forced = NULL;
        int r = disappear(root_fd, "sys/kernel/livepatch", name);

        if (r < 0)
                return r;
        refcnt = fake_tree_format("sys/module/%s/refcnt", name);
        forced = fake_tree_format("sys/module/%s/" FAKE_FORCED, name);
        if (!refcnt || !forced)
                return -ENOMEM;
        if (exists_at(root_fd, forced))
                return 0;
        return fake_kernel_set_attribute(root_fd, refcnt, "0\n");
}

/* The mark tells fake-kerneld from a write to `enabled`. */
static int switch_off_replaced(int root_fd, const char *name) {
        _cleanup_free_ char *enabled = NULL, *mark = NULL;
        int r;

        enabled = fake_tree_format("sys/kernel/livepatch/%s/enabled", name);
        mark = fake_tree_format("sys/kernel/livepatch/%s/" FAKE_REPLACED, name);
        if (!enabled || !mark)
                return -ENOMEM;
        r = fake_tree_write_text(root_fd, mark, "1\n");
        return r < 0 ? r : fake_kernel_set_attribute(root_fd, enabled, "0\n");
}

static int other_patches_do(int root_fd, const char *name, int (*function)(int root_fd, const char *name)) {
        _cleanup_strv_free_ char **names = NULL;
        int n = list_dir_at(root_fd, "sys/kernel/livepatch", &names);

        for (int i = 0; i < n; i++) {
                int r = streq(names[i], name) ? 0 : function(root_fd, names[i]);

                if (r < 0)
                        return r;
        }
        return n < 0 ? n : 0;
}

static int keep_module(int root_fd, const char *name) {
        _cleanup_free_ char *forced = fake_tree_format("sys/module/%s/" FAKE_FORCED, name);

        return forced ? fake_tree_write_text(root_fd, forced, "1\n") : -ENOMEM;
}

/* What is being removed keeps its module (klp_force_transition() in kernel/livepatch/transition.c). */
int fake_kernel_force(int root_fd, const KlpPatch *patch) {
        _cleanup_free_ char *force = fake_tree_format("sys/kernel/livepatch/%s/force", patch->name);
        int r = force ? fake_kernel_set_attribute(root_fd, force, "0\n") : -ENOMEM;

        if (r < 0)
                return r;
        if (!patch->enabled)
                r = keep_module(root_fd, patch->name);
        else if (patch->replace == TRISTATE_YES)
                r = other_patches_do(root_fd, patch->name, keep_module);
        if (r >= 0)
                r = fake_kernel_log(root_fd, 4, "livepatch: forcing remaining tasks to the patched state");
        return r < 0 ? r : fake_kernel_finish_transition(root_fd, patch->name, patch->enabled);
}

static int drop_replaced(int root_fd, const char *name) {
        _cleanup_free_ char *mark = NULL;

        mark = fake_tree_format("sys/kernel/livepatch/%s/" FAKE_REPLACED, name);
        if (!mark)
                return -ENOMEM;
        return exists_at(root_fd, mark) ? drop_patch(root_fd, name) : 0;
}

/* Work items of the kernel do it, some time after the end of the transition. */
static int drop_all_replaced(int root_fd, const char *name) {
        _cleanup_free_ char *value = NULL;
        unsigned ms;

        if (fake_kernel_control(root_fd, "replaced-ms", name, &value) >= 0 && value && parse_uint(value, &ms) >= 0) {
                const struct timespec delay = { .tv_sec = ms / 1000, .tv_nsec = (long) (ms % 1000) * 1000000 };

                (void) nanosleep(&delay, NULL);
        }
        return other_patches_do(root_fd, name, drop_replaced);
}

int fake_kernel_finish_transition(int root_fd, const char *name, bool patching) {
        _cleanup_(klp_patch_freep) KlpPatch *patch = NULL;
        _cleanup_free_ char *transition = NULL;
        int r = klp_sysfs_read(root_fd, name, false, &patch);
        bool replacing;

        if (r < 0)
                return r;
        replacing = patching && patch->replace == TRISTATE_YES;
        if (replacing)
                r = other_patches_do(root_fd, name, switch_off_replaced);
        if (r < 0)
                return r;
        transition = fake_tree_format("sys/kernel/livepatch/%s/transition", name);
        if (!transition)
                return -ENOMEM;
        (void) fake_kernel_set_tasks(root_fd, -1, 0);
        (void) fake_kernel_log(root_fd, 5, "livepatch: '%s': %s complete", name, patching ? "patching" : "unpatching");
        r = fake_kernel_set_attribute(root_fd, transition, "0\n");
        if (r < 0)
                return r;
        if (!patching)
                return drop_patch(root_fd, name);
        return replacing ? drop_all_replaced(root_fd, name) : 0;
}
