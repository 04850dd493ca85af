/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The objects and functions of one module: grown as they are read, names and numbers bounded. */

#include <limits.h>

#include "common/string-util.h"
#include "kmod/module-elf-internal.h"

/* Room for one more: arrays double when their length is a power of two, so no capacity has to be kept. */
static int grow(void **array, size_t n, size_t item_size) {
        void *grown;

        if (n != 0 && (n & (n - 1)) != 0)
                return 0;
        grown = reallocarray(*array, n == 0 ? 1 : n * 2, item_size);
        if (!grown)
                return -ENOMEM;
        *array = grown;
        return 0;
}

/* What C, Rust and the compilers' suffixes (".isra.0", ".llvm.123") make of names. */
bool klp_function_name_is_valid(const char *name) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.$";
        size_t n = name ? strspn(name, allowed) : 0;

        return n > 0 && n <= KSYM_NAME_MAX && name[n] == '\0';
}

int module_objects_add(ModuleObjects *objects, const char *name) {
        _cleanup_free_ char *copy = NULL;
        int r;

        /* "vmlinux" satisfies it, too. */
        if (!module_name_is_valid(name) || objects->n_objects >= MODULE_OBJECTS_MAX)
                return -ENODATA;
        copy = strdup(name);
        if (!copy)
                return -ENOMEM;
        r = grow((void **) &objects->objects, objects->n_objects, sizeof(ModuleObject));
        if (r < 0)
                return r;
        objects->objects[objects->n_objects++] = (ModuleObject) { .name = TAKE_PTR(copy) };
        return 0;
}

int module_objects_add_function(ModuleObjects *objects, size_t object, const char *name, uint64_t sympos) {
        ModuleObject *o = objects->objects + object;
        _cleanup_free_ char *copy = NULL;
        int r;

        if (!klp_function_name_is_valid(name) || sympos > UINT_MAX || objects->n_functions >= MODULE_FUNCTIONS_MAX)
                return -ENODATA;
        copy = strdup(name);
        if (!copy)
                return -ENOMEM;
        r = grow((void **) &o->functions, o->n_functions, sizeof(ModuleFunction));
        if (r < 0)
                return r;
        /* In the module 0 stands for "the only one", which sysfs shows as 1 (klp_init_object_loaded() and
         * klp_init_func(), kernel/livepatch/core.c). */
        o->functions[o->n_functions++] = (ModuleFunction) {
                .name = TAKE_PTR(copy),
                .sympos = sympos == 0 ? 1 : (unsigned) sympos,
                .sympos_given = sympos != 0,
        };
        objects->n_functions++;
        return 0;
}

void module_objects_done(ModuleObjects *objects) {
        for (size_t i = 0; i < objects->n_objects; i++) {
                ModuleObject *o = objects->objects + i;

                for (size_t j = 0; j < o->n_functions; j++)
                        free(o->functions[j].name);
                free(o->functions);
                free(o->name);
        }
        free(objects->objects);
        *objects = (ModuleObjects) {};
}
