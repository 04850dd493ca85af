/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Modules that the kernel does not load because a patch cannot be applied to them.
 *
 * A patch for a module that is not loaded is accepted as it is. When the module comes and the patch does not fit it,
 * the kernel refuses the module (klp_module_coming() in kernel/livepatch/core.c), and whoever wanted it sees an error
 * that says nothing of patches. Only the kernel's log tells. */

#include <unistd.h>

#include "common/fd-util.h"
#include "common/log.h"
#include "daemon/refused-module.h"
#include "kmod/kernel-log.h"
#include "kmod/klp-log.h"

/* Names are the kernel's own, but the log may be long. */
#define MODULES_MAX 16

static bool is_among(char *const *list, const char *name) {
        for (; list && *list; list++)
                if (streq(*list, name))
                        return true;
        return false;
}

static bool drop(char **list, const char *name) {
        for (; list && *list; list++)
                if (streq(*list, name)) {
                        free(*list);
                        do
                                list[0] = list[1];
                        while (*list++);
                        return true;
                }
        return false;
}

static char *describe(const Patch *patch, const char *module) {
        char *line;

        return asprintf(&line,
                        "The kernel does not load module '%s' because the patch '%s' cannot be applied to it: see "
                        "'livepatchctl show %s'", module, patch->name, patch->name) < 0 ? NULL : line;
}

static int update(Manager *manager, Patch *patch, const char *module, bool refused) {
        _cleanup_free_ char *line = describe(patch, module);

        if (line && refused)
                (void) manager_add_problem(manager, "%s", line);
        else if (line)
                manager_drop_problem(manager, line);
        return PATCH_CHANGED_STATE | MAX(patch_update(patch), 0);
}

static void note(Manager *manager, Patch *patch, const char *module) {
        if (is_among(patch->refused_modules, module) || strv_length(patch->refused_modules) >= MODULES_MAX ||
            strv_append(&patch->refused_modules, module) < 0)
                return;
        manager_notify_patch(manager, patch, update(manager, patch, module, true));
}

static void forget(Manager *manager, Patch *patch, const char *module) {
        if (drop(patch->refused_modules, module))
                manager_notify_patch(manager, patch, update(manager, patch, module, false));
}

static int forget_all(Manager *manager, Patch *patch) {
        int what = 0;

        while (patch->refused_modules && *patch->refused_modules) {
                _cleanup_free_ char *module = strdup(*patch->refused_modules);

                if (!module || !drop(patch->refused_modules, module))
                        return what;
                what |= update(manager, patch, module, false);
        }
        return what;
}

void refused_module_feed(Manager *manager, const char *line) {
        KlpLogNames names;
        KlpLogEvent event = klp_log_parse(line, &names);
        Patch *patch = event == KLP_LOG_NOTHING ? NULL : manager_patch_by_id(manager, names.patch);

        if (!patch || !patch->klp)
                return;
        switch (event) {
        case KLP_LOG_ENABLING:
                manager_notify_patch(manager, patch, forget_all(manager, patch));
                break;
        case KLP_LOG_REFUSED:
                note(manager, patch, names.module);
                break;
        case KLP_LOG_REVERTING:
                forget(manager, patch, names.module);
                break;
        case KLP_LOG_NOTHING:
                break;
        }
}

int refused_module_refresh(Manager *manager, Patch *patch) {
        int what = 0;

        if (!patch->klp)
                return forget_all(manager, patch);
        for (size_t i = 0; patch->refused_modules && i < patch->klp->n_objects; i++) {
                const KlpObject *object = patch->klp->objects + i;

                if (object->loaded && drop(patch->refused_modules, object->name))
                        what |= update(manager, patch, object->name, false);
        }
        return what;
}

/* The log is long, and most patches are for the kernel itself. */
static bool waits_for_a_module(const Manager *manager) {
        for (size_t i = 0; i < manager->n_patches; i++) {
                const KlpPatch *klp = manager->patches[i]->klp;

                for (size_t j = 0; klp && j < klp->n_objects; j++)
                        if (!klp->objects[j].loaded)
                                return true;
        }
        return false;
}

void refused_module_review(Manager *manager) {
        _cleanup_close_ int fd = -EBADF;
        KernelLogLine line = {};

        if (!waits_for_a_module(manager))
                return;
        fd = kernel_log_open_at_start(manager->root_fd);
        if (fd < 0) {
                (void) log_debug_errno(fd, "Cannot read the kernel's log of before, ignoring: %m");
                return;
        }
        while (kernel_log_read(fd, &line, NULL) > 0) {
                refused_module_feed(manager, line.text);
                kernel_log_line_done(&line);
        }
}
