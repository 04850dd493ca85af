/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What settles and turns out to be bad: the kernel's reports and health checks, over a fake kernel. */

#include "common/string-util.h"
#include "daemon/health-internal.h"
#include "fake-kernel.h"
#include "manager-fixture.h"
#include "test.h"

#define RECORD STATE "/guard/" RELEASE "/lp_one.json"
#define QUICK "SettleTimeSec=1s\n"
#define LASTING "SettleTimeSec=1h\n"
#define CHECK "HealthCheckUnit=check.service\n"

/* ---- A service manager ------------------------------------------------------------------------------------- */

typedef struct Runner {
        unsigned started;
        unsigned canceled;
        HealthCheck *check;
        char *unit;
        int error;
} Runner;

static int runner_start(void *userdata, const char *unit, HealthCheck *check, void **ret) {
        Runner *runner = userdata;

        if (runner->error != 0)
                return runner->error;
        runner->started++;
        runner->check = check;
        ASSERT_OK(free_and_strdup(&runner->unit, unit));
        *ret = runner;
        return 0;
}

static void runner_cancel(void *userdata, void *run) {
        Runner *runner = userdata;

        ASSERT_TRUE(run == runner);
        runner->canceled++;
        runner->check = NULL;
}

static const HealthRunner functions = { .start = runner_start, .cancel = runner_cancel };

static void runner_done(Runner *runner) {
        free(runner->unit);
}
#define _cleanup_runner_ _cleanup_(runner_done)

static void end(Runner *runner, HealthResult result, const char *detail) {
        HealthCheck *check = runner->check;

        ASSERT_NOT_NULL(check);
        runner->check = NULL;
        health_check_ended(check, result, detail);
}

/* ---- Helpers ----------------------------------------------------------------------------------------------- */

static void begin(Rig *rig, const char *settings) {
        rig_prepare(rig);
        rig_configure(rig, settings);
        rig_go_on(rig);
}

static void begin_checking(Rig *rig, Runner *runner, const char *settings) {
        begin(rig, settings);
        manager_set_health_runner(rig->manager, &functions, runner);
}

/* A file cannot be polled as the device can: what is logged is fed, too. */
static void feed(Rig *rig, const char *line) {
        ASSERT_OK(fake_kernel_log(rig->root_fd, 4, "%s", line));
        manager_feed_health(rig->manager, line);
}

static void report(Rig *rig, const char *module) {
        _cleanup_free_ char *line = NULL;

        ASSERT_TRUE(asprintf(&line, "RIP: 0010:on_show+0xb/0x20 [%s]", module) > 0);
        feed(rig, "BUG: kernel NULL pointer dereference, address: 0000000000000000");
        feed(rig, line);
        feed(rig, "---[ end trace 0000000000000000 ]---");
}

static GuardPhase phase(Rig *rig, const char *id) {
        const Patch *patch = rig_patch(rig, id);

        return patch && patch->guard ? patch->guard->phase : _GUARD_PHASE_INVALID;
}

static bool is_out(Rig *rig, const char *id) {
        const Patch *patch = rig_patch(rig, id);

        return patch && patch->state == PATCH_QUARANTINED && !patch->module.present && !patch->job &&
               !patch->guard_step_pending;
}

static void expect_out(Rig *rig, const char *id, const char *reason) {
        RIG_WAIT(rig, is_out(rig, id));
        ASSERT_CONTAINS(patch_quarantine_reason(rig_patch(rig, id)), reason);
        ASSERT_FALSE(manager_is_settling(rig->manager));
        ASSERT_FALSE(rig_exists(rig, RUN "/settling"));
}

static void expect_on_disk(Rig *rig, const char *what) {
        _cleanup_free_ char *text = rig_read(rig, RECORD);

        ASSERT_CONTAINS(text, what);
}

/* ---- The kernel's reports ---------------------------------------------------------------------------------- */

