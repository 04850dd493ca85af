/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors of module files: the store's own and the vendor's. */

#include <fcntl.h>

#include "common/fd-util.h"
#include "daemon/store-internal.h"

#define VENDOR_PATCHES_DIR LP_VENDOR_DIR "/" LP_PATCHES_DIR_NAME

/* In the order of preference: the first can be loaded through the file itself. */
static const char *const vendor_suffixes[] = { ".ko", ".ko.zst", ".ko.xz", ".ko.gz" };

int store_open_module(Store *store, const PatchRecord *record, Failure *f) {
        StoreModuleName module = store_module_name(record->sha256);
        _cleanup_failure_ Failure why = {};
        _cleanup_close_ int dir_fd = -EBADF;
        int fd;

        if (record->origin == ORIGIN_VENDOR)
                return store_open_vendor(store, record->kernel_release, record->name, f);
        dir_fd = store_open_patches(store, record->kernel_release, record->name, false, &why);
        fd = dir_fd < 0 ? dir_fd : store_open_file(dir_fd, module.name, &why);
        if (fd >= 0)
                return fd;
        if (fd == -ENOMEM)
                return failure_oom(f);
        (void) failure_set(f, REFUSED_STORE_FAILED, "The module file of patch '%s' in " STORE_STATE_PATH " cannot be "
                           "opened: %s. Nothing was changed; stage or apply the original file again", record->name,
                           fd == -EBADMSG ? failure_text(&why) : strerror(-fd));
        return fd;
}

/* The length of the module's name in a vendor's file name, or 0. */
static size_t vendor_name_length(const char *file) {
        for (size_t i = 0; i < ELEMENTSOF(vendor_suffixes); i++)
                if (endswith(file, vendor_suffixes[i]))
                        return strlen(file) - strlen(vendor_suffixes[i]);
        return 0;
}

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static bool strv_contains(char *const *l, const char *s) {
        for (; l && *l; l++)
                if (streq(*l, s))
                        return true;
        return false;
}

static int vendor_dir(const char *release, char **ret) {
        return asprintf(ret, VENDOR_PATCHES_DIR "/%s", release) < 0 ? -ENOMEM : 0;
}

int store_list_vendor(Store *store, const char *release, char ***ret) {
        _cleanup_strv_free_ char **files = NULL, **names = calloc(1, sizeof(char *));
        _cleanup_free_ char *dir = NULL;
        int r;

        if (!names)
                return -ENOMEM;
        r = kernel_release_is_valid(release) ? vendor_dir(release, &dir) : -ENOENT;
        if (r >= 0)
                r = list_dir_at(store->root_fd, dir, &files);
        if (r < 0 && r != -ENOENT)
                return r;
        for (char **file = files; file && *file; file++) {
                _cleanup_free_ char *name = strndup(*file, vendor_name_length(*file));

                if (!name)
                        return -ENOMEM;
                if (!module_name_is_valid(name) || strv_contains(names, name))
                        continue;
                r = strv_append(&names, name);
                if (r < 0)
                        return r;
        }
        qsort(names, strv_length(names), sizeof(char *), compare_strings);
        *ret = TAKE_PTR(names);
        return 0;
}

/* Links are followed: the directory is the package's, and the module is verified by whoever reads it. */
static int open_vendor_file(Store *store, const char *dir, const char *name, const char *suffix) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (asprintf(&path, "%s/%s%s", dir, name, suffix) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        fd = openat(store->root_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return negative_errno();
        return S_ISREG(st.st_mode) ? TAKE_FD(fd) : -EBADFD;
}

int store_open_vendor(Store *store, const char *release, const char *name, Failure *f) {
        _cleanup_free_ char *dir = NULL;
        int fd = -ENOENT;

        if (kernel_release_is_valid(release) && module_name_is_valid(name)) {
                if (vendor_dir(release, &dir) < 0)
                        return failure_oom(f);
                for (size_t i = 0; i < ELEMENTSOF(vendor_suffixes) && fd == -ENOENT; i++)
                        fd = open_vendor_file(store, dir, name, vendor_suffixes[i]);
        }
        if (fd >= 0)
                return fd;
        if (fd == -ENOMEM)
                return failure_oom(f);
        if (fd == -ENOENT)
                (void) failure_set(f, REFUSED_NO_SUCH_PATCH, "The vendor has no patch '%s' for kernel %s in "
                                   "/" VENDOR_PATCHES_DIR ". Nothing was changed", name, release);
        else
                (void) failure_set(f, REFUSED_STORE_FAILED, "The vendor's patch '%s' for kernel %s in "
                                   "/" VENDOR_PATCHES_DIR " cannot be opened: %s. Nothing was changed", name, release,
                                   fd == -EBADFD ? "it is not a regular file" : strerror(-fd));
        return fd;
}
