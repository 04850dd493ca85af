/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What one caller may have in work, and how long what has ended is kept. */

#include "daemon/plan.h"
#include "manager-fixture.h"
#include "test.h"

#define OTHER_UID ((uid_t) 1001)

/* Keeps the kernel busy, for another user, so that jobs queue up. */
static void occupy(Rig *rig) {
        rig_control(rig, "transition-ms.lp_five", "stall");
        rig_insmod(rig, "five");
}

static void release(Rig *rig) {
        rig_control(rig, "transition-ms.lp_five", "0");
}

TEST(jobs_of_one_user) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {}, revert = {};
        _cleanup_answer_ Answer other = {}, again = {};
        uint32_t first;

        rig_prepare(&rig);
        rig_configure(&rig, "JobsPerUserMax=2");
        rig_go_on(&rig);
        rig_apply_done(&rig, "four", false);
        occupy(&rig);
        first = rig_apply(&rig, "one", false);
        (void) rig_apply(&rig, "two", false);
        ASSERT_EQ(rig_apply_refused(&rig, "three", false, &failure), REFUSED_LIMITS_EXCEEDED);
        ASSERT_CONTAINS(failure_text(&failure), "JobsPerUserMax=");
        ASSERT_CONTAINS(failure_text(&failure), "2 jobs");
        ASSERT_NULL(rig_patch(&rig, "lp_three"));
        ASSERT_EQ(manager_revert(rig.manager, "lp_four", PLAIN, UID, on_answer, NULL, &revert),
                  REFUSED_LIMITS_EXCEEDED);
        /* Others are not his to starve. */
        ASSERT_EQ(manager_apply_fd(rig.manager, rig_open("three"), PLAIN, OTHER_UID, on_answer, &other, NULL), 0);
        RIG_WAIT(&rig, other.calls > 0);
        ASSERT_EQ(other.failure.code, 0);
        rig_cancel(&rig, first);
        rig_expect(&rig, first, JOB_RESULT_CANCELED);
        ASSERT_EQ(manager_revert(rig.manager, "lp_four", PLAIN, UID, on_answer, &again, NULL), 0);
        release(&rig);
        RIG_WAIT(&rig, manager_is_idle(rig.manager));
        rig_expect_state(&rig, "lp_three", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_four", PATCH_STAGED);
}

TEST(what_is_gone_on_with_counts_for_nothing) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        (void) rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_stop(&rig);
        rig_configure(&rig, "JobsPerUserMax=1");
        rig_go_on(&rig);
        ASSERT_EQ(manager_n_jobs(rig.manager), 1);
        rig_control(&rig, "transition-ms", "0");
        rig_expect(&rig, 1, JOB_RESULT_DONE);
}

TEST(bytes_of_one_user) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure queued = {}, running = {};
        _cleanup_answer_ Answer other = {};
        uint32_t first, second;

        rig_prepare(&rig);
        rig_configure(&rig, "BytesPerUserMax=400K\nModuleSizeMax=400K");
        rig_go_on(&rig);
        occupy(&rig);
        first = rig_apply(&rig, "large", false);
        ASSERT_EQ(rig_apply_refused(&rig, "large", false, &queued), REFUSED_LIMITS_EXCEEDED);
        ASSERT_CONTAINS(failure_text(&queued), "BytesPerUserMax=");
        /* A small one still fits in. */
        second = rig_apply(&rig, "one", false);
        /* Another user's are counted apart; the name is taken, which is found out later. */
        ASSERT_EQ(manager_apply_fd(rig.manager, rig_open("large"), PLAIN, OTHER_UID, on_answer, &other, NULL), 0);
        RIG_WAIT(&rig, other.calls > 0);
        ASSERT_EQ(other.failure.code, REFUSED_BUSY);
        /* While the job runs, its module is held as well. */
        rig_control(&rig, "transition-ms.lp_large", "stall");
        release(&rig);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_large"));
        ASSERT_EQ(rig_apply_refused(&rig, "large", false, &running), REFUSED_LIMITS_EXCEEDED);
        rig_control(&rig, "transition-ms.lp_large", "0");
        rig_expect(&rig, first, JOB_RESULT_DONE);
        rig_expect(&rig, second, JOB_RESULT_DONE);
        ASSERT_EQ(rig_apply_refused(&rig, "large", false, NULL), REFUSED_ALREADY_APPLIED);
}

