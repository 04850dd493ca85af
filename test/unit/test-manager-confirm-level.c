/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cumulative patches on condition: confirmed, they supersede for good; not confirmed, the level before them comes back,
 * and something is patched all the time. */

#include <unistd.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "daemon/confirm.h"
#include "daemon/job.h"
#include "manager-fixture.h"
#include "test.h"

#define LONG (3600 * USEC_PER_SEC)
#define SHORT (300 * USEC_PER_MSEC)
#define KLP "sys/kernel/livepatch/"

static void apply_within(Rig *rig, const char *module, uint64_t usec) {
        const OperationOptions options = { .confirm_within_usec = usec };

        rig_expect(rig, rig_apply_with(rig, module, &options), JOB_RESULT_DONE);
}

static int apply_within_refused(Rig *rig, const char *module, Failure *f) {
        const OperationOptions options = { .confirm_within_usec = LONG };
        _cleanup_answer_ Answer answer = {};

        ASSERT_EQ(manager_apply_fd(rig->manager, rig_open(module), &options, UID, on_answer, &answer, NULL), 0);
        RIG_WAIT(rig, answer.calls > 0);
        ASSERT_EQ(answer.job_id, 0);
        return failure_move(f, &answer.failure);
}

static void confirm_done(Rig *rig, const char *id) {
        _cleanup_answer_ Answer answer = {};

        ASSERT_EQ(manager_confirm(rig->manager, id, UID, on_answer, &answer, NULL), 0);
        RIG_WAIT(rig, answer.calls > 0);
        ASSERT_EQ(answer.failure.code, 0);
        RIG_WAIT(rig, manager_is_idle(rig->manager));
}

/* one and two, superseded on condition. */
static void begin(Rig *rig, const char *module, uint64_t usec) {
        rig_apply_done(rig, "one", false);
        rig_apply_done(rig, "two", false);
        apply_within(rig, module, usec);
}

static bool is_enabled(Rig *rig, const char *name) {
        _cleanup_free_ char *path = NULL, *value = NULL;

        ASSERT_TRUE(asprintf(&path, KLP "%s/enabled", name) > 0);
        if (!rig_exists(rig, path))
                return false;
        return read_line_at(rig->root_fd, path, &value) >= 0 && streq(value, "1");
}

/* All patch the same function. */
static bool is_patched(Rig *rig, const char *name) {
        ASSERT_TRUE(is_enabled(rig, name) || is_enabled(rig, "lp_one") || is_enabled(rig, "lp_cumulative"));
        return true;
}

static bool is_gone(Rig *rig, const char *id) {
        return !rig_patch(rig, id) || (!rig_patch(rig, id)->job && !rig_patch(rig, id)->module.present);
}

static void wait_gone(Rig *rig, const char *id) {
        RIG_WAIT(rig, is_patched(rig, id) && is_gone(rig, id));
        RIG_WAIT(rig, manager_is_idle(rig->manager));
}

static void expect_applied(Rig *rig, const char *id, bool reapply) {
        rig_expect_state(rig, id, PATCH_APPLIED);
        ASSERT_EQ(rig_patch(rig, id)->record->reapply, reapply);
        ASSERT_FALSE(patch_is_unconfirmed(rig_patch(rig, id)));
        ASSERT_NULL(rig_patch(rig, id)->drift);
}

static void expect_former(Rig *rig) {
        expect_applied(rig, "lp_one", true);
        expect_applied(rig, "lp_two", true);
        ASSERT_EQ(strv_length((char **) manager_problems(rig->manager)), 0);
}

static void reboot_into(Rig *rig) {
        rig_reboot(rig);
        rig_expect(rig, rig_reapply(rig), JOB_RESULT_DONE);
}

