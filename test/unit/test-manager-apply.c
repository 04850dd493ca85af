/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Applying: what is in the kernel, on the disk and in the tables after each way that it can end. */

#include "common/string-util.h"
#include "manager-fixture.h"
#include "test.h"

#define MANIFEST STATE "/patches/" RELEASE "/lp_one/manifest.json"
#define NOTE RUN "/patches/lp_one.json"

TEST(done_and_lasting) {
        _cleanup_rig_ Rig rig = {};
        const Patch *patch;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        patch = rig_patch(&rig, "lp_one");
        ASSERT_TRUE(patch->record->reapply);
        ASSERT_NULL(patch->record->transient_boot_id);
        ASSERT_EQ(patch->record->origin, ORIGIN_LOCAL);
        ASSERT_EQ(patch->record->staged_by, UID);
        ASSERT_EQ(patch_applied_by(patch), UID);
        ASSERT_TRUE(patch_applied_at(patch) > 0);
        ASSERT_NULL(patch->drift);
        ASSERT_FALSE(patch->runtime->pending);
        ASSERT_TRUE(manager_is_idle(rig.manager));
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 1);
        rig_reboot(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(a_transition_that_ends_at_once) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "0");
        rig_apply_done(&rig, "one", false);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(for_this_boot_only) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", true);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_stop(&rig);
        rig_go_on(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        rig_reboot(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, MANIFEST));
}

TEST(the_state_on_the_way) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply(&rig, "one", false);
        rig_expect_state(&rig, "lp_one", job_state(rig_job(&rig, id)) == JOB_QUEUED ? PATCH_STAGED : PATCH_APPLYING);
        RIG_WAIT(&rig, job_tasks_pending(rig_job(&rig, id)) == 1);
        ASSERT_EQ(job_tasks_total(rig_job(&rig, id)), 8);
        ASSERT_TRUE(job_progress(rig_job(&rig, id)) > 0.5);
        rig_expect_state(&rig, "lp_one", PATCH_APPLYING);
        ASSERT_FALSE(manager_is_idle(rig.manager));
        rig_control(&rig, "transition-ms", "0");
        rig_expect(&rig, id, JOB_RESULT_DONE);
        ASSERT_TRUE(job_progress(rig_job(&rig, id)) >= 1.0);
}

TEST(the_kernel_refuses) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "insert-errno", "EINVAL");
        rig_control(&rig, "insert-log", "livepatch: symbol 'f' not found in symbol table\n");
        id = rig_apply(&rig, "one", false);
        rig_expect(&rig, id, JOB_RESULT_FAILED);
        ASSERT_EQ(job_failure(rig_job(&rig, id))->code, REFUSED_KERNEL_REFUSED);
        ASSERT_CONTAINS(failure_text(job_failure(rig_job(&rig, id))), "symbol 'f' not found");
        rig_expect_state(&rig, "lp_one", PATCH_FAILED);
        ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->runtime->failure_text, "symbol 'f' not found");
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->runtime->pending);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        /* The reason is still known to the next process of this boot, which tries nothing by itself. */
        rig_stop(&rig);
        rig_go_on(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_FAILED);
        ASSERT_EQ(manager_n_jobs(rig.manager), 0);
        /* By name, once the reason is gone. */
        rig_control(&rig, "insert-errno", NULL);
        rig_expect(&rig, rig_apply_name(&rig, "lp_one", false), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->runtime->failure_text);
}

TEST(what_the_kernel_refused_is_forgotten_at_the_next_boot) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "insert-errno", "EINVAL");
        rig_expect(&rig, rig_apply(&rig, "one", false), JOB_RESULT_FAILED);
        rig_reboot(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
}

TEST(a_refused_build_does_not_cost_the_one_on_record) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *sha256 = NULL;

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        sha256 = strdup(rig_patch(&rig, "lp_one")->record->sha256);
        rig_control(&rig, "insert-errno", "EINVAL");
        rig_expect(&rig, rig_apply(&rig, "one-again", false), JOB_RESULT_FAILED);
        rig_expect_state(&rig, "lp_one", PATCH_FAILED);
        ASSERT_STREQ(rig_patch(&rig, "lp_one")->record->sha256, sha256);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->record->transient_boot_id);
        rig_control(&rig, "insert-errno", NULL);
        rig_expect(&rig, rig_apply_name(&rig, "lp_one", false), JOB_RESULT_DONE);
        ASSERT_STREQ(rig_patch(&rig, "lp_one")->record->sha256, sha256);
}

