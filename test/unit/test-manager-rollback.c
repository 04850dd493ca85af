/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rolling back: the former level comes over the present one, or the present one stays as it was. */

#include "manager-fixture.h"

#include "common/string-util.h"
#include "daemon/store.h"
#include "test.h"

static uint32_t rollback(Rig *rig, const char *id, bool runtime) {
        _cleanup_answer_ Answer answer = {};

        if (manager_rollback(rig->manager, id, RUNTIME(runtime), UID, on_answer, &answer, &answer.failure) != 0)
                test_fail(__FILE__, __LINE__, "%s", failure_text(&answer.failure));
        RIG_WAIT(rig, answer.calls > 0);
        return answer.job_id;
}

static void rollback_done(Rig *rig, const char *id) {
        rig_expect(rig, rollback(rig, id, false), JOB_RESULT_DONE);
}

static int refused(Rig *rig, const char *id, Failure *f) {
        return manager_rollback(rig->manager, id, PLAIN, UID, on_answer, NULL, f);
}

static void expect_failed(Rig *rig, const char *id, JobResult result, const char *text) {
        uint32_t job = rollback(rig, id, false);

        rig_expect(rig, job, result);
        ASSERT_CONTAINS(failure_text(job_failure(rig_job(rig, job))), text);
}

/* one and two, superseded by the cumulative one. */
static void two_levels(Rig *rig) {
        rig_start(rig);
        rig_apply_done(rig, "one", false);
        rig_apply_done(rig, "two", false);
        rig_apply_done(rig, "cumulative", false);
}

static void expect_former(Rig *rig) {
        rig_expect_state(rig, "lp_one", PATCH_APPLIED);
        rig_expect_state(rig, "lp_two", PATCH_APPLIED);
        rig_expect_state(rig, "lp_cumulative", PATCH_STAGED);
        ASSERT_TRUE(rig_patch(rig, "lp_one")->record->reapply);
        ASSERT_TRUE(rig_patch(rig, "lp_two")->record->reapply);
        ASSERT_FALSE(rig_patch(rig, "lp_cumulative")->record->reapply);
        ASSERT_EQ(rig_patch(rig, "lp_cumulative")->record->n_supersedes, 0);
        ASSERT_FALSE(rig_patch(rig, "lp_cumulative")->record->rolled_back);
        ASSERT_FALSE(rig_exists(rig, "sys/module/lp_cumulative"));
}

/* What the kernel would not take shows why, and is superseded all the same. */
static void expect_present_without(Rig *rig, const char *refused_id) {
        rig_expect_state(rig, "lp_cumulative", PATCH_APPLIED);
        for (const char *const *id = (const char *const[]) { "lp_one", "lp_two", NULL }; *id; id++) {
                rig_expect_state(rig, *id, streq_ptr(*id, refused_id) ? PATCH_FAILED : PATCH_SUPERSEDED);
                ASSERT_STREQ(rig_patch(rig, *id)->superseded_by, "lp_cumulative");
        }
        ASSERT_TRUE(rig_patch(rig, "lp_cumulative")->record->reapply);
        ASSERT_EQ(rig_patch(rig, "lp_cumulative")->record->n_supersedes, 2);
        ASSERT_FALSE(rig_patch(rig, "lp_cumulative")->runtime->pending);
        ASSERT_FALSE(rig_patch(rig, "lp_one")->record->reapply);
        ASSERT_FALSE(rig_exists(rig, "sys/module/lp_one"));
        ASSERT_FALSE(rig_exists(rig, "sys/module/lp_two"));
}

static void expect_present(Rig *rig) {
        expect_present_without(rig, NULL);
}

static void reboot_into(Rig *rig) {
        rig_reboot(rig);
        rig_expect(rig, rig_reapply(rig), JOB_RESULT_DONE);
}

TEST(to_ordinary_patches) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *calls = NULL;

        two_levels(&rig);
        rollback_done(&rig, "lp_cumulative");
        expect_former(&rig);
        calls = rig_read(&rig, "ctl/removed");
        ASSERT_CONTAINS(calls, "lp_cumulative\n");
        rig_stop(&rig);
        rig_go_on(&rig);
        expect_former(&rig);
        reboot_into(&rig);
        expect_former(&rig);
}

