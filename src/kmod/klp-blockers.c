/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tasks that hold up a transition: who they are, where they are, and what can be done about them. */

#include <fcntl.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "kmod/klp-blockers.h"
#include "kmod/klp-stack.h"
#include "kmod/klp-tasks.h"

/* Enough to recognise a program by; the kernel keeps up to megabytes. */
#define COMMAND_LINE_SHOWN_MAX 512
/* Longer than all that is looked for, but for the command line. */
#define PROC_FILE_MAX KIB(8)
/* include/linux/sched.h; proc_pid_stat(5), field 9. */
#define PF_KTHREAD 0x00200000u

typedef struct Collection {
        const KlpPatch *patch;
        size_t n_max;
        size_t n_gone;
        KlpBlockerList list;
} Collection;

const char *klp_stack_status_to_string(KlpStackStatus status) {
        static const char *const klp_stack_status_table[_KLP_STACK_STATUS_MAX] = {
                [KLP_STACK_READ] = "read",
                [KLP_STACK_NOT_PERMITTED] = "not-permitted",
                [KLP_STACK_UNAVAILABLE] = "unavailable",
        };

        return (unsigned) status < _KLP_STACK_STATUS_MAX ? klp_stack_status_table[status] : NULL;
}

static void klp_blocker_done(KlpBlocker *b) {
        free(b->comm);
        free(b->command_line);
        task_cgroup_done(&b->cgroup);
        strv_free(b->stack);
        free(b->wchan);
        free(b->function);
        free(b->object);
        free(b->advice_text);
        *b = (KlpBlocker) {};
}

void klp_blocker_list_done(KlpBlockerList *list) {
        for (size_t i = 0; i < list->n; i++)
                klp_blocker_done(list->blockers + i);
        free(list->blockers);
        *list = (KlpBlockerList) {};
}

/* The beginning of a file of any length; NULs in it are kept. */
static int read_beginning(int dir_fd, const char *path, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ char *buffer = NULL;
        size_t size = 0;

        if (fd < 0)
                return negative_errno();
        buffer = malloc(PROC_FILE_MAX + 1);
        if (!buffer)
                return -ENOMEM;
        while (size < PROC_FILE_MAX) {
                ssize_t n = read(fd, buffer + size, PROC_FILE_MAX - size);

                if (n < 0)
                        return negative_errno();
                if (n == 0)
                        break;
                size += (size_t) n;
        }
        buffer[size] = '\0';
        *ret = TAKE_PTR(buffer);
        if (ret_size)
                *ret_size = size;
        return 0;
}

/* Arguments end in NULs; a program may have written over them what it likes (proc_pid_cmdline(5)). */
static int read_command_line(int task_fd, KlpBlocker *b) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        int r = read_beginning(task_fd, "cmdline", &text, &size);

        if (r < 0)
                return r;
        while (size > 0 && text[size - 1] == '\0')
                size--;
        for (size_t i = 0; i < size; i++)
                if (text[i] == '\0' || text[i] == '\n' || text[i] == '\t')
                        text[i] = ' ';
        b->command_line = sanitize_text(text, COMMAND_LINE_SHOWN_MAX);
        return b->command_line ? 0 : -ENOMEM;
}

/* "TID (COMM) STATE PPID PGRP SESSION TTY TPGID FLAGS ..."; COMM may hold anything, parentheses too. */
static int read_stat(int task_fd, KlpBlocker *b) {
        _cleanup_free_ char *text = NULL;
        const char *begin, *end;
        unsigned flags;
        int r = read_beginning(task_fd, "stat", &text, NULL);

        if (r < 0)
                return r;
        begin = strchr(text, '(');
        end = strrchr(text, ')');
        if (!begin || !end || end < begin ||
            sscanf(end + 1, " %c %*d %*d %*d %*d %*d %u", &b->state, &flags) != 2)
                return -EBADMSG;
        b->kernel_thread = (flags & PF_KTHREAD) != 0;
        text[end - text] = '\0';
        b->comm = sanitize_text(begin + 1, COMMAND_LINE_SHOWN_MAX);
        return b->comm ? 0 : -ENOMEM;
}

