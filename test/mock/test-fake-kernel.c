/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake kernel refuses what a kernel refuses, and the mock loader obeys its control files. */

#include "common/fd-util.h"
#include "common/string-util.h"
#include "fake-errno.h"
#include "fake-kernel.h"
#include "kmod/kernel-info.h"
#include "kmod/klp-sysfs.h"
#include "kmod/module-loader.h"
#include "test.h"

static int fake_root(void) {
        ASSERT_OK(fake_kernel_create(test_tmpdir(), "6.12.0-fake"));
        return test_tmpdir();
}

static int load(int root_fd, const char *name, Tristate replace) {
        ModuleFunction functions[] = {
                { .name = (char *) "cmdline_proc_show" },
                { .name = (char *) "f", .sympos = 2 },
        };
        ModuleObject objects[] = { { (char *) "vmlinux", functions, 2 }, { (char *) "ext4", functions, 1 } };
        const ModuleInfo info = {
                .name = (char *) name,
                .build_id = (char *) "00ff10",
                .version = (char *) "1.2",
                .livepatch = true,
                .replace = replace,
                .objects_known = true,
                .objects = objects,
                .n_objects = 2,
        };

        return fake_kernel_load(root_fd, &info);
}

static VerifiedModule *verified(const char *bytes) {
        const VerifyParameters parameters = { .policy = SIGNATURE_POLICY_KERNEL };
        _cleanup_(module_image_unrefp) ModuleImage *image = NULL;
        _cleanup_(trust_store_unrefp) TrustStore *store = NULL;
        VerifiedModule *module = NULL;

        ASSERT_EQ(module_image_new_from_memory(bytes, strlen(bytes), MIB(1), &image, NULL), 0);
        ASSERT_EQ(trust_store_new(test_tmpdir(), &store, NULL), 0);
        ASSERT_EQ(module_verify(image, store, &parameters, &module, NULL, NULL), 0);
        return module;
}

static void assert_file(const char *path, const char *start) {
        _cleanup_free_ char *content = NULL;

        ASSERT_OK(read_file_at(test_tmpdir(), path, MIB(1), &content, NULL));
        if (!startswith(content, start))
                test_fail(__FILE__, __LINE__, "%s holds '%s', not '%s...'", path, content, start);
}

TEST(a_fresh_one_is_a_kernel_that_can_be_patched) {
        _cleanup_(kernel_info_freep) KernelInfo *info = NULL;

        ASSERT_OK(kernel_info_read(fake_root(), &info));
        ASSERT_STREQ(info->release, "6.12.0-fake");
        ASSERT_TRUE(info->livepatch_supported);
        ASSERT_EQ(info->config_livepatch, TRISTATE_YES);
        ASSERT_EQ(info->lockdown, LOCKDOWN_NONE);
        ASSERT_EQ(info->modules_disabled, TRISTATE_NO);
        ASSERT_NOT_NULL(info->boot_id);
}

TEST(a_loaded_patch_reads_like_a_real_one) {
        _cleanup_(klp_patch_freep) KlpPatch *patch = NULL;
        _cleanup_(kernel_module_done) KernelModule module = {};
        int root_fd = fake_root();

        ASSERT_OK(load(root_fd, "lp_a", TRISTATE_NO));
        ASSERT_OK(klp_sysfs_read(root_fd, "lp_a", true, &patch));
        ASSERT_TRUE(patch->enabled && patch->transition);
        ASSERT_EQ(patch->n_objects, 2);
        ASSERT_STREQ(patch->objects[0].name, "ext4");
        ASSERT_EQ(patch->objects[0].patched, TRISTATE_NO);
        ASSERT_EQ(patch->objects[1].patched, TRISTATE_YES);
        ASSERT_EQ(patch->objects[1].functions[0].sympos, 1);
        ASSERT_EQ(patch->objects[1].functions[1].sympos, 2);
        ASSERT_OK(kernel_module_read(root_fd, "lp_a", &module));
        ASSERT_TRUE(module.live);
        ASSERT_EQ(module.refcnt, 1);
        ASSERT_STREQ(module.build_id, "00ff10");
        ASSERT_STREQ(module.version, "1.2");
}

TEST(loading_is_refused_as_by_a_kernel) {
        int root_fd = fake_root();

        ASSERT_OK(load(root_fd, "lp_a", TRISTATE_NO));
        ASSERT_EQ(load(root_fd, "lp_a", TRISTATE_NO), -EEXIST);
        ASSERT_EQ(load(root_fd, "lp_b", TRISTATE_NO), -EBUSY);
        ASSERT_OK(fake_kernel_finish_transition(root_fd, "lp_a", true));
        test_write_file(root_fd, "proc/sys/kernel/ftrace_enabled", "0\n");
        ASSERT_EQ(load(root_fd, "lp_b", TRISTATE_NO), -EBUSY);
        test_write_file(root_fd, "proc/sys/kernel/modules_disabled", "1\n");
        ASSERT_EQ(load(root_fd, "lp_b", TRISTATE_NO), -EPERM);
        ASSERT_FALSE(exists_at(root_fd, "sys/module/lp_b"));
        ASSERT_FALSE(exists_at(root_fd, "sys/kernel/livepatch/lp_b"));
}