TEST(to_a_cumulative_patch_and_on) {
        _cleanup_rig_ Rig rig = {};

        two_levels(&rig);
        rig_apply_done(&rig, "newer", false);
        rollback_done(&rig, "lp_newer");
        expect_present(&rig);
        rig_expect_state(&rig, "lp_newer", PATCH_STAGED);
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_newer"));
        reboot_into(&rig);
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
        rollback_done(&rig, "lp_cumulative");
        expect_former(&rig);
}

TEST(to_a_cumulative_patch_with_one_upon_it) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "cumulative", false);
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "newer", false);
        rollback_done(&rig, "lp_newer");
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_newer", PATCH_STAGED);
        reboot_into(&rig);
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_newer", PATCH_STAGED);
}

TEST(of_one_for_this_boot_only) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "cumulative", true);
        rollback_done(&rig, "lp_cumulative");
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        reboot_into(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative"));
}

TEST(for_this_boot_only) {
        _cleanup_rig_ Rig rig = {};

        two_levels(&rig);
        rig_expect(&rig, rollback(&rig, "lp_cumulative", true), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_cumulative"));
        rig_stop(&rig);
        rig_go_on(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        reboot_into(&rig);
        expect_present(&rig);
}

TEST(what_was_for_that_boot_only_does_not_come_back) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", true);
        rig_apply_done(&rig, "cumulative", false);
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        ASSERT_EQ(refused(&rig, "lp_cumulative", &failure), REFUSED_NO_SUCH_PATCH);
        ASSERT_CONTAINS(failure_text(&failure), "lp_one");
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
}

TEST(what_was_not_reapplied_is_not_again) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_set_reapply(&rig, "lp_one", false);
        rig_apply_done(&rig, "cumulative", false);
        rollback_done(&rig, "lp_cumulative");
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(nothing_to_return_to) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure none = {}, staged = {}, alone = {}, gone = {};

        rig_start(&rig);
        ASSERT_EQ(refused(&rig, "lp_none", &none), REFUSED_NO_SUCH_PATCH);
        rig_stage(&rig, "one", false);
        ASSERT_EQ(refused(&rig, "lp_one", &staged), REFUSED_NOT_APPLIED);
        rig_apply_done(&rig, "cumulative", false);
        ASSERT_EQ(refused(&rig, "lp_cumulative", &alone), REFUSED_CONFLICT);
        ASSERT_CONTAINS(failure_text(&alone), "livepatchctl revert lp_cumulative");
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "newer", false);
        rig_revert_done(&rig, "lp_newer", false);
        ASSERT_EQ(refused(&rig, "lp_newer", &gone), REFUSED_NOT_APPLIED);
}

TEST(another_was_applied_since) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};

        two_levels(&rig);
        rig_apply_done(&rig, "three", false);
        ASSERT_EQ(refused(&rig, "lp_cumulative", &failure), REFUSED_CONFLICT);
        ASSERT_CONTAINS(failure_text(&failure), "livepatchctl revert lp_three");
        rig_revert_done(&rig, "lp_three", false);
        rollback_done(&rig, "lp_cumulative");
        expect_former(&rig);
}

TEST(somebody_elses_patch_was_there) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "0");
        rig_insmod(&rig, "one");
        rig_expect_state(&rig, "lp_one", PATCH_EXTERNAL);
        rig_apply_done(&rig, "cumulative", false);
        ASSERT_EQ(refused(&rig, "lp_cumulative", &failure), REFUSED_CONFLICT);
        ASSERT_CONTAINS(failure_text(&failure), "something other than livepatchd");
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
}

TEST(a_file_is_gone) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure ignored = {}, failure = {};

        two_levels(&rig);
        ASSERT_EQ(rig_remove(&rig, "lp_one", &ignored), 0);
        ASSERT_EQ(refused(&rig, "lp_cumulative", &failure), REFUSED_NO_SUCH_PATCH);
        ASSERT_CONTAINS(failure_text(&failure), "lp_one");
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
}

TEST(a_file_is_not_trusted_any_more) {
        _cleanup_rig_ Rig rig = {};

        two_levels(&rig);
        ASSERT_OK(unlinkat(rig.root_fd, "etc/livepatch/trusted.d/good.pem", 0));
        expect_failed(&rig, "lp_cumulative", JOB_RESULT_FAILED, "was not rolled back, and is applied as before");
        expect_present(&rig);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 1);
}

/* ---- The state of the system ------------------------------------------------------------------------------- */

