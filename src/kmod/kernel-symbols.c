/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /proc/kallsyms: how often each function's name occurs in its object. */

#include <string.h>

#include "common/string-util.h"
#include "kmod/kernel-functions-internal.h"

#define KALLSYMS "proc/kallsyms"

/* ProtectKernelTunables= of a unit hides the file (systemd.exec(5)): ours has it put here. */
#define KALLSYMS_OF_UNIT "dev/livepatch-kallsyms"

/* Clang's ThinLTO renames local functions so. Some kernels strip that where they look a name up, and others not
 * (cleanup_symbol_name() in kernel/kallsyms.c). */
#define LTO_SUFFIX ".llvm."

typedef struct Pass {
        const FunctionIndex *index;
        bool modules_wanted;
} Pass;

/* "ADDRESS TYPE NAME" or "ADDRESS TYPE NAME\t[MODULE]". A livepatch is given a symbol of any type (klp_find_callback()
 * in kernel/livepatch/core.c). */
static int handle_symbol(char *line, void *userdata) {
        const Pass *pass = userdata;
        char *name = strchr(line, ' '), *suffix, *rest;
        const char *object;
        size_t first, n;

        if (!name || !name[1] || name[2] != ' ')
                return -EBADMSG;
        name += 3;
        object = function_line_split(name, &rest);
        if (!object)
                return -EBADMSG;
        /* The kernel's own symbols come before those of modules (s_show() and update_iter() in kernel/kallsyms.c). */
        if (!pass->modules_wanted && !streq(object, "vmlinux"))
                return 1;
        suffix = strstr(name, LTO_SUFFIX);
        if (suffix)
                *suffix = '\0';
        n = function_index_find(pass->index, name, &first);
        for (size_t i = first; i < first + n; i++) {
                KernelFunction *f = pass->index->sorted[i];

                if (!streq(f->object, object))
                        continue;
                f->n_symbols++;
                f->symbols_unsure = f->symbols_unsure || suffix;
        }
        return 0;
}

static void forget(const FunctionIndex *index) {
        for (size_t i = 0; i < index->n; i++)
                index->sorted[i]->n_symbols = 0;
}

int kernel_symbols_count(int root_fd, const FunctionIndex *index, KernelFunctions *functions) {
        static const char *const paths[] = { KALLSYMS, KALLSYMS_OF_UNIT };
        Pass pass = { .index = index };
        int r = -ENOENT;

        for (size_t i = 0; i < index->n; i++)
                pass.modules_wanted = pass.modules_wanted || !streq(index->sorted[i]->object, "vmlinux");
        for (size_t i = 0; i < ELEMENTSOF(paths) && r < 0 && r != -ENOMEM; i++) {
                r = kernel_lines_foreach(root_fd, paths[i], handle_symbol, &pass);
                if (r < 0)
                        forget(index);
        }
        functions->symbols_known = r >= 0;
        return r;
}