TEST(what_is_confirmed_supersedes_for_good) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        begin(&rig, "cumulative", LONG);
        rig_expect_state(&rig, "lp_one", PATCH_SUPERSEDED);
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply); /* at the next boot, unless it is confirmed */
        ASSERT_TRUE(patch_is_unconfirmed(rig_patch(&rig, "lp_cumulative")));
        confirm_done(&rig, "lp_cumulative");
        expect_applied(&rig, "lp_cumulative", true);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_FALSE(rig_patch(&rig, "lp_two")->record->reapply);
        ASSERT_EQ(rig_patch(&rig, "lp_cumulative")->record->n_supersedes, 2);
        reboot_into(&rig);
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_one", PATCH_SUPERSEDED);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 1);
}

TEST(confirmed_for_this_boot_it_supersedes_for_that) {
        const OperationOptions options = { .runtime = true, .confirm_within_usec = LONG };
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_expect(&rig, rig_apply_with(&rig, "cumulative", &options), JOB_RESULT_DONE);
        confirm_done(&rig, "lp_cumulative");
        expect_applied(&rig, "lp_cumulative", false);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        reboot_into(&rig);
        expect_applied(&rig, "lp_one", true);
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative"));
}

TEST(what_is_not_confirmed_gives_its_place_back) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        begin(&rig, "cumulative", SHORT);
        wait_gone(&rig, "lp_cumulative");
        expect_former(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative"));
        ASSERT_FALSE(rig_exists(&rig, STATE "/patches/" RELEASE "/lp_cumulative"));
        rig_stop(&rig);
        rig_go_on(&rig);
        expect_former(&rig);
        reboot_into(&rig);
        expect_former(&rig);
}

/* Made by kpatch-build, say: only the kernel tells what became of the others. */
TEST(one_that_does_not_say_that_it_replaces) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "replace.lp_silent", "1");
        begin(&rig, "silent", SHORT);
        wait_gone(&rig, "lp_silent");
        expect_former(&rig);
}

TEST(one_that_might_have_replaced_and_did_not) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "replace.lp_silent", "0");
        begin(&rig, "silent", SHORT);
        wait_gone(&rig, "lp_silent");
        expect_former(&rig);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 1);
}

TEST(the_level_of_a_cumulative_patch_with_one_upon_it) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "two", false);
        rig_apply_done(&rig, "cumulative", false);
        rig_apply_done(&rig, "one", false);
        apply_within(&rig, "newer", SHORT);
        wait_gone(&rig, "lp_newer");
        expect_applied(&rig, "lp_cumulative", true);
        expect_applied(&rig, "lp_one", true);
        rig_expect_state(&rig, "lp_two", PATCH_SUPERSEDED); /* a level further down */
        reboot_into(&rig);
        expect_applied(&rig, "lp_cumulative", true);
        expect_applied(&rig, "lp_one", true);
}

TEST(what_was_not_reapplied_is_not_again) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", true);
        rig_apply_done(&rig, "two", false);
        rig_set_reapply(&rig, "lp_two", false);
        apply_within(&rig, "cumulative", SHORT);
        wait_gone(&rig, "lp_cumulative");
        expect_applied(&rig, "lp_one", false);
        expect_applied(&rig, "lp_two", false);
        ASSERT_NOT_NULL(rig_patch(&rig, "lp_one")->record->transient_boot_id);
}

TEST(what_was_staged_before_tells_why) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "cumulative", false);
        begin(&rig, "cumulative", SHORT);
        wait_gone(&rig, "lp_cumulative");
        expect_former(&rig);
        rig_expect_state(&rig, "lp_cumulative", PATCH_FAILED);
        ASSERT_STREQ(rig_patch(&rig, "lp_cumulative")->runtime->failure_error, "org.livepatch.Error.NotConfirmed");
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative")->record->transient_boot_id);
        ASSERT_EQ(rig_patch(&rig, "lp_cumulative")->record->n_supersedes, 0);
}

