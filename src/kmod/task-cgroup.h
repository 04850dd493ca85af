/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a task's control group says about it: its systemd unit, and the container that it runs in. */
#pragma once

#include "common/macro.h"

typedef struct TaskCgroup {
        char *path;      /* below the root of the hierarchy that systemd manages */
        char *unit;      /* of the system's manager, or NULL */
        char *user_unit; /* of a user's manager, or NULL */
        /* "docker", "podman", "cri-o", "containerd", "kubernetes", "lxc" or "machine" (systemd-machined's), and the
         * container's id or name; both NULL: it runs in none. */
        char *runtime;
        char *container;
} TaskCgroup;

void task_cgroup_done(TaskCgroup *cgroup);

/* content: /proc/<pid>/cgroup (cgroups(7)). An empty or odd file gives a path "" and nothing else. 0 or -ENOMEM. */
int task_cgroup_parse(const char *content, TaskCgroup *ret);