TEST(a_module_that_is_too_large) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};

        rig_prepare(&rig);
        rig_configure(&rig, "ModuleSizeMax=128K\nBytesPerUserMax=128K");
        rig_go_on(&rig);
        /* Said as what it is, although it is more than all of a user's modules may have. */
        ASSERT_EQ(rig_apply_refused(&rig, "large", false, &failure), REFUSED_TOO_LARGE);
        rig_apply_done(&rig, "one", false);
}

TEST(modules_that_are_being_read) {
        _cleanup_rig_ Rig rig = {};
        Answer answers[3] = {};
        _cleanup_failure_ Failure failure = {};

        rig_prepare(&rig);
        rig_configure(&rig, "JobsPerUserMax=2");
        rig_go_on(&rig);
        for (size_t i = 0; i < 2; i++)
                ASSERT_EQ(manager_stage_fd(rig.manager, rig_open(i == 0 ? "one" : "two"), false, UID, on_answer,
                                           answers + i, NULL), 0);
        ASSERT_EQ(manager_stage_fd(rig.manager, rig_open("three"), false, UID, on_answer, NULL, &failure),
                  REFUSED_LIMITS_EXCEEDED);
        ASSERT_EQ(manager_stage_fd(rig.manager, rig_open("three"), false, OTHER_UID, on_answer, answers + 2, NULL), 0);
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                RIG_WAIT(&rig, answers[i].calls > 0);
                ASSERT_EQ(answers[i].failure.code, 0);
                answer_done(answers + i);
        }
        rig_stage(&rig, "three", false);
}

TEST(finished_jobs_are_kept_for_a_while) {
        _cleanup_rig_ Rig rig = {};
        uint32_t first, last = 0;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        first = rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        /* Behind it, more than are kept. */
        for (unsigned i = 0; i < 140; i++) {
                last = rig_apply(&rig, "two", false);
                rig_cancel(&rig, last);
        }
        ASSERT_TRUE(manager_n_jobs(rig.manager) <= 130);
        ASSERT_NULL(manager_find_job(rig.manager, first + 1));
        ASSERT_NOT_NULL(manager_find_job(rig.manager, last));
        rig_control(&rig, "transition-ms", "0");
        /* The oldest, but the one that ended last: its result can be read. */
        rig_expect(&rig, first, JOB_RESULT_DONE);
        ASSERT_NOT_NULL(manager_find_job(rig.manager, last));
}

static void on_plan(void *userdata, const Failure *failure, const PlanStep *steps _unused_, size_t n_steps) {
        unsigned *n = userdata;

        ASSERT_NULL(failure);
        ASSERT_EQ(n_steps, 1);
        (*n)++;
}

TEST(plans_of_one_user) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};
        unsigned n = 0;

        rig_prepare(&rig);
        rig_configure(&rig, "JobsPerUserMax=2");
        rig_go_on(&rig);
        rig_stage(&rig, "one", true);
        for (size_t i = 0; i < 2; i++)
                ASSERT_EQ(manager_plan(rig.manager, NULL, UID, on_plan, &n, NULL), 0);
        ASSERT_EQ(manager_plan(rig.manager, NULL, UID, on_plan, &n, &failure), REFUSED_LIMITS_EXCEEDED);
        ASSERT_CONTAINS(failure_text(&failure), "2 plans of yours");
        ASSERT_CONTAINS(failure_text(&failure), "JobsPerUserMax=");
        /* Others are not his to starve. */
        ASSERT_EQ(manager_plan(rig.manager, NULL, OTHER_UID, on_plan, &n, NULL), 0);
        RIG_WAIT(&rig, n == 3);
        ASSERT_EQ(manager_plan(rig.manager, NULL, UID, on_plan, &n, NULL), 0);
        RIG_WAIT(&rig, n == 4);
}
