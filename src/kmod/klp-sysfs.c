/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /sys/kernel/livepatch: what is patched right now, and the switch to turn a patch off. */

#include <limits.h>
#include <stdlib.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "kmod/kernel-refusal.h"
#include "kmod/klp-sysfs.h"

#define KLP_DIR "sys/kernel/livepatch"
#define MODULE_DIR "sys/module"
#define VMLINUX "vmlinux"

/* The longest module name between the longest directory and the longest attribute below it. */
#define SYSFS_PATH_MAX (sizeof(KLP_DIR) + MODULE_NAME_MAX + sizeof("/initstate"))

static void klp_object_done(KlpObject *object) {
        for (size_t i = 0; i < object->n_functions; i++)
                free(object->functions[i].name);
        free(object->functions);
        free(object->name);
        *object = (KlpObject) {};
}

void klp_patch_done(KlpPatch *patch) {
        for (size_t i = 0; i < patch->n_objects; i++)
                klp_object_done(patch->objects + i);
        free(patch->objects);
        free(patch->name);
        *patch = (KlpPatch) {};
}

KlpPatch *klp_patch_free(KlpPatch *patch) {
        if (patch) {
                klp_patch_done(patch);
                free(patch);
        }
        return NULL;
}

void klp_patch_list_done(KlpPatchList *list) {
        for (size_t i = 0; i < list->n; i++)
                klp_patch_done(list->patches + i);
        free(list->patches);
        *list = (KlpPatchList) {};
}

/* An attribute that was open while its directory went away reads ENODEV (fs/kernfs/file.c, kernfs_get_active()); to
 * the caller that is the same as not having found it. */
static int gone_is_enoent(int r) {
        return r == -ENODEV ? -ENOENT : r;
}

static int read_flag_at(int dir_fd, const char *attribute, bool *ret) {
        int value, r = gone_is_enoent(read_int_at(dir_fd, attribute, &value));

        if (r < 0)
                return r;
        *ret = value != 0;
        return 0;
}

/* For attributes that older kernels lack. */
static int read_optional_flag_at(int dir_fd, const char *attribute, Tristate *ret) {
        bool flag;
        int r = read_flag_at(dir_fd, attribute, &flag);

        if (r == -ENOENT) {
                *ret = TRISTATE_UNKNOWN;
                return 0;
        }
        if (r < 0)
                return r;
        *ret = flag ? TRISTATE_YES : TRISTATE_NO;
        return 0;
}

/* Symbols of C and Rust, with the suffixes that compilers add (".isra.0", ".llvm.123", "$"). */
static bool symbol_name_is_valid(const char *s) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.$";

        return *s && s[strspn(s, allowed)] == '\0';
}

/* "<function>,<sympos>" (Documentation/ABI/testing/sysfs-kernel-livepatch). 1: parsed, 0: some other entry. */
static int function_parse(const char *entry, KlpFunction *ret) {
        const char *comma = strrchr(entry, ',');
        _cleanup_free_ char *name = NULL;
        unsigned sympos;

        if (!comma || comma[1] < '1' || comma[1] > '9' || parse_uint(comma + 1, &sympos) < 0)
                return 0;
        name = strndup(entry, (size_t) (comma - entry));
        if (!name)
                return -ENOMEM;
        if (!symbol_name_is_valid(name))
                return 0;
        *ret = (KlpFunction) { .name = TAKE_PTR(name), .sympos = sympos };
        return 1;
}

static int object_read_functions(int object_fd, KlpObject *object) {
        _cleanup_strv_free_ char **entries = NULL;
        int n = list_dir_at(object_fd, ".", &entries);

        if (n <= 0)
                return gone_is_enoent(n);
        object->functions = calloc((size_t) n, sizeof(KlpFunction));
        if (!object->functions)
                return -ENOMEM;
        for (int i = 0; i < n; i++) {
                int r = function_parse(entries[i], object->functions + object->n_functions);

                if (r < 0)
                        return r;
                object->n_functions += (size_t) r;
        }
        return 0;
}

static bool module_is_live(int root_fd, const char *name) {
        char path[SYSFS_PATH_MAX];
        _cleanup_free_ char *state = NULL;

        (void) snprintf(path, sizeof(path), MODULE_DIR "/%s/initstate", name);
        return read_line_at(root_fd, path, &state) >= 0 && streq(state, "live");
}

/* 1: *object filled in; 0: the entry is no object (an attribute, or a name that no module can have). */
static int object_read(int root_fd, int patch_fd, const char *name, KlpObject *object) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!module_name_is_valid(name))
                return 0;
        fd = open_dir_at(patch_fd, name);
        if (fd == -ENOTDIR || fd == -ELOOP)
                return 0;
        if (fd < 0)
                return gone_is_enoent(fd);
        r = object_read_functions(fd, object);
        if (r < 0)
                return r;
        r = read_optional_flag_at(fd, "patched", &object->patched);
        if (r < 0)
                return r;
        object->loaded = streq(name, VMLINUX) || module_is_live(root_fd, name);
        object->name = strdup(name);
        return object->name ? 1 : -ENOMEM;
}

static int patch_read_objects(int root_fd, int patch_fd, KlpPatch *patch) {
        _cleanup_strv_free_ char **entries = NULL;
        int n = list_dir_at(patch_fd, ".", &entries);

        if (n <= 0)
                return gone_is_enoent(n);
        patch->objects = calloc((size_t) n, sizeof(KlpObject));
        if (!patch->objects)
                return -ENOMEM;
        for (int i = 0; i < n; i++) {
                KlpObject *object = patch->objects + patch->n_objects;
                int r = object_read(root_fd, patch_fd, entries[i], object);

                if (r < 0) {
                        klp_object_done(object);
                        return r;
                }
                patch->n_objects += (size_t) r;
        }
        return 0;
}

