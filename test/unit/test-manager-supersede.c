/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cumulative patches: what they take the place of stays superseded, whatever happens to the daemon or the machine. */

#include <unistd.h>

#include "manager-fixture.h"

#include "daemon/store.h"
#include "kmod/klp-sysfs.h"
#include "test.h"

static void expect_superseded(Rig *rig, const char *id, const char *by) {
        rig_expect_state(rig, id, PATCH_SUPERSEDED);
        ASSERT_STREQ(rig_patch(rig, id)->superseded_by, by);
}

/* What has settled is no suspect of a power cut. */
static void start_quickly(Rig *rig) {
        rig_prepare(rig);
        rig_configure(rig, "SettleTimeSec=1s");
        rig_go_on(rig);
}

static void two_then_cumulative(Rig *rig, bool runtime) {
        rig_start(rig);
        rig_apply_done(rig, "one", false);
        rig_apply_done(rig, "two", false);
        rig_apply_done(rig, "cumulative", runtime);
}

/* As a daemon would have left it that was killed right after a write. */
static void rewrite(Rig *rig, const char *id, bool reapply) {
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;
        _cleanup_(store_closep) Store *store = NULL;

        ASSERT_OK(patch_record_copy(rig_patch(rig, id)->record, &record));
        record->reapply = reapply;
        rig_stop(rig);
        ASSERT_EQ(store_open(rig->root_fd, 0, &store, NULL), 0);
        ASSERT_EQ(store_put(store, record, NULL), 0);
}

TEST(what_is_superseded_is_unloaded_and_not_reapplied) {
        _cleanup_rig_ Rig rig = {};

        two_then_cumulative(&rig, false);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        expect_superseded(&rig, "lp_two", "lp_cumulative");
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_two"));
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_FALSE(rig_patch(&rig, "lp_two")->record->reapply);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->drift);
        ASSERT_EQ(rig_patch(&rig, "lp_cumulative")->record->n_supersedes, 2);
        rig_reboot(&rig);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        expect_superseded(&rig, "lp_two", "lp_cumulative");
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 1);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_cumulative"), 2);
}

TEST(for_this_boot_only) {
        _cleanup_rig_ Rig rig = {};

        two_then_cumulative(&rig, true);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_reboot(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative"));
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_two", PATCH_APPLIED);
}

TEST(for_this_boot_and_then_for_good) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};

        two_then_cumulative(&rig, true);
        ASSERT_EQ(rig_apply_refused(&rig, "cumulative", false, &failure), REFUSED_ALREADY_APPLIED);
        RIG_WAIT(&rig, !rig_patch(&rig, "lp_one")->record->reapply && !rig_patch(&rig, "lp_two")->record->reapply);
        rig_reboot(&rig);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
}

TEST(a_staged_build_that_is_kept) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "cumulative", true);
        rig_apply_done(&rig, "one", false);
        rig_expect(&rig, rig_apply_name(&rig, "lp_cumulative", true), JOB_RESULT_DONE);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_reboot(&rig);
        ASSERT_EQ(rig_patch(&rig, "lp_cumulative")->record->n_supersedes, 0);
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative")->record->transient_boot_id);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect(&rig, rig_revert(&rig, "lp_cumulative", true), JOB_RESULT_DONE);
        rig_expect(&rig, rig_apply_name(&rig, "lp_cumulative", false), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_SUPERSEDED);
        ASSERT_TRUE(rig_patch(&rig, "lp_cumulative")->record->order > rig_patch(&rig, "lp_one")->record->order);
}

TEST(one_that_does_not_say_so) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "replace.lp_silent", "1");
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "silent", false);
        ASSERT_EQ(rig_patch(&rig, "lp_silent")->record->replace, TRISTATE_UNKNOWN);
        expect_superseded(&rig, "lp_one", "lp_silent");
        rig_reboot(&rig);
        expect_superseded(&rig, "lp_one", "lp_silent");
}

TEST(one_that_might_be_and_is_not) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "replace.lp_silent", "0");
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "silent", false);
        ASSERT_EQ(rig_patch(&rig, "lp_silent")->record->n_supersedes, 0);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(an_ordinary_one_supersedes_nothing) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "two", false);
        ASSERT_EQ(rig_patch(&rig, "lp_two")->record->n_supersedes, 0);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(staged_once_more_it_has_superseded_what_it_has) {
        _cleanup_rig_ Rig rig = {};

        two_then_cumulative(&rig, false);
        rig_stage(&rig, "cumulative", false);
        ASSERT_EQ(rig_patch(&rig, "lp_cumulative")->record->n_supersedes, 2);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        rig_stop(&rig);
        rig_go_on(&rig);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(until_the_transition_is_over_nothing_of_the_others_changes) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "transition-ms.lp_cumulative", "stall");
        id = rig_apply(&rig, "cumulative", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_cumulative"));
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_control(&rig, "unpatch-ms", "0");
        rig_cancel(&rig, id);
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative"));
        ASSERT_EQ(rig_count_calls(&rig, "removed", "lp_one"), 0);
}

