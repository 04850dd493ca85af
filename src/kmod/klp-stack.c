/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A task's kernel stack, held against the functions of a patch. */

#include "common/fd-util.h"
#include "common/string-util.h"
#include "kmod/klp-stack.h"

#define VMLINUX "vmlinux"

/* proc_pid_stack() in fs/proc/base.c writes "[<0>] %pB" a line, and no more than 64 of them (MAX_STACK_TRACE_DEPTH). */
#define FRAMES_MAX 64
/* With names of functions and modules at their longest (KSYM_NAME_LEN, include/linux/kallsyms.h). */
#define STACK_FILE_MAX KIB(64)

int klp_stack_parse(const char *content, char ***ret) {
        _cleanup_strv_free_ char **frames = NULL;

        for (size_t n = 0; *content && n < FRAMES_MAX; n++) {
                size_t length = strcspn(content, "\n");
                _cleanup_free_ char *line = strndup(content, length);
                const char *address_end;
                int r;

                if (!line)
                        return -ENOMEM;
                address_end = line[0] == '[' ? strstr(line, "] ") : NULL;
                r = strv_append(&frames, address_end ? address_end + STRLEN("] ") : line);
                if (r < 0)
                        return r;
                content += length;
                content += strspn(content, "\n");
        }
        *ret = TAKE_PTR(frames);
        return 0;
}

int klp_stack_read(int task_fd, char ***ret) {
        _cleanup_free_ char *content = NULL;
        int r = read_file_at(task_fd, "stack", STACK_FILE_MAX, &content, NULL);

        return r < 0 ? r : klp_stack_parse(content, ret);
}

/* "function+0x1a/0x30 [module]" or, of the kernel itself, "function+0x1a/0x30"; a name alone will do. */
static int frame_split(const char *frame, char **ret_function, char **ret_module) {
        const char *bracket = strstr(frame, " [");
        _cleanup_free_ char *function = strndup(frame, strcspn(frame, "+ "));
        _cleanup_free_ char *module = NULL;

        if (bracket)
                module = strndup(bracket + STRLEN(" ["), strcspn(bracket + STRLEN(" ["), "] "));
        else
                module = strdup(VMLINUX);
        if (!function || !module)
                return -ENOMEM;
        *ret_function = TAKE_PTR(function);
        *ret_module = TAKE_PTR(module);
        return 0;
}

static bool replaces(const KlpPatch *patch, const char *object, const char *function) {
        for (size_t i = 0; i < patch->n_objects; i++)
                for (size_t j = 0; j < patch->objects[i].n_functions; j++)
                        if (streq(patch->objects[i].name, object) &&
                            streq(patch->objects[i].functions[j].name, function))
                                return true;
        return false;
}

int klp_stack_match(char *const *frames, const KlpPatch *patch, char **ret_function, char **ret_object) {
        for (; frames && *frames; frames++) {
                _cleanup_free_ char *function = NULL, *module = NULL;
                int r = frame_split(*frames, &function, &module);

                if (r < 0)
                        return r;
                /* A task may not switch while one of the functions that it is to leave is on its stack: the old ones,
                 * or the new ones of a patch that goes (klp_check_stack_func(), kernel/livepatch/transition.c). */
                if (patch->enabled ? !replaces(patch, module, function) : !streq(module, patch->name))
                        continue;
                *ret_function = TAKE_PTR(function);
                *ret_object = TAKE_PTR(module);
                return 0;
        }
        *ret_function = *ret_object = NULL;
        return 0;
}