TEST(a_report_reverts_and_quarantines) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure refusal = {};

        begin(&rig, LASTING);
        rig_apply_done(&rig, "one", false);
        report(&rig, "lp_one");
        expect_out(&rig, "lp_one", "on_show+0xb/0x20 [lp_one]");
        expect_on_disk(&rig, "\"phase\": \"quarantined\"");
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, &refusal), REFUSED_QUARANTINED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_FAILED);
        rig_expect_state(&rig, "lp_one", PATCH_QUARANTINED);
        ASSERT_EQ(rig_count_calls(&rig, "ctl/inserted", "lp_one"), 0); /* in this boot */
}

TEST(the_others_stay) {
        _cleanup_rig_ Rig rig = {};

        begin(&rig, LASTING);
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "two", false);
        report(&rig, "lp_one");
        RIG_WAIT(&rig, is_out(&rig, "lp_one"));
        rig_expect_state(&rig, "lp_two", PATCH_APPLIED);
        ASSERT_EQ(phase(&rig, "lp_two"), GUARD_SETTLING);
}

TEST(a_report_of_something_else_is_nothing) {
        _cleanup_rig_ Rig rig = {};

        begin(&rig, QUICK);
        rig_apply_done(&rig, "one", false);
        report(&rig, "lp_two");
        report(&rig, "ext4");
        feed(&rig, "Modules linked in: lp_one(OEK)");
        feed(&rig, " on_show+0xb/0x20 [lp_one]"); /* outside of any report */
        RIG_WAIT(&rig, phase(&rig, "lp_one") == GUARD_PROVEN);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(a_report_after_the_settle_time_is_nothing) {
        _cleanup_rig_ Rig rig = {};

        begin(&rig, QUICK);
        rig_apply_done(&rig, "one", false);
        RIG_WAIT(&rig, phase(&rig, "lp_one") == GUARD_PROVEN && !manager_is_settling(rig.manager));
        report(&rig, "lp_one");
        rig_run_for(&rig, USEC_PER_SEC / 2);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_EQ(phase(&rig, "lp_one"), GUARD_PROVEN);
}

TEST(a_proven_build_is_not_spared) {
        _cleanup_rig_ Rig rig = {};

        begin(&rig, QUICK);
        rig_apply_done(&rig, "one", false);
        RIG_WAIT(&rig, phase(&rig, "lp_one") == GUARD_PROVEN && !manager_is_settling(rig.manager));
        rig_stop(&rig);
        rig_configure(&rig, LASTING);
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        report(&rig, "lp_one");
        expect_out(&rig, "lp_one", "The kernel reported a fault");
}

TEST(an_apply_that_is_not_over_is_given_up) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        begin(&rig, LASTING);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, phase(&rig, "lp_one") == GUARD_SETTLING && patch_in_transition(rig_patch(&rig, "lp_one")));
        report(&rig, "lp_one");
        RIG_WAIT(&rig, !rig_patch(&rig, "lp_one")->klp->enabled);
        rig_control(&rig, "transition-ms", "0");
        rig_expect(&rig, id, JOB_RESULT_FAILED);
        ASSERT_EQ(job_failure(rig_job(&rig, id))->code, REFUSED_QUARANTINED);
        expect_out(&rig, "lp_one", "on_show");
        expect_on_disk(&rig, "\"phase\": \"quarantined\"");
}

TEST(a_reapply_goes_on_with_the_others) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        begin(&rig, QUICK);
        rig_apply_done(&rig, "one", false);
        RIG_WAIT(&rig, phase(&rig, "lp_one") == GUARD_PROVEN && !manager_is_settling(rig.manager));
        rig_apply_done(&rig, "two", false);
        rig_reboot(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_reapply(&rig);
        RIG_WAIT(&rig, phase(&rig, "lp_one") == GUARD_SETTLING && patch_in_transition(rig_patch(&rig, "lp_one")));
        report(&rig, "lp_one");
        RIG_WAIT(&rig, !rig_patch(&rig, "lp_one")->klp->enabled);
        rig_control(&rig, "transition-ms", "0");
        rig_expect(&rig, id, JOB_RESULT_FAILED);
        RIG_WAIT(&rig, is_out(&rig, "lp_one"));
        rig_expect_state(&rig, "lp_two", PATCH_APPLIED);
}

