/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the file of a module may be that something else has loaded. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "daemon/adopt-search.h"

/* Files of one name that are looked at, and entries of directories that are: the trees are small. */
#define FILES_MAX 8
#define ENTRIES_MAX 20000

typedef struct Search {
        const char *name;
        AdoptFileList list;
        unsigned n_entries;
        Failure *failure;
} Search;

/* Modules that are installed besides the kernel's own (depmod.d(5)), and kpatch's directories: "kpatch install" copies
 * to /var/lib/kpatch/RELEASE, packages install to /usr/lib/kpatch/RELEASE or below /var/lib/kpatch/RELEASE. */
static const struct {
        const char *before;
        const char *behind;
        unsigned depth; /* of directories below */
} places[] = {
        { "usr/lib/modules", "/updates", 4 },   { "usr/lib/modules", "/extra", 4 },
        { "usr/lib/modules", "/livepatch", 1 }, { "usr/lib/modules", "/kernel/livepatch", 1 },
        { "usr/lib/kpatch", "", 1 },            { "var/lib/kpatch", "", 1 },
};

void adopt_file_list_done(AdoptFileList *list) {
        for (size_t i = 0; i < list->n; i++) {
                free(list->files[i].path);
                safe_close(list->files[i].fd);
        }
        free(list->files);
        *list = (AdoptFileList) {};
}

/* The kernel's names have '_' where those of files may have '-' (modprobe(8)). */
static bool file_is_called(const char *file, const char *name) {
        static const char *const suffixes[] = { ".ko", ".ko.gz", ".ko.xz", ".ko.zst" };
        size_t length = strlen(name);

        for (size_t i = 0; i < length; i++)
                if (file[i] != name[i] && !(file[i] == '-' && name[i] == '_'))
                        return false;
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++)
                if (streq(file + length, suffixes[i]))
                        return true;
        return false;
}

/* What others can change is not what was loaded, whatever it says: with SignaturePolicy=warn nobody else would look. */
static bool is_roots_alone(int fd, mode_t type) {
        struct stat st;

        return fstat(fd, &st) >= 0 && (st.st_mode & S_IFMT) == type && (st.st_uid == 0 || st.st_uid == geteuid()) &&
               (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int add_file(Search *search, int fd, const char *path) {
        _cleanup_close_ int owned = fd;
        AdoptFile *grown;

        if (!is_roots_alone(fd, S_IFREG)) {
                (void) failure_set(search->failure, REFUSED_INVALID_FILE,
                                   "/%s is not a file that root alone can change", path);
                return 0;
        }
        grown = realloc(search->list.files, (search->list.n + 1) * sizeof(AdoptFile));
        if (!grown)
                return -ENOMEM;
        search->list.files = grown;
        grown[search->list.n].path = strdup(path);
        if (!grown[search->list.n].path)
                return -ENOMEM;
        grown[search->list.n++].fd = TAKE_FD(owned);
        return 0;
}

static int search_directory(Search *search, int parent_fd, const char *entry, const char *path, unsigned depth);

static int search_entry(Search *search, int dir_fd, const char *entry, const char *directory, unsigned depth) {
        _cleanup_free_ char *path = NULL;
        int fd;

        if (++search->n_entries > ENTRIES_MAX || search->list.n >= FILES_MAX)
                return 0;
        if (asprintf(&path, "%s/%s", directory, entry) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (!file_is_called(entry, search->name))
                return depth > 0 ? search_directory(search, dir_fd, entry, path, depth - 1) : 0;
        fd = openat(dir_fd, entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        return fd < 0 ? 0 : add_file(search, fd, path);
}

/* What cannot be opened, or is none, has nothing in it. */
static int search_directory(Search *search, int parent_fd, const char *entry, const char *path, unsigned depth) {
        _cleanup_close_ int fd = open_dir_at(parent_fd, entry);
        _cleanup_strv_free_ char **entries = NULL;
        int r = 0;

        if (fd < 0 || !is_roots_alone(fd, S_IFDIR) || list_dir_at(fd, ".", &entries) < 0)
                return 0;
        for (char **i = entries; r >= 0 && i && *i; i++)
                r = search_entry(search, fd, *i, path, depth);
        return r;
}

int adopt_search(int root_fd, const char *release, const char *name, AdoptFileList *ret, Failure *f) {
        Search search = { .name = name, .failure = f };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(places); i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s/%s%s", places[i].before, release, places[i].behind) < 0) {
                        path = NULL;
                        r = -ENOMEM;
                } else
                        r = search_directory(&search, root_fd, path, path, places[i].depth);
        }
        if (r < 0) {
                adopt_file_list_done(&search.list);
                return failure_oom(f);
        }
        *ret = search.list;
        return 0;
}
