/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /sys/kernel/livepatch of several kernel generations, with entries that do not belong there. */

#include <fcntl.h>

#include "common/fd-util.h"
#include "kmod/klp-sysfs.h"
#include "test.h"

#define KLP "sys/kernel/livepatch/"

static void add_patch(const char *name, const char *enabled, const char *transition) {
        char path[256];

        (void) snprintf(path, sizeof(path), KLP "%s/enabled", name);
        test_write_file(test_tmpdir(), path, enabled);
        (void) snprintf(path, sizeof(path), KLP "%s/transition", name);
        test_write_file(test_tmpdir(), path, transition);
}

static void add_dir(const char *path) {
        ASSERT_OK(mkdir_parents_at(test_tmpdir(), path, 0755));
}

TEST(no_livepatch_support) {
        KlpPatchList list = {};
        char *owner = NULL;

        ASSERT_EQ(klp_sysfs_list(test_tmpdir(), true, &list), -EOPNOTSUPP);
        ASSERT_EQ(klp_sysfs_transition_owner(test_tmpdir(), &owner), -EOPNOTSUPP);
        ASSERT_NULL(list.patches);
}

TEST(no_patches) {
        _cleanup_(klp_patch_list_done) KlpPatchList list = { .n = 7 };
        char *owner = (char *) "";

        add_dir(KLP);
        ASSERT_OK(klp_sysfs_list(test_tmpdir(), true, &list));
        ASSERT_EQ(list.n, 0);
        ASSERT_OK(klp_sysfs_transition_owner(test_tmpdir(), &owner));
        ASSERT_NULL(owner);
}

TEST(patch_of_5_10) {
        _cleanup_(klp_patch_freep) KlpPatch *patch = NULL;

        add_patch("lp", "1\n", "0\n");
        add_dir(KLP "lp/vmlinux/cmdline_proc_show,1");
        ASSERT_OK(klp_sysfs_read(test_tmpdir(), "lp", true, &patch));
        ASSERT_STREQ(patch->name, "lp");
        ASSERT_TRUE(patch->enabled);
        ASSERT_FALSE(patch->transition);
        ASSERT_EQ(patch->replace, TRISTATE_UNKNOWN);
        ASSERT_EQ(patch->stack_order, 0);
        ASSERT_EQ(patch->n_objects, 1);
        ASSERT_EQ(patch->objects[0].patched, TRISTATE_UNKNOWN);
        ASSERT_TRUE(patch->objects[0].loaded);
        ASSERT_EQ(patch->objects[0].n_functions, 1);
        ASSERT_STREQ(patch->objects[0].functions[0].name, "cmdline_proc_show");
        ASSERT_EQ(patch->objects[0].functions[0].sympos, 1);
}

TEST(patch_of_6_14) {
        _cleanup_(klp_patch_freep) KlpPatch *patch = NULL;

        add_patch("lp", "0\n", "1\n");
        test_write_file(test_tmpdir(), KLP "lp/replace", "1\n");
        test_write_file(test_tmpdir(), KLP "lp/stack_order", "2\n");
        test_write_file(test_tmpdir(), KLP "lp/ext4/patched", "1\n");
        test_write_file(test_tmpdir(), KLP "lp/nfs/patched", "0\n");
        add_dir(KLP "lp/ext4/f,1");
        add_dir(KLP "lp/ext4/f,12");
        test_write_file(test_tmpdir(), "sys/module/ext4/initstate", "live\n");
        test_write_file(test_tmpdir(), "sys/module/nfs/initstate", "coming\n");
        ASSERT_OK(klp_sysfs_read(test_tmpdir(), "lp", true, &patch));
        ASSERT_FALSE(patch->enabled);
        ASSERT_TRUE(patch->transition);
        ASSERT_EQ(patch->replace, TRISTATE_YES);
        ASSERT_EQ(patch->stack_order, 2);
        ASSERT_EQ(patch->n_objects, 2);
        ASSERT_STREQ(patch->objects[0].name, "ext4");
        ASSERT_EQ(patch->objects[0].patched, TRISTATE_YES);
        ASSERT_TRUE(patch->objects[0].loaded);
        ASSERT_EQ(patch->objects[0].n_functions, 2);
        ASSERT_EQ(patch->objects[0].functions[1].sympos, 12);
        ASSERT_EQ(patch->objects[1].patched, TRISTATE_NO);
        ASSERT_FALSE(patch->objects[1].loaded);
        ASSERT_EQ(patch->objects[1].n_functions, 0);
}