/* Behind the manager's back, whose loop does not run meanwhile. */
static void wait_for_end_of_transition(Rig *rig, const char *name) {
        bool enabled, in_transition = true;

        for (unsigned i = 0; in_transition; i++) {
                ASSERT_TRUE(i < 30000);
                ASSERT_OK(klp_sysfs_read_state(rig->root_fd, name, &enabled, &in_transition));
                (void) usleep(1000);
        }
}

/* Switched off now, it would leave nothing patched: what it has replaced is gone. */
TEST(canceled_when_the_transition_has_just_ended) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "transition-ms.lp_cumulative", "stall");
        id = rig_apply(&rig, "cumulative", false);
        RIG_WAIT(&rig, job_tasks_pending(rig_job(&rig, id)) == 1);
        rig_control(&rig, "transition-ms.lp_cumulative", "0");
        wait_for_end_of_transition(&rig, "lp_cumulative");
        rig_cancel(&rig, id);
        ASSERT_EQ(job_state(rig_job(&rig, id)), JOB_CANCELING);
        rig_expect(&rig, id, JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
        ASSERT_TRUE(rig_patch(&rig, "lp_cumulative")->klp->enabled);
        ASSERT_TRUE(rig_patch(&rig, "lp_cumulative")->record->reapply);
        ASSERT_FALSE(rig_patch(&rig, "lp_cumulative")->runtime->pending);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
}

TEST(canceled_while_it_is_loaded_and_ends_in_the_load) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "transition-ms", "0");
        rig_control(&rig, "insert-hold", "");
        id = rig_apply(&rig, "cumulative", true);
        RIG_WAIT(&rig, rig_count_calls(&rig, "inserted", "lp_cumulative") == 1);
        rig_cancel(&rig, id);
        rig_control(&rig, "insert-hold", NULL);
        rig_expect(&rig, id, JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
}

TEST(the_kernel_refuses_it) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "cumulative", false);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "insert-errno.lp_cumulative", "EINVAL");
        rig_expect(&rig, rig_apply_name(&rig, "lp_cumulative", false), JOB_RESULT_FAILED);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative")->record->transient_boot_id);
        ASSERT_EQ(rig_patch(&rig, "lp_cumulative")->record->n_supersedes, 0);
        rig_stop(&rig);
        rig_go_on(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative")->record->transient_boot_id);
        ASSERT_EQ(rig_patch(&rig, "lp_cumulative")->record->n_supersedes, 0);
}

TEST(killed_during_the_transition) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "transition-ms.lp_cumulative", "stall");
        (void) rig_apply(&rig, "cumulative", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_cumulative"));
        rig_stop(&rig);
        rig_control(&rig, "transition-ms.lp_cumulative", "0");
        RIG_WAIT(&rig, !rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_go_on(&rig);
        ASSERT_EQ(manager_n_jobs(rig.manager), 1);
        rig_expect(&rig, job_id(manager_job(rig.manager, 0)), JOB_RESULT_DONE);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(power_cut_during_the_transition) {
        _cleanup_rig_ Rig rig = {};

        start_quickly(&rig);
        rig_apply_done(&rig, "one", false);
        RIG_WAIT(&rig, !manager_is_settling(rig.manager));
        rig_control(&rig, "transition-ms.lp_cumulative", "stall");
        (void) rig_apply(&rig, "cumulative", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_cumulative"));
        rig_power_cut(&rig);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->superseded_by);
}

TEST(killed_right_after_the_commit) {
        _cleanup_rig_ Rig rig = {};

        two_then_cumulative(&rig, false);
        rewrite(&rig, "lp_one", true);
        rig_go_on(&rig);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        RIG_WAIT(&rig, !rig_patch(&rig, "lp_one")->record->reapply);
        /* And it stays so. */
        rig_stop(&rig);
        rig_go_on(&rig);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(power_cut_right_after_the_commit) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        start_quickly(&rig);
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "cumulative", false);
        RIG_WAIT(&rig, !manager_is_settling(rig.manager));
        rewrite(&rig, "lp_one", true);
        rig_power_cut(&rig);
        id = rig_reapply(&rig);
        rig_expect(&rig, id, JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 1);
        RIG_WAIT(&rig, !rig_patch(&rig, "lp_one")->record->reapply);
}

/* It took the machine down, for all that is known: what it had taken the place of is better than nothing. */
TEST(a_quarantined_one_gives_its_place_back) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        start_quickly(&rig);
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "two", false);
        RIG_WAIT(&rig, !manager_is_settling(rig.manager));
        rig_stop(&rig);
        rig_configure(&rig, "SettleTimeSec=1h");
        rig_go_on(&rig);
        rig_apply_done(&rig, "cumulative", false);
        rig_power_cut(&rig);
        rig_expect_state(&rig, "lp_cumulative", PATCH_QUARANTINED);
        id = rig_reapply(&rig);
        rig_expect(&rig, id, JOB_RESULT_FAILED);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_two", PATCH_APPLIED);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_cumulative"), 1);
        /* At every boot until somebody decides. */
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_FAILED);
        rig_expect_state(&rig, "lp_two", PATCH_APPLIED);
}

