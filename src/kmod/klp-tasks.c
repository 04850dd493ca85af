/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tasks of a transition: who has switched and who has not. */

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "kmod/klp-tasks.h"

/* KLP_UNDEFINED, KLP_TRANSITION_IDLE since 6.9: no transition (include/linux/livepatch_sched.h, kernel/livepatch/). */
#define PATCH_STATE_IDLE (-1)

/* "<tid>/patch_state", with room for any number. */
#define TASK_PATH_MAX 48

typedef struct TaskCount {
        int target;
        unsigned total;
        unsigned pending;
        KlpTaskVisit visit; /* NULL: only count */
        void *userdata;
} TaskCount;

static inline void closedirp(DIR **dir) {
        if (*dir)
                (void) closedir(*dir);
}

static int directory_open(int dir_fd, const char *path, DIR **ret) {
        _cleanup_close_ int fd = open_dir_at(dir_fd, path);
        DIR *dir;

        if (fd < 0)
                return fd;
        dir = fdopendir(fd);
        if (!dir)
                return negative_errno();
        (void) TAKE_FD(fd);
        *ret = dir;
        return 0;
}

/* A process or thread that ended while it was looked at: ESRCH from proc(5) files, ENOENT from their directories. */
static bool is_gone(int r) {
        return r == -ENOENT || r == -ESRCH || r == -ENOTDIR;
}

/* patch_state is "-1", "0" or "1" and a newline (fs/proc/base.c, proc_pid_patch_state()). One read is enough, and cheap
 * enough for thousands of threads. */
static int read_patch_state(int task_fd, const char *tid, int *ret) {
        _cleanup_close_ int fd = -EBADF;
        char path[TASK_PATH_MAX], text[8];
        ssize_t n;

        if (snprintf(path, sizeof(path), "%s/patch_state", tid) >= (int) sizeof(path))
                return -ENOENT;
        fd = openat(task_fd, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return negative_errno();
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return negative_errno();
        text[n] = '\0';
        if (n > 0 && text[n - 1] == '\n')
                text[n - 1] = '\0';
        if (streq(text, "-1"))
                *ret = PATCH_STATE_IDLE;
        else if (streq(text, "0") || streq(text, "1"))
                *ret = text[0] - '0';
        else
                return -EBADMSG;
        return 0;
}

static bool is_number(const char *s) {
        return *s && s[strspn(s, "0123456789")] == '\0';
}

/* The next numeric entry; NULL in *ret at the end. */
static int next_number(DIR *dir, const char **ret) {
        struct dirent *de;

        do {
                errno = 0;
                de = readdir(dir);
                if (!de && errno != 0)
                        return -errno;
        } while (de && !is_number(de->d_name));
        *ret = de ? de->d_name : NULL;
        return 0;
}

static int count_process(int proc_fd, const char *pid, TaskCount *count) {
        _cleanup_(closedirp) DIR *tasks = NULL;
        char path[TASK_PATH_MAX];
        const char *tid = NULL;
        int r;

        if (snprintf(path, sizeof(path), "%s/task", pid) >= (int) sizeof(path))
                return 0;
        r = directory_open(proc_fd, path, &tasks);
        if (r < 0)
                return r;
        while ((r = next_number(tasks, &tid)) >= 0 && tid) {
                int state;

                r = read_patch_state(dirfd(tasks), tid, &state);
                if (is_gone(r))
                        continue;
                if (r < 0)
                        return r;
                count->total++;
                if (state == PATCH_STATE_IDLE || state == count->target)
                        continue;
                count->pending++;
                r = count->visit ? count->visit(count->userdata, dirfd(tasks), pid, tid) : 0;
                if (r < 0)
                        return r;
        }
        return r;
}

int klp_tasks_count(int root_fd, int target, unsigned *ret_total, unsigned *ret_pending) {
        return klp_tasks_visit_pending(root_fd, target, NULL, NULL, ret_total, ret_pending);
}

int klp_tasks_visit_pending(int root_fd, int target, KlpTaskVisit visit, void *userdata, unsigned *ret_total,
                            unsigned *ret_pending) {
        _cleanup_(closedirp) DIR *proc = NULL;
        TaskCount count = { .target = target, .visit = visit, .userdata = userdata };
        const char *pid = NULL;
        int r = directory_open(root_fd, "proc", &proc);

        if (r < 0)
                return r;
        while ((r = next_number(proc, &pid)) >= 0 && pid) {
                r = count_process(dirfd(proc), pid, &count);
                if (r < 0 && !is_gone(r))
                        return r;
        }
        if (r < 0)
                return r;
        *ret_total = count.total;
        *ret_pending = count.pending;
        return 0;
}
