/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The next start after an interrupted one: at each step, and killed at any moment. */

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "common/string-util.h"
#include "fake-kernel.h"
#include "manager-fixture.h"
#include "test.h"

#define NOTE RUN "/patches/lp_one.json"

/* What a process that is no more left behind. */
static void note_pending(Rig *rig, JobType type, bool runtime) {
        _cleanup_(runtime_record_freep) RuntimeRecord *record = NULL;
        _cleanup_free_ char *text = NULL;

        ASSERT_OK(runtime_record_new("lp_one", &record));
        record->pending = true;
        record->pending_type = type;
        record->pending_options.runtime = runtime;
        record->pending_by = UID;
        ASSERT_OK(runtime_record_format(record, &text));
        test_write_file(rig->root_fd, NOTE, text);
}

static void wait_until_idle(Rig *rig) {
        RIG_WAIT(rig, manager_is_idle(rig->manager));
}

static void restart_and_wait(Rig *rig) {
        rig_go_on(rig);
        wait_until_idle(rig);
}

static bool is_enabled(Rig *rig, const char *value) {
        _cleanup_free_ char *enabled = rig_read(rig, "sys/kernel/livepatch/lp_one/enabled");

        return startswith(enabled, value) != NULL;
}

/* What the disk worker has not begun with when it is stopped is not done. */
static void wait_until_reversed(Rig *rig, const char *value) {
        RIG_WAIT(rig, is_enabled(rig, value));
}

TEST(an_apply_in_transition) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, job_tasks_pending(rig_job(&rig, id)) > 0);
        rig_stop(&rig);
        rig_go_on(&rig);
        ASSERT_EQ(manager_n_jobs(rig.manager), 1);
        ASSERT_EQ(job_type(manager_job(rig.manager, 0)), JOB_APPLY);
        ASSERT_EQ(job_uid(manager_job(rig.manager, 0)), UID);
        RIG_WAIT(&rig, job_tasks_pending(manager_job(rig.manager, 0)) > 0);
        rig_expect_state(&rig, "lp_one", PATCH_APPLYING);
        rig_control(&rig, "transition-ms", "0");
        rig_expect(&rig, 1, JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_EQ(patch_applied_by(rig_patch(&rig, "lp_one")), UID);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 1);
        rig_reboot(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
}

TEST(an_apply_for_this_boot_in_transition) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        (void) rig_apply(&rig, "one", true);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_stop(&rig);
        rig_control(&rig, "transition-ms", "0");
        restart_and_wait(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_reboot(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
}

TEST(an_apply_in_transition_and_a_power_cut) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        (void) rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_reboot(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_EQ(manager_n_jobs(rig.manager), 0);
}

TEST(an_apply_that_ended_meanwhile) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "one", false);
        rig_control(&rig, "transition-ms", "0");
        rig_stop(&rig);
        rig_insmod(&rig, "one");
        note_pending(&rig, JOB_APPLY, false);
        restart_and_wait(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(an_apply_before_the_load) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        rig_stop(&rig);
        note_pending(&rig, JOB_APPLY, false);
        restart_and_wait(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_FAILED);
        ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->runtime->failure_text, "interrupted");
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->runtime->pending);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_FALSE(rig_exists(&rig, "ctl/inserted"));
        /* Once is enough. */
        rig_stop(&rig);
        rig_go_on(&rig);
        ASSERT_EQ(manager_n_jobs(rig.manager), 0);
        rig_expect(&rig, rig_apply_name(&rig, "lp_one", false), JOB_RESULT_DONE);
}

TEST(a_revert_before_the_kernel_was_asked) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_stop(&rig);
        note_pending(&rig, JOB_REVERT, false);
        restart_and_wait(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_FALSE(rig_exists(&rig, NOTE));
}

TEST(a_revert_in_transition) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "unpatch-ms", "stall");
        id = rig_revert(&rig, "lp_one", false);
        RIG_WAIT(&rig, job_tasks_pending(rig_job(&rig, id)) > 0);
        rig_stop(&rig);
        rig_go_on(&rig);
        ASSERT_EQ(job_type(manager_job(rig.manager, 0)), JOB_REVERT);
        rig_run_for(&rig, 100 * USEC_PER_MSEC);
        rig_expect_state(&rig, "lp_one", PATCH_REVERTING);
        rig_control(&rig, "unpatch-ms", "0");
        wait_until_idle(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(a_revert_before_the_unload) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_write_enabled(&rig, "lp_one", "0");
        RIG_WAIT(&rig, !rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_stop(&rig);
        note_pending(&rig, JOB_REVERT, true);
        restart_and_wait(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
}

TEST(a_revert_of_somebody_elses_before_the_unload) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "0");
        rig_insmod(&rig, "one");
        rig_write_enabled(&rig, "lp_one", "0");
        RIG_WAIT(&rig, !rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_stop(&rig);
        note_pending(&rig, JOB_REVERT, false);
        restart_and_wait(&rig);
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, NOTE));
}