/* Its list of an earlier load is not what was in force just before. */
TEST(what_it_superseded_earlier_stays_where_it_is) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "two", false);
        rig_apply_done(&rig, "cumulative", false);
        rig_write_enabled(&rig, "lp_cumulative", "0");
        RIG_WAIT(&rig, rig_patch(&rig, "lp_cumulative")->state == PATCH_DISABLED);
        rig_apply_done(&rig, "one", false);
        apply_within(&rig, "cumulative", SHORT);
        ASSERT_EQ(rig_patch(&rig, "lp_cumulative")->record->n_supersedes, 2);
        wait_gone(&rig, "lp_cumulative");
        expect_applied(&rig, "lp_one", true);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_two"), 1);
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_two"));
        ASSERT_TRUE(rig_patch(&rig, "lp_cumulative")->record->reapply); /* as it was */
}

/* ---- Killed, cut off, and interfered with ------------------------------------------------------------------- */

TEST(the_time_runs_out_while_nobody_is_there) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        begin(&rig, "cumulative", SHORT);
        rig_stop(&rig);
        (void) usleep(2 * SHORT);
        rig_go_on(&rig);
        wait_gone(&rig, "lp_cumulative");
        expect_former(&rig);
}

TEST(killed_while_the_former_level_is_loaded) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        begin(&rig, "cumulative", SHORT);
        rig_control(&rig, "transition-ms.lp_two", "stall");
        RIG_WAIT(&rig, is_patched(&rig, "lp_cumulative") && rig_exists(&rig, KLP "lp_two"));
        ASSERT_TRUE(patch_is_unconfirmed(rig_patch(&rig, "lp_cumulative")));
        rig_stop(&rig);
        rig_control(&rig, "transition-ms.lp_two", "0");
        rig_go_on(&rig);
        wait_gone(&rig, "lp_cumulative");
        expect_former(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative"));
}

TEST(killed_while_it_is_switched_off) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "cumulative", false);
        begin(&rig, "cumulative", SHORT);
        rig_control(&rig, "unpatch-ms.lp_cumulative", "stall");
        RIG_WAIT(&rig, is_patched(&rig, "lp_cumulative") && patch_in_transition(rig_patch(&rig, "lp_cumulative")));
        rig_stop(&rig);
        rig_control(&rig, "unpatch-ms.lp_cumulative", "0");
        rig_go_on(&rig);
        wait_gone(&rig, "lp_cumulative");
        expect_former(&rig);
        ASSERT_CONTAINS(rig_patch(&rig, "lp_cumulative")->runtime->failure_text, "not confirmed");
}

/* Neither a regular boot nor one after a crash confirms it. */
TEST(another_boot_has_the_former_level) {
        _cleanup_rig_ Rig rig = {};

        rig_prepare(&rig);
        rig_configure(&rig, "SettleTimeSec=1s");
        rig_go_on(&rig);
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "two", false);
        RIG_WAIT(&rig, !manager_is_settling(rig.manager));
        apply_within(&rig, "cumulative", LONG);
        reboot_into(&rig);
        expect_former(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative"));
        RIG_WAIT(&rig, !manager_is_settling(rig.manager));
        apply_within(&rig, "cumulative", LONG);
        RIG_WAIT(&rig, !manager_is_settling(rig.manager));
        rig_power_cut(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        expect_former(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative"));
}

TEST(a_power_cut_while_the_former_level_is_loaded) {
        _cleanup_rig_ Rig rig = {};

        rig_prepare(&rig);
        rig_configure(&rig, "SettleTimeSec=1s");
        rig_go_on(&rig);
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "two", false);
        RIG_WAIT(&rig, !manager_is_settling(rig.manager));
        apply_within(&rig, "cumulative", 2 * USEC_PER_SEC);
        rig_control(&rig, "transition-ms.lp_two", "stall");
        RIG_WAIT(&rig, rig_exists(&rig, KLP "lp_two"));
        rig_power_cut(&rig);
        rig_control(&rig, "transition-ms.lp_two", "0");
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        expect_former(&rig);
}

TEST(switched_off_by_somebody_else) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        begin(&rig, "cumulative", 6 * SHORT);
        rig_write_enabled(&rig, "lp_cumulative", "0");
        RIG_WAIT(&rig, is_gone(&rig, "lp_cumulative"));
        RIG_WAIT(&rig, manager_is_idle(rig.manager));
        expect_former(&rig);
}

