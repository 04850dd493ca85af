/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The crash guard over a fake kernel: what crashes, shutdowns and settle times lead to. */

#include <fcntl.h>
#include <sys/stat.h>

#include "common/string-util.h"
#include "daemon/guard-store.h"
#include "manager-fixture.h"
#include "test.h"

#define RECORD STATE "/guard/" RELEASE "/lp_one.json"
#define QUICK "[Livepatch]\nSettleTimeSec=1s\n"

static GuardPhase phase(Rig *rig, const char *id) {
        const Patch *patch = rig_patch(rig, id);

        return patch && patch->guard ? patch->guard->phase : _GUARD_PHASE_INVALID;
}

static void assert_on_disk(Rig *rig, const char *what) {
        _cleanup_free_ char *text = rig_read(rig, RECORD);

        ASSERT_CONTAINS(text, what);
}

static void settle(Rig *rig, const char *id) {
        RIG_WAIT(rig, phase(rig, id) == GUARD_PROVEN && !manager_is_settling(rig->manager));
}

/* It is applied and has settled; what comes now takes long to. */
static void start_with_a_proven_one(Rig *rig) {
        rig_prepare(rig);
        rig_configure(rig, QUICK);
        rig_go_on(rig);
        rig_apply_done(rig, "one", false);
        settle(rig, "lp_one");
        rig_stop(rig);
        rig_configure(rig, "[Livepatch]\nSettleTimeSec=1h\n");
        rig_go_on(rig);
}

static int lift(Rig *rig, const char *id, Failure *f) {
        _cleanup_answer_ Answer answer = {};
        int r = manager_clear_quarantine(rig->manager, id, UID, on_answer, &answer, f);

        if (r != 0)
                return r;
        RIG_WAIT(rig, answer.calls > 0);
        return failure_move(f, &answer.failure);
}

TEST(is_armed_and_then_proven) {
        _cleanup_rig_ Rig rig = {};

        rig_prepare(&rig);
        rig_configure(&rig, QUICK);
        rig_go_on(&rig);
        rig_apply_done(&rig, "one", false);
        ASSERT_EQ(phase(&rig, "lp_one"), GUARD_SETTLING);
        ASSERT_TRUE(manager_is_settling(rig.manager));
        ASSERT_TRUE(rig_exists(&rig, RUN "/settling"));
        settle(&rig, "lp_one");
        assert_on_disk(&rig, "\"phase\": \"proven\"");
        ASSERT_FALSE(rig_exists(&rig, RUN "/settling"));
}

TEST(another_process_goes_on_watching) {
        _cleanup_rig_ Rig rig = {};

        rig_prepare(&rig);
        rig_configure(&rig, QUICK);
        rig_go_on(&rig);
        rig_apply_done(&rig, "one", false);
        rig_stop(&rig);
        assert_on_disk(&rig, "\"phase\": \"settling\"");
        rig_go_on(&rig);
        settle(&rig, "lp_one");
}

TEST(a_regular_shutdown_is_no_crash) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_reboot(&rig);
        ASSERT_FALSE(rig_exists(&rig, RECORD));
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(a_shutdown_that_did_not_come_is_none) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        ASSERT_OK(guard_mark_shutdown(rig.root_fd, true, NULL));
        rig_apply_done(&rig, "one", false);
        rig_power_cut(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
}