TEST(a_remove_after_the_unload) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        rig_stop(&rig);
        note_pending(&rig, JOB_REMOVE, false);
        restart_and_wait(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, STATE "/patches/" RELEASE));
}

TEST(a_remove_after_the_record_was_gone) {
        _cleanup_rig_ Rig rig = {};

        rig_prepare(&rig);
        note_pending(&rig, JOB_REMOVE, false);
        restart_and_wait(&rig);
        ASSERT_EQ(manager_n_patches(rig.manager), 0);
        ASSERT_FALSE(rig_exists(&rig, NOTE));
}

TEST(a_canceled_apply_while_it_is_reversed) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        rig_control(&rig, "unpatch-ms", "stall");
        id = rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, job_tasks_pending(rig_job(&rig, id)) > 0);
        rig_cancel(&rig, id);
        wait_until_reversed(&rig, "0");
        rig_stop(&rig);
        rig_go_on(&rig);
        rig_control(&rig, "unpatch-ms", "0");
        wait_until_idle(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_FALSE(rig_exists(&rig, STATE "/patches/" RELEASE));
}

TEST(a_canceled_apply_over_another_build) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *sha256 = NULL;
        uint32_t id;

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        sha256 = strdup(rig_patch(&rig, "lp_one")->record->sha256);
        rig_control(&rig, "transition-ms", "stall");
        rig_control(&rig, "unpatch-ms", "stall");
        id = rig_apply(&rig, "one-again", false);
        RIG_WAIT(&rig, job_tasks_pending(rig_job(&rig, id)) > 0);
        rig_cancel(&rig, id);
        wait_until_reversed(&rig, "0");
        rig_stop(&rig);
        rig_go_on(&rig);
        rig_control(&rig, "unpatch-ms", "0");
        wait_until_idle(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        rig_reboot(&rig);
        ASSERT_STREQ(rig_patch(&rig, "lp_one")->record->sha256, sha256);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(a_canceled_revert_is_not_taken_up_again) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_control(&rig, "unpatch-ms", "stall");
        rig_control(&rig, "transition-ms", "stall");
        id = rig_revert(&rig, "lp_one", false);
        RIG_WAIT(&rig, job_tasks_pending(rig_job(&rig, id)) > 0);
        rig_cancel(&rig, id);
        wait_until_reversed(&rig, "1");
        rig_stop(&rig);
        rig_go_on(&rig);
        ASSERT_EQ(manager_n_jobs(rig.manager), 0);
        rig_control(&rig, "transition-ms", "0");
        RIG_WAIT(&rig, !patch_in_transition(rig_patch(&rig, "lp_one")));
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(a_note_that_makes_no_sense) {
        _cleanup_rig_ Rig rig = {};
        bool told = false;

        rig_start(&rig);
        rig_stage(&rig, "one", false);
        rig_stop(&rig);
        note_pending(&rig, JOB_REAPPLY, false);
        rig_go_on(&rig);
        ASSERT_EQ(manager_n_jobs(rig.manager), 0);
        rig_stop(&rig);
        test_write_file(rig.root_fd, NOTE, "{ \"format\": 1, \"name\": \"lp_two\" }");
        rig_go_on(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        for (char *const *line = manager_problems(rig.manager); *line; line++)
                told |= strstr(*line, "lp_one") != NULL;
        ASSERT_TRUE(told);
        ASSERT_FALSE(rig_exists(&rig, NOTE));
}

TEST(a_damaged_manifest) {
        _cleanup_rig_ Rig rig = {};
        bool told = false;

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        rig_stage(&rig, "two", true);
        rig_stop(&rig);
        test_write_file(rig.root_fd, STATE "/patches/" RELEASE "/lp_one/manifest.json", "{");
        rig_go_on(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        rig_expect_state(&rig, "lp_two", PATCH_STAGED);
        for (char *const *line = manager_problems(rig.manager); *line; line++)
                told |= strstr(*line, "lp_one") != NULL;
        ASSERT_TRUE(told);
}

/* ---- Killed ------------------------------------------------------------------------------------------------ */

static void sleep_usec(uint64_t usec) {
        struct timespec t = {
                .tv_sec = (time_t) (usec / USEC_PER_SEC),
                .tv_nsec = (long) (usec % USEC_PER_SEC * NSEC_PER_USEC),
        };

        (void) nanosleep(&t, NULL);
}

/* A process of its own, killed after a while; the store's lock goes with it. */
static void run_and_kill(Rig *rig, void (*act)(Rig *rig), uint64_t usec) {
        pid_t pid = fork();

        ASSERT_TRUE(pid >= 0);
        if (pid == 0) {
                rig->event = NULL;
                rig_go_on(rig);
                act(rig);
                rig_run_for(rig, 30 * USEC_PER_SEC);
                _exit(0);
        }
        sleep_usec(usec);
        ASSERT_EQ(kill(pid, SIGKILL), 0);
        ASSERT_EQ(waitpid(pid, NULL, 0), pid);
}

/* The fake kernel loads inside the process that is killed; a real one does not stop half way. */
static void finish_load(Rig *rig) {
        if (!rig_exists(rig, "sys/module/lp_one") || rig_exists(rig, "sys/kernel/livepatch/lp_one"))
                return;
        test_write_file(rig->root_fd, "sys/module/lp_one/refcnt", "0\n");
        ASSERT_OK(fake_kernel_unload(rig->root_fd, "lp_one"));
}

static void apply(Rig *rig) {
        (void) manager_apply_fd(rig->manager, rig_open("one"), PLAIN, UID, NULL, NULL, NULL);
}

static void revert(Rig *rig) {
        (void) manager_revert(rig->manager, "lp_one", PLAIN, UID, NULL, NULL, NULL);
}

static void remove_it(Rig *rig) {
        (void) manager_remove(rig->manager, "lp_one", UID, NULL, NULL, NULL);
}

static void assert_settled(Rig *rig, const Patch *patch) {
        ASSERT_FALSE(patch && patch->runtime && patch->runtime->pending);
        ASSERT_TRUE(manager_is_idle(rig->manager));
        for (size_t i = 0; i < manager_n_jobs(rig->manager); i++)
                ASSERT_EQ(job_state(manager_job(rig->manager, i)), JOB_FINISHED);
        ASSERT_NULL(*manager_problems(rig->manager));
}

/* Moments from the first call to well behind the last. */
static const uint64_t moments_usec[] = { 500, 2000, 4000, 6000, 9000, 12000, 16000, 20000, 30000, 45000, 60000, 80000,
                                         100000, 130000, 160000, 200000, 260000, 400000 };

TEST(killed_at_any_moment_of_an_apply) {
        _cleanup_rig_ Rig rig = {};

        rig_prepare(&rig);
        for (size_t i = 0; i < ELEMENTSOF(moments_usec); i++) {
                const Patch *patch;

                run_and_kill(&rig, apply, moments_usec[i]);
                finish_load(&rig);
                restart_and_wait(&rig);
                patch = rig_patch(&rig, "lp_one");
                assert_settled(&rig, patch);
                if (rig_exists(&rig, "sys/module/lp_one")) {
                        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
                        ASSERT_TRUE(patch->record->reapply);
                        ASSERT_NULL(patch->record->transient_boot_id);
                } else if (patch)
                        ASSERT_FALSE(patch->record->reapply);
                if (patch)
                        ASSERT_EQ(rig_remove(&rig, "lp_one", NULL), 0);
                ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
                ASSERT_FALSE(rig_exists(&rig, STATE "/patches/" RELEASE));
                rig_stop(&rig);
        }
        rig_go_on(&rig);
}

TEST(killed_at_any_moment_of_a_revert) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        for (size_t i = 0; i < ELEMENTSOF(moments_usec); i++) {
                const Patch *patch = rig_patch(&rig, "lp_one");

                if (!patch)
                        rig_apply_done(&rig, "one", false);
                else if (patch->state != PATCH_APPLIED)
                        rig_expect(&rig, rig_apply_name(&rig, "lp_one", false), JOB_RESULT_DONE);
                rig_stop(&rig);
                run_and_kill(&rig, revert, moments_usec[i]);
                restart_and_wait(&rig);
                patch = rig_patch(&rig, "lp_one");
                assert_settled(&rig, patch);
                ASSERT_NOT_NULL(patch);
                if (rig_exists(&rig, "sys/module/lp_one"))
                        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
                else
                        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
                ASSERT_EQ(patch->record->reapply, patch->state == PATCH_APPLIED);
        }
}

TEST(killed_at_any_moment_of_a_remove) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        for (size_t i = 0; i < ELEMENTSOF(moments_usec); i++) {
                const Patch *patch = rig_patch(&rig, "lp_one");

                if (!patch)
                        rig_apply_done(&rig, "one", false);
                rig_stop(&rig);
                run_and_kill(&rig, remove_it, moments_usec[i]);
                restart_and_wait(&rig);
                patch = rig_patch(&rig, "lp_one");
                assert_settled(&rig, patch);
                if (patch) {
                        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
                        ASSERT_TRUE(patch->record->reapply);
                } else {
                        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
                        ASSERT_FALSE(rig_exists(&rig, STATE "/patches/" RELEASE));
                }
        }
}
