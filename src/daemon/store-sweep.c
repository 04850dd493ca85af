/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One patch directory of the store: reading its manifest, clearing leftovers away, setting it aside. */

#include <fcntl.h>

#include "common/fd-util.h"
#include "daemon/store-internal.h"

/* A patch that is damaged again at every boot must not fill the disk. */
#define SET_ASIDE_MAX 99U
#define SET_ASIDE_LABEL_MAX 150

int store_read_manifest(int dir_fd, Manifest *ret, char **ret_data, size_t *ret_size, Failure *f) {
        _cleanup_failure_ Failure why = {};
        _cleanup_free_ char *data = NULL;
        _cleanup_close_ int fd = store_open_file(dir_fd, STORE_MANIFEST_NAME, &why);
        size_t size = 0;
        int r = fd < 0 ? fd : read_fd(fd, RECORD_SIZE_MAX, &data, &size);

        if (r == -EFBIG)
                r = failure_set(&why, -EBADMSG, "it is larger than any record");
        if (r >= 0)
                r = manifest_parse(data, size, ret, &why);
        if (r == -EBADMSG)
                return failure_set(f, r, "its manifest cannot be used: %s", failure_text(&why));
        if (r < 0)
                return r;
        if (ret_data) {
                *ret_data = TAKE_PTR(data);
                *ret_size = size;
        }
        return 0;
}

int store_check_module(int dir_fd, const PatchRecord *record, uint64_t *ret_size, Failure *f) {
        StoreModuleName module = store_module_name(record->sha256);
        _cleanup_failure_ Failure why = {};
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        /* The vendor's file may come and go with its package: that is no damage of this store. */
        if (record->origin == ORIGIN_VENDOR)
                return 0;
        fd = store_open_file(dir_fd, module.name, &why);
        if (fd == -ENOENT)
                return failure_set(f, -EBADMSG, "its module file is missing");
        if (fd == -EBADMSG)
                return failure_set(f, fd, "its module file cannot be used: %s", failure_text(&why));
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return negative_errno();
        if (record->size > 0 && (uint64_t) st.st_size != record->size)
                return failure_set(f, -EBADMSG, "its module file has %llu bytes instead of %llu",
                                   (unsigned long long) st.st_size, (unsigned long long) record->size);
        if (ret_size)
                *ret_size = (uint64_t) st.st_size;
        return 0;
}

static bool is_module_of(const PatchRecord *record, const char *name) {
        return record && record->origin != ORIGIN_VENDOR && streq(store_module_name(record->sha256).name, name);
}

static bool is_kept(const Manifest *keep, const char *name) {
        if (!keep)
                return false;
        return streq(name, STORE_MANIFEST_NAME) || is_module_of(keep->current, name) ||
               is_module_of(keep->next_boot, name);
}

int store_sweep_dir(int dir_fd, const Manifest *keep) {
        _cleanup_strv_free_ char **names = NULL;
        bool changed = false;
        int n_others = 0, r = list_dir_at(dir_fd, ".", &names);

        if (r < 0)
                return r;
        for (char **name = names; *name; name++) {
                if (is_kept(keep, *name))
                        continue;
                if (!store_is_module_name(*name) && !endswith(*name, TEMPORARY_SUFFIX))
                        n_others++;
                else if (unlinkat(dir_fd, *name, 0) >= 0)
                        changed = true;
                else if (errno == EISDIR)
                        n_others++;
                else if (errno != ENOENT)
                        return negative_errno();
        }
        if (changed && fsync(dir_fd) < 0)
                return negative_errno();
        return n_others;
}

/* Failing is the normal case: others are in there. */
static void prune_dir(int parent_fd, const char *name) {
        if (unlinkat(parent_fd, name, AT_REMOVEDIR) >= 0)
                (void) fsync(parent_fd);
}

void store_prune_dirs(Store *store, const char *release, const char *name) {
        _cleanup_close_ int patches_fd = store_open_patches(store, NULL, NULL, false, NULL);
        _cleanup_close_ int release_fd = -EBADF;

        if (patches_fd < 0)
                return;
        if (name) {
                release_fd = store_open_dir(patches_fd, release, false, NULL);
                if (release_fd >= 0)
                        prune_dir(release_fd, name);
        }
        prune_dir(patches_fd, release);
}

/* "<release>.<name>" with whatever such a name may hold made harmless. */
static int set_aside_label(const char *release, const char *name, char **ret) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+_~-";
        char *label;

        if (asprintf(&label, "%s%s%s", release, name ? "." : "", strempty(name)) < 0)
                return -ENOMEM;
        for (char *p = label; *p; p++)
                if (!strchr(allowed, *p))
                        *p = '_';
        if (strlen(label) > SET_ASIDE_LABEL_MAX)
                label[SET_ASIDE_LABEL_MAX] = '\0';
        *ret = label;
        return 0;
}

static int move_to_damaged(int from_fd, const char *name, int damaged_fd, const char *label, char **ret_path) {
        for (unsigned i = 1; i <= SET_ASIDE_MAX; i++) {
                _cleanup_free_ char *path = NULL;
                const char *target;

                if (asprintf(&path, STORE_DAMAGED_DIR_NAME "/%s.%u", label, i) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                target = path + STRLEN(STORE_DAMAGED_DIR_NAME "/");
                if (exists_at(damaged_fd, target))
                        continue;
                if (renameat(from_fd, name, damaged_fd, target) < 0)
                        return negative_errno();
                /* It has happened; should a power cut undo it, then the next start does it again. */
                (void) fsync(damaged_fd);
                (void) fsync(from_fd);
                *ret_path = TAKE_PTR(path);
                return 0;
        }
        return -EEXIST;
}

int store_set_aside_entry(Store *store, int from_fd, const char *entry, const char *release, const char *name,
                          char **ret_path) {
        _cleanup_close_ int state_fd = store_open_state(store, false, NULL);
        _cleanup_close_ int damaged_fd = -EBADF;
        _cleanup_free_ char *label = NULL;
        int r;

        if (state_fd < 0)
                return state_fd;
        damaged_fd = store_open_dir(state_fd, STORE_DAMAGED_DIR_NAME, true, NULL);
        if (damaged_fd < 0)
                return damaged_fd;
        r = set_aside_label(release, name, &label);
        if (r < 0)
                return r;
        return move_to_damaged(from_fd, entry, damaged_fd, label, ret_path);
}

int store_set_aside(Store *store, const char *release, const char *name, char **ret_path) {
        _cleanup_close_ int from_fd = store_open_patches(store, name ? release : NULL, NULL, false, NULL);

        if (from_fd < 0)
                return from_fd;
        return store_set_aside_entry(store, from_fd, name ?: release, release, name, ret_path);
}