TEST(a_report_while_nobody_watched_is_found) {
        _cleanup_rig_ Rig rig = {};

        begin(&rig, LASTING);
        rig_apply_done(&rig, "one", false);
        rig_stop(&rig);
        ASSERT_OK(fake_kernel_log(rig.root_fd, 4, "WARNING: CPU: 0 PID: 1 at x.c:1 on_show+0xb/0x20 [lp_one]"));
        rig_go_on(&rig);
        expect_out(&rig, "lp_one", "WARNING: CPU: 0");
}

TEST(a_report_of_an_earlier_load_is_not_held_against_it) {
        _cleanup_rig_ Rig rig = {};

        begin(&rig, QUICK);
        rig_apply_done(&rig, "one", false);
        ASSERT_OK(fake_kernel_log(rig.root_fd, 4, "WARNING: CPU: 0 PID: 1 at x.c:1 on_show+0xb/0x20 [lp_one]"));
        rig_revert_done(&rig, "lp_one", false);
        rig_apply_done(&rig, "one", false);
        rig_stop(&rig);
        rig_go_on(&rig);
        RIG_WAIT(&rig, phase(&rig, "lp_one") == GUARD_PROVEN);
}

TEST(another_process_reverts_what_one_could_not) {
        _cleanup_rig_ Rig rig = {};

        begin(&rig, LASTING);
        rig_apply_done(&rig, "one", false);
        report(&rig, "lp_one");
        rig_stop(&rig); /* what the disk worker has begun is finished */
        ASSERT_TRUE(rig_exists(&rig, RUN "/settling"));
        rig_go_on(&rig);
        expect_out(&rig, "lp_one", "on_show");
}

TEST(it_is_reverted_although_nothing_can_be_written) {
        _cleanup_rig_ Rig rig = {};

        begin(&rig, LASTING);
        rig_apply_done(&rig, "one", false);
        ASSERT_OK(renameat(rig.root_fd, STATE "/guard", rig.root_fd, "aside"));
        test_write_file(rig.root_fd, STATE "/guard", "in the way");
        report(&rig, "lp_one");
        expect_out(&rig, "lp_one", "on_show");
}

TEST(what_somebody_else_loads_afterwards_is_left_alone) {
        _cleanup_rig_ Rig rig = {};

        begin(&rig, LASTING);
        rig_apply_done(&rig, "one", false);
        report(&rig, "lp_one");
        expect_out(&rig, "lp_one", "on_show");
        rig_insmod(&rig, "one");
        rig_stop(&rig);
        rig_go_on(&rig);
        ASSERT_FALSE(manager_is_settling(rig.manager));
        rig_run_for(&rig, USEC_PER_SEC / 2);
        ASSERT_NOT_NULL(rig_patch(&rig, "lp_one")->klp);
}

/* ---- Cumulative patches ------------------------------------------------------------------------------------ */

static void begin_with_levels(Rig *rig, bool on_condition) {
        const OperationOptions options = { .confirm_within_usec = on_condition ? 3600 * USEC_PER_SEC : 0 };

        begin(rig, LASTING);
        rig_apply_done(rig, "one", false);
        rig_apply_done(rig, "two", false);
        rig_expect(rig, rig_apply_with(rig, "cumulative", &options), JOB_RESULT_DONE);
        rig_expect_state(rig, "lp_one", PATCH_SUPERSEDED);
        report(rig, "lp_cumulative");
}

static void expect_rolled_back(Rig *rig) {
        RIG_WAIT(rig, is_out(rig, "lp_cumulative"));
        ASSERT_CONTAINS(patch_quarantine_reason(rig_patch(rig, "lp_cumulative")), "on_show+0xb/0x20 [lp_cumulative]");
        rig_expect_state(rig, "lp_one", PATCH_APPLIED);
        rig_expect_state(rig, "lp_two", PATCH_APPLIED);
        ASSERT_EQ(strv_length((char **) manager_problems(rig->manager)), 0U);
}

