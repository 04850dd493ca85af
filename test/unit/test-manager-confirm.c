/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commit-confirm over a fake kernel: confirmed, not confirmed, killed and rebooted in between. */

#include "common/fd-util.h"
#include "common/string-util.h"
#include "daemon/confirm.h"
#include "manager-fixture.h"
#include "test.h"

#define MANIFEST STATE "/patches/" RELEASE "/lp_one/manifest.json"
#define LONG (3600 * USEC_PER_SEC)
#define SHORT (300 * USEC_PER_MSEC)
#define WITHIN(usec) (&(OperationOptions) { .confirm_within_usec = (usec) })

static bool waits(Rig *rig) {
        const Patch *patch = rig_patch(rig, "lp_one");

        return patch && patch_is_unconfirmed(patch);
}

static int confirm(Rig *rig, Failure *f) {
        _cleanup_answer_ Answer answer = {};
        int r = manager_confirm(rig->manager, "lp_one", UID, on_answer, &answer, f);

        if (r != 0)
                return r;
        RIG_WAIT(rig, answer.calls > 0);
        ASSERT_EQ(answer.calls, 1);
        return failure_move(f, &answer.failure);
}

static void confirm_done(Rig *rig) {
        _cleanup_failure_ Failure failure = {};

        if (confirm(rig, &failure) != 0)
                test_fail(__FILE__, __LINE__, "%s", failure_text(&failure));
}

static void apply_within(Rig *rig, uint64_t usec) {
        rig_expect(rig, rig_apply_with(rig, "one", WITHIN(usec)), JOB_RESULT_DONE);
        rig_expect_state(rig, "lp_one", PATCH_APPLIED);
        ASSERT_TRUE(waits(rig));
}

static void assert_lasts(Rig *rig, bool reapply) {
        const Patch *patch = rig_patch(rig, "lp_one");

        ASSERT_EQ(patch->state, PATCH_APPLIED);
        ASSERT_FALSE(patch_is_unconfirmed(patch));
        ASSERT_EQ(patch->record->reapply, reapply);
        ASSERT_EQ(patch->record->transient_boot_id == NULL, reapply);
}

/* As if it had never been there. */
static void wait_gone(Rig *rig) {
        RIG_WAIT(rig, !rig_patch(rig, "lp_one"));
        ASSERT_FALSE(rig_exists(rig, "sys/module/lp_one"));
        ASSERT_FALSE(rig_exists(rig, MANIFEST));
        ASSERT_FALSE(rig_exists(rig, RUN "/patches/lp_one.json"));
        ASSERT_FALSE(manager_is_watching(rig->manager));
}

TEST(what_is_confirmed_lasts) {
        _cleanup_rig_ Rig rig = {};
        uint64_t before;

        rig_start(&rig);
        apply_within(&rig, LONG);
        ASSERT_NOT_NULL(rig_patch(&rig, "lp_one")->record->transient_boot_id);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        before = manager_confirm_before(rig_patch(&rig, "lp_one"));
        ASSERT_TRUE(before > now_realtime_usec() + LONG - 60 * USEC_PER_SEC);
        ASSERT_TRUE(before <= now_realtime_usec() + LONG);
        confirm_done(&rig);
        assert_lasts(&rig, true);
        ASSERT_EQ(manager_confirm_before(rig_patch(&rig, "lp_one")), 0);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->runtime->pending);
        ASSERT_TRUE(patch_applied_at(rig_patch(&rig, "lp_one")) > 0);
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        assert_lasts(&rig, true);
}

TEST(for_this_boot_it_only_stays) {
        _cleanup_rig_ Rig rig = {};
        OperationOptions options = { .runtime = true, .confirm_within_usec = LONG };

        rig_start(&rig);
        rig_expect(&rig, rig_apply_with(&rig, "one", &options), JOB_RESULT_DONE);
        confirm_done(&rig);
        assert_lasts(&rig, false);
        rig_stop(&rig);
        rig_go_on(&rig);
        assert_lasts(&rig, false);
        rig_reboot(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
}

TEST(what_is_not_confirmed_goes) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        apply_within(&rig, SHORT);
        wait_gone(&rig);
        ASSERT_EQ(rig.n_jobs_added, 2);
}

