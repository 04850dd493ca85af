/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A livepatch as a compiler leaves it, its identity given on the command line. Only the fake kernel loads it. */
#include "../fixtures/elf/module.h"

#ifndef PLAIN
MODINFO("livepatch=Y");
#endif
#ifndef NO_VERMAGIC
MODINFO("vermagic=" RELEASE " SMP preempt mod_unload modversions ");
#endif
MODINFO("license=GPL");
MODINFO("description=one function");

struct module __this_module __attribute__((section(".gnu.linkonce.this_module"))) = {
        .name = NAME, .init = init_module, .exit = cleanup_module,
};

#ifdef BUILD
__asm__(".section .note.gnu.build-id,\"a\",%note\n"
        ".balign 4\n"
        ".long 4, 4, 3\n"
        ".ascii \"GNU\\0\"\n"
        ".byte " BUILD ", 1, 2, 3\n"
        ".previous\n");
#endif

#ifdef PADDING
const char padding[PADDING] = { 1 };
#endif

static int replacement(void)
{
        return printk("replacement");
}

static struct klp_func funcs[] = {
        { .old_name = "cmdline_proc_show", .new_func = replacement },
        {}
};

static struct klp_object objs[] = {
        { .funcs = funcs },
        {}
};

#ifdef STATE_VERSION
static struct klp_state states[] = {
        { .id = 1, .version = STATE_VERSION },
        {}
};
#endif

static struct klp_patch patch = {
        .mod = &__this_module,
        .objs = objs,
#ifdef STATE_VERSION
        .states = states,
#endif
#ifdef REPLACE
        .replace = REPLACE,
#endif
};

int init_module(void)
{
#ifdef REPLACE_LATER
        patch.replace = printk("of the tools' patches the file does not tell") != 0;
#endif
        return klp_enable_patch(&patch);
}

void cleanup_module(void)
{
        (void) printk("bye");
}
