/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The functions that a patch is to replace, and passes over what the kernel tells about them. */

#include <fcntl.h>
#include <string.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "kmod/kernel-functions-internal.h"
#include "kmod/kernel-module.h"

/* One read; more saves little, as the kernel fills a page or two at a time (fs/seq_file.c). */
#define READ_SIZE KIB(64)

static void function_done(KernelFunction *f) {
        free(f->object);
        free(f->name);
        free(f->user);
        free(f->direct_user);
}

void kernel_functions_done(KernelFunctions *functions) {
        for (size_t i = 0; i < functions->n; i++)
                function_done(&functions->functions[i]);
        free(functions->functions);
        *functions = (KernelFunctions) {};
}

static int add_object(KernelFunctions *functions, const ModuleObject *object) {
        KernelFunction *grown;

        if (object->n_functions == 0)
                return 0;
        grown = reallocarray(functions->functions, functions->n + object->n_functions, sizeof(KernelFunction));
        if (!grown)
                return -ENOMEM;
        functions->functions = grown;
        for (size_t i = 0; i < object->n_functions; i++) {
                KernelFunction f = { .object = strdup(object->name), .name = strdup(object->functions[i].name) };

                if (!f.object || !f.name) {
                        function_done(&f);
                        return -ENOMEM;
                }
                functions->functions[functions->n++] = f;
        }
        return 0;
}

int kernel_functions_add(KernelFunctions *functions, const ModuleObject *objects, size_t n_objects) {
        for (size_t i = 0; i < n_objects; i++) {
                int r = add_object(functions, &objects[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- Passes ------------------------------------------------------------------------------------------------ */

/* Handles the complete lines of the buffer and moves the rest to its beginning. */
static int handle_lines(char *buffer, size_t *size, LineHandler handler, void *userdata, bool *any) {
        char *begin = buffer, *end;
        int r = 0;

        while (r == 0 && (end = memchr(begin, '\n', *size - (size_t) (begin - buffer)))) {
                *end = '\0';
                *any = true;
                r = handler(begin, userdata);
                begin = end + 1;
        }
        *size -= (size_t) (begin - buffer);
        memmove(buffer, begin, *size);
        return r;
}

int kernel_lines_foreach(int root_fd, const char *path, LineHandler handler, void *userdata) {
        _cleanup_close_ int fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        _cleanup_free_ char *buffer = NULL;
        bool any = false;
        size_t size = 0;

        if (fd < 0)
                return negative_errno();
        buffer = malloc(READ_SIZE);
        if (!buffer)
                return -ENOMEM;
        for (;;) {
                ssize_t n = read(fd, buffer + size, READ_SIZE - size);
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return negative_errno();
                if (n == 0)
                        return any ? 0 : -ENODATA;
                size += (size_t) n;
                r = handle_lines(buffer, &size, handler, userdata, &any);
                if (r != 0)
                        return MIN(r, 0);
                if (size == READ_SIZE)
                        return -EBADMSG; /* no line of the kernel's comes near */
        }
}

static int compare_functions(const void *a, const void *b) {
        return strcmp((*(KernelFunction *const *) a)->name, (*(KernelFunction *const *) b)->name);
}

/* Only of objects that are loaded: of others the kernel knows nothing yet. */
static int index_new(KernelFunctions *functions, FunctionIndex *ret) {
        FunctionIndex index = { .sorted = calloc(MAX(functions->n, (size_t) 1), sizeof(KernelFunction *)) };

        if (!index.sorted)
                return -ENOMEM;
        for (size_t i = 0; i < functions->n; i++)
                if (functions->functions[i].object_loaded)
                        index.sorted[index.n++] = &functions->functions[i];
        qsort(index.sorted, index.n, sizeof(KernelFunction *), compare_functions);
        *ret = index;
        return 0;
}

size_t function_index_find(const FunctionIndex *index, const char *name, size_t *ret_first) {
        size_t low = 0, high = index->n, n = 0;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(index->sorted[middle]->name, name) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        while (low + n < index->n && streq(index->sorted[low + n]->name, name))
                n++;
        *ret_first = low;
        return n;
}

const char *function_line_split(char *line, char **ret_rest) {
        size_t length = strcspn(line, " \t");
        char *rest = line + length, *end;

        if (length == 0)
                return NULL;
        if (*rest != '\0')
                *rest++ = '\0';
        rest += strspn(rest, " \t");
        *ret_rest = rest;
        if (*rest != '[')
                return "vmlinux";
        end = strchr(rest, ']');
        if (!end)
                return NULL;
        *end = '\0';
        *ret_rest = end + 1;
        return rest + 1;
}

static int find_loaded(int root_fd, KernelFunctions *functions) {
        for (size_t i = 0; i < functions->n; i++) {
                KernelFunction *f = &functions->functions[i];
                _cleanup_(kernel_module_done) KernelModule module = {};
                int r;

                if (i > 0 && streq(f->object, f[-1].object)) {
                        f->object_loaded = f[-1].object_loaded;
                        continue;
                }
                if (streq(f->object, "vmlinux")) {
                        f->object_loaded = true;
                        continue;
                }
                r = kernel_module_read(root_fd, f->object, &module);
                if (r == -ENOMEM)
                        return r;
                f->object_loaded = r >= 0 && module.live;
        }
        return 0;
}

int kernel_functions_collect(int root_fd, KernelFunctions *functions) {
        static int (*const passes[])(int, const FunctionIndex *, KernelFunctions *) = {
                kernel_symbols_count,
                ftrace_functions_read,
                ftrace_users_read,
                kprobes_read,
        };
        _cleanup_free_ KernelFunction **sorted = NULL;
        FunctionIndex index;
        int r = find_loaded(root_fd, functions);

        if (r >= 0)
                r = index_new(functions, &index);
        if (r < 0)
                return r;
        sorted = index.sorted;
        for (size_t i = 0; index.n > 0 && i < ELEMENTSOF(passes); i++) {
                r = passes[i](root_fd, &index, functions);
                if (r == -ENOMEM)
                        return r;
        }
        return 0;
}
