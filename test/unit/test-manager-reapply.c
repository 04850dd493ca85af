/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything that is to be reapplied, in order, whatever happens to any of it; vendor's patches among it. */

#include <fcntl.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "manager-fixture.h"
#include "test.h"

#define VENDOR "usr/lib/livepatch/patches/" RELEASE "/"

static const char *const five[] = { "three", "one", "five", "two", "four" };

static void stage_five(Rig *rig) {
        for (size_t i = 0; i < ELEMENTSOF(five); i++)
                rig_stage(rig, five[i], true);
}

static char *module_path(Rig *rig, const char *id) {
        const Patch *patch = rig_patch(rig, id);
        char *path;

        ASSERT_TRUE(asprintf(&path, STATE "/patches/" RELEASE "/%s/%s.ko", id, patch->record->sha256) > 0);
        return path;
}

/* One byte, in place: the size is as recorded. */
static void corrupt(Rig *rig, const char *id) {
        _cleanup_free_ char *path = module_path(rig, id);
        _cleanup_close_ int fd = openat(rig->root_fd, path, O_RDWR | O_CLOEXEC);
        char byte;

        ASSERT_OK(fd);
        ASSERT_EQ(pread(fd, &byte, 1, 500), 1);
        byte ^= 1;
        ASSERT_EQ(pwrite(fd, &byte, 1, 500), 1);
}

static void install_vendor(Rig *rig, const char *module) {
        _cleanup_free_ char *relative = NULL, *target = NULL, *data = NULL;
        size_t size;

        ASSERT_TRUE(asprintf(&relative, "build:test/unit/manager/modules/%s.ko", module) > 0);
        ASSERT_TRUE(asprintf(&target, VENDOR "lp_%s.ko", module) > 0);
        data = test_read_data(relative, &size);
        test_write_bytes(rig->root_fd, target, data, size);
}

TEST(in_their_order) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *calls = NULL;
        const char *last = NULL;

        rig_start(&rig);
        stage_five(&rig);
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        calls = rig_read(&rig, "ctl/inserted");
        for (size_t i = 0; i < ELEMENTSOF(five); i++) {
                _cleanup_free_ char *id = NULL;
                const char *call;

                ASSERT_TRUE(asprintf(&id, "lp_%s", five[i]) > 0);
                call = strstr(calls, id);
                ASSERT_NOT_NULL(call);
                ASSERT_TRUE(!last || last < call);
                last = call;
                rig_expect_state(&rig, id, PATCH_APPLIED);
                ASSERT_TRUE(rig_patch(&rig, id)->record->reapply);
                ASSERT_NULL(rig_patch(&rig, id)->job);
        }
}

TEST(nothing_to_do) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "one", false);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        rig_apply_done(&rig, "one", false);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 1);
}

TEST(one_corrupted_and_one_refused_of_five) {
        _cleanup_rig_ Rig rig = {};
        const char *text;
        uint32_t id;

        rig_start(&rig);
        stage_five(&rig);
        corrupt(&rig, "lp_one");
        rig_reboot(&rig);
        rig_control(&rig, "insert-errno.lp_two", "EINVAL");
        id = rig_reapply(&rig);
        rig_expect(&rig, id, JOB_RESULT_FAILED);
        text = failure_text(job_failure(rig_job(&rig, id)));
        ASSERT_CONTAINS(text, "2 of 5");
        ASSERT_CONTAINS(text, "'lp_one', 'lp_two'");
        ASSERT_CONTAINS(text, "The other 3 are applied");
        rig_expect_state(&rig, "lp_three", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_four", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_five", PATCH_APPLIED);
        /* The reasons are there for the daemon that comes after the one of the boot. */
        for (unsigned i = 0; i < 2; i++) {
                rig_expect_state(&rig, "lp_one", PATCH_FAILED);
                ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->runtime->failure_text, "has changed on disk");
                rig_expect_state(&rig, "lp_two", PATCH_FAILED);
                ASSERT_CONTAINS(rig_patch(&rig, "lp_two")->runtime->failure_text, "refused");
                ASSERT_FALSE(rig_patch(&rig, "lp_two")->runtime->pending);
                rig_stop(&rig);
                rig_go_on(&rig);
        }
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 0);
        /* They are still wanted: the next boot tries again. */
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_TRUE(rig_patch(&rig, "lp_two")->record->reapply);
}