TEST(an_unproven_build_is_quarantined) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure refusal = {}, none = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_power_cut(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        assert_on_disk(&rig, "\"phase\": \"quarantined\"");
        ASSERT_CONTAINS(patch_quarantine_reason(rig_patch(&rig, "lp_one")), "before this build had settled");
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_FAILED);
        ASSERT_EQ(rig_count_calls(&rig, "ctl/inserted", "lp_one"), 0); /* in this boot */
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, &refusal), REFUSED_QUARANTINED);
        ASSERT_CONTAINS(refusal.text, "livepatchctl unquarantine lp_one");
        ASSERT_NULL(rig_patch(&rig, "lp_one")->runtime);
        /* Neither another boot nor another start change that. */
        rig_reboot(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        rig_power_cut(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        ASSERT_EQ(lift(&rig, "lp_one", &none), 0);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_FALSE(rig_exists(&rig, RECORD));
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(the_others_are_reapplied) {
        _cleanup_rig_ Rig rig = {};

        rig_prepare(&rig);
        rig_configure(&rig, QUICK);
        rig_go_on(&rig);
        rig_apply_done(&rig, "two", false);
        settle(&rig, "lp_two");
        rig_apply_done(&rig, "one", false);
        rig_power_cut(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_FAILED);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        rig_expect_state(&rig, "lp_two", PATCH_APPLIED);
}

TEST(a_proven_build_is_quarantined_the_second_time) {
        _cleanup_rig_ Rig rig = {};

        rig_prepare(&rig);
        rig_configure(&rig, QUICK);
        rig_go_on(&rig);
        rig_apply_done(&rig, "one", false);
        settle(&rig, "lp_one");
        rig_stop(&rig);
        rig_configure(&rig, "[Livepatch]\nSettleTimeSec=1h\n");
        rig_power_cut(&rig); /* when nothing was settling */
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_power_cut(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        assert_on_disk(&rig, "\"crashes\": 1");
        rig_power_cut(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        ASSERT_CONTAINS(patch_quarantine_reason(rig_patch(&rig, "lp_one")), "twice in a row");
}

TEST(a_regular_shutdown_ends_the_row) {
        _cleanup_rig_ Rig rig = {};

        start_with_a_proven_one(&rig);
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_power_cut(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_power_cut(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(one_of_this_boot_only_is_shown_when_it_took_the_machine_down) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure none = {}, refusal = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", true);
        rig_power_cut(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->record);
        ASSERT_EQ(rig_apply_refused(&rig, "one", true, &refusal), REFUSED_QUARANTINED);
        ASSERT_EQ(lift(&rig, "lp_one", &none), 0);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
}

TEST(what_is_reverted_is_no_suspect) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_revert_done(&rig, "lp_one", true);
        ASSERT_FALSE(rig_exists(&rig, RECORD));
        ASSERT_FALSE(manager_is_settling(rig.manager));
        rig_power_cut(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
}

TEST(what_somebody_else_took_out_is_no_suspect) {
        _cleanup_rig_ Rig rig = {};

        rig_prepare(&rig);
        rig_configure(&rig, QUICK);
        rig_go_on(&rig);
        rig_apply_done(&rig, "one", false);
        rig_write_enabled(&rig, "lp_one", "0");
        RIG_WAIT(&rig, !manager_is_settling(rig.manager));
        ASSERT_FALSE(rig_exists(&rig, RECORD));
}

TEST(what_the_kernel_refuses_leaves_nothing_behind) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "insert-errno.lp_one", "EINVAL");
        rig_expect(&rig, rig_apply(&rig, "one", false), JOB_RESULT_FAILED);
        ASSERT_FALSE(rig_exists(&rig, RECORD));
        ASSERT_FALSE(manager_is_settling(rig.manager));
}

TEST(nothing_is_loaded_unguarded) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        test_write_file(rig.root_fd, STATE "/guard", "in the way");
        rig_expect(&rig, rig_apply(&rig, "one", false), JOB_RESULT_FAILED);
        ASSERT_EQ(rig_count_calls(&rig, "ctl/inserted", "lp_one"), 0);
}

TEST(lifting_what_is_not_quarantined) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure unknown = {}, applied = {};

        rig_start(&rig);
        ASSERT_EQ(lift(&rig, "lp_one", &unknown), REFUSED_NO_SUCH_PATCH);
        rig_apply_done(&rig, "one", false);
        ASSERT_EQ(lift(&rig, "lp_one", &applied), REFUSED_CONFLICT);
        ASSERT_TRUE(manager_is_settling(rig.manager));
}

TEST(the_same_build_signed_anew_is_quarantined_too) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure refusal = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_power_cut(&rig);
        ASSERT_EQ(rig_apply_refused(&rig, "one-resigned", false, &refusal), REFUSED_QUARANTINED);
        rig_stage(&rig, "one-resigned", true);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_FAILED);
        ASSERT_EQ(rig_count_calls(&rig, "ctl/inserted", "lp_one"), 0);
        /* Another build is another matter. */
        rig_apply_done(&rig, "one-again", false);
}

/* Where the new record would be written before it takes the place of the old one. */
static void obstruct(Rig *rig, bool obstructed) {
        if (obstructed)
                ASSERT_OK(mkdirat(rig->root_fd, RECORD ".tmp~", 0700));
        else
                ASSERT_OK(unlinkat(rig->root_fd, RECORD ".tmp~", AT_REMOVEDIR));
}

TEST(a_judgement_that_cannot_be_written_holds) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure refusal = {}, none = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        obstruct(&rig, true);
        rig_power_cut(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        assert_on_disk(&rig, "\"phase\": \"settling\"");
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_FAILED);
        obstruct(&rig, false);
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, &refusal), REFUSED_QUARANTINED);
        ASSERT_EQ(rig_count_calls(&rig, "ctl/inserted", "lp_one"), 0);
        rig_stop(&rig);
        rig_go_on(&rig);
        assert_on_disk(&rig, "\"phase\": \"quarantined\"");
        ASSERT_EQ(lift(&rig, "lp_one", &none), 0);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
}

TEST(a_quarantine_that_could_not_be_written_can_be_lifted) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure none = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        obstruct(&rig, true);
        rig_power_cut(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        ASSERT_EQ(lift(&rig, "lp_one", &none), 0);
        ASSERT_FALSE(rig_exists(&rig, RECORD));
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_FAILED); /* nothing can be armed */
        obstruct(&rig, false);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
}

