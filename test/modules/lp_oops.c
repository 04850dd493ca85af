// SPDX-License-Identifier: LGPL-2.1-or-later
// A livepatch that dereferences NULL when reading /proc/version, once its parameter `trigger` is set.
#include "livepatch-test.h"

static bool trigger;
module_param(trigger, bool, 0644);
MODULE_PARM_DESC(trigger, "Y: the next read of /proc/version oopses");

static int *nowhere;

static int oops_on_show(struct seq_file *m, void *v)
{
        if (READ_ONCE(trigger))
                WRITE_ONCE(*READ_ONCE(nowhere), 1);
        seq_puts(m, "lp_oops\n");
        return 0;
}

LIVEPATCH_TEST_PATCH(NULL, "version_proc_show", oops_on_show)
LIVEPATCH_TEST_MODULE();
MODULE_VERSION("1");
MODULE_DESCRIPTION("test livepatch: oopses on request");
