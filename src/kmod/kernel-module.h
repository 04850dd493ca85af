/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /sys/module/<name>: whether a module is loaded, and which build of it. */
#pragma once

#include <stdbool.h>

#include "common/macro.h"

typedef struct KernelModule {
        bool present;     /* /sys/module/<name>/initstate exists: loaded (built-ins have none) */
        bool live;        /* initstate "live" */
        int refcnt;       /* -1 unknown (CONFIG_MODULE_UNLOAD=n) */
        char *build_id;   /* hexadecimal, from notes/.note.gnu.build-id, or NULL */
        char *srcversion;
        char *version;
        char *taint;
} KernelModule;
void kernel_module_done(KernelModule *m);

/* 0 with present == false when it is not loaded. */
int kernel_module_read(int root_fd, const char *name, KernelModule *ret);