TEST(the_time_begins_when_the_transition_is_complete) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply_with(&rig, "one", WITHIN(SHORT));
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_run_for(&rig, 2 * SHORT);
        rig_expect_state(&rig, "lp_one", PATCH_APPLYING);
        ASSERT_EQ(manager_confirm_before(rig_patch(&rig, "lp_one")), 0);
        rig_control(&rig, "transition-ms", "0");
        rig_expect(&rig, id, JOB_RESULT_DONE);
        wait_gone(&rig);
}

TEST(what_was_staged_before_stays_staged) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure late = {};

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        apply_within(&rig, SHORT);
        RIG_WAIT(&rig, rig_patch(&rig, "lp_one")->state == PATCH_FAILED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->runtime->failure_text, "not confirmed within 300ms");
        ASSERT_STREQ(rig_patch(&rig, "lp_one")->runtime->failure_error, "org.livepatch.Error.NotConfirmed");
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_EQ(confirm(&rig, &late), REFUSED_NOT_CONFIRMED);
        ASSERT_CONTAINS(late.text, "too late");
        ASSERT_NULL(rig_patch(&rig, "lp_one")->drift);
}

TEST(the_build_before_stands_again) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *sha256 = NULL;

        rig_start(&rig);
        rig_stage(&rig, "one-again", true);
        sha256 = strdup(rig_patch(&rig, "lp_one")->record->sha256);
        apply_within(&rig, SHORT);
        ASSERT_FALSE(streq(rig_patch(&rig, "lp_one")->record->sha256, sha256));
        /* Another process knows as much of it. */
        rig_stop(&rig);
        rig_go_on(&rig);
        RIG_WAIT(&rig, rig_patch(&rig, "lp_one")->state == PATCH_FAILED);
        ASSERT_STREQ(rig_patch(&rig, "lp_one")->record->sha256, sha256);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->record->transient_boot_id);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(another_process_goes_on_waiting) {
        _cleanup_rig_ Rig rig = {};
        uint64_t before, after;

        rig_start(&rig);
        apply_within(&rig, LONG);
        before = manager_confirm_before(rig_patch(&rig, "lp_one"));
        rig_stop(&rig);
        ASSERT_TRUE(rig_exists(&rig, RUN "/settling")); /* which systemd looks at */
        rig_go_on(&rig);
        ASSERT_TRUE(waits(&rig));
        ASSERT_TRUE(manager_is_watching(rig.manager));
        after = manager_confirm_before(rig_patch(&rig, "lp_one"));
        ASSERT_TRUE(MAX(before, after) - MIN(before, after) < 10 * USEC_PER_SEC);
        confirm_done(&rig);
        assert_lasts(&rig, true);
}

TEST(the_time_runs_out_while_nobody_is_there) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        apply_within(&rig, SHORT);
        rig_stop(&rig);
        (void) usleep(2 * SHORT);
        ASSERT_TRUE(rig_exists(&rig, "sys/module/lp_one"));
        rig_go_on(&rig);
        wait_gone(&rig);
}

TEST(killed_while_it_is_reverted) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "one-again", false);
        rig_control(&rig, "unpatch-ms", "stall");
        apply_within(&rig, SHORT);
        RIG_WAIT(&rig, rig_patch(&rig, "lp_one")->state == PATCH_REVERTING);
        RIG_WAIT(&rig, rig_patch(&rig, "lp_one")->runtime->pending);
        rig_stop(&rig);
        rig_go_on(&rig);
        rig_control(&rig, "unpatch-ms", "0");
        RIG_WAIT(&rig, rig_patch(&rig, "lp_one")->state == PATCH_FAILED);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->record->transient_boot_id);
        ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->runtime->failure_text, "not confirmed");
}

