/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing the store: modules, manifests, removal, and taking back what failed half way.
 *
 * The manifest's rename (its unlink, on removal) is the commit point. What comes before it can be swept away, what
 * comes after it can be left to a sweep; an error at the commit point itself, where nobody knows what the disk holds,
 * is answered by writing the old manifest again. */

#include <fcntl.h>

#include "common/fd-util.h"
#include "daemon/store-internal.h"

#define COMPARE_CHUNK KIB(64)

#define UNCHANGED "Nothing was changed"
#define UNCERTAIN "Taking the change back failed, too, so that it may or may not have happened"

/* A patch directory as it was before it is written to. */
typedef struct Edit {
        Store *store;
        const char *release;
        const char *name;
        int dir_fd;
        Manifest old; /* current is NULL: there was none */
        char *old_data;
        size_t old_size;
} Edit;

static void edit_done(Edit *edit) {
        safe_close(edit->dir_fd);
        manifest_done(&edit->old);
        free(edit->old_data);
}

/* -ENOENT: no directory and create not asked for. */
static int edit_begin(Edit *edit, bool create) {
        int r;

        edit->dir_fd = store_open_patches(edit->store, edit->release, edit->name, create, NULL);
        if (edit->dir_fd < 0) {
                if (create)
                        store_prune_dirs(edit->store, edit->release, edit->name);
                return edit->dir_fd;
        }
        r = store_read_manifest(edit->dir_fd, &edit->old, &edit->old_data, &edit->old_size, NULL);
        return r == -ENOENT ? 0 : r;
}

static int read_manifest_bytes(int dir_fd, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = store_open_file(dir_fd, STORE_MANIFEST_NAME, NULL);

        return fd < 0 ? fd : read_fd(fd, RECORD_SIZE_MAX, ret, ret_size);
}

/* Makes sure that the old manifest, or none, is on the disk. */
static int restore_manifest(Edit *edit) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = read_manifest_bytes(edit->dir_fd, &data, &size);

        if (!edit->old_data)
                return r == -ENOENT ? 0 : unlink_durable_at(edit->dir_fd, STORE_MANIFEST_NAME);
        if (r == 0 && size == edit->old_size && memcmp(data, edit->old_data, size) == 0)
                return 0;
        return write_file_atomic_at(edit->dir_fd, STORE_MANIFEST_NAME, edit->old_data, edit->old_size,
                                    STORE_FILE_MODE);
}

/* After a failed write: the old state, and nothing else. */
static int edit_undo(Edit *edit, int error, const char *what, Failure *f) {
        if (restore_manifest(edit) < 0)
                return store_failure(f, error, what, UNCERTAIN);
        (void) store_sweep_dir(edit->dir_fd, edit->old.current ? &edit->old : NULL);
        store_prune_dirs(edit->store, edit->release, edit->name);
        return store_failure(f, error, what, UNCHANGED);
}

static bool file_holds(int fd, const ModuleImage *image) {
        _cleanup_free_ char *buffer = malloc(COMPARE_CHUNK);
        const uint8_t *data = module_image_data(image);
        size_t size = module_image_size(image), offset = 0;
        struct stat st;

        if (!buffer || fstat(fd, &st) < 0 || (uint64_t) st.st_size != size)
                return false;
        while (offset < size) {
                ssize_t n = pread(fd, buffer, COMPARE_CHUNK, (off_t) offset);

                if (n <= 0 || (size_t) n > size - offset || memcmp(buffer, data + offset, (size_t) n) != 0)
                        return false;
                offset += (size_t) n;
        }
        return true;
}

/* Returns 1 if the bytes are there, and durable, 0 if they have to be written. */
static int module_is_there(int dir_fd, const char *name, const ModuleImage *image) {
        _cleanup_close_ int fd = store_open_file(dir_fd, name, NULL);

        if (fd < 0 || !file_holds(fd, image))
                return 0;
        /* Whoever wrote it may have been killed between the rename and its fsync. */
        if (fsync(fd) < 0 || fsync(dir_fd) < 0)
                return negative_errno();
        return 1;
}

static int write_module(int dir_fd, const ModuleImage *image) {
        StoreModuleName module = store_module_name(module_image_sha256(image));
        bool existed = exists_at(dir_fd, module.name);
        int r = existed ? module_is_there(dir_fd, module.name, image) : 0;

        if (r != 0)
                return MIN(r, 0);
        r = copy_fd_atomic_at(module_image_fd(image), module_image_size(image), dir_fd, module.name, STORE_FILE_MODE);
        if (r < 0 && !existed)
                (void) unlinkat(dir_fd, module.name, 0);
        return r;
}

int store_put_module(Store *store, const char *release, const char *name, const ModuleImage *image, Failure *f) {
        _cleanup_close_ int dir_fd = -EBADF;
        int r;

        if (!kernel_release_is_valid(release) || !module_name_is_valid(name))
                return failure_set(f, -EINVAL, "The name of the module or of its kernel is not valid");
        dir_fd = store_open_patches(store, release, name, true, NULL);
        r = dir_fd < 0 ? dir_fd : write_module(dir_fd, image);
        if (r >= 0)
                return 0;
        store_prune_dirs(store, release, name);
        return store_failure(f, r, "store the module", UNCHANGED);
}