TEST(functions_are_split_at_the_last_comma) {
        static const char *const bad[] = { "plain", ",1", "f,", "f,0", "f,-1", "f,+1", "f, 1", "f,1x", "f,4294967296",
                                           "f,g,1", "f g,1", "f\x1b,1", "f;g,1" };
        _cleanup_(klp_patch_freep) KlpPatch *patch = NULL;

        add_patch("lp", "1\n", "0\n");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                char path[128];

                (void) snprintf(path, sizeof(path), KLP "lp/vmlinux/%s", bad[i]);
                add_dir(path);
        }
        add_dir(KLP "lp/vmlinux/f.isra.0,3");
        ASSERT_OK(klp_sysfs_read(test_tmpdir(), "lp", true, &patch));
        ASSERT_EQ(patch->n_objects, 1);
        ASSERT_EQ(patch->objects[0].n_functions, 1);
        ASSERT_STREQ(patch->objects[0].functions[0].name, "f.isra.0");
        ASSERT_EQ(patch->objects[0].functions[0].sympos, 3);
}

TEST(entries_that_are_no_objects) {
        _cleanup_(klp_patch_freep) KlpPatch *patch = NULL;

        add_patch("lp", "1\n", "0\n");
        add_dir(KLP "lp/not-a-module");
        add_dir(KLP "lp/.hidden");
        add_dir("elsewhere");
        ASSERT_OK(symlinkat("../../../../elsewhere", test_tmpdir(), KLP "lp/link"));
        test_write_file(test_tmpdir(), KLP "lp/force", "");
        ASSERT_OK(klp_sysfs_read(test_tmpdir(), "lp", true, &patch));
        ASSERT_EQ(patch->n_objects, 0);
}

TEST(objects_only_on_demand) {
        _cleanup_(klp_patch_freep) KlpPatch *patch = NULL;

        add_patch("lp", "1\n", "0\n");
        add_dir(KLP "lp/vmlinux/f,1");
        ASSERT_OK(klp_sysfs_read(test_tmpdir(), "lp", false, &patch));
        ASSERT_EQ(patch->n_objects, 0);
        ASSERT_NULL(patch->objects);
}

TEST(a_patch_without_a_directory_is_not_there) {
        KlpPatch *patch = NULL;
        bool enabled = true, transition = true;

        add_dir(KLP);
        ASSERT_EQ(klp_sysfs_read(test_tmpdir(), "lp", true, &patch), -ENOENT);
        ASSERT_EQ(klp_sysfs_read_state(test_tmpdir(), "lp", &enabled, &transition), -ENOENT);
        ASSERT_NULL(patch);
        ASSERT_TRUE(enabled && transition);
}

/* Half of a patch is what one sees when its directory goes away while it is read. */
TEST(a_patch_that_vanishes_is_left_out) {
        _cleanup_(klp_patch_list_done) KlpPatchList list = {};
        KlpPatch *patch = NULL;

        add_patch("stays", "1\n", "0\n");
        test_write_file(test_tmpdir(), KLP "vanishes/enabled", "0\n");
        add_dir(KLP "vanished/vmlinux/f,1");
        ASSERT_OK(klp_sysfs_list(test_tmpdir(), true, &list));
        ASSERT_EQ(list.n, 1);
        ASSERT_STREQ(list.patches[0].name, "stays");
        ASSERT_EQ(klp_sysfs_read(test_tmpdir(), "vanished", true, &patch), -ENOENT);
}

TEST(list_is_sorted_and_validated) {
        _cleanup_(klp_patch_list_done) KlpPatchList list = {};

        add_patch("lp_b", "1\n", "0\n");
        add_patch("lp_a", "1\n", "1\n");
        add_patch("not-a-module", "1\n", "0\n");
        test_write_file(test_tmpdir(), KLP "file", "x");
        ASSERT_OK(klp_sysfs_list(test_tmpdir(), false, &list));
        ASSERT_EQ(list.n, 2);
        ASSERT_STREQ(list.patches[0].name, "lp_a");
        ASSERT_TRUE(list.patches[0].transition);
        ASSERT_STREQ(list.patches[1].name, "lp_b");
}