TEST(one_that_is_refused_at_boot_gives_its_place_back) {
        _cleanup_rig_ Rig rig = {};

        two_then_cumulative(&rig, false);
        rig_apply_done(&rig, "three", false);
        rig_reboot(&rig);
        rig_control(&rig, "insert-errno.lp_cumulative", "EINVAL");
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_FAILED);
        rig_expect_state(&rig, "lp_cumulative", PATCH_FAILED);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_two", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_three", PATCH_APPLIED);
        rig_control(&rig, "insert-errno.lp_cumulative", NULL);
        rig_expect(&rig, rig_apply_name(&rig, "lp_cumulative", false), JOB_RESULT_DONE);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        expect_superseded(&rig, "lp_three", "lp_cumulative");
        /* Its level is the one it had, and what came after. */
        for (size_t i = 0; i < 3; i++)
                ASSERT_TRUE(rig_patch(&rig, "lp_cumulative")->record->supersedes[i].reapply);
}

TEST(a_chain_of_levels) {
        _cleanup_rig_ Rig rig = {};

        two_then_cumulative(&rig, false);
        rig_apply_done(&rig, "newer", false);
        rig_apply_done(&rig, "three", false);
        expect_superseded(&rig, "lp_cumulative", "lp_newer");
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        rig_reboot(&rig);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        expect_superseded(&rig, "lp_cumulative", "lp_newer");
        expect_superseded(&rig, "lp_two", "lp_cumulative");
        rig_expect_state(&rig, "lp_newer", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_three", PATCH_APPLIED);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_cumulative"), 1);
}

TEST(both_ways) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "cumulative", false);
        rig_apply_done(&rig, "newer", false);
        rig_apply_done(&rig, "cumulative", false);
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
        expect_superseded(&rig, "lp_newer", "lp_cumulative");
        rig_stop(&rig);
        rig_go_on(&rig);
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
        expect_superseded(&rig, "lp_newer", "lp_cumulative");
        ASSERT_TRUE(rig_patch(&rig, "lp_cumulative")->record->reapply);
        ASSERT_FALSE(rig_patch(&rig, "lp_newer")->record->reapply);
}

TEST(enabled_anew_it_is_wanted_again) {
        _cleanup_rig_ Rig rig = {};

        two_then_cumulative(&rig, false);
        rig_set_reapply(&rig, "lp_one", true);
        rig_stop(&rig);
        rig_go_on(&rig);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_two", PATCH_SUPERSEDED);
}

TEST(somebody_elses_stays_loaded) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "0");
        rig_insmod(&rig, "one");
        rig_expect_state(&rig, "lp_one", PATCH_EXTERNAL);
        rig_apply_done(&rig, "cumulative", false);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        ASSERT_TRUE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_EQ(rig_count_calls(&rig, "removed", "lp_one"), 0);
        rig_stop(&rig);
        rig_go_on(&rig);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        ASSERT_TRUE(rig_exists(&rig, "sys/module/lp_one"));
}

TEST(a_module_that_cannot_be_unloaded) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "remove-errno.lp_one", "EPERM");
        rig_apply_done(&rig, "cumulative", false);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
        ASSERT_TRUE(rig_exists(&rig, "sys/module/lp_one"));
        rig_control(&rig, "remove-errno.lp_one", NULL);
        rig_stop(&rig);
        rig_go_on(&rig);
        RIG_WAIT(&rig, !rig_exists(&rig, "sys/module/lp_one"));
        RIG_WAIT(&rig, !rig_patch(&rig, "lp_one")->record->reapply);
        expect_superseded(&rig, "lp_one", "lp_cumulative");
}

TEST(removed_it_leaves_nothing_behind) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};

        two_then_cumulative(&rig, false);
        ASSERT_EQ(rig_remove(&rig, "lp_one", &failure), 0);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_EQ(rig_remove(&rig, "lp_cumulative", &failure), 0);
        rig_expect_state(&rig, "lp_two", PATCH_STAGED);
        ASSERT_FALSE(rig_patch(&rig, "lp_two")->record->reapply);
}
