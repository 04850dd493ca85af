/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What others do to patches: told, mended, adopted. */

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "fake-kernel.h"
#include "manager-fixture.h"
#include "test.h"

#define EXTRA "usr/lib/modules/" RELEASE "/extra/"
#define KPATCH "var/lib/kpatch/" RELEASE "/"

/* Puts a module there, as `depmod` or `kpatch install` would find it. */
static void install(Rig *rig, const char *module, const char *path, mode_t mode) {
        _cleanup_close_ int from = rig_open(module), to = -EBADF;

        (void) umask(022);
        test_write_file(rig->root_fd, path, "");
        to = openat(rig->root_fd, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        ASSERT_OK(to);
        while (sendfile(to, from, NULL, MIB(16)) > 0)
                ;
        ASSERT_OK(fchmod(to, mode));
}

static int adopt(Rig *rig, const char *name, Failure *f) {
        _cleanup_answer_ Answer answer = {};
        int r = manager_adopt(rig->manager, name, UID, on_answer, &answer, &answer.failure);

        if (r == 0)
                RIG_WAIT(rig, answer.calls > 0);
        return failure_move(f, &answer.failure);
}

static void assert_refused(Rig *rig, const char *name, int code, const char *words) {
        _cleanup_failure_ Failure failure = {};

        ASSERT_EQ(adopt(rig, name, &failure), code);
        ASSERT_CONTAINS(failure.text, words);
        ASSERT_FALSE(rig_exists(rig, STATE "/patches/" RELEASE));
}

static void insmod(Rig *rig, const char *module, const char *name) {
        rig_insmod(rig, module);
        RIG_WAIT(rig, rig_patch(rig, name) && rig_patch(rig, name)->state == PATCH_EXTERNAL);
}

TEST(adopted) {
        static const char *const places[] = {
                EXTRA "lp_one.ko", EXTRA "a/b/lp-one.ko", KPATCH "lp-one.ko", "usr/lib/kpatch/" RELEASE "/lp_one.ko",
                "usr/lib/modules/" RELEASE "/updates/dkms/lp_one.ko",
        };

        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                const Patch *patch;

                insmod(&rig, "one", "lp_one");
                install(&rig, "one", places[i], 0644);
                ASSERT_EQ(adopt(&rig, "lp_one", NULL), 0);
                patch = rig_patch(&rig, "lp_one");
                ASSERT_EQ(patch->state, PATCH_APPLIED);
                ASSERT_TRUE(patch->record->reapply);
                ASSERT_EQ(patch->record->signature_status, SIGNATURE_TRUSTED);
                ASSERT_TRUE(patch_applied_at(patch) > 0);
                ASSERT_EQ(patch_applied_by(patch), UID);
                ASSERT_NULL(patch->drift);
                ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 0);
                ASSERT_EQ(adopt(&rig, "lp_one", NULL), REFUSED_ALREADY_APPLIED);
                ASSERT_EQ(unlinkat(rig.root_fd, places[i], 0), 0);
                ASSERT_EQ(rig_remove(&rig, "lp_one", NULL), 0);
        }
}

TEST(not_adopted) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        assert_refused(&rig, "lp_one", REFUSED_NO_SUCH_PATCH, "no patch");
        insmod(&rig, "one", "lp_one");
        assert_refused(&rig, "lp_one", REFUSED_INVALID_FILE, "There is no file");
        install(&rig, "one", "usr/lib/modules/" OTHER_RELEASE "/extra/lp_one.ko", 0644);
        install(&rig, "one", "usr/lib/modules/" RELEASE "/kernel/lp_one.ko", 0644);
        install(&rig, "one", EXTRA "lp_one.ko.bak", 0644);
        install(&rig, "one", EXTRA "xlp_one.ko", 0644);
        assert_refused(&rig, "lp_one", REFUSED_INVALID_FILE, "There is no file");
        install(&rig, "one", EXTRA "lp_one.ko", 0664);
        assert_refused(&rig, "lp_one", REFUSED_INVALID_FILE, "root alone");
        install(&rig, "one-again", EXTRA "lp_one.ko", 0644);
        assert_refused(&rig, "lp_one", REFUSED_CONFLICT, "another build");
        install(&rig, "two", EXTRA "lp_one.ko", 0644);
        assert_refused(&rig, "lp_one", REFUSED_CONFLICT, "holds the module 'lp_two'");
        ASSERT_EQ(unlinkat(rig.root_fd, EXTRA "lp_one.ko", 0), 0);
        ASSERT_EQ(symlinkat("../kernel/lp_one.ko", rig.root_fd, EXTRA "lp_one.ko"), 0);
        assert_refused(&rig, "lp_one", REFUSED_INVALID_FILE, "There is no file");
        ASSERT_EQ(rig_patch(&rig, "lp_one")->state, PATCH_EXTERNAL);
}