TEST(replacing_and_unloading) {
        int root_fd = fake_root();

        test_write_file(root_fd, "ctl/transition-ms", "0\n");
        ASSERT_OK(load(root_fd, "lp_a", TRISTATE_NO));
        ASSERT_EQ(fake_kernel_unload(root_fd, "lp_a"), -EAGAIN);
        ASSERT_EQ(fake_kernel_unload(root_fd, "lp_b"), -ENOENT);
        ASSERT_OK(load(root_fd, "lp_b", TRISTATE_YES));
        ASSERT_FALSE(exists_at(root_fd, "sys/kernel/livepatch/lp_a"));
        ASSERT_TRUE(exists_at(root_fd, "sys/kernel/livepatch/lp_b"));
        ASSERT_OK(fake_kernel_unload(root_fd, "lp_a"));
        ASSERT_FALSE(exists_at(root_fd, "sys/module/lp_a"));
}

TEST(rebooting) {
        _cleanup_free_ char *before = NULL, *after = NULL;
        int root_fd = fake_root();

        ASSERT_OK(load(root_fd, "lp_a", TRISTATE_NO));
        ASSERT_OK(read_line_at(root_fd, "proc/sys/kernel/random/boot_id", &before));
        ASSERT_OK(fake_kernel_reboot(root_fd));
        ASSERT_OK(read_line_at(root_fd, "proc/sys/kernel/random/boot_id", &after));
        ASSERT_FALSE(streq(before, after));
        ASSERT_FALSE(exists_at(root_fd, "sys/module/lp_a"));
        ASSERT_FALSE(exists_at(root_fd, "sys/kernel/livepatch/lp_a"));
        ASSERT_TRUE(exists_at(root_fd, "sys/module/module"));
}

TEST(an_injected_error_is_explained_with_its_log) {
        _cleanup_(verified_module_unrefp) VerifiedModule *module = NULL;
        _cleanup_failure_ Failure f = {}, other = {};
        int root_fd = fake_root();

        module = verified("these bytes are never looked at");
        test_write_file(root_fd, "ctl/insert-errno.lp_a", "EINVAL\n");
        test_write_file(root_fd, "ctl/insert-log", "livepatch: symbol 'f' not found in symbol table\n"
                                                   "<5>livepatch: 'lp_a': unpatching complete\n");
        ASSERT_EQ(module_loader_insert(root_fd, module, "lp_a", NULL, &f), REFUSED_KERNEL_REFUSED);
        ASSERT_CONTAINS(failure_text(&f), "does not exist in this kernel");
        ASSERT_CONTAINS(failure_text(&f), "symbol 'f' not found");
        assert_file("ctl/inserted", "lp_a ");
        assert_file("dev/kmsg", "3,0,");
        /* The other module fails by itself: no ELF file. */
        ASSERT_EQ(module_loader_insert(root_fd, module, "lp_b", NULL, &other), REFUSED_KERNEL_REFUSED);
        ASSERT_CONTAINS(failure_text(&other), "Exec format error");
}

TEST(unloading_through_the_mock) {
        _cleanup_failure_ Failure f = {};
        int root_fd = fake_root();

        ASSERT_EQ(module_loader_remove(root_fd, "lp_a", &f), -ENOENT);
        ASSERT_OK(load(root_fd, "lp_a", TRISTATE_NO));
        ASSERT_EQ(module_loader_remove(root_fd, "lp_a", &f), REFUSED_BUSY);
        test_write_file(root_fd, "ctl/remove-errno", "EPERM");
        ASSERT_EQ(module_loader_remove(root_fd, "lp_a", &f), REFUSED_KERNEL_REFUSED);
        assert_file("ctl/removed", "lp_a\nlp_a\nlp_a\n");
        ASSERT_EQ(module_loader_remove(root_fd, "../lp_a", &f), -EINVAL);
}

TEST(error_numbers) {
        ASSERT_EQ(fake_errno_from_string("EBUSY"), EBUSY);
        ASSERT_EQ(fake_errno_from_string("16"), 16);
        ASSERT_EQ(fake_errno_from_string("0"), EIO);
        ASSERT_EQ(fake_errno_from_string("EBUSYX"), EIO);
        ASSERT_EQ(fake_errno_from_string(""), EIO);
}
