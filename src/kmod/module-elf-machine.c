/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The machines that Linux can live-patch: ELF number, uname(2) names, the relocation that stores an address. */

#include "common/string-util.h"
#include "kmod/module-elf-internal.h"

typedef struct Machine {
        const char *architecture;
        unsigned machine;
        uint32_t pointer_relocation;
} Machine;

/* The first entry of a machine is the name that messages use. 32-bit kernels have no live patching. */
static const Machine machine_table[] = {
        { "x86_64", EM_X86_64, R_X86_64_64 },
        { "aarch64", EM_AARCH64, R_AARCH64_ABS64 },
        { "arm64", EM_AARCH64, R_AARCH64_ABS64 },
        { "s390x", EM_S390, R_390_64 },
        { "ppc64le", EM_PPC64, R_PPC64_ADDR64 },
        { "ppc64", EM_PPC64, R_PPC64_ADDR64 },
        { "loongarch64", EM_LOONGARCH, R_LARCH_64 },
        { "riscv64", EM_RISCV, R_RISCV_64 },
};

unsigned module_elf_machine_from_architecture(const char *architecture) {
        for (size_t i = 0; i < ELEMENTSOF(machine_table); i++)
                if (streq_ptr(machine_table[i].architecture, architecture))
                        return machine_table[i].machine;
        return EM_NONE;
}

const char *module_elf_machine_to_string(unsigned machine) {
        static __thread char unknown[STRLEN("machine ") + 11];

        for (size_t i = 0; i < ELEMENTSOF(machine_table); i++)
                if (machine_table[i].machine == machine)
                        return machine_table[i].architecture;
        (void) snprintf(unknown, sizeof(unknown), "machine %u", machine);
        return unknown;
}

uint32_t elf_machine_pointer_relocation(unsigned machine) {
        for (size_t i = 0; i < ELEMENTSOF(machine_table); i++)
                if (machine_table[i].machine == machine)
                        return machine_table[i].pointer_relocation;
        return UINT32_MAX;
}
