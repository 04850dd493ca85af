/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading the store: every record that can be trusted, and an account of what cannot. */

#include "common/fd-util.h"
#include "common/log.h"
#include "daemon/store-internal.h"

typedef struct Loader {
        Store *store;
        const char *boot_id;
        RecordList list;
        size_t allocated;
        char ***problems;
} Loader;

void record_list_done(RecordList *list) {
        if (!list)
                return;
        for (size_t i = 0; i < list->n; i++)
                patch_record_free(list->records[i]);
        free(list->records);
        *list = (RecordList) {};
}

uint64_t record_list_next_order(const RecordList *list) {
        uint64_t highest = 0;

        for (size_t i = 0; i < list->n; i++)
                highest = MAX(highest, list->records[i]->order);
        return highest < INT64_MAX ? highest + 1 : INT64_MAX; /* the most that a manifest can hold */
}

static int list_append(Loader *loader, PatchRecord *record) {
        if (loader->list.n == loader->allocated) {
                size_t want = MAX(loader->allocated * 2, (size_t) 16);
                PatchRecord **grown = realloc(loader->list.records, want * sizeof(PatchRecord *));

                if (!grown) {
                        patch_record_free(record);
                        return -ENOMEM;
                }
                loader->list.records = grown;
                loader->allocated = want;
        }
        loader->list.records[loader->list.n++] = record;
        return 0;
}

static int compare_records(const void *a, const void *b) {
        const PatchRecord *x = *(PatchRecord *const *) a, *y = *(PatchRecord *const *) b;
        int r = strcmp(x->kernel_release, y->kernel_release);

        if (r != 0)
                return r;
        if (x->order != y->order)
                return x->order < y->order ? -1 : 1;
        return strcmp(x->name, y->name);
}

static _printf_(2, 3) int add_problem(Loader *loader, const char *format, ...) {
        _cleanup_free_ char *text = NULL, *clean = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&text, format, ap);
        va_end(ap);
        if (r < 0) {
                text = NULL;
                return -ENOMEM;
        }
        clean = sanitize_text(text, KIB(1)); /* names of files can be anything */
        return clean ? strv_append(loader->problems, clean) : -ENOMEM;
}

/* One entry of the store that is being read; name is NULL for something in the place of a whole release. */
typedef struct Entry {
        const char *release;
        const char *name;
        int dir_fd;
} Entry;

static int report(Loader *loader, const Entry *entry, const char *why, const char *outcome) {
        if (!entry->name)
                return add_problem(loader, "Entry '%s' of " STORE_STATE_PATH "/" LP_PATCHES_DIR_NAME ": %s; %s",
                                   entry->release, why, outcome);
        return add_problem(loader, "Patch '%s' for kernel %s: %s; %s", entry->name, entry->release, why, outcome);
}

static int set_aside(Loader *loader, const Entry *entry, const char *why) {
        _cleanup_free_ char *path = NULL, *outcome = NULL;
        int n, r = store_set_aside(loader->store, entry->release, entry->name, &path);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                n = asprintf(&outcome, "it could not be set aside (%s) and is ignored", strerror(-r));
        else
                n = asprintf(&outcome, "it was set aside as " STORE_STATE_PATH "/%s and is ignored", path);
        if (n < 0) {
                outcome = NULL;
                return -ENOMEM;
        }
        return report(loader, entry, why, outcome);
}

/* error: -EBADMSG is the verdict that the entry is damaged, why says how. Anything else only says that it could not be
 * read this time (an I/O error, no permission): it stays where it is. */
static int give_up(Loader *loader, const Entry *entry, int error, const Failure *why) {
        if (error == -ENOMEM)
                return error;
        loader->list.n_lost++;
        if (error == -EBADMSG)
                return set_aside(loader, entry, failure_text(why));
        return report(loader, entry, strerror(-error), "it could not be read and is ignored");
}

/* Nothing that counts is left here. What is not ours to delete is kept elsewhere, out of the way of a new patch. */
static int clear_entry(Loader *loader, const Entry *entry) {
        int n = store_sweep_dir(entry->dir_fd, NULL);

        if (n > 0)
                return set_aside(loader, entry, "it has files but no manifest");
        store_prune_dirs(loader->store, entry->release, entry->name);
        return 0;
}

static int check_identity(const Entry *entry, const Manifest *manifest, Failure *f) {
        if (!streq(manifest->current->name, entry->name) || !streq(manifest->current->kernel_release, entry->release))
                return failure_set(f, -EBADMSG, "its manifest is one of patch '%s' for kernel %s",
                                   manifest->current->name, manifest->current->kernel_release);
        return 0;
}

static void promote(Manifest *manifest) {
        patch_record_free(manifest->current);
        manifest->current = TAKE_PTR(manifest->next_boot);
}

/* Leaves in manifest->current the record that holds in this boot, or NULL; *ret_changed: not what the disk says. */
static int choose_record(Loader *loader, const Entry *entry, Manifest *manifest, bool *ret_changed, Failure *f) {
        const char *transient = manifest->current->transient_boot_id;
        bool changed = transient && !streq(transient, loader->boot_id);
        int r = 0;

        if (changed)
                promote(manifest);
        if (manifest->current)
                r = store_check_module(entry->dir_fd, manifest->current, NULL, f);
        if (r == -EBADMSG && manifest->next_boot) {
                r = report(loader, entry, failure_text(f), "the build that it took the place of stands again");
                if (r < 0)
                        return r;
                changed = true;
                promote(manifest);
                r = store_check_module(entry->dir_fd, manifest->current, NULL, f);
        }
        *ret_changed = changed;
        return r;
}