TEST(a_cumulative_patch_is_rolled_back) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure refusal = {};

        begin_with_levels(&rig, false);
        expect_rolled_back(&rig);
        ASSERT_TRUE(rig_patch(&rig, "lp_cumulative")->record->reapply);
        ASSERT_EQ(rig_apply_refused(&rig, "cumulative", false, &refusal), REFUSED_QUARANTINED);
        /* At boot its level stands in for it. */
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_FAILED);
        rig_expect_state(&rig, "lp_cumulative", PATCH_QUARANTINED);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_two", PATCH_APPLIED);
        ASSERT_EQ(rig_count_calls(&rig, "ctl/inserted", "lp_cumulative"), 0); /* in this boot */
}

TEST(a_cumulative_patch_on_condition_is_rolled_back_at_once) {
        _cleanup_rig_ Rig rig = {};

        begin_with_levels(&rig, true);
        expect_rolled_back(&rig);
        ASSERT_FALSE(patch_is_unconfirmed(rig_patch(&rig, "lp_cumulative")));
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_cumulative", PATCH_QUARANTINED);
}

TEST(another_process_rolls_back_what_one_could_not) {
        _cleanup_rig_ Rig rig = {};

        begin_with_levels(&rig, false);
        rig_stop(&rig);
        rig_go_on(&rig);
        expect_rolled_back(&rig);
}

/* The former level is better than nothing, but nothing is better than the bad one. */
TEST(what_cannot_be_rolled_back_is_reverted) {
        _cleanup_rig_ Rig rig = {};

        begin(&rig, LASTING);
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "cumulative", false);
        rig_control(&rig, "insert-errno.lp_one", "EINVAL");
        report(&rig, "lp_cumulative");
        RIG_WAIT(&rig, is_out(&rig, "lp_cumulative"));
        rig_expect_state(&rig, "lp_one", PATCH_FAILED);
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_cumulative"));
}

TEST(what_has_no_level_to_return_to_is_reverted) {
        _cleanup_failure_ Failure ignored = {};
        _cleanup_rig_ Rig rig = {};

        begin(&rig, LASTING);
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "cumulative", false);
        ASSERT_EQ(rig_remove(&rig, "lp_one", &ignored), 0);
        report(&rig, "lp_cumulative");
        RIG_WAIT(&rig, is_out(&rig, "lp_cumulative"));
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 1);
}

/* ---- The check --------------------------------------------------------------------------------------------- */

TEST(what_passes_is_proven) {
        _cleanup_runner_ Runner runner = {};
        _cleanup_rig_ Rig rig = {};

        begin_checking(&rig, &runner, QUICK "HealthCheckUnit=check@.service\n");
        rig_apply_done(&rig, "one", false);
        RIG_WAIT(&rig, runner.started > 0);
        ASSERT_STREQ(runner.unit, "check@lp_one.service");
        end(&runner, HEALTH_PASSED, NULL);
        RIG_WAIT(&rig, phase(&rig, "lp_one") == GUARD_PROVEN && !manager_is_settling(rig.manager));
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_EQ(runner.started, 1U);
        ASSERT_EQ(runner.canceled, 0U);
}

TEST(what_fails_is_reverted) {
        _cleanup_runner_ Runner runner = {};
        _cleanup_rig_ Rig rig = {};

        begin_checking(&rig, &runner, LASTING CHECK);
        rig_apply_done(&rig, "one", false);
        RIG_WAIT(&rig, runner.check);
        ASSERT_STREQ(runner.unit, "check.service");
        end(&runner, HEALTH_FAILED, "the shop is closed");
        expect_out(&rig, "lp_one", "check.service, the health check, failed");
        ASSERT_CONTAINS(patch_quarantine_reason(rig_patch(&rig, "lp_one")), "the shop is closed");
        expect_on_disk(&rig, "\"phase\": \"quarantined\"");
}

