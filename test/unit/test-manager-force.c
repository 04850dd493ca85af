/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Forcing a transition, and what it leaves behind: a module that nobody can unload before the next reboot. */

#include "common/string-util.h"
#include "manager-fixture.h"
#include "test.h"

static int force(Rig *rig, const char *patch_id, Failure *f) {
        _cleanup_answer_ Answer answer = {};
        int r = manager_force(rig->manager, patch_id, UID, on_answer, &answer, f);

        if (r != 0)
                return r;
        RIG_WAIT(rig, answer.calls > 0);
        (void) failure_copy(f, &answer.failure);
        return answer.failure.code;
}

/* lp_one is applied, and reverting it does not come to its end. */
static uint32_t stall_revert(Rig *rig, bool runtime) {
        uint32_t id;

        rig_apply_done(rig, "one", false);
        rig_control(rig, "unpatch-ms", "stall");
        id = rig_revert(rig, "lp_one", runtime);
        RIG_WAIT(rig, patch_in_transition(rig_patch(rig, "lp_one")));
        return id;
}

TEST(nothing_to_force) {
        _cleanup_failure_ Failure f = {};
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        ASSERT_EQ(force(&rig, "lp_one", &f), REFUSED_NO_SUCH_PATCH);
        rig_stage(&rig, "one", false);
        ASSERT_EQ(force(&rig, "lp_one", &f), REFUSED_NOT_IN_TRANSITION);
        rig_expect(&rig, rig_apply_name(&rig, "lp_one", false), JOB_RESULT_DONE);
        ASSERT_EQ(force(&rig, "lp_one", &f), REFUSED_NOT_IN_TRANSITION);
        ASSERT_CONTAINS(failure_text(&f), "Nothing was changed");
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(not_while_it_waits_for_its_turn) {
        _cleanup_failure_ Failure f = {};
        _cleanup_rig_ Rig rig = {};
        uint32_t first, second;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        first = rig_apply(&rig, "one", false);
        second = rig_apply(&rig, "two", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        ASSERT_EQ(force(&rig, "lp_two", &f), REFUSED_NOT_IN_TRANSITION);
        rig_control(&rig, "transition-ms", "0");
        rig_expect(&rig, first, JOB_RESULT_DONE);
        rig_expect(&rig, second, JOB_RESULT_DONE);
}

/* What is applied by force is not pinned (klp_force_transition() in kernel/livepatch/transition.c). */
TEST(an_apply) {
        _cleanup_failure_ Failure f = {};
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        ASSERT_EQ(force(&rig, "lp_one", &f), 0);
        rig_expect(&rig, id, JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_NULL(patch_failure_reason(rig_patch(&rig, "lp_one")));
        rig_revert_done(&rig, "lp_one", false);
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
}

TEST(a_revert_leaves_the_module) {
        _cleanup_failure_ Failure f = {}, same = {}, other = {};
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        id = stall_revert(&rig, false);
        ASSERT_EQ(force(&rig, "lp_one", &f), 0);
        rig_expect(&rig, id, JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_DISABLED);
        ASSERT_TRUE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_FALSE(rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        ASSERT_CONTAINS(patch_failure_reason(rig_patch(&rig, "lp_one")), "forced");
        ASSERT_CONTAINS(patch_failure_reason(rig_patch(&rig, "lp_one")), "reboot");
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        /* No build of the name can be loaded beside it. */
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, &same), REFUSED_CONFLICT);
        ASSERT_CONTAINS(failure_text(&same), "before the next reboot");
        ASSERT_EQ(rig_apply_refused(&rig, "one-again", false, &other), REFUSED_CONFLICT);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 1);
        /* So says the next process, which was told of nothing. */
        rig_stop(&rig);
        rig_go_on(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_DISABLED);
        ASSERT_CONTAINS(patch_failure_reason(rig_patch(&rig, "lp_one")), "forced");
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, &same), REFUSED_CONFLICT);
        /* Others can be applied. */
        rig_apply_done(&rig, "two", false);
        rig_control(&rig, "unpatch-ms", "0");
        rig_reboot(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_NULL(patch_failure_reason(rig_patch(&rig, "lp_one")));
        rig_apply_done(&rig, "one", false);
}

/* First for this boot only, then for good: there is nothing to unload, but something to write down. */
TEST(a_second_revert_is_written_down) {
        _cleanup_failure_ Failure f = {};
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        id = stall_revert(&rig, true);
        ASSERT_EQ(force(&rig, "lp_one", &f), 0);
        rig_expect(&rig, id, JOB_RESULT_DONE);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_revert_done(&rig, "lp_one", false);
        rig_expect_state(&rig, "lp_one", PATCH_DISABLED);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(what_is_removed_stays_loaded) {
        _cleanup_failure_ Failure f = {}, again = {};
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        id = stall_revert(&rig, false);
        ASSERT_EQ(force(&rig, "lp_one", &f), 0);
        rig_expect(&rig, id, JOB_RESULT_DONE);
        ASSERT_EQ(rig_remove(&rig, "lp_one", &f), 0);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->record);
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, &again), REFUSED_CONFLICT);
}

/* The kernel keeps both in the end, whoever asked for it. */
TEST(forced_by_somebody_else) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        id = stall_revert(&rig, false);
        test_write_file(rig.root_fd, "sys/kernel/livepatch/lp_one/force", "1\n");
        rig_expect(&rig, id, JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_DISABLED);
        ASSERT_CONTAINS(patch_failure_reason(rig_patch(&rig, "lp_one")), "forced");
}

TEST(a_cumulative_patch_pins_what_it_replaces) {
        _cleanup_failure_ Failure f = {}, again = {};
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "transition-ms", "stall");
        rig_control(&rig, "replace.lp_two", "1");
        id = rig_apply(&rig, "two", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_two"));
        ASSERT_EQ(force(&rig, "lp_two", &f), 0);
        rig_expect(&rig, id, JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_two", PATCH_APPLIED);
        ASSERT_NULL(patch_failure_reason(rig_patch(&rig, "lp_two")));
        ASSERT_TRUE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, &again), REFUSED_CONFLICT);
}