/* It goes all the same, with as much in its place as there is. */
TEST(not_all_of_the_former_level_can_come_back) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        begin(&rig, "cumulative", 4 * SHORT);
        rig_control(&rig, "insert-errno.lp_two", "EINVAL");
        wait_gone(&rig, "lp_cumulative");
        expect_applied(&rig, "lp_one", true);
        rig_expect_state(&rig, "lp_two", PATCH_FAILED);
        ASSERT_TRUE(rig_patch(&rig, "lp_two")->record->reapply);
        ASSERT_EQ(strv_length((char **) manager_problems(rig.manager)), 1);
        ASSERT_CONTAINS(manager_problems(rig.manager)[0], "not all that it had replaced");
}

TEST(a_file_of_the_former_level_is_not_trusted_any_more) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        begin(&rig, "cumulative", 4 * SHORT);
        ASSERT_OK(unlinkat(rig.root_fd, "etc/livepatch/trusted.d/good.pem", 0));
        RIG_WAIT(&rig, is_gone(&rig, "lp_cumulative"));
        RIG_WAIT(&rig, manager_is_idle(rig.manager));
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative"));
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 1);
        ASSERT_CONTAINS(manager_problems(rig.manager)[0], "protects no more");
}

TEST(one_of_the_former_level_was_removed) {
        _cleanup_failure_ Failure ignored = {};
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        begin(&rig, "cumulative", 4 * SHORT);
        ASSERT_EQ(rig_remove(&rig, "lp_two", &ignored), 0);
        wait_gone(&rig, "lp_cumulative");
        expect_applied(&rig, "lp_one", true);
        ASSERT_NULL(rig_patch(&rig, "lp_two"));
}

TEST(canceled_it_still_waits) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "unpatch-ms", "0");
        begin(&rig, "cumulative", SHORT);
        rig_control(&rig, "transition-ms.lp_two", "stall");
        RIG_WAIT(&rig, rig_exists(&rig, KLP "lp_two"));
        rig_cancel(&rig, job_id(rig_patch(&rig, "lp_cumulative")->job));
        RIG_WAIT(&rig, manager_is_idle(rig.manager));
        rig_expect_state(&rig, "lp_cumulative", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_one", PATCH_SUPERSEDED);
        ASSERT_TRUE(patch_is_unconfirmed(rig_patch(&rig, "lp_cumulative")));
        rig_control(&rig, "transition-ms.lp_two", "0");
        /* The next process does not know that it has to wait before it tries again. */
        rig_stop(&rig);
        rig_go_on(&rig);
        wait_gone(&rig, "lp_cumulative");
        expect_former(&rig);
}

TEST(rolled_back_by_hand) {
        _cleanup_answer_ Answer answer = {};
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        begin(&rig, "cumulative", LONG);
        ASSERT_EQ(manager_rollback(rig.manager, "lp_cumulative", PLAIN, UID, on_answer, &answer, NULL), 0);
        RIG_WAIT(&rig, answer.calls > 0);
        rig_expect(&rig, answer.job_id, JOB_RESULT_DONE);
        expect_former(&rig);
        ASSERT_FALSE(manager_has_unconfirmed(rig.manager));
        reboot_into(&rig);
        expect_former(&rig);
}

/* Put back where it was, it waits as before. */
TEST(a_rollback_by_hand_that_fails) {
        _cleanup_answer_ Answer answer = {};
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "cumulative", false);
        rig_apply_done(&rig, "one", false);
        apply_within(&rig, "newer", LONG);
        rig_control(&rig, "insert-errno.lp_one", "EINVAL");
        ASSERT_EQ(manager_rollback(rig.manager, "lp_newer", PLAIN, UID, on_answer, &answer, NULL), 0);
        RIG_WAIT(&rig, answer.calls > 0);
        rig_expect(&rig, answer.job_id, JOB_RESULT_FAILED);
        rig_expect_state(&rig, "lp_newer", PATCH_APPLIED);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_newer"), 2);
        ASSERT_TRUE(patch_is_unconfirmed(rig_patch(&rig, "lp_newer")));
        confirm_done(&rig, "lp_newer");
        expect_applied(&rig, "lp_newer", true);
        ASSERT_FALSE(rig_patch(&rig, "lp_cumulative")->record->reapply);
}