static int patch_read_state(int patch_fd, bool *ret_enabled, bool *ret_transition) {
        bool enabled, transition;
        int r = read_flag_at(patch_fd, "enabled", &enabled);

        if (r < 0)
                return r;
        r = read_flag_at(patch_fd, "transition", &transition);
        if (r < 0)
                return r;
        *ret_enabled = enabled;
        *ret_transition = transition;
        return 0;
}

static int patch_read_attributes(int patch_fd, KlpPatch *patch) {
        int order, r = read_optional_flag_at(patch_fd, "replace", &patch->replace);

        if (r < 0)
                return r;
        r = gone_is_enoent(read_int_at(patch_fd, "stack_order", &order));
        if (r < 0 && r != -ENOENT)
                return r;
        patch->stack_order = r >= 0 && order > 0 ? (unsigned) order : 0;
        return 0;
}

static int patch_open(int root_fd, const char *name) {
        char path[SYSFS_PATH_MAX];

        if (!module_name_is_valid(name))
                return -EINVAL;
        (void) snprintf(path, sizeof(path), KLP_DIR "/%s", name);
        return gone_is_enoent(open_dir_at(root_fd, path));
}

/* Fills in *patch, which the caller clears on failure, too. The state is read last, through the directory that was
 * open all the time: if it can still be read then, nothing that was read before came from a vanishing patch. */
static int patch_read(int root_fd, const char *name, bool with_objects, KlpPatch *patch) {
        _cleanup_close_ int fd = patch_open(root_fd, name);
        int r;

        if (fd < 0)
                return fd;
        patch->name = strdup(name);
        if (!patch->name)
                return -ENOMEM;
        if (with_objects) {
                r = patch_read_objects(root_fd, fd, patch);
                if (r < 0)
                        return r;
        }
        r = patch_read_attributes(fd, patch);
        if (r < 0)
                return r;
        return patch_read_state(fd, &patch->enabled, &patch->transition);
}

int klp_sysfs_read(int root_fd, const char *name, bool with_objects, KlpPatch **ret) {
        _cleanup_(klp_patch_freep) KlpPatch *patch = calloc(1, sizeof(KlpPatch));
        int r;

        if (!patch)
                return -ENOMEM;
        r = patch_read(root_fd, name, with_objects, patch);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(patch);
        return 0;
}

/* Names of all patches; the count, or -EOPNOTSUPP without CONFIG_LIVEPATCH. */
static int list_names(int root_fd, char ***ret) {
        int n = list_dir_at(root_fd, KLP_DIR, ret);

        return n == -ENOENT || n == -ENOTDIR ? -EOPNOTSUPP : n;
}

int klp_sysfs_list(int root_fd, bool with_objects, KlpPatchList *ret) {
        _cleanup_(klp_patch_list_done) KlpPatchList list = {};
        _cleanup_strv_free_ char **names = NULL;
        int n = list_names(root_fd, &names);

        if (n < 0)
                return n;
        list.patches = calloc((size_t) n + 1, sizeof(KlpPatch));
        if (!list.patches)
                return -ENOMEM;
        for (int i = 0; i < n; i++) {
                KlpPatch *patch = list.patches + list.n;
                int r = patch_read(root_fd, names[i], with_objects, patch);

                if (r < 0)
                        klp_patch_done(patch);
                else
                        list.n++;
                /* Gone meanwhile, or nothing that the kernel would put there. */
                if (r < 0 && r != -ENOENT && r != -EINVAL && r != -ENOTDIR)
                        return r;
        }
        *ret = list;
        list = (KlpPatchList) {};
        return 0;
}

int klp_sysfs_read_state(int root_fd, const char *name, bool *ret_enabled, bool *ret_transition) {
        _cleanup_close_ int fd = patch_open(root_fd, name);

        return fd < 0 ? fd : patch_read_state(fd, ret_enabled, ret_transition);
}

int klp_sysfs_transition_owner(int root_fd, char **ret) {
        _cleanup_strv_free_ char **names = NULL;
        int n = list_names(root_fd, &names);

        if (n < 0)
                return n;
        for (int i = 0; i < n; i++) {
                bool enabled, transition;
                int r = klp_sysfs_read_state(root_fd, names[i], &enabled, &transition);

                if (r == -ENOENT || r == -EINVAL || r == -ENOTDIR)
                        continue;
                if (r < 0)
                        return r;
                if (transition) {
                        char *owner = strdup(names[i]);

                        if (!owner)
                                return -ENOMEM;
                        *ret = owner;
                        return 0;
                }
        }
        *ret = NULL;
        return 0;
}

int klp_sysfs_set_enabled(int root_fd, const char *name, bool enabled, Failure *f) {
        char path[SYSFS_PATH_MAX];
        int r;

        if (!module_name_is_valid(name))
                return failure_set(f, -EINVAL, "'%s' is not the name of a kernel module", name);
        (void) snprintf(path, sizeof(path), KLP_DIR "/%s/enabled", name);
        r = write_string_at(root_fd, path, enabled ? "1" : "0");
        return r < 0 ? kernel_refusal_explain_enabled(r, name, enabled, f) : 0;
}

/* force_store() in kernel/livepatch/core.c; the file exists since 4.15. */
int klp_sysfs_force_transition(int root_fd, const char *name, Failure *f) {
        char path[SYSFS_PATH_MAX];
        int r;

        if (!module_name_is_valid(name))
                return failure_set(f, -EINVAL, "'%s' is not the name of a kernel module", name);
        (void) snprintf(path, sizeof(path), KLP_DIR "/%s/force", name);
        r = write_string_at(root_fd, path, "1");
        return r < 0 ? kernel_refusal_explain_force(r, name, f) : 0;
}
