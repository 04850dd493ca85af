/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk that takes no more: at each step, what is told, what is true, and that trying again works. */

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/string-util.h"
#include "manager-fixture.h"
#include "test.h"

#define ENTRY STATE "/patches/" RELEASE "/lp_one"
#define NOTES RUN "/patches"

/* The store does not write where others may: as good as a disk that is full, also for root. */
static void spoil(Rig *rig, const char *path) {
        ASSERT_EQ(fchmodat(rig->root_fd, path, 0777, 0), 0);
}

static void mend(Rig *rig, const char *path) {
        ASSERT_EQ(fchmodat(rig->root_fd, path, 0700, 0), 0);
}

/* No file becomes larger: a disk that is full but for a little. */
static void limit_files(rlim_t bytes) {
        struct rlimit limit;

        (void) signal(SIGXFSZ, SIG_IGN);
        ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
        limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
        ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static const char *expect_store_failure(Rig *rig, uint32_t id) {
        rig_expect(rig, id, JOB_RESULT_FAILED);
        ASSERT_EQ(job_failure(rig_job(rig, id))->code, REFUSED_STORE_FAILED);
        return failure_text(job_failure(rig_job(rig, id)));
}

TEST(an_apply_that_cannot_be_noted_does_not_begin) {
        _cleanup_rig_ Rig rig = {};
        const char *text;

        rig_start(&rig);
        rig_stage(&rig, "two", true);
        spoil(&rig, STATE "/patches");
        text = expect_store_failure(&rig, rig_apply(&rig, "one", false));
        ASSERT_CONTAINS(text, "Nothing was changed");
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, "ctl/inserted"));
        ASSERT_FALSE(rig_exists(&rig, NOTES "/lp_one.json"));
        mend(&rig, STATE "/patches");
        rig_apply_done(&rig, "one", false);
        ASSERT_TRUE(rig_patch(&rig, "lp_two")->record->reapply);
}

TEST(no_room_for_the_module) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_free_ char *sha256 = NULL;
        uint32_t id;

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        sha256 = strdup(rig_patch(&rig, "lp_one")->record->sha256);
        /* The limit holds for the memory of the image, too: it is read before. */
        rig_control(&rig, "transition-ms.lp_two", "stall");
        rig_insmod(&rig, "two");
        id = rig_apply(&rig, "one-again", false);
        limit_files(KIB(3));
        rig_control(&rig, "transition-ms.lp_two", "0");
        (void) rig_wait_job(&rig, id);
        limit_files(RLIM_INFINITY);
        ASSERT_CONTAINS(expect_store_failure(&rig, id), "Nothing was changed");
        ASSERT_FALSE(rig_exists(&rig, "ctl/inserted"));
        /* What was there is there, in the table and on the disk. */
        for (unsigned i = 0; i < 2; i++) {
                ASSERT_STREQ(rig_patch(&rig, "lp_one")->record->sha256, sha256);
                ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
                rig_reboot(&rig);
        }
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}

TEST(a_stage_that_cannot_be_written) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_answer_ Answer answer = {};

        rig_start(&rig);
        rig_stage(&rig, "two", true);
        spoil(&rig, STATE "/patches/" RELEASE);
        ASSERT_EQ(manager_stage_fd(rig.manager, rig_open("one"), true, UID, on_answer, &answer, NULL), 0);
        RIG_WAIT(&rig, answer.calls > 0);
        ASSERT_EQ(answer.failure.code, REFUSED_STORE_FAILED);
        ASSERT_CONTAINS(failure_text(&answer.failure), "Nothing was changed");
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, ENTRY));
        mend(&rig, STATE "/patches/" RELEASE);
        rig_stage(&rig, "one", true);
}