TEST(a_file_without_a_trusted_signature_is_not_adopted) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        insmod(&rig, "unsigned", "lp_unsigned");
        install(&rig, "unsigned", EXTRA "lp_unsigned.ko", 0644);
        assert_refused(&rig, "lp_unsigned", REFUSED_UNSIGNED, "/" EXTRA "lp_unsigned.ko");
        insmod(&rig, "stranger", "lp_stranger");
        install(&rig, "stranger", KPATCH "lp_stranger.ko", 0644);
        assert_refused(&rig, "lp_stranger", REFUSED_UNTRUSTED_SIGNER, "livepatchctl adopt lp_stranger FILE");
}

TEST(the_right_file_among_wrong_ones) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        insmod(&rig, "one", "lp_one");
        install(&rig, "one-again", "usr/lib/modules/" RELEASE "/updates/lp_one.ko", 0644);
        install(&rig, "unsigned", EXTRA "lp_one.ko", 0644);
        install(&rig, "one", KPATCH "lp_one.ko", 0644);
        ASSERT_EQ(adopt(&rig, "lp_one", NULL), 0);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(the_loaded_build_takes_the_place_of_the_one_on_record) {
        _cleanup_rig_ Rig rig = {};
        const Patch *patch;

        rig_start(&rig);
        rig_stage(&rig, "one", false);
        insmod(&rig, "one-again", "lp_one");
        ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->drift, "Another build");
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE); /* it is not to be reapplied */
        install(&rig, "one-again", EXTRA "lp_one.ko", 0644);
        ASSERT_EQ(adopt(&rig, "lp_one", NULL), 0);
        patch = rig_patch(&rig, "lp_one");
        ASSERT_EQ(patch->state, PATCH_APPLIED);
        ASSERT_NULL(patch->drift);
        ASSERT_STREQ(patch->record->build_id, patch->module.build_id);
}

TEST(staging_what_is_loaded_adopts_it) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        insmod(&rig, "one", "lp_one");
        rig_stage(&rig, "one", true);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_TRUE(patch_applied_at(rig_patch(&rig, "lp_one")) > 0);
        rig_write_enabled(&rig, "lp_one", "0");
        RIG_WAIT(&rig, rig_patch(&rig, "lp_one")->drift && rig_patch(&rig, "lp_one")->state == PATCH_DISABLED);
}

TEST(reapply_mends) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_write_enabled(&rig, "lp_one", "0");
        RIG_WAIT(&rig, rig_patch(&rig, "lp_one")->state == PATCH_DISABLED);
        ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->drift, "livepatchctl reapply");
        /* The next process knows what the journal has. */
        RIG_WAIT(&rig, rig_patch(&rig, "lp_one")->runtime->drift && manager_is_idle(rig.manager));
        rig_stop(&rig);
        rig_go_on(&rig);
        ASSERT_STREQ(rig_patch(&rig, "lp_one")->runtime->drift, rig_patch(&rig, "lp_one")->drift);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->drift);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->runtime->drift);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 2);
}

TEST(reapply_does_not_take_another_build_for_its_own) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        insmod(&rig, "one-again", "lp_one");
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_FAILED);
        rig_expect_state(&rig, "lp_one", PATCH_EXTERNAL);
        ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->runtime->failure_text, "another build");
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 0);
}

static void refuse_module(Rig *rig, const char *patch, const char *module) {
        ASSERT_OK(fake_kernel_log(rig->root_fd, 4,
                                  "livepatch: patch '%s' failed for module '%s', refusing to load module '%s'", patch,
                                  module, module));
}

TEST(a_patch_that_keeps_a_module_out) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        ASSERT_EQ(strv_length(manager_problems(rig.manager)), 0);
        rig_stop(&rig);
        test_write_file(rig.root_fd, "sys/kernel/livepatch/lp_one/kvm_intel/patched", "0\n");
        for (unsigned i = 0; i < 2; i++)
                refuse_module(&rig, "lp_one", "kvm_intel");
        refuse_module(&rig, "lp_nobody", "kvm_intel");
        rig_go_on(&rig);
        ASSERT_NOT_NULL(rig_patch(&rig, "lp_one")->drift);
        ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->drift, "refuses to load module 'kvm_intel'");
        ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->drift, "livepatchctl revert lp_one");
        ASSERT_EQ(rig_patch(&rig, "lp_one")->state, PATCH_APPLIED);
        ASSERT_EQ(strv_length(manager_problems(rig.manager)), 1);
        rig_revert_done(&rig, "lp_one", false);
        ASSERT_EQ(strv_length(manager_problems(rig.manager)), 0);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->drift);
}
