/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a caller hands in: refusals, staging, inspection, and how patches are found. */

#include <fcntl.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "manager-fixture.h"
#include "test.h"

static int stage_refused(Rig *rig, const char *module, Failure *f) {
        _cleanup_answer_ Answer answer = {};
        int r = manager_stage_fd(rig->manager, rig_open(module), false, UID, on_answer, &answer, &answer.failure);

        if (r == 0)
                RIG_WAIT(rig, answer.calls > 0);
        return failure_move(f, &answer.failure);
}

static void install_other_kernel(Rig *rig) {
        test_write_file(rig->root_fd, "usr/lib/modules/" OTHER_RELEASE "/modules.dep", "");
}

/* Refused before it reaches the kernel or the disk. */
static void assert_untouched(Rig *rig) {
        ASSERT_FALSE(rig_exists(rig, "ctl/inserted"));
        ASSERT_FALSE(rig_exists(rig, STATE "/patches/" RELEASE));
        ASSERT_EQ(manager_n_patches(rig->manager), 0);
        ASSERT_EQ(manager_n_jobs(rig->manager), 0);
        ASSERT_TRUE(manager_is_idle(rig->manager));
}

TEST(every_bad_module_has_its_own_refusal) {
        static const struct {
                const char *module;
                int refusal;
        } cases[] = {
                { "unsigned", REFUSED_UNSIGNED },
                { "stranger", REFUSED_UNTRUSTED_SIGNER },
                { "plain", REFUSED_NOT_A_LIVEPATCH },
                { "homeless", REFUSED_MALFORMED_MODULE },
                { "one-there", REFUSED_WRONG_KERNEL },
        };
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_failure_ Failure apply = {}, stage = {};

                ASSERT_EQ(rig_apply_refused(&rig, cases[i].module, false, &apply), cases[i].refusal);
                ASSERT_EQ(stage_refused(&rig, cases[i].module, &stage), cases[i].refusal);
                ASSERT_NOT_NULL(apply.text);
                ASSERT_NOT_NULL(stage.text);
                assert_untouched(&rig);
        }
}

TEST(warned_about_and_marked) {
        _cleanup_rig_ Rig rig = {};

        rig_prepare(&rig);
        rig_configure(&rig, "SignaturePolicy=warn");
        rig_go_on(&rig);
        rig_apply_done(&rig, "unsigned", false);
        rig_expect_state(&rig, "lp_unsigned", PATCH_APPLIED);
        ASSERT_EQ(rig_patch(&rig, "lp_unsigned")->record->signature_status, SIGNATURE_UNSIGNED);
}

TEST(switched_off) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        test_write_file(rig.root_fd, "etc/livepatch/disabled", "");
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, NULL), REFUSED_SWITCHED_OFF);
        assert_untouched(&rig);
        /* Staging changes nothing in the kernel. */
        rig_stage(&rig, "one", false);
}

TEST(not_a_file) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_answer_ Answer answer = {};
        int fds[2];

        rig_start(&rig);
        ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
        ASSERT_EQ(manager_apply_fd(rig.manager, fds[0], PLAIN, UID, on_answer, &answer, &answer.failure), 0);
        RIG_WAIT(&rig, answer.calls > 0);
        ASSERT_EQ(answer.failure.code, REFUSED_INVALID_FILE);
        safe_close(fds[1]);
        /* Taken over in every case. */
        ASSERT_EQ(fcntl(fds[0], F_GETFD), -1);
        ASSERT_EQ(manager_apply_fd(rig.manager, -EBADF, PLAIN, UID, on_answer, NULL, &answer.failure),
                  REFUSED_INVALID_FILE);
}

TEST(by_name) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure unknown = {}, strange = {}, there = {}, external = {};

        rig_start(&rig);
        install_other_kernel(&rig);
        ASSERT_EQ(manager_apply(rig.manager, "lp_one", PLAIN, UID, on_answer, NULL, &unknown), REFUSED_NO_SUCH_PATCH);
        ASSERT_EQ(manager_apply(rig.manager, "\033[2J", PLAIN, UID, on_answer, NULL, &strange), REFUSED_NO_SUCH_PATCH);
        ASSERT_NULL(strchr(failure_text(&strange), '\033'));
        rig_stage(&rig, "one-there", false);
        ASSERT_EQ(manager_apply(rig.manager, "lp_one", PLAIN, UID, on_answer, NULL, &there), REFUSED_WRONG_KERNEL);
        rig_stage(&rig, "one", false);
        rig_expect(&rig, rig_apply_name(&rig, "lp_one", true), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        rig_control(&rig, "transition-ms", "0");
        rig_insmod(&rig, "two");
        (void) rig_patch(&rig, "lp_two");
        ASSERT_EQ(manager_apply(rig.manager, "lp_two", PLAIN, UID, on_answer, NULL, &external),
                  REFUSED_ALREADY_APPLIED);
}

