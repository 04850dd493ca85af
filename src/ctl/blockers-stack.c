/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kernel stacks of the tasks that hold up a transition, where livepatchd may not read them and its client may.
 *
 * Reading a stack takes capabilities that would let livepatchd do almost anything to any process, so that its unit does
 * not have them. Root's shell has them already. */

#include "common/fd-util.h"
#include "common/string-util.h"
#include "ctl/blockers-stack.h"
#include "ctl/json-util.h"
#include "kmod/klp-stack.h"

/* "proc/<pid>/task/<tid>" of any numbers. */
#define TASK_PATH_MAX 64

/* The thread that livepatchd saw, and not one that has got its number since. */
static int open_task(int root_fd, const json_t *blocker) {
        _cleanup_free_ char *comm = NULL;
        _cleanup_close_ int fd = -EBADF;
        char path[TASK_PATH_MAX];
        int r;

        (void) snprintf(path, sizeof(path), "proc/%llu/task/%llu",
                        (unsigned long long) json_number(blocker, "pid"),
                        (unsigned long long) json_number(blocker, "tid"));
        fd = open_dir_at(root_fd, path);
        if (fd < 0)
                return fd;
        r = read_line_at(fd, "comm", &comm);
        if (r < 0)
                return r;
        return streq(comm, json_text(blocker, "comm")) ? TAKE_FD(fd) : -ESRCH;
}

static int read_frames(int root_fd, const json_t *blocker, char ***ret) {
        _cleanup_close_ int fd = open_task(root_fd, blocker);

        return fd < 0 ? fd : klp_stack_read(fd, ret);
}

static void add_stack(int root_fd, const KlpPatch *patch, json_t *blocker) {
        _cleanup_strv_free_ char **frames = NULL;
        _cleanup_free_ char *function = NULL, *object = NULL;
        json_t *stack;

        if (read_frames(root_fd, blocker, &frames) < 0 || klp_stack_match(frames, patch, &function, &object) < 0)
                return;
        stack = json_array();
        for (char **i = frames; i && *i; i++)
                (void) json_array_append_new(stack, json_string(*i));
        (void) json_object_set_new(blocker, "stack", stack);
        (void) json_object_set_new(blocker, "stack_status", json_string("read"));
        (void) json_object_set_new(blocker, "function", json_string(strempty(function)));
        (void) json_object_set_new(blocker, "object", json_string(strempty(object)));
}

void blockers_read_stacks(int root_fd, json_t *document) {
        json_t *blockers = json_object_get(document, "blockers"), *b;
        _cleanup_(klp_patch_freep) KlpPatch *patch = NULL;
        size_t i;

        if (klp_sysfs_read(root_fd, json_text(document, "patch"), true, &patch) < 0)
                return;
        json_array_foreach(blockers, i, b)
                if (streq(json_text(b, "stack_status"), "not-permitted"))
                        add_stack(root_fd, patch, b);
}
