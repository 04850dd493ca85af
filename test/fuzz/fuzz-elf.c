/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hostile bytes into the ELF inspection; what it claims about them must have the form that the rest relies on. */

#include "common/string-util.h"
#include "fuzz.h"
#include "kmod/module-elf.h"

static void check_info(const ModuleInfo *info) {
        FUZZ_ASSERT(module_name_is_valid(info->name));
        FUZZ_ASSERT(!info->kernel_release || kernel_release_is_valid(info->kernel_release));
        FUZZ_ASSERT(info->livepatch || info->kind == LIVEPATCH_KIND_UNKNOWN);
        FUZZ_ASSERT(info->objects_known || (info->n_objects == 0 && info->replace == TRISTATE_UNKNOWN));
        FUZZ_ASSERT(info->states_known ? info->objects_known : info->n_states == 0);
        for (size_t i = 0; i < info->n_states; i++)
                FUZZ_ASSERT(info->states[i].id != 0);
        for (size_t i = 0; i < info->n_objects; i++) {
                const ModuleObject *o = info->objects + i;

                FUZZ_ASSERT(module_name_is_valid(o->name));
                for (size_t j = 0; j < o->n_functions; j++)
                        FUZZ_ASSERT(!isempty(o->functions[j].name) && o->functions[j].sympos > 0);
        }
}

static void inspect(const uint8_t *data, size_t size, const ModuleElfContext *context) {
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;
        _cleanup_failure_ Failure f = {};
        int r = module_elf_inspect_untrusted(data, size, context, &info, &f);

        if (r == 0)
                check_info(info);
        else
                FUZZ_ASSERT(r == REFUSED_MALFORMED_MODULE && f.code == r && f.text && !info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const ModuleElfContext debian = { .klp_func_size = 152, .klp_object_size = 168 };

        inspect(data, size, NULL);
        inspect(data, size, &debian);
        return 0;
}
