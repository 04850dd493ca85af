/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the test livepatches share: the boiler plate of a patch with one function. */
#pragma once

#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>

/* The patch `livepatch_test_patch` for FUNCTION of OBJECT (NULL: the kernel itself). */
#define LIVEPATCH_TEST_PATCH(object, function, replacement, ...)                \
        static struct klp_func livepatch_test_funcs[] = {                       \
                { .old_name = function, .new_func = replacement },              \
                {}                                                              \
        };                                                                      \
        static struct klp_object livepatch_test_objs[] = {                      \
                { .name = object, .funcs = livepatch_test_funcs, __VA_ARGS__ }, \
                {}                                                              \
        };

#define LIVEPATCH_TEST_MODULE(...)                                              \
        static struct klp_patch livepatch_test_patch = {                        \
                .mod = THIS_MODULE, .objs = livepatch_test_objs, __VA_ARGS__    \
        };                                                                      \
        static int __init livepatch_test_init(void)                             \
        {                                                                       \
                return klp_enable_patch(&livepatch_test_patch);                 \
        }                                                                       \
        LIVEPATCH_TEST_EXIT

/* A livepatch needs an exit function to be removable; it is reached only when the patch is gone. */
#define LIVEPATCH_TEST_EXIT                                                     \
        static void __exit livepatch_test_exit(void)                            \
        {                                                                       \
        }                                                                       \
        module_init(livepatch_test_init);                                       \
        module_exit(livepatch_test_exit);                                       \
        MODULE_LICENSE("GPL");                                                  \
        MODULE_INFO(livepatch, "Y")
