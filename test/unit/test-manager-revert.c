/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reverting, removing, and what the next boot is to do. */

#include "common/string-util.h"
#include "manager-fixture.h"
#include "test.h"

#define NOTE RUN "/patches/lp_one.json"

static int revert_refused(Rig *rig, const char *id, bool runtime, Failure *f) {
        return manager_revert(rig->manager, id, RUNTIME(runtime), UID, NULL, NULL, f);
}

TEST(unloads_and_keeps_the_file) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_revert_done(&rig, "lp_one", false);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->runtime);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->drift);
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_FALSE(rig_exists(&rig, NOTE));
        rig_reboot(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(for_this_boot_only) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_revert_done(&rig, "lp_one", true);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_reboot(&rig);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(what_is_not_applied) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure unknown = {}, staged = {}, off = {};

        rig_start(&rig);
        ASSERT_EQ(revert_refused(&rig, "lp_one", false, &unknown), REFUSED_NO_SUCH_PATCH);
        rig_stage(&rig, "one", false);
        ASSERT_EQ(revert_refused(&rig, "lp_one", false, &staged), REFUSED_NOT_APPLIED);
        rig_set_reapply(&rig, "lp_one", true);
        /* For this boot there is nothing to take back ... */
        ASSERT_EQ(revert_refused(&rig, "lp_one", true, &off), REFUSED_NOT_APPLIED);
        /* ... but for the next. */
        rig_revert_done(&rig, "lp_one", false);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_reboot(&rig);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(a_build_that_stands_in_for_another) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        rig_apply_done(&rig, "one-again", true);
        ASSERT_NOT_NULL(rig_patch(&rig, "lp_one")->record->transient_boot_id);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        /* The name is not to be applied at boot any more: neither build of it. */
        rig_revert_done(&rig, "lp_one", false);
        rig_reboot(&rig);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(a_build_that_stands_in_for_another_in_this_boot) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *sha256 = NULL;

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        sha256 = strdup(rig_patch(&rig, "lp_one")->record->sha256);
        rig_apply_done(&rig, "one-again", true);
        rig_revert_done(&rig, "lp_one", true);
        rig_reboot(&rig);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_STREQ(rig_patch(&rig, "lp_one")->record->sha256, sha256);
}

TEST(disabling_what_stands_in_for_another) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        rig_apply_done(&rig, "one-again", true);
        rig_set_reapply(&rig, "lp_one", false);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        rig_reboot(&rig);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(of_somebody_elses_patch) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "0");
        rig_insmod(&rig, "one");
        rig_expect_state(&rig, "lp_one", PATCH_EXTERNAL);
        rig_revert_done(&rig, "lp_one", false);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
}

TEST(of_one_that_was_switched_off) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_write_enabled(&rig, "lp_one", "0");
        RIG_WAIT(&rig, !rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_run_for(&rig, 100 * USEC_PER_MSEC);
        rig_expect_state(&rig, "lp_one", PATCH_DISABLED);
        ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->drift, "switched off");
        rig_revert_done(&rig, "lp_one", true);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
}

TEST(of_one_that_is_being_switched_off) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "unpatch-ms", "stall");
        rig_write_enabled(&rig, "lp_one", "0");
        id = rig_revert(&rig, "lp_one", false);
        rig_run_for(&rig, 200 * USEC_PER_MSEC);
        rig_expect_state(&rig, "lp_one", PATCH_REVERTING);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->runtime->pending);
        rig_control(&rig, "unpatch-ms", "0");
        rig_expect(&rig, id, JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
}

TEST(canceled) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "unpatch-ms", "stall");
        id = rig_revert(&rig, "lp_one", false);
        RIG_WAIT(&rig, job_tasks_pending(rig_job(&rig, id)) > 0);
        rig_expect_state(&rig, "lp_one", PATCH_REVERTING);
        rig_cancel(&rig, id);
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->runtime->pending);
        ASSERT_TRUE(patch_applied_at(rig_patch(&rig, "lp_one")) > 0);
}

TEST(somebody_else_switches_it_on_again) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "unpatch-ms", "stall");
        id = rig_revert(&rig, "lp_one", false);
        RIG_WAIT(&rig, job_tasks_pending(rig_job(&rig, id)) > 0);
        rig_write_enabled(&rig, "lp_one", "1");
        rig_expect(&rig, id, JOB_RESULT_FAILED);
        ASSERT_EQ(job_failure(rig_job(&rig, id))->code, REFUSED_CONFLICT);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->runtime->pending);
}

TEST(the_module_stays) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "remove-errno", "EPERM");
        id = rig_revert(&rig, "lp_one", false);
        rig_expect(&rig, id, JOB_RESULT_FAILED);
        ASSERT_EQ(job_failure(rig_job(&rig, id))->code, REFUSED_KERNEL_REFUSED);
        rig_expect_state(&rig, "lp_one", PATCH_DISABLED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->runtime->failure_text, "stays loaded");
        /* Nobody goes on with it unasked. */
        rig_stop(&rig);
        rig_control(&rig, "remove-errno", NULL);
        rig_go_on(&rig);
        ASSERT_EQ(manager_n_jobs(rig.manager), 0);
        rig_revert_done(&rig, "lp_one", false);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
}

TEST(a_module_that_cannot_be_unloaded) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "remove-errno", "EAGAIN");
        id = rig_revert(&rig, "lp_one", false);
        rig_expect(&rig, id, JOB_RESULT_FAILED);
        ASSERT_EQ(job_failure(rig_job(&rig, id))->code, REFUSED_BUSY);
        ASSERT_CONTAINS(failure_text(job_failure(rig_job(&rig, id))), "next reboot");
}

