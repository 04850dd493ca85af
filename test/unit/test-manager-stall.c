/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is done about transitions that do not end: as configured, or as the caller says. */

#include "common/string-util.h"
#include "manager-fixture.h"
#include "test.h"

#define SHORT_USEC (300 * USEC_PER_MSEC)

static const OperationOptions reverting = {
        .stall_timeout_usec = SHORT_USEC, .on_stall_given = true, .on_stall = ON_STALL_REVERT,
};
static const OperationOptions waiting = {
        .stall_timeout_usec = SHORT_USEC, .on_stall_given = true, .on_stall = ON_STALL_WAIT,
};

static void rig_start_configured(Rig *rig, const char *text) {
        rig_prepare(rig);
        rig_configure(rig, text);
        rig_go_on(rig);
}

static void release(Rig *rig) {
        rig_control(rig, "transition-ms", "0");
        rig_control(rig, "unpatch-ms", "0");
}

TEST(a_stall_is_reversed_if_so_configured) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_prepare(&rig);
        rig_configure(&rig, "StallTimeoutSec=1\nOnStall=revert");
        rig_go_on(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply(&rig, "one", false);
        rig_expect(&rig, id, JOB_RESULT_STALLED);
        ASSERT_EQ(job_failure(rig_job(&rig, id))->code, REFUSED_STALLED);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
}

TEST(a_stall_is_waited_for_at_boot) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_prepare(&rig);
        rig_configure(&rig, "StallTimeoutSec=1\nOnStall=revert");
        rig_go_on(&rig);
        rig_stage(&rig, "one", true);
        manager_set_booting(rig.manager);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_reapply(&rig);
        rig_run_for(&rig, 2 * USEC_PER_SEC);
        ASSERT_EQ(job_state(rig_job(&rig, id)), JOB_RUNNING);
        rig_expect_state(&rig, "lp_one", PATCH_APPLYING);
        rig_control(&rig, "transition-ms", "0");
        rig_expect(&rig, id, JOB_RESULT_DONE);
}

TEST(a_stall_is_waited_for_by_default) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_prepare(&rig);
        rig_configure(&rig, "StallTimeoutSec=1\nOnStall=wait");
        rig_go_on(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply(&rig, "one", false);
        rig_run_for(&rig, 2 * USEC_PER_SEC);
        ASSERT_EQ(job_state(rig_job(&rig, id)), JOB_RUNNING);
        rig_control(&rig, "transition-ms", "0");
        rig_expect(&rig, id, JOB_RESULT_DONE);
}

TEST(the_caller_has_it_reversed) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply_with(&rig, "one", &reverting);
        rig_expect(&rig, id, JOB_RESULT_STALLED);
        ASSERT_EQ(job_failure(rig_job(&rig, id))->code, REFUSED_STALLED);
        ASSERT_FALSE(job_is_stalled(rig_job(&rig, id)));
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
}

TEST(the_caller_waits) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start_configured(&rig, "StallTimeoutSec=1\nOnStall=revert");
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply_with(&rig, "one", &waiting);
        RIG_WAIT(&rig, job_is_stalled(rig_job(&rig, id)));
        ASSERT_EQ(job_state(rig_job(&rig, id)), JOB_RUNNING);
        rig_run_for(&rig, 1500 * USEC_PER_MSEC);
        ASSERT_EQ(job_state(rig_job(&rig, id)), JOB_RUNNING);
        rig_expect_state(&rig, "lp_one", PATCH_APPLYING);
        release(&rig);
        rig_expect(&rig, id, JOB_RESULT_DONE);
        ASSERT_FALSE(job_is_stalled(rig_job(&rig, id)));
}

TEST(the_caller_has_more_patience) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start_configured(&rig, "StallTimeoutSec=1\nOnStall=revert");
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply_with(&rig, "one", &(OperationOptions) { .stall_timeout_usec = USEC_INFINITY });
        rig_run_for(&rig, 2 * USEC_PER_SEC);
        ASSERT_EQ(job_state(rig_job(&rig, id)), JOB_RUNNING);
        ASSERT_FALSE(job_is_stalled(rig_job(&rig, id)));
        release(&rig);
        rig_expect(&rig, id, JOB_RESULT_DONE);
}

TEST(a_revert_is_taken_back) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "unpatch-ms", "stall");
        id = rig_revert_with(&rig, "lp_one", &reverting);
        rig_expect(&rig, id, JOB_RESULT_STALLED);
        ASSERT_EQ(job_failure(rig_job(&rig, id))->code, REFUSED_STALLED);
        ASSERT_CONTAINS(failure_text(job_failure(rig_job(&rig, id))), "still applied");
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->runtime->pending);
        release(&rig);
        rig_revert_done(&rig, "lp_one", false);
}

