/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ELF inspection of a module: who it is, which kernel it is for, which functions of which objects it patches. */
#pragma once

#include <stdbool.h>

#include "common/failure.h"
#include "common/types.h"

typedef struct ModuleFunction {
        char *name;
        unsigned sympos; /* as in sysfs: 0 in the module means 1 */
        bool sympos_given; /* not 0 in the module, so that it may be one of several; records do not keep this */
} ModuleFunction;

typedef struct ModuleObject {
        char *name; /* "vmlinux" or a module's name */
        ModuleFunction *functions;
        size_t n_functions;
} ModuleObject;

/* struct klp_state, include/linux/livepatch.h: a change of the system, beside the code, that the patch looks after, and
 * which version of it. */
typedef struct ModuleState {
        uint64_t id;
        unsigned version;
} ModuleState;

/* Everything read off one module. Strings from .modinfo are sanitised (control characters replaced, length bounded);
 * name satisfies module_name_is_valid(), kernel_release kernel_release_is_valid(). NULL: the module does not say. */
typedef struct ModuleInfo {
        char *name;           /* from .gnu.linkonce.this_module, the name the kernel uses; never from a file name */
        char *vermagic;
        char *kernel_release; /* first word of vermagic */
        char *version;
        char *description;
        char *license;
        char *srcversion;
        char *depends;
        char *build_id; /* hexadecimal, of .note.gnu.build-id */
        unsigned machine; /* e_machine */
        bool livepatch;   /* modinfo key "livepatch" present */
        LivepatchKind kind;
        Tristate replace;
        bool objects_known; /* false: the structures are built at run time; "unknown" is then the honest answer */
        ModuleObject *objects;
        size_t n_objects;
        bool states_known; /* false as above, and where a tool made the patch */
        ModuleState *states;
        size_t n_states;
} ModuleInfo;

typedef struct ModuleElfContext {
        /* sizeof(struct klp_func/klp_object) of the target kernel where known (from BTF), 0 otherwise. Only needed for
         * hand-written modules without local symbols: the sizes of their variables tell as well, and are believed
         * rather than these, so that the running kernel's may be given for another kernel's module, too. */
        unsigned klp_func_size;
        unsigned klp_object_size;
} ModuleElfContext;

/* Inspects size bytes that nobody vouches for: every offset is checked, work and memory are bounded whatever the
 * input. REFUSED_MALFORMED_MODULE for what is not a relocatable 64-bit ELF module or contradicts itself;
 * REFUSED_NOT_A_LIVEPATCH is *not* this function's business (livepatch is false). A livepatch whose functions cannot
 * be read is no error: objects_known is false. context may be NULL. */
int module_elf_inspect_untrusted(const uint8_t *data, size_t size, const ModuleElfContext *context, ModuleInfo **ret,
                                 Failure *f);

ModuleInfo *module_info_free(ModuleInfo *info);
DEFINE_CLEANUP(ModuleInfo *, module_info_free)

/* The ELF machine that modules of this kernel have, from uname(2)'s machine word ("x86_64", "aarch64", "ppc64le",
 * "s390x", ...); 0 if unknown. And the other way, for messages ("machine 183" if unknown; static string or buffer). */
unsigned module_elf_machine_from_architecture(const char *architecture);
const char *module_elf_machine_to_string(unsigned machine);

/* Sizes of the running kernel's structures out of sys/kernel/btf/vmlinux below root_fd; leaves 0 where unknown. */
int module_elf_context_from_btf(int root_fd, ModuleElfContext *ret);
