/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guard records and clean shutdowns on disk. */

#include <fcntl.h>

#include "common/fd-util.h"
#include "common/log.h"
#include "daemon/guard-store.h"
#include "daemon/record-json.h"
#include "daemon/store-internal.h"

#define GUARD_DIR_NAME "guard"
#define GUARD_SUFFIX ".json"
#define CLEAN_SHUTDOWN_NAME "clean-shutdown"
#define CLEAN_SHUTDOWN_SIZE_MAX KIB(4)
/* A boot's id matters as long as a record names it: until the next boot in which anything of ours runs. The ones in
 * between ran with live patching switched off. */
#define CLEAN_SHUTDOWNS_MAX 32
#define SETTLING_NAME "settling"
#define BOOT_ID_PATH "proc/sys/kernel/random/boot_id"
#define UNCHANGED "Nothing was changed"

typedef struct GuardName {
        char name[MODULE_NAME_MAX + sizeof(GUARD_SUFFIX)];
} GuardName;

static GuardName guard_name(const char *name) {
        GuardName file;

        (void) snprintf(file.name, sizeof(file.name), "%.*s" GUARD_SUFFIX, MODULE_NAME_MAX, name);
        return file;
}

void guard_list_done(GuardList *list) {
        for (size_t i = 0; i < list->n; i++)
                guard_record_free(list->records[i]);
        free(list->records);
        *list = (GuardList) {};
}

/* guard, or guard/<release>. */
static int open_guard_dir(Store *store, const char *release, bool create, Failure *f) {
        _cleanup_close_ int state_fd = store_open_state(store, create, f);
        _cleanup_close_ int guard_fd = state_fd < 0 ? state_fd : store_open_dir(state_fd, GUARD_DIR_NAME, create, f);

        if (guard_fd < 0 || !release)
                return TAKE_FD(guard_fd);
        return store_open_dir(guard_fd, release, create, f);
}

static int read_record(int dir_fd, const char *release, const char *name, GuardRecord **ret, Failure *f) {
        _cleanup_close_ int fd = store_open_file(dir_fd, guard_name(name).name, f);
        _cleanup_(guard_record_freep) GuardRecord *record = NULL;
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = fd < 0 ? fd : read_fd(fd, GUARD_RECORD_SIZE_MAX, &data, &size);

        if (r == -EFBIG)
                return failure_set(f, -EBADMSG, "it is larger than any record");
        if (r >= 0)
                r = guard_record_parse(data, size, &record, f);
        if (r < 0)
                return r;
        if (!streq(record->name, name) || !streq(record->kernel_release, release))
                return failure_set(f, -EBADMSG, "it is the record of '%s' of kernel %s", record->name,
                                   record->kernel_release);
        *ret = TAKE_PTR(record);
        return 0;
}

/* ---- All of them ------------------------------------------------------------------------------------------- */

typedef struct Loading {
        Store *store;
        GuardList list;
        char ***problems;
} Loading;

static int take(GuardList *list, GuardRecord *record) {
        GuardRecord **grown = realloc(list->records, (list->n + 1) * sizeof(GuardRecord *));

        if (!grown) {
                guard_record_free(record);
                return -ENOMEM;
        }
        list->records = grown;
        list->records[list->n++] = record;
        return 0;
}

static int describe(Loading *loading, const char *release, const char *file, const char *why, const char *aside) {
        _cleanup_free_ char *line = NULL;
        int r;

        if (aside)
                r = asprintf(&line, STORE_STATE_PATH "/" GUARD_DIR_NAME "/%s/%s is damaged: %s. It was set aside as "
                             STORE_STATE_PATH "/%s, and the patch is treated as one that was never loaded", release,
                             file, why, aside);
        else
                r = asprintf(&line, STORE_STATE_PATH "/" GUARD_DIR_NAME "/%s/%s cannot be read: %s. It was left where "
                             "it is, and the patch is treated as one that was never loaded", release, file, why);
        if (r < 0) {
                line = NULL;
                return -ENOMEM;
        }
        return strv_append(loading->problems, line);
}

