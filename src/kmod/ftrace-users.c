/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which functions ftrace can divert, which ones it diverts for whom, and where kprobes are. */

#include <string.h>

#include "common/string-util.h"
#include "kmod/kernel-functions-internal.h"

#define HANDLER_SHOWN_MAX 128

/* tracefs has its own mount point, and an older one in debugfs (Documentation/trace/ftrace.rst). Both are for root
 * only, and a kernel that is locked down for confidentiality opens neither. */
static int tracefs_foreach(int root_fd, const char *name, LineHandler handler, void *userdata) {
        static const char *const directories[] = { "sys/kernel/tracing", "sys/kernel/debug/tracing" };
        int r = -ENOENT;

        for (size_t i = 0; i < ELEMENTSOF(directories) && r == -ENOENT; i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s/%s", directories[i], name) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                r = kernel_lines_foreach(root_fd, path, handler, userdata);
        }
        return r;
}

/* ---- available_filter_functions ---------------------------------------------------------------------------- */

typedef struct Traceable {
        const FunctionIndex *index;
        size_t n_missing; /* functions that have not been seen yet */
} Traceable;

/* "NAME" or "NAME [MODULE]". */
static int handle_traceable(char *line, void *userdata) {
        Traceable *pass = userdata;
        const char *object;
        size_t first, n;
        char *rest;

        object = function_line_split(line, &rest);
        if (!object)
                return -EBADMSG;
        n = function_index_find(pass->index, line, &first);
        for (size_t i = first; i < first + n; i++) {
                KernelFunction *f = pass->index->sorted[i];

                if (f->traceable || !streq(f->object, object))
                        continue;
                f->traceable = true;
                pass->n_missing--;
        }
        return pass->n_missing == 0;
}

int ftrace_functions_read(int root_fd, const FunctionIndex *index, KernelFunctions *functions) {
        Traceable pass = { .index = index, .n_missing = index->n };
        int r = tracefs_foreach(root_fd, "available_filter_functions", handle_traceable, &pass);

        functions->traceable_known = r >= 0;
        return r;
}

/* ---- enabled_functions ------------------------------------------------------------------------------------- */

/* "NAME+0x0/0x10" or "NAME+0x0/0x10 [MODULE]" (%pS in Documentation/core-api/printk-formats.rst), without the numbers;
 * NULL if there is none. */
static char *copy_symbol(const char *text) {
        size_t length = strcspn(text, "+ )");
        const char *module = strstr(text, " [");
        _cleanup_free_ char *shown = NULL;

        /* Directly behind the numbers, and not another symbol's. */
        if (!module || module != text + strcspn(text, " )"))
                module = "";
        if (length == 0 || asprintf(&shown, "%.*s%.*s", (int) length, text,
                                    (int) (*module ? strcspn(module, "]") + 1 : 0), module) < 0) {
                shown = NULL;
                return NULL;
        }
        return sanitize_text(shown, HANDLER_SHOWN_MAX);
}

/* The handler in "tramp: ADDRESS (HANDLER+0x0/0x10) ->..." or "->HANDLER+0x0/0x10"; NULL if there is none. Several
 * users share a list function, which says nothing about them. */
static char *find_handler(const char *text) {
        const char *begin = strchr(text, '(');
        _cleanup_free_ char *name = NULL;

        if (begin)
                begin++;
        else {
                begin = strstr(text, "->");
                begin = begin ? begin + STRLEN("->") : NULL;
        }
        name = begin ? copy_symbol(begin) : NULL;
        return name && !strstr(name, "ops_list_func") ? TAKE_PTR(name) : NULL;
}

/* What of t_show() in kernel/trace/ftrace.c concerns us: "NAME [MODULE] (COUNT) R I D O M" with fixed columns that are
 * blank where a flag is not set, and then who it is. */
static void note_user(KernelFunction *f, const char *flags) {
        size_t length = strcspn(flags, "\t->");

        f->diverted = f->diverted || memchr(flags, 'I', length);
        f->has_trampoline = f->has_trampoline || memchr(flags, 'D', length);
        f->diverted_by_klp = f->diverted_by_klp || strstr(flags + length, "klp_ftrace_handler");
        if (!f->user)
                f->user = find_handler(flags + length);
}

typedef struct Users {
        const FunctionIndex *index;
        /* The entry that the further lines belong to. */
        size_t first;
        size_t n;
        char *object;
} Users;

/* Further lines of an entry are indented; one of them says where a direct caller goes ("\tdirect-->NAME+0x0/0x10"). */
static void handle_further(const Users *users, const char *line) {
        const char *direct = startswith(line, "\tdirect-->");

        for (size_t i = users->first; direct && i < users->first + users->n; i++) {
                KernelFunction *f = users->index->sorted[i];

                if (streq(f->object, users->object) && !f->direct_user)
                        f->direct_user = copy_symbol(direct);
        }
}

static int handle_user(char *line, void *userdata) {
        Users *users = userdata;
        const char *object, *flags;
        char *rest;

        if (line[0] == '\t')
                handle_further(users, line);
        if (line[0] == '\t' || line[0] == '#' || line[0] == '\0')
                return 0;
        object = function_line_split(line, &rest);
        flags = object ? strchr(rest, ')') : NULL;
        if (!flags)
                return -EBADMSG;
        if (free_and_strdup(&users->object, object) < 0)
                return -ENOMEM;
        users->n = function_index_find(users->index, line, &users->first);
        for (size_t i = users->first; i < users->first + users->n; i++)
                if (streq(users->index->sorted[i]->object, object))
                        note_user(users->index->sorted[i], flags + 1);
        return 0;
}

int ftrace_users_read(int root_fd, const FunctionIndex *index, KernelFunctions *functions) {
        Users users = { .index = index };
        int r = tracefs_foreach(root_fd, "enabled_functions", handle_user, &users);

        free(users.object);
        functions->users_known = r >= 0 || r == -ENODATA; /* nobody uses ftrace */
        return r;
}

/* ---- kprobes ----------------------------------------------------------------------------------------------- */

/* "ADDRESS  TYPE  NAME+OFFSET  [MODULE ][FLAGS]" (report_probe() in kernel/kprobes.c). */
static int handle_probe(char *line, void *userdata) {
        const FunctionIndex *index = userdata;
        char *state = NULL, *name, *module;
        size_t first, n;

        if (!strtok_r(line, " ", &state) || !strtok_r(NULL, " ", &state))
                return -EBADMSG;
        name = strtok_r(NULL, " ", &state);
        if (!name)
                return -EBADMSG;
        name[strcspn(name, "+")] = '\0';
        module = strtok_r(NULL, " ", &state);
        if (!module || module[0] == '[')
                module = (char *) "vmlinux";
        n = function_index_find(index, name, &first);
        for (size_t i = first; i < first + n; i++)
                if (streq(index->sorted[i]->object, module))
                        index->sorted[i]->probed = true;
        return 0;
}

int kprobes_read(int root_fd, const FunctionIndex *index, KernelFunctions *functions) {
        int r = kernel_lines_foreach(root_fd, "sys/kernel/debug/kprobes/list", handle_probe, (void *) index);

        functions->probes_known = r >= 0 || r == -ENODATA;
        return r;
}