TEST(all_of_them_fail) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        stage_five(&rig);
        rig_control(&rig, "insert-errno", "EBUSY");
        id = rig_reapply(&rig);
        rig_expect(&rig, id, JOB_RESULT_FAILED);
        ASSERT_CONTAINS(failure_text(job_failure(rig_job(&rig, id))), "5 of 5");
}

TEST(revoked_since) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *certificate = NULL;
        uint32_t id;

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        certificate = test_read_data("build:test/unit/manager/modules/good.pem", NULL);
        test_write_file(rig.root_fd, "etc/livepatch/revoked.d/good.pem", certificate);
        id = rig_reapply(&rig);
        rig_expect(&rig, id, JOB_RESULT_FAILED);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 0);
        rig_expect_state(&rig, "lp_one", PATCH_FAILED);
        ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->runtime->failure_error, "Revoked");
        /* The process may end with the job: by then the reason is on disk. */
        rig_stop(&rig);
        rig_go_on(&rig);
        rig_expect_state(&rig, "lp_one", PATCH_FAILED);
        ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->runtime->failure_error, "Revoked");
}

TEST(canceled) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        stage_five(&rig);
        rig_control(&rig, "transition-ms.lp_one", "stall");
        id = rig_reapply(&rig);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        RIG_WAIT(&rig, job_tasks_pending(rig_job(&rig, id)) > 0);
        rig_cancel(&rig, id);
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        ASSERT_CONTAINS(failure_text(job_failure(rig_job(&rig, id))), "after 1 of 5");
        rig_expect_state(&rig, "lp_three", PATCH_APPLIED);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_expect_state(&rig, "lp_two", PATCH_STAGED);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_two"), 0);
}

TEST(canceled_at_once) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        stage_five(&rig);
        id = rig_reapply(&rig);
        rig_cancel(&rig, id);
        rig_expect(&rig, id, JOB_RESULT_CANCELED);
        ASSERT_TRUE(rig_count_calls(&rig, "inserted", "lp_two") == 0);
}

TEST(nobody_else_touches_the_one_that_is_worked_on) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure set = {}, remove = {}, apply = {};
        uint32_t id;

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        rig_control(&rig, "insert-hold", "");
        id = rig_reapply(&rig);
        RIG_WAIT(&rig, rig_count_calls(&rig, "inserted", "lp_one") == 1);
        rig_expect_state(&rig, "lp_one", PATCH_APPLYING);
        ASSERT_EQ(manager_set_reapply(rig.manager, "lp_one", false, UID, on_answer, NULL, &set), REFUSED_BUSY);
        ASSERT_EQ(rig_remove(&rig, "lp_one", &remove), REFUSED_BUSY);
        ASSERT_EQ(rig_apply_refused(&rig, "one-again", false, &apply), REFUSED_BUSY);
        rig_control(&rig, "insert-hold", NULL);
        rig_expect(&rig, id, JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(changes_while_it_runs) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        rig_stage(&rig, "two", true);
        rig_stage(&rig, "three", true);
        rig_control(&rig, "transition-ms.lp_one", "stall");
        id = rig_reapply(&rig);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        rig_run_for(&rig, 100 * USEC_PER_MSEC); /* the next one is read and verified meanwhile */
        rig_set_reapply(&rig, "lp_two", false);
        rig_control(&rig, "transition-ms.lp_one", "0");
        rig_expect(&rig, id, JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_two", PATCH_STAGED);
        rig_expect_state(&rig, "lp_three", PATCH_APPLIED);
}

TEST(a_build_staged_while_it_runs) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *sha256 = NULL, *calls = NULL;
        uint32_t id;

        rig_start(&rig);
        rig_stage(&rig, "two", true);
        rig_stage(&rig, "one", true);
        rig_control(&rig, "transition-ms.lp_two", "stall");
        id = rig_reapply(&rig);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_two"));
        rig_run_for(&rig, 100 * USEC_PER_MSEC);
        rig_stage(&rig, "one-again", true);
        sha256 = strdup(rig_patch(&rig, "lp_one")->record->sha256);
        rig_control(&rig, "transition-ms.lp_two", "0");
        rig_expect(&rig, id, JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_STREQ(rig_patch(&rig, "lp_one")->record->sha256, sha256);
        ASSERT_STREQ(rig_patch(&rig, "lp_one")->runtime->sha256, sha256);
        calls = rig_read(&rig, "ctl/inserted");
        ASSERT_CONTAINS(calls, sha256);
}

TEST(what_is_superseded_stays_so) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        rig_apply_done(&rig, "cumulative", false);
        rig_stage(&rig, "three", true);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_SUPERSEDED);
        rig_expect_state(&rig, "lp_three", PATCH_APPLIED);
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 1);
}