static int load_one(Loading *loading, int dir_fd, const char *release, const char *file) {
        _cleanup_free_ char *name = strndup(file, strlen(file) - STRLEN(GUARD_SUFFIX)), *aside = NULL;
        _cleanup_failure_ Failure why = {};
        GuardRecord *record;
        int r;

        if (!name)
                return -ENOMEM;
        if (module_name_is_valid(name))
                r = read_record(dir_fd, release, name, &record, &why);
        else
                r = failure_set(&why, -EBADMSG, "its name is not a module's");
        if (r == 0)
                return take(&loading->list, record);
        if (r == -ENOMEM)
                return r;
        if (r == -EBADMSG)
                (void) store_set_aside_entry(loading->store, dir_fd, file, release, file, &aside);
        return describe(loading, release, file, why.text ?: strerror(-r), aside);
}

static int load_release(Loading *loading, int guard_fd, const char *release) {
        _cleanup_close_ int dir_fd = store_open_dir(guard_fd, release, false, NULL);
        _cleanup_strv_free_ char **files = NULL;
        int r = dir_fd < 0 ? dir_fd : list_dir_at(dir_fd, ".", &files);

        if (r < 0)
                return r == -ENOMEM ? r : describe(loading, release, "", strerror(-r), NULL);
        for (char **file = files; *file; file++) {
                if (endswith(*file, TEMPORARY_SUFFIX))
                        (void) unlinkat(dir_fd, *file, 0);
                else if (endswith(*file, GUARD_SUFFIX)) {
                        r = load_one(loading, dir_fd, release, *file);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int store_load_guard(Store *store, GuardList *ret, char ***problems, Failure *f) {
        _cleanup_close_ int guard_fd = open_guard_dir(store, NULL, false, NULL);
        _cleanup_strv_free_ char **releases = NULL;
        Loading loading = { .store = store, .problems = problems };
        int r = guard_fd < 0 ? guard_fd : list_dir_at(guard_fd, ".", &releases);

        *ret = (GuardList) {};
        if (r == -ENOENT)
                return 0;
        if (r == -ENOMEM)
                return failure_oom(f);
        if (r < 0)
                return describe(&loading, "", "", strerror(-r), NULL) < 0 ? failure_oom(f) : 0;
        for (char **release = releases; *release; release++) {
                if (endswith(*release, TEMPORARY_SUFFIX))
                        (void) unlinkat(guard_fd, *release, 0);
                if (!kernel_release_is_valid(*release) || streq(*release, CLEAN_SHUTDOWN_NAME) ||
                    endswith(*release, TEMPORARY_SUFFIX))
                        continue;
                if (load_release(&loading, guard_fd, *release) < 0) {
                        guard_list_done(&loading.list);
                        return failure_oom(f);
                }
        }
        *ret = loading.list;
        return 0;
}

/* ---- One --------------------------------------------------------------------------------------------------- */

int store_read_guard(Store *store, const char *release, const char *name, GuardRecord **ret, Failure *f) {
        _cleanup_close_ int dir_fd = -EBADF;

        if (!kernel_release_is_valid(release) || !module_name_is_valid(name))
                return -ENOENT;
        dir_fd = open_guard_dir(store, release, false, f);
        return dir_fd < 0 ? dir_fd : read_record(dir_fd, release, name, ret, f);
}

int store_put_guard(Store *store, const GuardRecord *record, Failure *f) {
        _cleanup_close_ int dir_fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        int r = guard_record_format(record, &text);

        if (r == -EINVAL || r == -EFBIG)
                return failure_set(f, -EINVAL, "The guard record of '%s' is not valid. " UNCHANGED, record->name);
        if (r >= 0)
                r = dir_fd = open_guard_dir(store, record->kernel_release, true, NULL);
        if (r >= 0)
                r = write_file_atomic_at(dir_fd, guard_name(record->name).name, text, strlen(text), STORE_FILE_MODE);
        return r < 0 ? store_failure(f, r, "write the crash guard's record", UNCHANGED) : 0;
}

int store_remove_guard(Store *store, const char *release, const char *name, Failure *f) {
        _cleanup_close_ int dir_fd = -EBADF;
        int r;

        if (!kernel_release_is_valid(release) || !module_name_is_valid(name))
                return 0;
        dir_fd = open_guard_dir(store, release, false, NULL);
        r = dir_fd < 0 ? dir_fd : unlink_durable_at(dir_fd, guard_name(name).name);
        return r < 0 && r != -ENOENT ? store_failure(f, r, "remove the crash guard's record", UNCHANGED) : 0;
}

/* ---- Clean shutdowns --------------------------------------------------------------------------------------- */

static int read_clean_shutdowns(int guard_fd, char ***ret) {
        _cleanup_close_ int fd = store_open_file(guard_fd, CLEAN_SHUTDOWN_NAME, NULL);
        _cleanup_strv_free_ char **ids = NULL;
        _cleanup_free_ char *data = NULL;
        char *rest, *line;
        int r = fd < 0 ? fd : read_fd(fd, CLEAN_SHUTDOWN_SIZE_MAX, &data, NULL);

        if (r < 0)
                return r;
        rest = data;
        while ((line = strsep(&rest, "\n"))) {
                if (!guard_boot_id_is_valid(line))
                        continue;
                r = strv_append(&ids, line);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(ids);
        return 0;
}

int store_clean_shutdowns(Store *store, char ***ret) {
        _cleanup_close_ int guard_fd = open_guard_dir(store, NULL, false, NULL);
        int r;

        *ret = NULL;
        r = guard_fd < 0 ? guard_fd : read_clean_shutdowns(guard_fd, ret);
        if (r == -ENOMEM)
                return r;
        if (r < 0 && r != -ENOENT)
                log_debug_errno(r, "Failed to read the list of clean shutdowns, ignoring: %m");
        return 0;
}

static int format_clean_shutdowns(const char *first, char *const *ids, const char *except, char **ret) {
        size_t size = 0;
        unsigned n = first != NULL;
        FILE *f = open_memstream(ret, &size);

        if (!f)
                return -ENOMEM;
        if (first)
                (void) fprintf(f, "%s\n", first);
        for (; ids && *ids && n < CLEAN_SHUTDOWNS_MAX; ids++)
                if (!streq(*ids, except)) {
                        (void) fprintf(f, "%s\n", *ids);
                        n++;
                }
        return fclose(f) == 0 ? 0 : -ENOMEM;
}

static bool strv_contains(char *const *l, const char *s) {
        for (; l && *l; l++)
                if (streq(*l, s))
                        return true;
        return false;
}

static int write_clean_shutdowns(int guard_fd, const char *boot_id, bool clean) {
        _cleanup_strv_free_ char **ids = NULL;
        _cleanup_free_ char *text = NULL;
        int r = read_clean_shutdowns(guard_fd, &ids);

        /* A damaged list is written anew. */
        if (r == -ENOMEM)
                return r;
        if (strv_contains(ids, boot_id) == clean)
                return 0;
        r = format_clean_shutdowns(clean ? boot_id : NULL, ids, boot_id, &text);
        if (r < 0)
                return r;
        return write_file_atomic_at(guard_fd, CLEAN_SHUTDOWN_NAME, text, strlen(text), STORE_FILE_MODE);
}

/* As kernel_info_read() has it: without the dashes. */
static int read_boot_id(int root_fd, char **ret) {
        _cleanup_free_ char *line = NULL;
        char *end;
        int r = read_line_at(root_fd, BOOT_ID_PATH, &line);

        if (r < 0)
                return r;
        end = line;
        for (const char *p = line; *p; p++)
                if (*p != '-')
                        *end++ = *p;
        *end = '\0';
        if (!guard_boot_id_is_valid(line))
                return -EBADMSG;
        *ret = TAKE_PTR(line);
        return 0;
}

int guard_mark_shutdown(int root_fd, bool clean, Failure *f) {
        Store store = { .root_fd = root_fd, .lock_fd = -EBADF, .run_fd = -EBADF };
        _cleanup_close_ int guard_fd = -EBADF;
        _cleanup_free_ char *boot_id = NULL;
        int r = read_boot_id(root_fd, &boot_id);

        if (r < 0)
                return failure_set(f, r, "Failed to read /" BOOT_ID_PATH ": %s", strerror(-r));
        r = guard_fd = open_guard_dir(&store, NULL, clean, NULL);
        if (r == -ENOENT && !clean)
                return 0;
        if (r >= 0)
                r = write_clean_shutdowns(guard_fd, boot_id, clean);
        return r < 0 ? store_failure(f, r, "note whether this boot ends cleanly", UNCHANGED) : 0;
}

void store_flag_watching(Store *store, bool watching) {
        _cleanup_close_ int fd = -EBADF;

        if (!watching) {
                (void) unlinkat(store->run_fd, SETTLING_NAME, 0);
                return;
        }
        fd = openat(store->run_fd, SETTLING_NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, STORE_FILE_MODE);
        if (fd < 0)
                log_debug_errno(negative_errno(), "Failed to create /" LP_RUN_DIR "/" SETTLING_NAME ", ignoring: %m");
}
