/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This boot's records, in /run: atomic, but as short-lived as the memory that they describe. */

#include <fcntl.h>

#include "common/fd-util.h"
#include "daemon/store-internal.h"

#define RUNTIME_SUFFIX ".json"
#define RUNTIME_FILE_MAX KIB(64)
#define RUNTIME_PATH "/" LP_RUN_DIR "/" LP_PATCHES_DIR_NAME

typedef struct RuntimeName {
        char name[MODULE_NAME_MAX + sizeof(RUNTIME_SUFFIX)];
} RuntimeName;

static RuntimeName runtime_name(const char *name) {
        RuntimeName file;

        (void) snprintf(file.name, sizeof(file.name), "%.*s" RUNTIME_SUFFIX, MODULE_NAME_MAX, name);
        return file;
}

static int open_runtime_dir(Store *store, bool create) {
        return store_open_dir(store->run_fd, LP_PATCHES_DIR_NAME, create, NULL);
}

static int read_runtime(int dir_fd, const char *name, RuntimeRecord **ret, Failure *f) {
        _cleanup_(runtime_record_freep) RuntimeRecord *record = NULL;
        _cleanup_free_ char *data = NULL;
        _cleanup_close_ int fd = store_open_file(dir_fd, runtime_name(name).name, f);
        size_t size;
        int r = fd < 0 ? fd : read_fd(fd, RUNTIME_FILE_MAX, &data, &size);

        if (r == -EFBIG)
                return failure_set(f, -EBADMSG, "it is larger than any record");
        if (r >= 0)
                r = runtime_record_parse(data, size, &record, f);
        if (r < 0)
                return r;
        if (!streq(record->name, name))
                return failure_set(f, -EBADMSG, "it is the record of '%s'", record->name);
        *ret = TAKE_PTR(record);
        return 0;
}

static int describe_damage(const char *name, const Failure *why, char ***problems) {
        _cleanup_free_ char *text = NULL;

        if (asprintf(&text, RUNTIME_PATH "/%s" RUNTIME_SUFFIX " is damaged: %s; it was deleted, and what this boot did "
                     "with the patch is read off the kernel alone", name, failure_text(why)) < 0) {
                text = NULL;
                return -ENOMEM;
        }
        return strv_append(problems, text);
}

int store_load_runtime(Store *store, const char *name, RuntimeRecord **ret, char ***problems) {
        _cleanup_close_ int dir_fd = module_name_is_valid(name) ? open_runtime_dir(store, false) : -ENOENT;
        _cleanup_failure_ Failure why = {};
        int r;

        if (dir_fd < 0)
                return dir_fd;
        r = read_runtime(dir_fd, name, ret, &why);
        if (r != -EBADMSG)
                return r;
        (void) unlinkat(dir_fd, runtime_name(name).name, 0);
        r = describe_damage(name, &why, problems);
        return r < 0 ? r : -ENOENT;
}

int store_list_runtime(Store *store, char ***ret_names) {
        _cleanup_strv_free_ char **files = NULL, **names = calloc(1, sizeof(char *));
        _cleanup_close_ int dir_fd = open_runtime_dir(store, false);
        int r = dir_fd < 0 ? dir_fd : list_dir_at(dir_fd, ".", &files);

        if (!names)
                return -ENOMEM;
        if (r < 0 && r != -ENOENT)
                return r;
        for (char **file = files; file && *file; file++) {
                _cleanup_free_ char *name = NULL;

                if (!endswith(*file, RUNTIME_SUFFIX))
                        continue;
                name = strndup(*file, strlen(*file) - STRLEN(RUNTIME_SUFFIX));
                if (!name)
                        return -ENOMEM;
                r = module_name_is_valid(name) ? strv_append(&names, name) : 0;
                if (r < 0)
                        return r;
        }
        *ret_names = TAKE_PTR(names);
        return 0;
}

int store_put_runtime(Store *store, const RuntimeRecord *record, Failure *f) {
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int dir_fd = -EBADF;
        int r = runtime_record_format(record, &text);

        if (r == -EINVAL || r == -EFBIG)
                return failure_set(f, -EINVAL, "The runtime record is not valid");
        if (r >= 0)
                r = dir_fd = open_runtime_dir(store, true);
        /* The fsync in here costs nothing on a tmpfs. */
        if (r >= 0)
                r = write_file_atomic_at(dir_fd, runtime_name(record->name).name, text, strlen(text),
                                         STORE_FILE_MODE);
        if (r >= 0)
                return 0;
        if (r == -ENOMEM)
                return failure_oom(f);
        return failure_set(f, REFUSED_STORE_FAILED, "Failed to write the record of patch '%s' in " RUNTIME_PATH ": %s. "
                           "Nothing was changed; check that /run has free space, then try again", record->name,
                           strerror(-r));
}

int store_remove_runtime(Store *store, const char *name) {
        _cleanup_close_ int dir_fd = module_name_is_valid(name) ? open_runtime_dir(store, false) : -ENOENT;

        if (dir_fd < 0)
                return dir_fd == -ENOENT ? 0 : dir_fd;
        if (unlinkat(dir_fd, runtime_name(name).name, 0) < 0 && errno != ENOENT)
                return negative_errno();
        return 0;
}