/* If that fails (on a read-only disk) the next start does it: what was chosen follows from the same facts again. */
static int write_choice(const Entry *entry, const Manifest *manifest) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (manifest->current) {
                r = manifest_format(manifest->current, NULL, &text);
                if (r >= 0)
                        r = write_file_atomic_at(entry->dir_fd, STORE_MANIFEST_NAME, text, strlen(text),
                                                 STORE_FILE_MODE);
        } else
                r = unlink_durable_at(entry->dir_fd, STORE_MANIFEST_NAME);
        return r < 0 ? log_debug_errno(r, "Failed to update the manifest of '%s', ignoring: %m", entry->name) : 0;
}

/* Clears away what the chosen record, and the manifest on the disk, have no use for. */
static int tidy_entry(Loader *loader, const Entry *entry, const Manifest *manifest) {
        int n;

        if (!manifest->current)
                return clear_entry(loader, entry);
        n = store_sweep_dir(entry->dir_fd, manifest);
        return n > 0 ? report(loader, entry, "its directory holds files that livepatchd did not put there",
                              "they are ignored") : 0;
}

static int load_manifest(Loader *loader, const Entry *entry, Manifest *manifest) {
        _cleanup_failure_ Failure why = {};
        bool changed = false;
        int r = check_identity(entry, manifest, &why);

        if (r == 0)
                r = choose_record(loader, entry, manifest, &changed, &why);
        if (r < 0)
                return give_up(loader, entry, r, &why);
        if (!changed || write_choice(entry, manifest) >= 0)
                r = tidy_entry(loader, entry, manifest);
        if (r < 0 || !manifest->current)
                return r;
        return list_append(loader, TAKE_PTR(manifest->current));
}

static int load_entry(Loader *loader, int release_fd, const char *release, const char *name) {
        _cleanup_failure_ Failure why = {};
        _cleanup_manifest_ Manifest manifest = {};
        _cleanup_close_ int dir_fd = -EBADF;
        Entry entry = { .release = release, .name = name };
        int r;

        if (!module_name_is_valid(name))
                return set_aside(loader, &entry, "it is not the name of a module");
        dir_fd = store_open_dir(release_fd, name, false, &why);
        if (dir_fd < 0)
                return give_up(loader, &entry, dir_fd, &why);
        entry.dir_fd = dir_fd;
        r = store_read_manifest(dir_fd, &manifest, NULL, NULL, &why);
        if (r == -ENOENT)
                return clear_entry(loader, &entry);
        if (r < 0)
                return give_up(loader, &entry, r, &why);
        return load_manifest(loader, &entry, &manifest);
}

static int load_release(Loader *loader, int patches_fd, const char *release) {
        _cleanup_failure_ Failure why = {};
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_close_ int release_fd = -EBADF;
        Entry entry = { .release = release };
        int r;

        if (!kernel_release_is_valid(release))
                return set_aside(loader, &entry, "it is not the name of a kernel release");
        release_fd = store_open_dir(patches_fd, release, false, &why);
        if (release_fd < 0)
                return give_up(loader, &entry, release_fd, &why);
        r = list_dir_at(release_fd, ".", &names);
        if (r < 0)
                return give_up(loader, &entry, r, &why);
        for (char **name = names; *name; name++) {
                r = load_entry(loader, release_fd, release, *name);
                if (r < 0)
                        return r;
        }
        store_prune_dirs(loader->store, release, NULL);
        return 0;
}

static int load_all(Loader *loader) {
        _cleanup_failure_ Failure why = {};
        _cleanup_strv_free_ char **releases = NULL;
        _cleanup_close_ int fd = store_open_patches(loader->store, NULL, NULL, false, &why);
        int r = fd < 0 ? fd : list_dir_at(fd, ".", &releases);

        if (r == -ENOENT || r == -ENOMEM)
                return r == -ENOENT ? 0 : r;
        loader->list.n_lost += r < 0;
        if (r < 0)
                return add_problem(loader, STORE_STATE_PATH "/" LP_PATCHES_DIR_NAME " could not be read (%s): no "
                                   "staged patches are known", r == -EBADMSG ? failure_text(&why) : strerror(-r));
        for (char **release = releases; *release; release++) {
                r = load_release(loader, fd, *release);
                if (r < 0)
                        return r;
        }
        return 0;
}

/**
 * store_load() - read every record, setting aside what is damaged
 *
 * Fails only when out of memory: a store that cannot be read at all is an empty one with a problem, since a daemon that
 * does not start could not even tell.
 */
int store_load(Store *store, const char *boot_id, RecordList *ret, char ***problems, Failure *f) {
        Loader loader = { .store = store, .boot_id = boot_id, .problems = problems };
        int r = load_all(&loader);

        if (r < 0) {
                record_list_done(&loader.list);
                return failure_oom(f);
        }
        if (loader.list.n > 0)
                qsort(loader.list.records, loader.list.n, sizeof(PatchRecord *), compare_records);
        *ret = loader.list;
        return 0;
}
