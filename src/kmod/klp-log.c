/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel's log says of patches and the modules that they are for. Pure: a line at a time. */

#include "kmod/klp-log.h"

/* The texts of __klp_enable_patch() and of klp_module_coming() and klp_cleanup_module_patches_limited() in
 * kernel/livepatch/core.c, the same since 5.1. '@' stands for a module's name, which has no quotes in it. */
static const struct {
        const char *text;
        KlpLogEvent event;
} table[] = {
        { "livepatch: enabling patch '@'", KLP_LOG_ENABLING },
        { "livepatch: patch '@' failed for module '@', refusing to load module '@'", KLP_LOG_REFUSED },
        { "livepatch: reverting patch '@' on unloading module '@'", KLP_LOG_REVERTING },
};

#define NAMES_MAX 3

static bool match(const char *text, const char *pattern, char names[NAMES_MAX][MODULE_NAME_MAX + 1]) {
        size_t n = 0, length;

        for (; *pattern; pattern++) {
                if (*pattern != '@') {
                        if (*text++ != *pattern)
                                return false;
                        continue;
                }
                length = strcspn(text, "'");
                if (length == 0 || length > MODULE_NAME_MAX)
                        return false;
                memcpy(names[n], text, length);
                names[n][length] = '\0';
                if (!module_name_is_valid(names[n++]))
                        return false;
                text += length;
        }
        return *text == '\0';
}

KlpLogEvent klp_log_parse(const char *text, KlpLogNames *ret) {
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                char names[NAMES_MAX][MODULE_NAME_MAX + 1] = {};

                if (!match(text, table[i].text, names))
                        continue;
                *ret = (KlpLogNames) {};
                memcpy(ret->patch, names[0], sizeof(ret->patch));
                memcpy(ret->module, names[1], sizeof(ret->module));
                return table[i].event;
        }
        return KLP_LOG_NOTHING;
}