TEST(canceled_while_queued) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};
        uint32_t first, second;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        first = rig_apply(&rig, "one", false);
        second = rig_apply(&rig, "two", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        ASSERT_EQ(job_state(rig_job(&rig, second)), JOB_QUEUED);
        rig_cancel(&rig, second);
        rig_expect(&rig, second, JOB_RESULT_CANCELED);
        ASSERT_EQ(job_failure(rig_job(&rig, second))->code, REFUSED_CANCELED);
        ASSERT_NULL(rig_patch(&rig, "lp_two"));
        ASSERT_EQ(job_cancel(rig_job(&rig, second), &failure), REFUSED_NO_SUCH_JOB);
        rig_control(&rig, "transition-ms", "0");
        rig_expect(&rig, first, JOB_RESULT_DONE);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_two"), 0);
}

TEST(canceled_while_loading) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "insert-hold", "");
        id = rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, rig_count_calls(&rig, "inserted", "lp_one") == 1);
        rig_cancel(&rig, id);
        ASSERT_EQ(job_state(rig_job(&rig, id)), JOB_CANCELING);
        rig_cancel(&rig, id); /* once more says the same */
        rig_control(&rig, "insert-hold", NULL);
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_FALSE(rig_exists(&rig, STATE "/patches/" RELEASE));
        ASSERT_FALSE(rig_exists(&rig, NOTE));
}

TEST(canceled_in_transition) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, job_tasks_pending(rig_job(&rig, id)) == 1);
        rig_cancel(&rig, id);
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_FALSE(rig_exists(&rig, STATE "/patches/" RELEASE));
}

TEST(canceled_a_replaced_build_stands_again) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *sha256 = NULL;
        uint32_t id;

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        sha256 = strdup(rig_patch(&rig, "lp_one")->record->sha256);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply(&rig, "one-again", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_cancel(&rig, id);
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_STREQ(rig_patch(&rig, "lp_one")->record->sha256, sha256);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_reboot(&rig);
        ASSERT_STREQ(rig_patch(&rig, "lp_one")->record->sha256, sha256);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(canceled_and_the_module_cannot_be_unloaded) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        rig_control(&rig, "remove-errno", "EPERM");
        id = rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_cancel(&rig, id);
        rig_expect(&rig, id, JOB_RESULT_FAILED);
        rig_expect_state(&rig, "lp_one", PATCH_DISABLED);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->runtime->pending);
        rig_stop(&rig);
        rig_go_on(&rig);
        ASSERT_EQ(manager_n_jobs(rig.manager), 0);
}

TEST(somebody_else_reverses_it) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, job_tasks_pending(rig_job(&rig, id)) == 1);
        rig_write_enabled(&rig, "lp_one", "0");
        rig_expect(&rig, id, JOB_RESULT_FAILED);
        ASSERT_EQ(job_failure(rig_job(&rig, id))->code, REFUSED_CONFLICT);
        rig_expect_state(&rig, "lp_one", PATCH_DISABLED);
        /* No later process takes that for a job to go on with. */
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->runtime->pending);
        rig_stop(&rig);
        rig_go_on(&rig);
        ASSERT_EQ(manager_n_jobs(rig.manager), 0);
        /* Switched off, it is unloaded and loaded again. */
        rig_control(&rig, "transition-ms", "0");
        rig_expect(&rig, rig_apply_name(&rig, "lp_one", false), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(the_same_build_twice) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure once = {}, lasting = {}, again = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", true);
        ASSERT_EQ(rig_apply_refused(&rig, "one", true, &once), REFUSED_ALREADY_APPLIED);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, &lasting), REFUSED_ALREADY_APPLIED);
        ASSERT_CONTAINS(failure_text(&lasting), "from now on");
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->record->transient_boot_id);
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, &again), REFUSED_ALREADY_APPLIED);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 1);
        rig_reboot(&rig);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(another_build_is_loaded) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        ASSERT_EQ(rig_apply_refused(&rig, "one-again", false, &failure), REFUSED_CONFLICT);
        ASSERT_CONTAINS(failure_text(&failure), "livepatchctl revert lp_one");
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        rig_revert_done(&rig, "lp_one", false);
        rig_apply_done(&rig, "one-again", false);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(loaded_by_somebody_else) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure same = {}, other = {};

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "0");
        rig_insmod(&rig, "one");
        rig_expect_state(&rig, "lp_one", PATCH_EXTERNAL);
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, &same), REFUSED_ALREADY_APPLIED);
        ASSERT_CONTAINS(failure_text(&same), "something other than livepatchd");
        ASSERT_EQ(rig_apply_refused(&rig, "one-again", false, &other), REFUSED_CONFLICT);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->record);
}