/* "Uid:" has the real, the effective, the saved and the file system's one. */
static int read_uid(int task_fd, KlpBlocker *b) {
        _cleanup_free_ char *text = NULL;
        const char *line;
        int r = read_beginning(task_fd, "status", &text, NULL);

        b->uid = (uid_t) -1;
        if (r < 0)
                return r;
        line = strstr(text, "\nUid:");
        if (line)
                (void) sscanf(line + STRLEN("\nUid:"), "%*u %u", &b->uid);
        return 0;
}

static int read_cgroup(int task_fd, KlpBlocker *b) {
        _cleanup_free_ char *text = NULL;
        int r = read_beginning(task_fd, "cgroup", &text, NULL);

        /* A kernel without CONFIG_CGROUPS. */
        if (r == -ENOENT)
                return task_cgroup_parse("", &b->cgroup);
        return r < 0 ? r : task_cgroup_parse(text, &b->cgroup);
}

static int read_stack(int task_fd, KlpBlocker *b) {
        int r = klp_stack_read(task_fd, &b->stack);

        if (r == -ENOMEM)
                return r;
        if (r == -EACCES || r == -EPERM)
                b->stack_status = KLP_STACK_NOT_PERMITTED;
        else
                b->stack_status = r < 0 ? KLP_STACK_UNAVAILABLE : KLP_STACK_READ;
        return 0;
}

/* "0" where the caller may not know, and for a task that does not sleep (proc_pid_wchan() in fs/proc/base.c). */
static int read_wchan(int task_fd, KlpBlocker *b) {
        _cleanup_free_ char *text = NULL;
        int r = read_line_at(task_fd, "wchan", &text);

        if (r == -ENOMEM)
                return r;
        if (r >= 0 && !isempty(text) && !streq(text, "0"))
                b->wchan = TAKE_PTR(text);
        return 0;
}

static int find_function(const KlpPatch *patch, KlpBlocker *b) {
        char *frames[] = { b->wchan, NULL };

        return klp_stack_match(b->stack ?: frames, patch, &b->function, &b->object);
}

static int read_blocker(int task_fd, const KlpPatch *patch, KlpBlocker *b) {
        static int (*const readers[])(int task_fd, KlpBlocker *b) = {
                read_stat, read_command_line, read_uid, read_cgroup, read_stack, read_wchan,
        };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(readers); i++) {
                r = readers[i](task_fd, b);
                if (r < 0)
                        return r;
        }
        r = find_function(patch, b);
        return r < 0 ? r : klp_blocker_advise(b);
}

static int add_blocker(Collection *c, int tasks_fd, const char *pid, const char *tid) {
        _cleanup_close_ int task_fd = open_dir_at(tasks_fd, tid);
        KlpBlocker b = { .pid = (pid_t) strtol(pid, NULL, 10), .tid = (pid_t) strtol(tid, NULL, 10) }, *grown;
        int r = task_fd < 0 ? task_fd : read_blocker(task_fd, c->patch, &b);

        if (r < 0) {
                klp_blocker_done(&b);
                return r;
        }
        grown = reallocarray(c->list.blockers, c->list.n + 1, sizeof(KlpBlocker));
        if (!grown) {
                klp_blocker_done(&b);
                return -ENOMEM;
        }
        c->list.blockers = grown;
        grown[c->list.n++] = b;
        return 0;
}

/* A task that ends while it is looked at holds up nothing any more. */
static int on_pending(void *userdata, int tasks_fd, const char *pid, const char *tid) {
        Collection *c = userdata;
        int r;

        if (c->list.n >= c->n_max)
                return 0;
        r = add_blocker(c, tasks_fd, pid, tid);
        if (r == -ENOENT || r == -ESRCH) {
                c->n_gone++;
                return 0;
        }
        return r;
}

int klp_blockers_read(int root_fd, const char *name, size_t n_max, KlpBlockerList *ret) {
        _cleanup_(klp_patch_freep) KlpPatch *patch = NULL;
        Collection c = { .n_max = n_max };
        unsigned total, pending = 0;
        int r = klp_sysfs_read(root_fd, name, true, &patch);

        if (r == -ENOENT || (r >= 0 && !patch->transition)) {
                *ret = (KlpBlockerList) {};
                return 0;
        }
        if (r < 0)
                return r;
        c.patch = patch;
        r = klp_tasks_visit_pending(root_fd, patch->enabled, on_pending, &c, &total, &pending);
        if (r < 0) {
                klp_blocker_list_done(&c.list);
                return r;
        }
        c.list.n_pending = pending - (unsigned) c.n_gone;
        *ret = c.list;
        return 0;
}