TEST(what_is_of_this_boot_stays_so) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *sha256 = NULL;

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        sha256 = strdup(rig_patch(&rig, "lp_one")->record->sha256);
        rig_apply_done(&rig, "one-again", true);
        rig_revert_done(&rig, "lp_one", true);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        rig_reboot(&rig);
        ASSERT_STREQ(rig_patch(&rig, "lp_one")->record->sha256, sha256);
}

TEST(switched_off) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        test_write_file(rig.root_fd, "etc/livepatch/disabled", "");
        ASSERT_EQ(manager_reapply(rig.manager, 0, on_answer, NULL, &failure), REFUSED_SWITCHED_OFF);
        ASSERT_EQ(manager_n_jobs(rig.manager), 0);
}

/* ---- The vendor's ------------------------------------------------------------------------------------------ */

TEST(the_vendors_come_first_and_by_default) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *calls = NULL;

        rig_prepare(&rig);
        install_vendor(&rig, "two");
        rig_go_on(&rig);
        rig_expect_state(&rig, "lp_two", PATCH_STAGED);
        ASSERT_EQ(rig_patch(&rig, "lp_two")->record->origin, ORIGIN_VENDOR);
        ASSERT_TRUE(rig_patch(&rig, "lp_two")->record->reapply);
        rig_stage(&rig, "one", true);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        calls = rig_read(&rig, "ctl/inserted");
        ASSERT_TRUE(strstr(calls, "lp_two") < strstr(calls, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, STATE "/patches/" RELEASE "/lp_two"));
}

TEST(disabling_the_vendors_is_a_decision_that_lasts) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *manifest = NULL;

        rig_prepare(&rig);
        install_vendor(&rig, "two");
        rig_go_on(&rig);
        rig_set_reapply(&rig, "lp_two", false);
        manifest = rig_read(&rig, STATE "/patches/" RELEASE "/lp_two/manifest.json");
        ASSERT_CONTAINS(manifest, "vendor");
        rig_reboot(&rig);
        ASSERT_FALSE(rig_patch(&rig, "lp_two")->record->reapply);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_two", PATCH_STAGED);
        /* By hand it can be applied all the same. */
        rig_expect(&rig, rig_apply_name(&rig, "lp_two", true), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_two", PATCH_APPLIED);
        ASSERT_EQ(rig_patch(&rig, "lp_two")->record->origin, ORIGIN_VENDOR);
}

TEST(reverting_the_vendors_is_a_decision_too) {
        _cleanup_rig_ Rig rig = {};

        rig_prepare(&rig);
        install_vendor(&rig, "two");
        rig_go_on(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_revert_done(&rig, "lp_two", false);
        rig_expect_state(&rig, "lp_two", PATCH_STAGED);
        rig_reboot(&rig);
        ASSERT_FALSE(rig_patch(&rig, "lp_two")->record->reapply);
}

TEST(removing_the_vendors_is_the_packages_business) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};

        rig_prepare(&rig);
        install_vendor(&rig, "two");
        rig_go_on(&rig);
        ASSERT_EQ(rig_remove(&rig, "lp_two", &failure), REFUSED_READ_ONLY);
        ASSERT_CONTAINS(failure_text(&failure), "Remove the package");
        rig_expect_state(&rig, "lp_two", PATCH_STAGED);
}