static void expect_second_state(Rig *rig) {
        rig_expect_state(rig, "lp_state2", PATCH_APPLIED);
        ASSERT_EQ(rig_count_calls(rig, "inserted", "lp_state1"), 1);
        ASSERT_EQ(rig_count_calls(rig, "inserted", "lp_state2"), 1);
        ASSERT_EQ(rig_patch(rig, "lp_state2")->record->n_states, 1);
        ASSERT_EQ(rig_patch(rig, "lp_state2")->record->states[0].version, 2);
}

TEST(what_cannot_handle_the_state_of_the_system_is_refused_beforehand) {
        _cleanup_failure_ Failure older = {}, without = {}, beside = {};
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "state1", false);
        rig_apply_done(&rig, "state2", false);
        ASSERT_EQ(rig_apply_refused(&rig, "state1", false, &older), REFUSED_CONFLICT);
        ASSERT_CONTAINS(failure_text(&older), "'lp_state2' has changed the system state 1 in its version 2");
        ASSERT_CONTAINS(failure_text(&older), "can only handle version 1");
        ASSERT_EQ(rig_apply_refused(&rig, "cumulative", false, &without), REFUSED_CONFLICT);
        ASSERT_CONTAINS(failure_text(&without), "cannot handle that state");
        ASSERT_EQ(rig_apply_refused(&rig, "state-beside", false, &beside), REFUSED_CONFLICT);
        expect_second_state(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative"));
        /* It touches no state, and takes nobody's place. */
        rig_apply_done(&rig, "one", false);
}

TEST(a_level_that_cannot_handle_the_state_of_the_system_is_not_returned_to) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "state1", false);
        rig_apply_done(&rig, "state2", false);
        expect_failed(&rig, "lp_state2", JOB_RESULT_FAILED, "has changed the system state 1");
        expect_second_state(&rig);
        ASSERT_TRUE(rig_patch(&rig, "lp_state2")->record->reapply);
        /* What the kernel has forgotten stands in nobody's way. */
        rig_revert_done(&rig, "lp_state2", false);
        rig_apply_done(&rig, "state1", false);
        rig_apply_done(&rig, "state2", false);
        rig_stop(&rig);
        rig_go_on(&rig);
        expect_failed(&rig, "lp_state2", JOB_RESULT_FAILED, "has changed the system state 1");
}

TEST(the_first_is_refused) {
        _cleanup_rig_ Rig rig = {};

        two_levels(&rig);
        rig_control(&rig, "insert-errno.lp_one", "EINVAL");
        expect_failed(&rig, "lp_cumulative", JOB_RESULT_FAILED, "is applied as before");
        expect_present_without(&rig, "lp_one");
}

TEST(the_second_is_refused) {
        _cleanup_rig_ Rig rig = {};

        two_levels(&rig);
        rig_control(&rig, "insert-errno.lp_two", "EINVAL");
        expect_failed(&rig, "lp_cumulative", JOB_RESULT_FAILED, "is applied as before");
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 2);
        expect_present_without(&rig, "lp_two");
}

/* The cumulative one of the former level has taken its place already: it is loaded again. */
TEST(the_one_upon_it_is_refused) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "cumulative", false);
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "newer", false);
        rig_control(&rig, "insert-errno.lp_one", "EINVAL");
        expect_failed(&rig, "lp_newer", JOB_RESULT_FAILED, "is applied as before");
        rig_expect_state(&rig, "lp_newer", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_cumulative", PATCH_SUPERSEDED);
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_cumulative"));
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_newer"), 2);
        ASSERT_EQ(rig_patch(&rig, "lp_newer")->record->n_supersedes, 2);
        ASSERT_TRUE(rig_patch(&rig, "lp_newer")->record->reapply);
        /* Once it is mended, it goes. */
        rig_control(&rig, "insert-errno.lp_one", NULL);
        rollback_done(&rig, "lp_newer");
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(canceled_while_the_former_level_is_loaded) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        two_levels(&rig);
        rig_control(&rig, "transition-ms.lp_two", "stall");
        rig_control(&rig, "unpatch-ms", "0");
        id = rollback(&rig, "lp_cumulative", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_two"));
        rig_cancel(&rig, id);
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        expect_present(&rig);
}

TEST(canceled_while_the_present_one_is_switched_off) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        two_levels(&rig);
        rig_control(&rig, "unpatch-ms.lp_cumulative", "stall");
        rig_control(&rig, "unpatch-ms", "0");
        id = rollback(&rig, "lp_cumulative", false);
        RIG_WAIT(&rig, patch_in_transition(rig_patch(&rig, "lp_cumulative")));
        rig_cancel(&rig, id);
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        expect_present(&rig);
}

