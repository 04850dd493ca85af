// SPDX-License-Identifier: LGPL-2.1-or-later
// One of eight livepatches of eight functions, for benchmarks: built once for each BENCH_NUMBER and BENCH_FUNCTION.
#include "livepatch-test.h"

static int patched_show(struct seq_file *m, void *v)
{
        seq_puts(m, "lp_bench_" __stringify(BENCH_NUMBER) "\n");
        return 0;
}

LIVEPATCH_TEST_PATCH(NULL, __stringify(BENCH_FUNCTION), patched_show)
LIVEPATCH_TEST_MODULE();
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: number " __stringify(BENCH_NUMBER) " of eight, for benchmarks");