TEST(killed_in_transition) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        (void) rig_apply_with(&rig, "one", WITHIN(SHORT));
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_stop(&rig);
        rig_control(&rig, "transition-ms", "0");
        rig_go_on(&rig);
        wait_gone(&rig);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 1);
}

TEST(a_reboot_is_no_confirmation) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};

        rig_start(&rig);
        apply_within(&rig, LONG);
        rig_reboot(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_EQ(confirm(&rig, &failure), REFUSED_NO_SUCH_PATCH);
        ASSERT_FALSE(rig_exists(&rig, MANIFEST));
}

TEST(after_a_power_cut_the_one_before_is_there) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *sha256 = NULL;

        rig_start(&rig);
        rig_stage(&rig, "one-again", true);
        sha256 = strdup(rig_patch(&rig, "lp_one")->record->sha256);
        apply_within(&rig, LONG);
        rig_power_cut(&rig);
        ASSERT_STREQ(rig_patch(&rig, "lp_one")->record->sha256, sha256);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_FALSE(waits(&rig));
}

static int stage_refused(Rig *rig, const char *module, bool reapply, Failure *f) {
        _cleanup_answer_ Answer answer = {};
        int r = manager_stage_fd(rig->manager, rig_open(module), reapply, UID, on_answer, &answer, f);

        if (r != 0)
                return r;
        RIG_WAIT(rig, answer.calls > 0);
        return failure_move(f, &answer.failure);
}

TEST(staging_is_no_confirmation) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure plain = {}, reapply = {};

        rig_start(&rig);
        apply_within(&rig, LONG);
        ASSERT_EQ(stage_refused(&rig, "one", false, &plain), REFUSED_CONFLICT);
        ASSERT_EQ(stage_refused(&rig, "one", true, &reapply), REFUSED_CONFLICT);
        ASSERT_CONTAINS(reapply.text, "livepatchctl confirm lp_one");
        ASSERT_NOT_NULL(rig_patch(&rig, "lp_one")->record->transient_boot_id);
        confirm_done(&rig);
        rig_stage(&rig, "one", true);
        assert_lasts(&rig, true);
}

TEST(applying_again_is_no_confirmation) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure again = {}, within = {}, enable = {}, disable = {};
        _cleanup_answer_ Answer answer = {};

        rig_start(&rig);
        apply_within(&rig, LONG);
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, &again), REFUSED_ALREADY_APPLIED);
        ASSERT_CONTAINS(again.text, "livepatchctl confirm lp_one");
        ASSERT_EQ(rig_apply_refused(&rig, "one", true, &within), REFUSED_ALREADY_APPLIED);
        ASSERT_EQ(manager_set_reapply(rig.manager, "lp_one", true, UID, on_answer, &answer, &enable), REFUSED_CONFLICT);
        ASSERT_CONTAINS(enable.text, "livepatchctl confirm lp_one");
        ASSERT_EQ(manager_set_reapply(rig.manager, "lp_one", false, UID, on_answer, &answer, &disable),
                  REFUSED_CONFLICT);
        ASSERT_TRUE(waits(&rig));
        ASSERT_NOT_NULL(rig_patch(&rig, "lp_one")->record->transient_boot_id);
}

TEST(what_lasts_already_gets_no_condition) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_answer_ Answer answer = {};
        _cleanup_failure_ Failure failure = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", true);
        ASSERT_EQ(manager_apply_fd(rig.manager, rig_open("one"), WITHIN(SHORT), UID, on_answer, &answer, NULL), 0);
        RIG_WAIT(&rig, answer.calls > 0);
        ASSERT_EQ(answer.failure.code, REFUSED_ALREADY_APPLIED);
        ASSERT_CONTAINS(answer.failure.text, "without a condition");
        assert_lasts(&rig, false);
        ASSERT_EQ(confirm(&rig, &failure), REFUSED_ALREADY_APPLIED);
}

