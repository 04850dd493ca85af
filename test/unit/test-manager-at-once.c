/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two callers in one instant: each is answered by what is true. */

#include "common/string-util.h"
#include "daemon/request.h"
#include "manager-fixture.h"
#include "test.h"

/* The disk worker is busy with another patch until it is released: what is submitted meanwhile waits behind it. */
static uint32_t hold_disk(Rig *rig) {
        uint32_t id;

        rig_control(rig, "insert-hold", "");
        id = rig_apply(rig, "five", true);
        RIG_WAIT(rig, rig_exists(rig, "ctl/inserted"));
        return id;
}

static void release_disk(Rig *rig, uint32_t id) {
        rig_control(rig, "insert-hold", NULL);
        rig_expect(rig, id, JOB_RESULT_DONE);
}

TEST(a_wish_for_what_is_being_staged_anew) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_answer_ Answer stage = {}, wish = {}, same = {};
        _cleanup_free_ char *sha256 = NULL;
        uint32_t hold;

        rig_start(&rig);
        rig_stage(&rig, "one", false);
        rig_stage(&rig, "two", false);
        sha256 = strdup(rig_patch(&rig, "lp_one")->record->sha256);
        hold = hold_disk(&rig);
        ASSERT_EQ(manager_stage_fd(rig.manager, rig_open("one-again"), false, UID, on_answer, &stage, NULL), 0);
        RIG_WAIT(&rig, requests_stage(rig.manager, "lp_one"));
        ASSERT_EQ(manager_set_reapply(rig.manager, "lp_one", true, UID, on_answer, NULL, &wish.failure), REFUSED_BUSY);
        ASSERT_CONTAINS(failure_text(&wish.failure), "staged anew. Nothing was changed. Try again");
        /* Others are not concerned. */
        ASSERT_EQ(manager_set_reapply(rig.manager, "lp_two", true, UID, on_answer, &same, NULL), 0);
        release_disk(&rig, hold);
        RIG_WAIT(&rig, stage.calls > 0 && same.calls > 0);
        ASSERT_EQ(stage.failure.code, 0);
        ASSERT_EQ(same.failure.code, 0);
        rig_set_reapply(&rig, "lp_one", true);
        ASSERT_FALSE(streq(rig_patch(&rig, "lp_one")->record->sha256, sha256));
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(staging_anew_while_a_wish_is_written) {
        _cleanup_rig_ Rig rig = {};
        _cleanup_answer_ Answer stage = {}, wish = {};
        uint32_t hold;

        rig_start(&rig);
        rig_stage(&rig, "one", false);
        hold = hold_disk(&rig);
        ASSERT_EQ(manager_set_reapply(rig.manager, "lp_one", true, UID, on_answer, &wish, NULL), 0);
        ASSERT_EQ(manager_stage_fd(rig.manager, rig_open("one-again"), false, UID, on_answer, &stage, NULL), 0);
        RIG_WAIT(&rig, stage.calls > 0);
        ASSERT_EQ(stage.failure.code, REFUSED_BUSY);
        ASSERT_CONTAINS(failure_text(&stage.failure), "Nothing was staged. Try again");
        ASSERT_EQ(wish.calls, 0);
        release_disk(&rig, hold);
        RIG_WAIT(&rig, wish.calls > 0);
        ASSERT_EQ(wish.failure.code, 0);
        /* Now that it is known, it is kept. */
        rig_stage(&rig, "one-again", false);
        ASSERT_TRUE(rig_patch(&rig, "lp_one")->record->reapply);
}

TEST(two_builds_staged_at_once) {
        _cleanup_rig_ Rig rig = {};
        Answer answers[2] = {};
        uint32_t hold;

        rig_start(&rig);
        hold = hold_disk(&rig);
        for (size_t i = 0; i < 2; i++)
                ASSERT_EQ(manager_stage_fd(rig.manager, rig_open(i == 0 ? "one" : "one-again"), false, UID, on_answer,
                                           answers + i, NULL), 0);
        release_disk(&rig, hold);
        for (size_t i = 0; i < 2; i++) {
                RIG_WAIT(&rig, answers[i].calls > 0);
                ASSERT_EQ(answers[i].failure.code, 0);
                answer_done(answers + i);
        }
        rig_set_reapply(&rig, "lp_one", true);
        rig_reboot(&rig);
        rig_expect(&rig, rig_reapply(&rig), JOB_RESULT_DONE);
        rig_expect_state(&rig, "lp_one", PATCH_APPLIED);
}