TEST(what_does_not_end_is_reverted) {
        _cleanup_runner_ Runner runner = {};
        _cleanup_rig_ Rig rig = {};

        begin_checking(&rig, &runner, QUICK CHECK);
        rig_apply_done(&rig, "one", false);
        expect_out(&rig, "lp_one", "had not ended");
        ASSERT_EQ(runner.canceled, 1U);
}

TEST(what_could_not_be_checked_is_not_proven) {
        _cleanup_runner_ Runner runner = {};
        _cleanup_rig_ Rig rig = {};

        begin_checking(&rig, &runner, QUICK CHECK);
        rig_apply_done(&rig, "one", false);
        RIG_WAIT(&rig, runner.check);
        end(&runner, HEALTH_UNKNOWN, "Unit check.service not found.");
        RIG_WAIT(&rig, !manager_is_settling(rig.manager));
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_FALSE(rig_exists(&rig, RECORD));
        ASSERT_EQ(strv_length((char **) manager_problems(rig.manager)), 1U);
        ASSERT_CONTAINS(manager_problems(rig.manager)[0], "not found");
}

TEST(what_could_not_even_be_started_is_not_proven) {
        _cleanup_runner_ Runner runner = { .error = -ENOTCONN };
        _cleanup_rig_ Rig rig = {};

        begin_checking(&rig, &runner, QUICK CHECK);
        rig_apply_done(&rig, "one", false);
        RIG_WAIT(&rig, !manager_is_settling(rig.manager));
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_FALSE(rig_exists(&rig, RECORD));
}

TEST(nothing_is_proven_where_nobody_can_check) {
        _cleanup_runner_ Runner runner = {};
        _cleanup_rig_ Rig rig = {};

        begin(&rig, QUICK CHECK);
        rig_apply_done(&rig, "one", false);
        rig_run_for(&rig, 2 * USEC_PER_SEC);
        ASSERT_EQ(phase(&rig, "lp_one"), GUARD_SETTLING);
        manager_set_health_runner(rig.manager, &functions, &runner);
        RIG_WAIT(&rig, runner.check); /* its time begins now */
        end(&runner, HEALTH_PASSED, NULL);
        RIG_WAIT(&rig, phase(&rig, "lp_one") == GUARD_PROVEN);
}

TEST(the_next_process_checks_again) {
        _cleanup_runner_ Runner runner = {};
        _cleanup_rig_ Rig rig = {};

        begin_checking(&rig, &runner, LASTING CHECK);
        rig_apply_done(&rig, "one", false);
        RIG_WAIT(&rig, runner.check);
        manager_set_health_runner(rig.manager, NULL, NULL);
        ASSERT_EQ(runner.canceled, 1U);
        rig_stop(&rig);
        rig_go_on(&rig);
        manager_set_health_runner(rig.manager, &functions, &runner);
        RIG_WAIT(&rig, runner.check);
        ASSERT_EQ(runner.started, 2U);
        end(&runner, HEALTH_FAILED, "no");
        expect_out(&rig, "lp_one", "check.service");
}

TEST(a_revert_ends_the_check) {
        _cleanup_runner_ Runner runner = {};
        _cleanup_rig_ Rig rig = {};

        begin_checking(&rig, &runner, LASTING CHECK);
        rig_apply_done(&rig, "one", false);
        RIG_WAIT(&rig, runner.check);
        rig_revert_done(&rig, "lp_one", false);
        ASSERT_EQ(runner.canceled, 1U);
        rig_apply_done(&rig, "one", false);
        RIG_WAIT(&rig, runner.check);
        ASSERT_EQ(runner.started, 2U);
        report(&rig, "lp_one");
        expect_out(&rig, "lp_one", "The kernel reported");
        ASSERT_EQ(runner.canceled, 2U);
}