TEST(by_name_what_has_changed_on_disk) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_answer_ Answer answer = {};
        _cleanup_free_ char *path = NULL, *other = NULL;
        size_t size;

        rig_start(&rig);
        rig_stage(&rig, "one", false);
        ASSERT_TRUE(asprintf(&path, STATE "/patches/" RELEASE "/lp_one/%s.ko",
                             rig_patch(&rig, "lp_one")->record->sha256) > 0);
        /* Signed by a trusted key, but not what was staged. */
        other = test_read_data("build:test/unit/manager/modules/one-again.ko", &size);
        test_write_bytes(rig.root_fd, path, other, size);
        ASSERT_EQ(manager_apply(rig.manager, "lp_one", PLAIN, UID, on_answer, &answer, &answer.failure), 0);
        RIG_WAIT(&rig, answer.calls > 0);
        ASSERT_EQ(answer.failure.code, REFUSED_MALFORMED_MODULE);
        ASSERT_CONTAINS(failure_text(&answer.failure), "has changed on disk");
        /* And gone altogether. */
        ASSERT_EQ(unlinkat(rig.root_fd, path, 0), 0);
        ASSERT_EQ(manager_apply(rig.manager, "lp_one", PLAIN, UID, on_answer, NULL, &answer.failure),
                  REFUSED_STORE_FAILED);
        ASSERT_EQ(answer.calls, 1);
}

TEST(in_transition) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        rig_insmod(&rig, "one");
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, NULL), REFUSED_BUSY);
        ASSERT_EQ(rig_apply_refused(&rig, "one-again", false, NULL), REFUSED_CONFLICT);
}

TEST(while_a_job_works_on_it) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure apply = {}, stage = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply(&rig, "one", false);
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, &apply), REFUSED_BUSY);
        ASSERT_EQ(stage_refused(&rig, "one-again", &stage), REFUSED_BUSY);
        rig_control(&rig, "transition-ms", "0");
        rig_expect(&rig, id, JOB_RESULT_DONE);
}

/* ---- Staging ----------------------------------------------------------------------------------------------- */

TEST(staging) {
        _cleanup_rig_ Rig rig = {};
        const Patch *patch;

        rig_start(&rig);
        rig_stage(&rig, "one", false);
        patch = rig_patch(&rig, "lp_one");
        ASSERT_EQ(patch->state, PATCH_STAGED);
        ASSERT_FALSE(patch->record->reapply);
        ASSERT_EQ(patch->record->staged_by, UID);
        ASSERT_TRUE(patch->record->staged_at > 0);
        ASSERT_TRUE(patch->record->objects_known);
        ASSERT_STREQ(patch->record->objects[0].functions[0].name, "cmdline_proc_show");
        ASSERT_FALSE(rig_exists(&rig, "ctl/inserted"));
        rig_reboot(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
}

TEST(staging_again) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *sha256 = NULL, *old = NULL;

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        sha256 = strdup(rig_patch(&rig, "lp_one")->record->sha256);
        rig_stage(&rig, "one-again", false);
        ASSERT_FALSE(streq(rig_patch(&rig, "lp_one")->record->sha256, sha256));
        /* The wish is the name's, not the build's. */
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_TRUE(asprintf(&old, STATE "/patches/" RELEASE "/lp_one/%s.ko", sha256) > 0);
        ASSERT_FALSE(rig_exists(&rig, old));
}

TEST(staged_to_be_reapplied_comes_last) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "one", false);
        rig_stage(&rig, "two", true);
        rig_stage(&rig, "one", true);
        ASSERT_STREQ(manager_patch(rig.manager, 0)->name, "lp_two");
        /* And stays where it is when nothing changes. */
        rig_stage(&rig, "two", true);
        ASSERT_STREQ(manager_patch(rig.manager, 0)->name, "lp_two");
}

