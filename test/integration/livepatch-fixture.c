/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A module as a compiler leaves it, with its identity given on the command line. The fake kernel loads it; no real one
 * ever sees it. */
#include "module.h"

#ifndef FIXTURE_PLAIN
MODINFO("livepatch=Y");
#endif
MODINFO("name=" FIXTURE_NAME);
MODINFO("vermagic=" FIXTURE_RELEASE " SMP preempt mod_unload modversions ");
MODINFO("version=" FIXTURE_VERSION);
MODINFO("description=" FIXTURE_DESCRIPTION);
MODINFO("license=GPL");

struct module __this_module __attribute__((section(".gnu.linkonce.this_module"))) = {
        .name = FIXTURE_NAME, .init = init_module, .exit = cleanup_module,
};

__asm__(".section .note.gnu.build-id,\"a\",%note\n"
        ".balign 4\n"
        ".long 4, 20, 3\n"
        ".ascii \"GNU\\0\"\n"
        ".byte " FIXTURE_BUILD ",1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19\n"
        ".previous\n");

static int replacement(void)
{
        return printk("replacement");
}

static struct klp_func kernel_funcs[] = {
        { .old_name = "cmdline_proc_show", .new_func = replacement },
        { .old_name = "uptime_proc_show", .new_func = replacement },
        {}
};

static struct klp_func module_funcs[] = {
        { .old_name = "absent_show", .new_func = replacement, .old_sympos = 2 },
        {}
};

static struct klp_object objs[] = {
        { .funcs = kernel_funcs },
        { .name = "absent", .funcs = module_funcs },
        {}
};

static struct klp_patch patch = {
        .mod = &__this_module,
        .objs = objs,
#ifdef FIXTURE_REPLACE
        .replace = 1,
#endif
};

int init_module(void)
{
        return klp_enable_patch(&patch);
}

void cleanup_module(void)
{
        (void) printk("bye");
}
