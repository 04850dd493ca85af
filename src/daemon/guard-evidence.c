/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the crashed kernel's last log, as pstore kept it, says about which patch it was.
 *
 * systemd-pstore.service moves what it finds below /sys/fs/pstore to /var/lib/systemd/pstore, in directories of one or
 * two levels, and puts the parts together in a dmesg.txt; where it does not run, the parts are still in /sys. */

#include <fcntl.h>

#include "common/fd-util.h"
#include "common/log.h"
#include "daemon/guard-evidence.h"

#define DEPTH_MAX 3U
#define FILES_MAX 256U
#define FILE_SIZE_MAX MIB(1)
#define LINE_MAX_SHOWN 256
/* The clock of the firmware that dates the file need not be the system's. */
#define CLOCK_SLACK_USEC (60 * USEC_PER_SEC)

typedef struct Search {
        char *const *suspects;
        uint64_t since;
        unsigned files_left;
        GuardEvidence *ret;
} Search;

void guard_evidence_done(GuardEvidence *evidence) {
        free(evidence->line);
        free(evidence->path);
        *evidence = (GuardEvidence) {};
}

/* "<4>[   12.345678][  T123] text": the parts before the text are optional. */
static const char *skip_prefix(const char *line) {
        if (*line == '<') {
                size_t n = strspn(line + 1, "0123456789");

                if (n > 0 && line[n + 1] == '>')
                        line += n + 2;
        }
        while (*line == '[') {
                size_t n = strspn(line + 1, " .0123456789TC");

                if (line[n + 1] != ']')
                        break;
                line += n + 2;
                if (*line == ' ')
                        line++;
        }
        return line;
}

static bool is_suspect(const Search *search, const char *name) {
        for (char *const *suspect = search->suspects; *suspect; suspect++)
                if (streq(*suspect, name))
                        return true;
        return false;
}

static int search_text(Search *search, const char *path, char *text) {
        GuardLog log = {};
        char *line;

        while ((line = strsep(&text, "\n"))) {
                const char *message = skip_prefix(line);

                if (guard_log_feed(&log, message, &search->ret->name) != GUARD_LOG_BLAMED ||
                    !is_suspect(search, search->ret->name.name))
                        continue;
                search->ret->line = sanitize_text(message + strspn(message, " "), LINE_MAX_SHOWN);
                search->ret->path = strdup(path);
                return search->ret->line && search->ret->path ? 1 : -ENOMEM;
        }
        return 0;
}

static int search_file(Search *search, int dir_fd, const char *name, const char *path) {
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        _cleanup_free_ char *data = NULL;
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return 0;
        if ((uint64_t) st.st_mtim.tv_sec * USEC_PER_SEC + CLOCK_SLACK_USEC < search->since)
                return 0;
        r = read_fd(fd, FILE_SIZE_MAX, &data, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return search_text(search, path, data);
}

static int search_dir(Search *search, int parent_fd, const char *name, const char *path, unsigned depth);

static int search_entry(Search *search, int dir_fd, const char *name, const char *dir_path, unsigned depth) {
        _cleanup_free_ char *path = NULL;
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        if (asprintf(&path, "%s/%s", dir_path, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (S_ISDIR(st.st_mode))
                return depth < DEPTH_MAX ? search_dir(search, dir_fd, name, path, depth + 1) : 0;
        if (!startswith(name, "dmesg") || search->files_left == 0)
                return 0;
        search->files_left--;
        return search_file(search, dir_fd, name, path);
}

static int search_dir(Search *search, int parent_fd, const char *name, const char *path, unsigned depth) {
        _cleanup_close_ int fd = open_dir_at(parent_fd, name);
        _cleanup_strv_free_ char **entries = NULL;
        int r = fd < 0 ? fd : list_dir_at(fd, ".", &entries);

        if (r < 0) {
                if (r != -ENOENT)
                        log_debug_errno(r, "Failed to look through %s for evidence, ignoring: %m", path);
                return r == -ENOMEM ? r : 0;
        }
        for (char **entry = entries; *entry; entry++) {
                r = search_entry(search, fd, *entry, path, depth);
                if (r != 0)
                        return r;
        }
        return 0;
}

int guard_evidence_find(int root_fd, char *const *suspects, uint64_t since, GuardEvidence *ret) {
        static const char *const roots[] = { "/var/lib/systemd/pstore", "/sys/fs/pstore" };
        GuardEvidence evidence = {};
        Search search = { .suspects = suspects, .since = since, .files_left = FILES_MAX, .ret = &evidence };

        for (size_t i = 0; i < ELEMENTSOF(roots); i++) {
                int r = search_dir(&search, root_fd, roots[i] + 1, roots[i], 0);

                if (r < 0) {
                        guard_evidence_done(&evidence);
                        return r;
                }
                if (r > 0) {
                        *ret = evidence;
                        return 1;
                }
        }
        return 0;
}