/* The record with its file's size. */
static int complete_record(const Edit *edit, const PatchRecord *record, PatchRecord *ret, Failure *f) {
        _cleanup_failure_ Failure why = {};
        uint64_t size = record->size;
        int r = store_check_module(edit->dir_fd, record, &size, &why);

        if (r == -EBADMSG)
                return failure_set(f, -EINVAL, "Patch '%s' cannot be recorded: %s. " UNCHANGED, record->name,
                                   failure_text(&why));
        if (r < 0)
                return store_failure(f, r, "read the module file", UNCHANGED);
        *ret = *record;
        ret->size = size;
        return 0;
}

/* What stands again at the next boot, if the record is for this boot only. */
static PatchRecord *shadowed_by(const Edit *edit, const PatchRecord *record) {
        if (!record->transient_boot_id || !edit->old.current)
                return NULL;
        return edit->old.current->transient_boot_id ? edit->old.next_boot : edit->old.current;
}

static int format_manifest(const PatchRecord *record, const PatchRecord *next_boot, char **ret, Failure *f) {
        int r = manifest_format(record, next_boot, ret);

        if (r == -EFBIG)
                return failure_set(f, REFUSED_TOO_LARGE, "Patch '%s' names more functions than a record can hold. "
                                   UNCHANGED, record->name);
        if (r == -EINVAL)
                return failure_set(f, r, "The record of patch '%s' is not valid. " UNCHANGED, record->name);
        return r < 0 ? failure_oom(f) : 0;
}

static int put_record(Edit *edit, const PatchRecord *record, Failure *f) {
        _cleanup_free_ char *text = NULL;
        PatchRecord complete; /* shares its strings with the record */
        Manifest manifest;
        int r = complete_record(edit, record, &complete, f);

        if (r != 0)
                return r;
        manifest = (Manifest) { .current = &complete, .next_boot = shadowed_by(edit, record) };
        r = format_manifest(&complete, manifest.next_boot, &text, f);
        if (r != 0)
                return r;
        r = write_file_atomic_at(edit->dir_fd, STORE_MANIFEST_NAME, text, strlen(text), STORE_FILE_MODE);
        if (r < 0)
                return edit_undo(edit, r, "write the patch's record", f);
        (void) store_sweep_dir(edit->dir_fd, &manifest);
        return 0;
}

int store_put(Store *store, const PatchRecord *record, Failure *f) {
        _cleanup_(edit_done) Edit edit = {
                .store = store,
                .release = record->kernel_release,
                .name = record->name,
                .dir_fd = -EBADF,
        };
        int r;

        if (!kernel_release_is_valid(record->kernel_release) || !module_name_is_valid(record->name) ||
            !sha256_is_valid(record->sha256))
                return failure_set(f, -EINVAL, "The record's name, kernel or digest is not valid");
        r = edit_begin(&edit, record->origin == ORIGIN_VENDOR);
        if (r == -ENOENT)
                return failure_set(f, -EINVAL, "Patch '%s' cannot be recorded: its module file was not stored",
                                   record->name);
        if (r < 0)
                return store_failure(f, r, "open the patch's directory", UNCHANGED);
        r = put_record(&edit, record, f);
        if (r != 0)
                store_prune_dirs(store, edit.release, edit.name);
        return r;
}

/* The commit point of a removal. */
static int unlink_manifest(Edit *edit, Failure *f) {
        int r = unlink_durable_at(edit->dir_fd, STORE_MANIFEST_NAME);

        if (r >= 0)
                return 0;
        return store_failure(f, r, "remove the patch", restore_manifest(edit) < 0 ? UNCERTAIN : UNCHANGED);
}

static int remove_files(Edit *edit, Failure *f) {
        _cleanup_free_ char *path = NULL;
        int r = unlink_manifest(edit, f);

        if (r != 0)
                return r;
        /* The patch is gone; what the rest fails to clear away, the next store_load() does. */
        if (store_sweep_dir(edit->dir_fd, NULL) > 0)
                (void) store_set_aside(edit->store, edit->release, edit->name, &path);
        store_prune_dirs(edit->store, edit->release, edit->name);
        return 0;
}

int store_remove(Store *store, const char *release, const char *name, Failure *f) {
        _cleanup_(edit_done) Edit edit = { .store = store, .release = release, .name = name, .dir_fd = -EBADF };
        _cleanup_free_ char *path = NULL;
        int r;

        if (!kernel_release_is_valid(release) || !module_name_is_valid(name))
                return 0;
        r = edit_begin(&edit, false);
        if (r == -ENOENT)
                return 0;
        if (r == -EBADMSG) /* damaged since it was loaded: out of the way is what was asked for */
                r = store_set_aside(store, release, name, &path);
        else if (r >= 0)
                return remove_files(&edit, f);
        store_prune_dirs(store, release, NULL);
        return r < 0 ? store_failure(f, r, "remove the patch", UNCHANGED) : 0;
}

int store_take_back(Store *store, const char *release, const char *name, PatchRecord **ret, bool *ret_changed,
                    Failure *f) {
        _cleanup_(edit_done) Edit edit = { .store = store, .release = release, .name = name, .dir_fd = -EBADF };
        _cleanup_(patch_record_freep) PatchRecord *before = NULL;
        int r = edit_begin(&edit, false);

        *ret_changed = false;
        if (r < 0 && r != -ENOENT)
                return store_failure(f, r, "read the patch's record", UNCHANGED);
        if (r == -ENOENT || !edit.old.current || !edit.old.current->transient_boot_id)
                return 0;
        if (edit.old.next_boot && patch_record_copy(edit.old.next_boot, &before) < 0)
                return failure_oom(f);
        r = before ? put_record(&edit, before, f) : remove_files(&edit, f);
        if (r != 0)
                return r;
        *ret = TAKE_PTR(before);
        *ret_changed = true;
        return 0;
}