TEST(a_revert_waits_unless_told) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "unpatch-ms", "stall");
        id = rig_revert_with(&rig, "lp_one", &(OperationOptions) { .stall_timeout_usec = SHORT_USEC });
        RIG_WAIT(&rig, job_is_stalled(rig_job(&rig, id)));
        rig_expect_state(&rig, "lp_one", PATCH_REVERTING);
        release(&rig);
        rig_expect(&rig, id, JOB_RESULT_DONE);
}

/* It goes back and forth no more than once. */
TEST(what_is_taken_back_is_waited_for) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start_configured(&rig, "OnStall=revert");
        rig_control(&rig, "transition-ms", "stall");
        rig_control(&rig, "unpatch-ms", "stall");
        id = rig_apply_with(&rig, "one", &reverting);
        RIG_WAIT(&rig, job_is_stalled(rig_job(&rig, id)));
        rig_expect_state(&rig, "lp_one", PATCH_APPLYING);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->klp->enabled);
        rig_stop(&rig);
        rig_go_on(&rig);
        RIG_WAIT(&rig, job_is_stalled(manager_job(rig.manager, 0)));
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->klp->enabled);
        release(&rig);
        RIG_WAIT(&rig, manager_is_idle(rig.manager));
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
}

TEST(a_cancel_is_not_stalled_any_more) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply_with(&rig, "one", &waiting);
        RIG_WAIT(&rig, job_is_stalled(rig_job(&rig, id)));
        rig_control(&rig, "unpatch-ms", "0");
        rig_cancel(&rig, id);
        ASSERT_FALSE(job_is_stalled(rig_job(&rig, id)));
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
}

TEST(the_next_process_does_as_the_caller_said) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply_with(&rig, "one", &(OperationOptions) { .stall_timeout_usec = 3 * USEC_PER_SEC,
                                                               .on_stall_given = true,
                                                               .on_stall = ON_STALL_REVERT });
        RIG_WAIT(&rig, job_tasks_pending(rig_job(&rig, id)) > 0);
        rig_stop(&rig);
        rig_go_on(&rig);
        ASSERT_EQ(manager_n_jobs(rig.manager), 1);
        rig_expect(&rig, 1, JOB_RESULT_STALLED);
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
}

TEST(the_next_process_knows_what_was_there_before) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *sha256 = NULL;

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        sha256 = strdup(rig_patch(&rig, "lp_one")->record->sha256);
        rig_control(&rig, "transition-ms", "stall");
        (void) rig_apply_with(&rig, "one-again", &waiting);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_stop(&rig);
        rig_go_on(&rig);
        RIG_WAIT(&rig, manager_n_jobs(rig.manager) == 1 && job_tasks_pending(manager_job(rig.manager, 0)) > 0);
        rig_cancel(&rig, 1);
        rig_expect(&rig, 1, JOB_RESULT_CANCELED);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_STREQ(rig_patch(&rig, "lp_one")->record->sha256, sha256);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
}

/* Two processes end on the way back: the third one unloads it, and knows what was there, too. */
TEST(the_one_after_the_next_knows_it_too) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        rig_control(&rig, "unpatch-ms", "stall");
        (void) rig_apply_with(&rig, "one", &waiting);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_stop(&rig);
        rig_go_on(&rig);
        RIG_WAIT(&rig, manager_n_jobs(rig.manager) == 1 && job_tasks_pending(manager_job(rig.manager, 0)) > 0);
        rig_cancel(&rig, 1);
        RIG_WAIT(&rig, !rig_patch(&rig, "lp_one")->klp->enabled);
        rig_stop(&rig);
        rig_go_on(&rig);
        release(&rig);
        RIG_WAIT(&rig, manager_is_idle(rig.manager));
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
}

/* As if somebody had called insmod(8), and the kernel could not switch all tasks. */
static void stall_something_else(Rig *rig) {
        rig_control(rig, "transition-ms.lp_two", "stall");
        rig_insmod(rig, "two");
}

TEST(somebody_elses_transition_is_waited_for) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        stall_something_else(&rig);
        id = rig_apply_with(&rig, "one", &waiting);
        RIG_WAIT(&rig, job_is_stalled(rig_job(&rig, id)));
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        rig_control(&rig, "transition-ms.lp_two", "0");
        rig_expect(&rig, id, JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(somebody_elses_transition_is_given_up_on) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        stall_something_else(&rig);
        id = rig_apply_with(&rig, "one", &reverting);
        rig_expect(&rig, id, JOB_RESULT_STALLED);
        ASSERT_CONTAINS(failure_text(job_failure(rig_job(&rig, id))), "'lp_two'");
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 0);
        rig_expect_state(&rig, "lp_two", PATCH_APPLYING);
}

TEST(canceled_while_it_waits_for_somebody_else) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        stall_something_else(&rig);
        id = rig_apply_with(&rig, "one", &waiting);
        RIG_WAIT(&rig, job_is_stalled(rig_job(&rig, id)));
        rig_cancel(&rig, id);
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
}