TEST(an_apply_that_cannot_be_made_last) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure again = {};
        const char *text;
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        spoil(&rig, ENTRY);
        rig_control(&rig, "transition-ms", "0");
        text = expect_store_failure(&rig, id);
        ASSERT_CONTAINS(text, "is applied to the running kernel");
        ASSERT_CONTAINS(text, "the next boot will not apply it");
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->runtime->pending);
        ASSERT_TRUE(patch_applied_at(rig_patch(&rig, "lp_one")) > 0);
        ASSERT_CONTAINS(rig_patch(&rig, "lp_one")->runtime->failure_text, "is applied to the running kernel");
        mend(&rig, ENTRY);
        /* Once more, and it lasts. */
        ASSERT_EQ(rig_apply_refused(&rig, "one", false, &again), REFUSED_ALREADY_APPLIED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_reboot(&rig);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(a_revert_that_cannot_be_recorded) {
        _cleanup_rig_ Rig rig = {};
        const char *text;

        rig_start(&rig);
        rig_apply_done(&rig, "one", false);
        spoil(&rig, ENTRY);
        text = expect_store_failure(&rig, rig_revert(&rig, "lp_one", false));
        ASSERT_CONTAINS(text, "is not loaded any more");
        ASSERT_CONTAINS(text, "the next boot will apply it again");
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        rig_expect_state(&rig, "lp_one", PATCH_FAILED);
        mend(&rig, ENTRY);
        rig_revert_done(&rig, "lp_one", false);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
        rig_expect_state(&rig, "lp_one", PATCH_STAGED);
}

TEST(a_remove_that_cannot_be_done) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_failure_ Failure failure = {};

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        spoil(&rig, STATE "/patches");
        ASSERT_EQ(rig_remove(&rig, "lp_one", &failure), REFUSED_STORE_FAILED);
        ASSERT_CONTAINS(failure_text(&failure), "could not be removed");
        ASSERT_NOT_NULL(rig_patch(&rig, "lp_one"));
        mend(&rig, STATE "/patches");
        ASSERT_EQ(rig_remove(&rig, "lp_one", NULL), 0);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
}

TEST(a_wish_that_cannot_be_recorded) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_answer_ Answer answer = {};

        rig_start(&rig);
        rig_stage(&rig, "one", true);
        spoil(&rig, ENTRY);
        ASSERT_EQ(manager_set_reapply(rig.manager, "lp_one", false, UID, on_answer, &answer, NULL), 0);
        RIG_WAIT(&rig, answer.calls > 0);
        ASSERT_EQ(answer.failure.code, REFUSED_STORE_FAILED);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        mend(&rig, ENTRY);
        rig_set_reapply(&rig, "lp_one", false);
        rig_reboot(&rig);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(canceled_and_not_taken_back) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        spoil(&rig, STATE "/patches");
        rig_cancel(&rig, id);
        ASSERT_CONTAINS(expect_store_failure(&rig, id), "the kernel is as it was before");
        ASSERT_FALSE(rig_exists(&rig, "sys/module/lp_one"));
        ASSERT_NOT_NULL(rig_patch(&rig, "lp_one"));
        mend(&rig, STATE "/patches");
        rig_reboot(&rig);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
}

TEST(no_room_for_the_note_before) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_apply_done(&rig, "two", false);
        spoil(&rig, NOTES);
        id = rig_apply(&rig, "one", false);
        ASSERT_CONTAINS(expect_store_failure(&rig, id), "/run");
        ASSERT_EQ(rig_count_calls(&rig, "inserted", "lp_one"), 0);
        ASSERT_NULL(rig_patch(&rig, "lp_one"));
        ASSERT_FALSE(rig_exists(&rig, ENTRY));
        (void) expect_store_failure(&rig, rig_revert(&rig, "lp_two", false));
        rig_expect_state(&rig, "lp_two", PATCH_APPLIED);
        mend(&rig, NOTES);
        rig_apply_done(&rig, "one", false);
        rig_revert_done(&rig, "lp_two", false);
}

TEST(no_room_for_the_note_afterwards) {
        _cleanup_rig_ Rig rig = {};
        uint32_t id;

        rig_start(&rig);
        rig_control(&rig, "transition-ms", "stall");
        id = rig_apply(&rig, "one", false);
        RIG_WAIT(&rig, rig_exists(&rig, "sys/kernel/livepatch/lp_one"));
        spoil(&rig, NOTES);
        rig_control(&rig, "transition-ms", "0");
        /* The patch is applied, and will be after the next boot: nothing failed. */
        rig_expect(&rig, id, JOB_RESULT_DONE);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
        mend(&rig, NOTES);
        rig_stop(&rig);
        rig_go_on(&rig);
        RIG_WAIT(&rig, manager_is_idle(rig.manager));
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
        ASSERT_FALSE(rig_patch(&rig, "lp_one")->runtime->pending);
}
