/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every fuzz target shares: libFuzzer's entry points, and help for targets that read files. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Never keeps anything from one input for the next one; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Optional: called once before the first input; returns 0. fuzz-runner.c has a weak one that does nothing. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* An assertion that also holds in builds with NDEBUG: what it checks is the point of the target. */
#define FUZZ_ASSERT(e)                          \
        do {                                    \
                if (!(e))                       \
                        __builtin_trap();       \
        } while (0)