TEST(removing) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        ASSERT_EQ(rig_remove(&rig, "lp_one", &failure), 0);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_FALSE(rig_exists(&rig, STATE "/patches/" RELEASE));
        ASSERT_FALSE(rig_exists(&rig, NOTE));
        ASSERT_EQ(rig_remove(&rig, "lp_one", &failure), REFUSED_NO_SUCH_PATCH);
}

TEST(removing_waits_for_nobody_when_nothing_is_loaded) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "one", false);
        rig_control(&rig, "transition-ms", "stall");
        rig_insmod(&rig, "two");
        ASSERT_EQ(rig_remove(&rig, "lp_one", NULL), 0);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
}

TEST(a_canceled_remove_is_not_done) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_answer_ Answer answer = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "transition-ms", "stall");
        rig_insmod(&rig, "two");
        ASSERT_EQ(manager_remove(rig.manager, "lp_one", UID, on_answer, &answer, NULL), 0);
        id = job_id(manager_job(rig.manager, manager_n_jobs(rig.manager) - 1));
        rig_run_for(&rig, 300 * USEC_PER_MSEC);
        rig_cancel(&rig, id);
        RIG_WAIT(&rig, answer.calls > 0);
        ASSERT_EQ(answer.failure.code, REFUSED_CANCELED);
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(removing_another_kernels_leaves_this_one_alone) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        test_write_file(rig.root_fd, "usr/lib/modules/" OTHER_RELEASE "/modules.dep", "");
        rig_apply_done(&rig, "one", false);
        rig_stage(&rig, "one-there", true);
        ASSERT_EQ(rig_remove(&rig, "lp_one@" OTHER_RELEASE, NULL), 0);
        ASSERT_NULL(rig_patch(&rig, "lp_one@" OTHER_RELEASE));
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_TRUE(rig_exists(&rig, NOTE));
        ASSERT_EQ(rig_count_calls(&rig, "removed", "lp_one"), 0);
}

TEST(removing_this_one_leaves_another_kernels_alone) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_answer_ Answer answer = {};

        rig_start(&rig);
        test_write_file(rig.root_fd, "usr/lib/modules/" OTHER_RELEASE "/modules.dep", "");
        rig_apply_done(&rig, "one", false);
        rig_stage(&rig, "one-there", true);
        ASSERT_EQ(manager_remove(rig.manager, "lp_one", UID, on_answer, &answer, NULL), 0);
        RIG_WAIT(&rig, answer.calls > 0);
        ASSERT_EQ(answer.failure.code, 0);
        ASSERT_NULL(answer.patch_id); /* not the other one */
        ASSERT_NOT_NULL(rig_patch(&rig, "lp_one@" OTHER_RELEASE));
        ASSERT_TRUE(rig_patch(&rig, "lp_one@" OTHER_RELEASE)->record->reapply);
}

TEST(reverting_another_kernels) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        test_write_file(rig.root_fd, "usr/lib/modules/" OTHER_RELEASE "/modules.dep", "");
        rig_stage(&rig, "one-there", true);
        rig_revert_done(&rig, "lp_one@" OTHER_RELEASE, false);
        ASSERT_FALSE(rig_patch(&rig, "lp_one@" OTHER_RELEASE)->record->reapply);
        ASSERT_EQ(revert_refused(&rig, "lp_one@" OTHER_RELEASE, false, NULL), REFUSED_NOT_APPLIED);
}

TEST(one_job_at_a_time_for_a_patch) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure revert = {}, reapply = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply(&rig, "one", false);
        ASSERT_EQ(revert_refused(&rig, "lp_one", false, &revert), REFUSED_BUSY);
        ASSERT_CONTAINS(failure_text(&revert), "apply");
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        ASSERT_EQ(manager_set_reapply(rig.manager, "lp_one", false, UID, on_answer, NULL, &reapply), REFUSED_BUSY);
        rig_control(&rig, "transition-ms", "0");
        rig_expect(&rig, id, JOB_RESULT_DONE);
}

TEST(enabling_and_disabling) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure unknown = {}, external = {};

        rig_start(&rig);
        rig_stage(&rig, "one", false);
        rig_stage(&rig, "two", false);
        rig_set_reapply(&rig, "lp_two", true);
        rig_set_reapply(&rig, "lp_one", true);
        /* What is enabled last comes last. */
        ASSERT_STREQ(manager_patch(rig.manager, 0)->name, "lp_two");
        rig_reboot(&rig);
        ASSERT_STREQ(manager_patch(rig.manager, 0)->name, "lp_two");
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_set_reapply(&rig, "lp_one", false);
        rig_reboot(&rig);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_EQ(manager_set_reapply(rig.manager, "lp_x", true, UID, on_answer, NULL, &unknown),
                  REFUSED_NO_SUCH_PATCH);
        rig_control(&rig, "transition-ms", "0");
        rig_insmod(&rig, "three");
        (void) rig_patch(&rig, "lp_three");
        ASSERT_EQ(manager_set_reapply(rig.manager, "lp_three", true, UID, on_answer, NULL, &external),
                  REFUSED_CONFLICT);
}

TEST(enabling_what_is_applied_for_this_boot) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", true);
        rig_set_reapply(&rig, "lp_one", true);
        rig_reboot(&rig);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
}