TEST(killed_while_the_former_level_is_loaded) {
        _cleanup_rig_ Rig rig = {};

        two_levels(&rig);
        rig_control(&rig, "transition-ms.lp_two", "stall");
        (void) rollback(&rig, "lp_cumulative", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_two"));
        rig_stop(&rig);
        rig_control(&rig, "transition-ms.lp_two", "0");
        rig_go_on(&rig);
        RIG_WAIT(&rig, manager_is_idle(rig.manager));
        expect_former(&rig);
        reboot_into(&rig);
        expect_former(&rig);
}

TEST(killed_while_the_present_one_is_switched_off) {
        _cleanup_rig_ Rig rig = {};

        two_levels(&rig);
        rig_control(&rig, "unpatch-ms.lp_cumulative", "stall");
        (void) rollback(&rig, "lp_cumulative", false);
        RIG_WAIT(&rig, patch_in_transition(rig_patch(&rig, "lp_cumulative")));
        rig_stop(&rig);
        rig_control(&rig, "unpatch-ms.lp_cumulative", "0");
        rig_go_on(&rig);
        RIG_WAIT(&rig, manager_is_idle(rig.manager));
        expect_former(&rig);
}

/* The cumulative one of the former level is in force, and the one upon it is not yet. */
TEST(killed_when_it_is_replaced_already) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "cumulative", false);
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "newer", false);
        rig_control(&rig, "transition-ms.lp_one", "stall");
        (void) rollback(&rig, "lp_newer", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_stop(&rig);
        rig_control(&rig, "transition-ms.lp_one", "0");
        rig_go_on(&rig);
        RIG_WAIT(&rig, manager_is_idle(rig.manager));
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_newer", PATCH_STAGED);
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_newer"));
        ASSERT_TRUE(rig_patch(&rig, "lp_cumulative")->record->reapply);
}

TEST(power_cut_while_the_former_level_is_loaded) {
        _cleanup_rig_ Rig rig = {};

        rig_prepare(&rig);
        rig_configure(&rig, "SettleTimeSec=1s");
        rig_go_on(&rig);
        rig_apply_done(&rig, "one", false);
        RIG_WAIT(&rig, !manager_is_settling(rig.manager));
        rig_apply_done(&rig, "cumulative", false);
        RIG_WAIT(&rig, !manager_is_settling(rig.manager));
        rig_control(&rig, "transition-ms.lp_one", "stall");
        (void) rollback(&rig, "lp_cumulative", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_power_cut(&rig);
        rig_control(&rig, "transition-ms.lp_one", "0");
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_one", PATCH_SUPERSEDED);
}

/* The one write: everything else follows from it. */
TEST(power_cut_right_after_the_commit) {
        _cleanup_(patch_record_freep) PatchRecord *committed = NULL;
        _cleanup_(store_closep) Store *store = NULL;
        _cleanup_rig_ Rig rig = {};

        two_levels(&rig);
        ASSERT_OK(patch_record_copy(rig_patch(&rig, "lp_cumulative")->record, &committed));
        committed->reapply = false;
        committed->rolled_back = true;
        rig_stop(&rig);
        ASSERT_EQ(store_open(rig.root_fd, 0, &store, NULL), 0);
        ASSERT_EQ(store_put(store, committed, NULL), 0);
        store = store_close(store);
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        RIG_WAIT(&rig, manager_is_idle(rig.manager));
        expect_former(&rig);
        reboot_into(&rig);
        expect_former(&rig);
}

TEST(a_stalled_former_level_is_taken_back) {
        _cleanup_rig_ Rig rig = {};

        rig_prepare(&rig);
        rig_configure(&rig, "StallTimeoutSec=1\nOnStall=revert");
        rig_go_on(&rig);
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "two", false);
        rig_apply_done(&rig, "cumulative", false);
        rig_control(&rig, "transition-ms.lp_two", "stall");
        rig_control(&rig, "unpatch-ms", "0");
        expect_failed(&rig, "lp_cumulative", JOB_RESULT_STALLED, "is applied as before");
        expect_present(&rig);
}
