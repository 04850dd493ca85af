/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the running kernel tells about the functions that a patch is to replace: whether they exist, whether ftrace can
 * divert them, and who diverts or probes them already.
 *
 * Each source is read in one pass for all functions together, since one pass costs the kernel tens of milliseconds.
 * Blocks that long; not for the event loop. Addresses are neither kept nor shown. */
#pragma once

#include <stdbool.h>

#include "common/types.h"
#include "kmod/module-elf.h"

typedef struct KernelFunction {
        char *object; /* "vmlinux" or a module's name */
        char *name;
        bool object_loaded;
        unsigned n_symbols;   /* of this name in this object */
        bool traceable;       /* ftrace has a record of it, or of another one of its name */
        bool symbols_unsure;  /* the compiler's suffixes hide what the kernel calls them */
        bool diverted;        /* by an ftrace user that changes where it goes on (IPMODIFY) */
        bool diverted_by_klp; /* that is livepatch's own */
        bool has_trampoline;  /* of BPF (fentry, fexit) or another direct caller */
        bool probed;          /* by a kprobe or kretprobe, at its entry or inside */
        char *user;           /* the ftrace user's handler, where the kernel shows it: "NAME" or "NAME [MODULE]" */
        char *direct_user;    /* the trampoline's, likewise */
} KernelFunction;

/* What a source says holds for all functions or, if it could not be read, for none. */
typedef struct KernelFunctions {
        KernelFunction *functions;
        size_t n;
        bool symbols_known;
        bool traceable_known;
        bool users_known;
        bool probes_known;
} KernelFunctions;

void kernel_functions_done(KernelFunctions *functions);

/* Adds every function of the objects, in their order; one that is named twice is there twice. */
int kernel_functions_add(KernelFunctions *functions, const ModuleObject *objects, size_t n_objects);

/* Reads all sources below root_fd. Those that cannot be read (no privilege, not mounted, lockdown) stay unknown; fails
 * only when out of memory. */
int kernel_functions_collect(int root_fd, KernelFunctions *functions);