TEST(nothing_to_confirm) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure none = {}, staged = {};

        rig_start(&rig);
        ASSERT_EQ(confirm(&rig, &none), REFUSED_NO_SUCH_PATCH);
        rig_stage(&rig, "one", false);
        ASSERT_EQ(confirm(&rig, &staged), REFUSED_NOT_APPLIED);
        ASSERT_CONTAINS(staged.text, "nothing to confirm");
}

TEST(not_while_a_job_works_on_it) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure applying = {}, reverting = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply_with(&rig, "one", WITHIN(LONG));
        RIG_WAIT(&rig, rig_patch(&rig, "lp_one")->state == PATCH_APPLYING && waits(&rig));
        ASSERT_EQ(confirm(&rig, &applying), REFUSED_BUSY);
        rig_control(&rig, "transition-ms", "0");
        rig_expect(&rig, id, JOB_RESULT_DONE);
        rig_control(&rig, "unpatch-ms", "stall");
        id = rig_revert(&rig, "lp_one", false);
        RIG_WAIT(&rig, rig_patch(&rig, "lp_one")->state == PATCH_REVERTING);
        ASSERT_EQ(confirm(&rig, &reverting), REFUSED_BUSY);
        /* Taken back, it waits as before. */
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one/enabled"));
        rig_cancel(&rig, id);
        rig_control(&rig, "transition-ms", "0");
        rig_control(&rig, "unpatch-ms", "0");
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        ASSERT_TRUE(waits(&rig));
        confirm_done(&rig);
        assert_lasts(&rig, true);
}

TEST(reverted_by_hand) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        apply_within(&rig, 4 * SHORT);
        rig_revert_done(&rig, "lp_one", false);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_FALSE(waits(&rig));
        rig_run_for(&rig, 6 * SHORT);
        ASSERT_EQ(rig.n_jobs_added, 2);
}

TEST(switched_off_by_somebody_else) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};

        rig_start(&rig);
        apply_within(&rig, 6 * SHORT);
        rig_write_enabled(&rig, "lp_one", "0");
        RIG_WAIT(&rig, rig_patch(&rig, "lp_one")->state == PATCH_DISABLED);
        ASSERT_EQ(confirm(&rig, &failure), REFUSED_NOT_APPLIED);
        wait_gone(&rig);
}

TEST(reapplied_it_waits_again) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        apply_within(&rig, LONG);
        rig_write_enabled(&rig, "lp_one", "0");
        RIG_WAIT(&rig, rig_patch(&rig, "lp_one")->state == PATCH_DISABLED);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_TRUE(waits(&rig));
        ASSERT_TRUE(manager_confirm_before(rig_patch(&rig, "lp_one")) > now_realtime_usec());
}

TEST(a_canceled_apply_leaves_nothing_to_confirm) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply_with(&rig, "one", WITHIN(LONG));
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_cancel(&rig, id);
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        wait_gone(&rig);
}

TEST(the_kernel_refuses_it) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "insert-errno", "EINVAL");
        rig_expect(&rig, rig_apply_with(&rig, "one", WITHIN(LONG)), JOB_RESULT_FAILED);
        ASSERT_FALSE(waits(&rig));
        ASSERT_FALSE(manager_is_watching(rig.manager));
}

TEST(a_revert_that_fails_is_tried_again) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "remove-errno", "EPERM");
        apply_within(&rig, SHORT);
        RIG_WAIT(&rig, rig.n_jobs_finished == 2);
        ASSERT_TRUE(waits(&rig));
        rig_control(&rig, "remove-errno", NULL);
        /* The next process does not know that it has to wait for that. */
        rig_stop(&rig);
        rig_go_on(&rig);
        wait_gone(&rig);
}
