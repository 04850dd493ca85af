/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A /proc/cmdline that stays a kernel command line and gains a word naming the patch: `lp_patched_by=NAME`. */
#pragma once

#include <linux/fs.h>
#include <linux/string.h>

#include "livepatch-test.h"

#define PATCHED_CMDLINE_WORD " lp_patched_by="

static char original_cmdline[4096];

/*
 * saved_command_line is not exported to modules, so it is read as user space would read it, before the
 * patch is in. What an earlier patch added is cut off: the last one stacked is the one that shows.
 * Where there is no /proc (yet), only the word is printed.
 */
static void __init remember_cmdline(void)
{
        struct file *file = filp_open("/proc/cmdline", O_RDONLY, 0);
        loff_t position = 0;
        ssize_t size;
        char *word;

        if (IS_ERR(file))
                return;
        size = kernel_read(file, original_cmdline, sizeof(original_cmdline) - 1, &position);
        original_cmdline[size > 0 ? size : 0] = '\0';
        filp_close(file, NULL);

        word = strstr(original_cmdline, PATCHED_CMDLINE_WORD);
        if (word)
                *word = '\0';
        strim(original_cmdline);
}

#define PATCHED_CMDLINE(text, ...)                                              \
        static int patched_cmdline_show(struct seq_file *m, void *v)            \
        {                                                                       \
                seq_printf(m, "%s" PATCHED_CMDLINE_WORD "%s\n", original_cmdline, text); \
                return 0;                                                       \
        }                                                                       \
        LIVEPATCH_TEST_PATCH(NULL, "cmdline_proc_show", patched_cmdline_show)   \
        static struct klp_patch livepatch_test_patch = {                        \
                .mod = THIS_MODULE, .objs = livepatch_test_objs, __VA_ARGS__    \
        };                                                                      \
        static int __init livepatch_test_init(void)                             \
        {                                                                       \
                remember_cmdline();                                             \
                return klp_enable_patch(&livepatch_test_patch);                 \
        }                                                                       \
        LIVEPATCH_TEST_EXIT