TEST(staging_what_is_loaded) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure other = {}, external = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", true);
        ASSERT_EQ(stage_refused(&rig, "one-again", &other), REFUSED_CONFLICT);
        rig_stage(&rig, "one", false);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->record->transient_boot_id);
        ASSERT_NOT_NULL(rig_patch(&rig, "lp_one")->runtime);
        /* Nobody looked since it was loaded. */
        rig_control(&rig, "transition-ms", "0");
        rig_revert_done(&rig, "lp_one", false);
        ASSERT_EQ(rig_remove(&rig, "lp_one", NULL), 0);
        rig_insmod(&rig, "one-again");
        ASSERT_EQ(stage_refused(&rig, "one", &external), REFUSED_CONFLICT);
        ASSERT_NULL(rig_patch(&rig, "lp_one")->record);
        /* The file of what somebody else has loaded: now it is known. */
        rig_stage(&rig, "one-again", true);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(a_new_build_clears_the_old_ones_failure) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_control(&rig, "insert-errno", "EINVAL");
        rig_expect(&rig, rig_apply(&rig, "one", false), JOB_RESULT_FAILED);
        rig_expect_state(&rig, "lp_one", PATCH_FAILED);
        rig_stage(&rig, "one-again", false);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        rig_stop(&rig);
        rig_go_on(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
}

TEST(staging_ahead) {
        _cleanup_rig_ Rig rig = {};
        const Patch *patch;

        rig_start(&rig);
        install_other_kernel(&rig);
        rig_stage(&rig, "one-there", true);
        rig_stage(&rig, "one", false);
        patch = rig_patch(&rig, "lp_one@" OTHER_RELEASE);
        ASSERT_NOT_NULL(patch);
        ASSERT_FALSE(patch->this_kernel);
        ASSERT_TRUE(patch->record->reapply);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        ASSERT_FALSE(rig_exists(&rig, "ctl/inserted"));
}

/* ---- Finding ----------------------------------------------------------------------------------------------- */

TEST(finding) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        install_other_kernel(&rig);
        ASSERT_NULL(manager_find_patch(rig.manager, "lp_one"));
        rig_stage(&rig, "one-there", false);
        /* The only one of the name. */
        ASSERT_STREQ(manager_find_patch(rig.manager, "lp_one")->id, "lp_one@" OTHER_RELEASE);
        ASSERT_NULL(manager_find_patch(rig.manager, "lp_one@" RELEASE));
        rig_stage(&rig, "one", false);
        ASSERT_STREQ(manager_find_patch(rig.manager, "lp_one")->id, "lp_one");
        ASSERT_STREQ(manager_find_patch(rig.manager, "lp_one@" RELEASE)->id, "lp_one");
        ASSERT_STREQ(manager_find_patch(rig.manager, "lp_one@" OTHER_RELEASE)->id, "lp_one@" OTHER_RELEASE);
        ASSERT_NULL(manager_find_patch(rig.manager, "lp_on"));
        ASSERT_NULL(manager_find_patch(rig.manager, "lp_one@"));
        ASSERT_NULL(manager_find_patch(rig.manager, "lp_on@" RELEASE));
        ASSERT_NULL(manager_find_patch(rig.manager, ""));
        /* This kernel's come first. */
        ASSERT_STREQ(manager_patch(rig.manager, 0)->id, "lp_one");
}

/* ---- Inspecting -------------------------------------------------------------------------------------------- */

typedef struct Report {
        unsigned calls;
        int failure;
        int refusal;
        char *name;
        SignatureStatus status;
        uint64_t size;
} Report;

static void on_report(void *userdata, const Failure *failure, const InspectReport *report) {
        Report *seen = userdata;

        seen->calls++;
        seen->failure = failure ? failure->code : 0;
        if (!report)
                return;
        seen->refusal = report->refusal ? report->refusal->code : 0;
        seen->name = report->info ? strdup(report->info->name) : NULL;
        seen->status = report->signature->status;
        seen->size = report->size;
        ASSERT_TRUE(sha256_is_valid(report->sha256));
        ASSERT_STREQ(report->compression, "none");
}

static Report inspect(Rig *rig, const char *module) {
        Report report = {};

        ASSERT_EQ(manager_inspect_fd(rig->manager, rig_open(module), UID, on_report, &report, NULL), 0);
        RIG_WAIT(rig, report.calls > 0);
        ASSERT_EQ(report.calls, 1);
        return report;
}