TEST(the_build_that_is_loaded_is_not_the_one_on_record) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "0");
        rig_stage(&rig, "one", false);
        rig_insmod(&rig, "one-again");
        rig_expect_state(&rig, "lp_one", PATCH_EXTERNAL);
        ASSERT_NOT_NULL(rig_patch(&rig, "lp_one")->drift);
        /* It must not make the other one last. */
        ASSERT_EQ(rig_apply_refused(&rig, "one-again", false, &failure), REFUSED_ALREADY_APPLIED);
        ASSERT_CONTAINS(failure_text(&failure), "something other than livepatchd");
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(somebody_else_loads_it_while_the_job_waits) {
        _cleanup_rig_ Rig rig = {};
        uint32_t first, second;

        rig_start(&rig);
        rig_control(&rig, "transition-ms.lp_two", "stall");
        first = rig_apply(&rig, "two", false);
        second = rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_two"));
        rig_control(&rig, "transition-ms", "0");
        rig_control(&rig, "transition-ms.lp_two", "0");
        RIG_WAIT(&rig, ({ _cleanup_free_ char *t = rig_read(&rig, "sys/kernel/livepatch/lp_two/transition");
                          t[0] == '0'; }));
        rig_insmod(&rig, "one-again");
        rig_expect(&rig, first, JOB_RESULT_DONE);
        rig_expect(&rig, second, JOB_RESULT_FAILED);
        ASSERT_EQ(job_failure(rig_job(&rig, second))->code, REFUSED_CONFLICT);
        rig_expect_state(&rig, "lp_one", PATCH_EXTERNAL);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->record);
}

TEST(somebody_elses_transition_is_waited_for) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms.lp_two", "stall");
        rig_insmod(&rig, "two");
        id = rig_apply(&rig, "one", false);
        rig_run_for(&rig, 500 * USEC_PER_MSEC);
        ASSERT_EQ(job_state(rig_job(&rig, id)), JOB_RUNNING);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 0);
        rig_control(&rig, "transition-ms.lp_two", "0");
        rig_expect(&rig, id, JOB_RESULT_DONE);
}

TEST(canceled_while_waiting_for_somebody_elses_transition) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms.lp_two", "stall");
        rig_insmod(&rig, "two");
        id = rig_apply(&rig, "one", false);
        rig_run_for(&rig, 300 * USEC_PER_MSEC);
        rig_cancel(&rig, id);
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 0);
}

TEST(jobs_run_in_order) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *calls = NULL;
        uint32_t ids[3];

        rig_start(&rig);
        ids[0] = rig_apply(&rig, "three", false);
        ids[1] = rig_apply(&rig, "one", false);
        ids[2] = rig_apply(&rig, "two", true);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                rig_expect(&rig, ids[i], JOB_RESULT_DONE);
        calls = rig_read(&rig, "ctl/inserted");
        ASSERT_TRUE(strstr(calls, "lp_three") < strstr(calls, "lp_one"));
        ASSERT_TRUE(strstr(calls, "lp_one") < strstr(calls, "lp_two"));
        ASSERT_STREQ(manager_patch(rig.manager, 0)->name, "lp_three");
        ASSERT_EQ(rig.n_jobs_added, 3);
        ASSERT_EQ(rig.n_jobs_finished, 3);
}

TEST(a_cumulative_patch_supersedes) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "replaced-ms", "300");
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "cumulative", false);
        /* Told without anybody's asking. */
        for (size_t i = 0; i < rig.n_told; i++) {
                bool superseded = streq(rig.told[i].id, "lp_one");

                ASSERT_EQ(rig.told[i].state, superseded ? PATCH_SUPERSEDED : PATCH_APPLIED);
                ASSERT_EQ(rig.told[i].reapply, !superseded);
        }
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        rig_expect_state(&rig, "lp_one", PATCH_SUPERSEDED);
        rig_stop(&rig);
        rig_go_on(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_SUPERSEDED);
        rig_revert_done(&rig, "lp_cumulative", false);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
}

TEST(without_a_build_id) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "anonymous", false);
        rig_expect_state(&rig, "lp_anonymous", PATCH_APPLIED);
        rig_stop(&rig);
        rig_go_on(&rig);
        rig_expect_state(&rig, "lp_anonymous", PATCH_APPLIED);
        rig_revert_done(&rig, "lp_anonymous", false);
        /* The name alone proves nothing. */
        rig_insmod(&rig, "anonymous");
        RIG_WAIT(&rig, !patch_in_transition(rig_patch(&rig, "lp_anonymous")));
        rig_expect_state(&rig, "lp_anonymous", PATCH_EXTERNAL);
}