TEST(a_crash_that_could_not_be_counted_is_counted_later) {
        _cleanup_rig_ Rig rig = {};

        start_with_a_proven_one(&rig);
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        obstruct(&rig, true);
        rig_power_cut(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_FAILED);
        assert_on_disk(&rig, "\"crashes\": 0");
        obstruct(&rig, false);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        assert_on_disk(&rig, "\"crashes\": 1");
        rig_power_cut(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
}

/* ---- Former builds ----------------------------------------------------------------------------------------- */

/* The build "one" took the machine down, and "one-again" of the same name is applied instead. */
static void replace_the_quarantined_one(Rig *rig) {
        rig_apply_done(rig, "one", false);
        rig_power_cut(rig);
        rig_expect_state(rig, "lp_one", PATCH_QUARANTINED);
        rig_apply_done(rig, "one-again", false);
        rig_expect_state(rig, "lp_one", PATCH_APPLIED);
}

static void expect_refused(Rig *rig, const char *module) {
        _cleanup_failure_ Failure refusal = {};

        ASSERT_EQ(rig_apply_refused(rig, module, false, &refusal), REFUSED_QUARANTINED);
        ASSERT_CONTAINS(refusal.text, "before this build had settled");
}

TEST(another_build_does_not_lift_a_quarantine) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        replace_the_quarantined_one(&rig);
        ASSERT_FALSE(patch_is_quarantined(rig_patch(&rig, "lp_one")));
        ASSERT_EQ(guard_record_n_quarantined(rig_patch(&rig, "lp_one")->guard), 1);
        expect_refused(&rig, "one"); /* more than that another build is loaded */
        rig_revert_done(&rig, "lp_one", false);
        expect_refused(&rig, "one");
        expect_refused(&rig, "one-resigned");
        rig_reboot(&rig);
        expect_refused(&rig, "one");
        ASSERT_EQ(rig_count_calls(&rig, "ctl/inserted", "lp_one"), 0);
        rig_stage(&rig, "one", true);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_FAILED);
}

TEST(the_other_build_is_reapplied) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        replace_the_quarantined_one(&rig);
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        expect_refused(&rig, "one");
}

TEST(both_builds_are_quarantined_and_lifted) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure none = {};

        rig_start(&rig);
        replace_the_quarantined_one(&rig);
        rig_power_cut(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        ASSERT_EQ(guard_record_n_quarantined(rig_patch(&rig, "lp_one")->guard), 2);
        expect_refused(&rig, "one");
        expect_refused(&rig, "one-again");
        ASSERT_EQ(lift(&rig, "lp_one", &none), 0);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->guard);
        ASSERT_FALSE(rig_exists(&rig, RECORD));
        rig_apply_done(&rig, "one", false);
}

TEST(the_quarantine_of_a_build_that_is_not_on_record_is_lifted) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure none = {}, again = {};

        rig_start(&rig);
        replace_the_quarantined_one(&rig);
        ASSERT_EQ(lift(&rig, "lp_one", &none), 0);
        ASSERT_EQ(phase(&rig, "lp_one"), GUARD_SETTLING); /* the one that is loaded */
        ASSERT_EQ(lift(&rig, "lp_one", &again), REFUSED_CONFLICT);
        rig_revert_done(&rig, "lp_one", false);
        rig_apply_done(&rig, "one", false);
}

TEST(what_is_forgotten_leaves_its_quarantine) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure ignored = {}, none = {};

        rig_start(&rig);
        replace_the_quarantined_one(&rig);
        ASSERT_EQ(rig_remove(&rig, "lp_one", &ignored), 0);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        ASSERT_CONTAINS(patch_quarantine_reason(rig_patch(&rig, "lp_one")), "before this build had settled");
        rig_stop(&rig);
        rig_go_on(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        ASSERT_EQ(lift(&rig, "lp_one", &none), 0);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
}

TEST(a_build_that_was_proven_stays_proven) {
        _cleanup_rig_ Rig rig = {};

        start_with_a_proven_one(&rig);
        rig_revert_done(&rig, "lp_one", false);
        rig_apply_done(&rig, "one-again", false);
        rig_power_cut(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        rig_apply_done(&rig, "one", false);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->guard->proven);
        rig_power_cut(&rig); /* its first */
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_EQ(phase(&rig, "lp_one"), GUARD_PROVEN);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        expect_refused(&rig, "one-again");
}

TEST(what_the_kernel_refuses_costs_no_verdict) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_power_cut(&rig);
        rig_control(&rig, "insert-errno.lp_one", "EINVAL");
        rig_expect(&rig, rig_apply(&rig, "one-again", false), JOB_RESULT_FAILED);
        rig_control(&rig, "insert-errno.lp_one", NULL);
        assert_on_disk(&rig, "\"phase\": \"quarantined\"");
        expect_refused(&rig, "one");
}

/* A crash that could not be judged is before another build takes the record. */
TEST(another_build_buries_no_crash) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        obstruct(&rig, true);
        rig_power_cut(&rig);
        assert_on_disk(&rig, "\"phase\": \"settling\"");
        obstruct(&rig, false);
        rig_apply_done(&rig, "one-again", false);
        assert_on_disk(&rig, "\"phase\": \"quarantined\"");
        rig_revert_done(&rig, "lp_one", false);
        expect_refused(&rig, "one");
}
