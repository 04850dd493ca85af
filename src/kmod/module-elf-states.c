/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The states of a hand-written livepatch: an array of struct klp_state, which an id of 0 ends.
 *
 *      0 id       unsigned long
 *      8 version  unsigned int
 *     16 data     the patch's own, at run time
 *
 * include/linux/livepatch.h, since 5.5; klp_for_each_state() in kernel/livepatch/state.c. */

#include "kmod/module-elf-internal.h"

enum {
        STATE_ID = 0,
        STATE_VERSION = 8,
        STATE_DATA = 16,
        STATE_SIZE = 24,
};

uint64_t module_elf_states_size(const ModuleStates *states) {
        /* Of the empty entry, what code reaches relative to its own address may be the next variable. */
        return states->n * STATE_SIZE + STATE_DATA;
}

/* 1: one, 0: the end. */
static int read_state(ElfFile *file, ElfPlace at, ModuleState *ret) {
        uint64_t id;
        uint32_t version;
        int r = elf_file_constant_u64(file, elf_place_plus(at, STATE_ID), &id);

        if (r < 0 || id == 0)
                return r;
        r = elf_file_constant_u32(file, elf_place_plus(at, STATE_VERSION), &version);
        if (r < 0)
                return r;
        *ret = (ModuleState) { .id = id, .version = version };
        return 1;
}

static int count_states(ElfFile *file, ElfPlace at, size_t *ret) {
        ModuleState state;
        size_t n = 0;
        int r;

        while ((r = read_state(file, elf_place_plus(at, n * STATE_SIZE), &state)) > 0)
                if (++n > MODULE_STATES_MAX)
                        return -ENODATA;
        *ret = n;
        return r;
}

int module_elf_read_states(ElfFile *file, ElfPlace at, uint64_t size, ModuleStates *ret) {
        ModuleState *states;
        size_t n;
        int r = count_states(file, at, &n);

        if (r < 0)
                return r;
        /* Spare entries may be filled in at run time. */
        if (size != 0 && size != (n + 1) * STATE_SIZE)
                return -ENODATA;
        states = calloc(n + 1, sizeof(ModuleState));
        if (!states)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                (void) read_state(file, elf_place_plus(at, i * STATE_SIZE), &states[i]);
        *ret = (ModuleStates) { .states = states, .n = n };
        return 0;
}