TEST(inspecting) {
        _cleanup_rig_ Rig rig = {};
        Report report;

        rig_start(&rig);
        report = inspect(&rig, "one");
        ASSERT_EQ(report.failure, 0);
        ASSERT_EQ(report.refusal, 0);
        ASSERT_STREQ(report.name, "lp_one");
        ASSERT_EQ(report.status, SIGNATURE_TRUSTED);
        ASSERT_TRUE(report.size > 1000);
        free(report.name);
        report = inspect(&rig, "one-there");
        ASSERT_EQ(report.refusal, REFUSED_WRONG_KERNEL);
        ASSERT_STREQ(report.name, "lp_one");
        free(report.name);
        report = inspect(&rig, "unsigned");
        ASSERT_EQ(report.refusal, REFUSED_UNSIGNED);
        ASSERT_NULL(report.name); /* unverified bytes are not parsed */
        test_write_file(rig.root_fd, "etc/livepatch/disabled", "");
        report = inspect(&rig, "one");
        ASSERT_EQ(report.refusal, REFUSED_SWITCHED_OFF);
        free(report.name);
        assert_untouched(&rig);
}

TEST(inspecting_what_is_no_file) {
        _cleanup_rig_ Rig rig = {};
        Report report = {};
        int fd;

        rig_start(&rig);
        fd = openat(rig.root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(fd);
        ASSERT_EQ(manager_inspect_fd(rig.manager, fd, UID, on_report, &report, NULL), 0);
        RIG_WAIT(&rig, report.calls > 0);
        ASSERT_EQ(report.failure, REFUSED_INVALID_FILE);
}

/* ---- Stopping ---------------------------------------------------------------------------------------------- */

TEST(stopped_while_modules_are_read) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_answer_ Answer apply = {}, stage = {};
        Report report = {};

        rig_start(&rig);
        ASSERT_EQ(manager_apply_fd(rig.manager, rig_open("one"), PLAIN, UID, on_answer, &apply, NULL), 0);
        ASSERT_EQ(manager_stage_fd(rig.manager, rig_open("two"), false, UID, on_answer, &stage, NULL), 0);
        ASSERT_EQ(manager_inspect_fd(rig.manager, rig_open("three"), UID, on_report, &report, NULL), 0);
        rig_stop(&rig);
        ASSERT_EQ(apply.calls, 1);
        ASSERT_EQ(apply.failure.code, REFUSED_CANCELED);
        ASSERT_EQ(stage.calls, 1);
        ASSERT_EQ(stage.failure.code, REFUSED_CANCELED);
        ASSERT_EQ(report.calls, 1);
        ASSERT_EQ(report.failure, REFUSED_CANCELED);
}

TEST(stopped_before_the_answer) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_answer_ Answer revert = {}, reapply = {}, set = {}, remove = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_stage(&rig, "two", false);
        rig_stage(&rig, "three", false);
        ASSERT_EQ(manager_revert(rig.manager, "lp_one", PLAIN, UID, on_answer, &revert, NULL), 0);
        ASSERT_EQ(manager_reapply(rig.manager, 0, on_answer, &reapply, NULL), 0);
        ASSERT_EQ(manager_set_reapply(rig.manager, "lp_two", true, UID, on_answer, &set, NULL), 0);
        ASSERT_EQ(manager_remove(rig.manager, "lp_three", UID, on_answer, &remove, NULL), 0);
        rig_stop(&rig);
        ASSERT_EQ(revert.calls, 1);
        ASSERT_EQ(revert.failure.code, REFUSED_CANCELED);
        ASSERT_EQ(reapply.calls, 1);
        ASSERT_EQ(set.calls, 1);
        ASSERT_EQ(set.failure.code, REFUSED_CANCELED);
        ASSERT_EQ(remove.calls, 1);
        ASSERT_EQ(remove.failure.code, REFUSED_CANCELED);
        rig_go_on(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(stopped_while_staging_and_making_last) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_answer_ Answer stage = {}, last = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", true);
        ASSERT_EQ(manager_stage_fd(rig.manager, rig_open("two"), false, UID, on_answer, &stage, NULL), 0);
        ASSERT_EQ(manager_apply_fd(rig.manager, rig_open("one"), PLAIN, UID, on_answer, &last, NULL), 0);
        /* Until they are verified, and their records on the way to the disk. */
        while (stage.calls == 0 && last.calls == 0 && !rig_exists(&rig, STATE "/patches/" RELEASE "/lp_two"))
                ASSERT_OK(sd_event_run(rig.event, USEC_PER_MSEC));
        rig_stop(&rig);
        ASSERT_EQ(stage.calls, 1);
        ASSERT_EQ(last.calls, 1);
}