TEST(an_attribute_that_is_no_number_is_an_error) {
        bool enabled, transition;

        add_patch("lp", "maybe\n", "0\n");
        ASSERT_EQ(klp_sysfs_read_state(test_tmpdir(), "lp", &enabled, &transition), -EBADMSG);
        add_patch("lp", "1\n", "");
        ASSERT_EQ(klp_sysfs_read_state(test_tmpdir(), "lp", &enabled, &transition), -EBADMSG);
}

TEST(transition_owner) {
        _cleanup_free_ char *owner = NULL;

        add_patch("lp_a", "1\n", "0\n");
        add_patch("lp_b", "1\n", "1\n");
        add_patch("lp_c", "1\n", "0\n");
        test_write_file(test_tmpdir(), KLP "lp_aa/enabled", "0\n");
        ASSERT_OK(klp_sysfs_transition_owner(test_tmpdir(), &owner));
        ASSERT_STREQ(owner, "lp_b");
}

TEST(names_that_leave_the_directory) {
        static const char *const names[] = { "", ".", "..", "../module", "a/b", "lp-dash",
                                             "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz1234" };
        bool enabled, transition;
        KlpPatch *patch = NULL;
        KernelModule module;

        add_dir(KLP);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_failure_ Failure f = {};

                ASSERT_EQ(klp_sysfs_read(test_tmpdir(), names[i], true, &patch), -EINVAL);
                ASSERT_EQ(klp_sysfs_read_state(test_tmpdir(), names[i], &enabled, &transition), -EINVAL);
                ASSERT_EQ(klp_sysfs_set_enabled(test_tmpdir(), names[i], false, &f), -EINVAL);
                ASSERT_CONTAINS(failure_text(&f), "not the name of a kernel module");
                ASSERT_EQ(kernel_module_read(test_tmpdir(), names[i], &module), -EINVAL);
        }
}

TEST(switching_off) {
        _cleanup_failure_ Failure f = {};
        bool enabled, transition;

        add_patch("lp", "1\n", "0\n");
        ASSERT_EQ(klp_sysfs_set_enabled(test_tmpdir(), "lp", false, &f), 0);
        ASSERT_EQ(f.code, 0);
        ASSERT_OK(klp_sysfs_read_state(test_tmpdir(), "lp", &enabled, &transition));
        ASSERT_FALSE(enabled);
}

TEST(switching_off_what_is_gone) {
        _cleanup_failure_ Failure f = {};

        add_dir(KLP);
        ASSERT_EQ(klp_sysfs_set_enabled(test_tmpdir(), "lp", false, &f), -ENOENT);
        ASSERT_EQ(f.code, -ENOENT);
        ASSERT_CONTAINS(failure_text(&f), "'lp'");
        ASSERT_FALSE(exists_at(test_tmpdir(), KLP "lp"));
        ASSERT_EQ(klp_sysfs_set_enabled(test_tmpdir(), "lp", false, NULL), -ENOENT);
}

TEST(forcing) {
        _cleanup_failure_ Failure f = {};
        _cleanup_free_ char *value = NULL;

        add_patch("lp", "1\n", "1\n");
        test_write_file(test_tmpdir(), KLP "lp/force", "0\n");
        ASSERT_EQ(klp_sysfs_force_transition(test_tmpdir(), "lp", &f), 0);
        ASSERT_EQ(f.code, 0);
        ASSERT_OK(read_line_at(test_tmpdir(), KLP "lp/force", &value));
        ASSERT_EQ(value[0], '1');
}

TEST(forcing_what_is_gone) {
        _cleanup_failure_ Failure f = {};

        add_dir(KLP);
        ASSERT_EQ(klp_sysfs_force_transition(test_tmpdir(), "lp", &f), REFUSED_NOT_IN_TRANSITION);
        ASSERT_CONTAINS(failure_text(&f), "'lp'");
        ASSERT_FALSE(exists_at(test_tmpdir(), KLP "lp"));
        ASSERT_EQ(klp_sysfs_force_transition(test_tmpdir(), "../lp", &f), -EINVAL);
        ASSERT_EQ(klp_sysfs_force_transition(test_tmpdir(), "", NULL), -EINVAL);
}