/* ---- Refused ------------------------------------------------------------------------------------------------ */

TEST(what_could_not_come_back_is_not_replaced_on_condition) {
        _cleanup_failure_ Failure would = {}, may = {};
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "0");
        rig_insmod(&rig, "one");
        rig_expect_state(&rig, "lp_one", PATCH_EXTERNAL);
        ASSERT_EQ(apply_within_refused(&rig, "cumulative", &would), REFUSED_CONFLICT);
        ASSERT_CONTAINS(would.text, "would replace 'lp_one', which something other than livepatchd has loaded");
        ASSERT_CONTAINS(would.text, "livepatchctl adopt lp_one");
        ASSERT_EQ(apply_within_refused(&rig, "silent", &may), REFUSED_CONFLICT);
        ASSERT_CONTAINS(may.text, "may replace 'lp_one'");
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_cumulative"), 0);
        ASSERT_NULL(rig_patch(&rig, "lp_cumulative"));
        apply_within(&rig, "two", LONG); /* which replaces nothing */
}

TEST(what_waits_itself_is_not_replaced_on_condition) {
        _cleanup_failure_ Failure refusal = {};
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        apply_within(&rig, "one", LONG);
        ASSERT_EQ(apply_within_refused(&rig, "cumulative", &refusal), REFUSED_CONFLICT);
        ASSERT_CONTAINS(refusal.text, "livepatchctl confirm lp_one");
        confirm_done(&rig, "lp_one");
        apply_within(&rig, "cumulative", LONG);
}

TEST(nothing_is_applied_upon_what_may_have_to_go) {
        _cleanup_failure_ Failure upon = {}, former = {}, queued = {};
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        begin(&rig, "cumulative", LONG);
        ASSERT_EQ(rig_apply_refused(&rig, "three", false, &upon), REFUSED_CONFLICT);
        ASSERT_CONTAINS(upon.text, "livepatchctl confirm lp_cumulative");
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, &former), REFUSED_CONFLICT);
        confirm_done(&rig, "lp_cumulative");
        rig_apply_done(&rig, "three", false);
        /* Nor behind one that is queued, or in transition. */
        rig_control(&rig, "transition-ms.lp_newer", "stall");
        id = rig_apply_with(&rig, "newer", &(OperationOptions) { .confirm_within_usec = LONG });
        ASSERT_EQ(rig_apply_refused(&rig, "four", false, &queued), REFUSED_CONFLICT);
        rig_control(&rig, "transition-ms.lp_newer", "0");
        rig_expect(&rig, id, JOB_RESULT_DONE);
}

TEST(an_older_state_of_the_system_could_not_come_back) {
        _cleanup_failure_ Failure refusal = {}, without = {};
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "state1", false);
        ASSERT_EQ(apply_within_refused(&rig, "state2", &refusal), REFUSED_CONFLICT);
        ASSERT_CONTAINS(refusal.text, "the system state 1 in a way that 'lp_state1'");
        rig_expect_state(&rig, "lp_state1", PATCH_APPLIED);
        rig_revert_done(&rig, "lp_state1", false);
        rig_apply_done(&rig, "cumulative", false);
        ASSERT_EQ(apply_within_refused(&rig, "state1", &without), REFUSED_CONFLICT);
        rig_revert_done(&rig, "lp_cumulative", false);
        rig_apply_done(&rig, "one", false); /* which replaces nothing, and so needs to know no state */
        apply_within(&rig, "state1", LONG);
}