TEST(the_administrators_build_comes_before_the_vendors) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "two", false);
        rig_stop(&rig);
        install_vendor(&rig, "two");
        rig_go_on(&rig);
        ASSERT_EQ(rig_patch(&rig, "lp_two")->record->origin, ORIGIN_LOCAL);
        ASSERT_FALSE(rig_patch(&rig, "lp_two")->record->reapply);
}

TEST(removing_the_administrators_build_shows_the_vendors) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "two", false);
        install_vendor(&rig, "two");
        ASSERT_EQ(rig_remove(&rig, "lp_two", NULL), 0);
        ASSERT_EQ(rig_patch(&rig, "lp_two")->record->origin, ORIGIN_VENDOR);
        ASSERT_TRUE(rig_patch(&rig, "lp_two")->record->reapply);
        rig_expect_state(&rig, "lp_two", PATCH_STAGED);
        rig_expect(&rig, rig_apply_name(&rig, "lp_two", false), JOB_RESULT_DONE);
        /* As the next start has it. */
        rig_reboot(&rig);
        ASSERT_EQ(rig_patch(&rig, "lp_two")->record->origin, ORIGIN_VENDOR);
}

TEST(removing_shows_no_vendors_file_that_does_not_pass) {
        _cleanup_rig_ Rig rig = {};

        rig_start(&rig);
        rig_stage(&rig, "two", false);
        rig_stage(&rig, "one", false);
        test_write_file(rig.root_fd, VENDOR "lp_two.ko", "no module");
        ASSERT_EQ(rig_remove(&rig, "lp_two", NULL), 0);
        ASSERT_NULL(rig_patch(&rig, "lp_two"));
        ASSERT_CONTAINS(manager_problems(rig.manager)[0], "lp_two.ko is left out");
        ASSERT_EQ(rig_remove(&rig, "lp_one", NULL), 0);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_NULL(manager_problems(rig.manager)[1]);
}

TEST(a_vendors_file_that_does_not_pass) {
        _cleanup_rig_ Rig rig = {};
        bool told = false;

        rig_prepare(&rig);
        install_vendor(&rig, "unsigned");
        install_vendor(&rig, "one");
        rig_go_on(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_unsigned"));
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
        for (char *const *line = manager_problems(rig.manager); *line; line++)
                told |= strstr(*line, "lp_unsigned") != NULL;
        ASSERT_TRUE(told);
}

TEST(a_vendors_file_with_another_module_in_it) {
        _cleanup_rig_ Rig rig = {};

        rig_prepare(&rig);
        install_vendor(&rig, "two");
        ASSERT_EQ(renameat(rig.root_fd, VENDOR "lp_two.ko", rig.root_fd, VENDOR "lp_one.ko"), 0);
        rig_go_on(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_NULL(rig_patch(&rig, "lp_two"));
}

TEST(a_vendors_package_is_gone) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_prepare(&rig);
        install_vendor(&rig, "two");
        rig_go_on(&rig);
        rig_set_reapply(&rig, "lp_two", false);
        rig_set_reapply(&rig, "lp_two", true);
        rig_stop(&rig);
        ASSERT_EQ(unlinkat(rig.root_fd, VENDOR "lp_two.ko", 0), 0);
        rig_go_on(&rig);
        /* What was decided about it is kept, but there is nothing to apply. */
        ASSERT_NULL(rig_patch(&rig, "lp_two"));
        id = rig_reapply(&rig);
        rig_expect(&rig, id, JOB_RESULT_DONE);
        rig_stop(&rig);
        install_vendor(&rig, "two");
        rig_go_on(&rig);
        ASSERT_TRUE(rig_patch(&rig, "lp_two")->record->reapply);
}
