/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk that is full, from any call of an operation on: the operation says so, nothing is half done, and when there is
 * space again the same call brings it to its end. */

#include "common/string-util.h"
#include "fault.h"
#include "manager-fixture.h"
#include "test.h"

#define LONG (3600 * USEC_PER_SEC)
#define CALLS_MAX 500

typedef struct Operation {
        void (*prepare)(Rig *rig);
        /* Its code; 0 as well when there was nothing left to do. */
        int (*attempt)(Rig *rig, Failure *f);
        bool (*is_done)(Rig *rig);
} Operation;

/* ---- Every call ---------------------------------------------------------------------------------------------- */

static const Patch *one(Rig *rig) {
        return rig_patch(rig, "lp_one");
}

static bool is_applied(Rig *rig) {
        return one(rig) && one(rig)->state == PATCH_APPLIED;
}

static bool lasts(Rig *rig) {
        return one(rig)->record && one(rig)->record->reapply && !one(rig)->record->transient_boot_id;
}

static void check_whole(Rig *rig) {
        const Patch *patch = one(rig);

        ASSERT_EQ(rig_exists(rig, "sys/module/lp_one"), patch && patch->klp);
        if (!patch)
                return;
        ASSERT_EQ(patch->state == PATCH_APPLIED, patch->klp != NULL);
        ASSERT_NULL(patch->job);
}

/* Whether a call has failed. */
static bool fills_up_at(const Operation *operation, const Rig *template, unsigned call) {
        _cleanup_failure_ Failure full = {}, again = {};
        _cleanup_rig_ Rig rig = {};
        unsigned n;
        int r;

        rig_prepare_copy(&rig, template);
        rig_go_on(&rig);
        fault_arm(FAULT_FAIL_ALL, call, ENOSPC);
        r = operation->attempt(&rig, &full);
        n = fault_disarm();
        RIG_WAIT(&rig, manager_is_idle(rig.manager));
        check_whole(&rig);
        if (r == 0) /* what failed was a note that nothing depends on */
                ASSERT_TRUE(operation->is_done(&rig));
        else {
                ASSERT_EQ(r, REFUSED_STORE_FAILED);
                ASSERT_CONTAINS(full.text, strerror(ENOSPC));
                ASSERT_CONTAINS(full.text, "try again");
        }
        r = operation->attempt(&rig, &again);
        if (r != 0)
                test_fail(__FILE__, __LINE__, "with space again, after call %u: %s", call, failure_text(&again));
        ASSERT_TRUE(operation->is_done(&rig));
        /* Nor has the next start anything to complain of. */
        rig_stop(&rig);
        rig_go_on(&rig);
        RIG_WAIT(&rig, manager_is_idle(rig.manager));
        check_whole(&rig);
        ASSERT_TRUE(operation->is_done(&rig));
        ASSERT_NULL(manager_problems(rig.manager)[0]);
        return n >= call;
}

static void fill_up(const Operation *operation) {
        _cleanup_rig_ Rig template = {};
        unsigned call = 1;

        rig_prepare(&template);
        rig_control(&template, "transition-ms", "0");
        rig_control(&template, "unpatch-ms", "0");
        rig_go_on(&template);
        operation->prepare(&template);
        rig_stop(&template);
        rig_stop_kernel(&template);
        while (fills_up_at(operation, &template, call))
                ASSERT_TRUE(++call < CALLS_MAX);
        ASSERT_TRUE(call > 1);
}

static int wait_for_job(Rig *rig, Answer *answer, int r, Failure *f) {
        if (r != 0)
                return failure_move(f, &answer->failure);
        RIG_WAIT(rig, answer->calls > 0);
        if (answer->failure.code != 0)
                return failure_move(f, &answer->failure);
        if (answer->job_id == 0)
                return 0;
        (void) rig_wait_job(rig, answer->job_id);
        return failure_copy(f, job_failure(rig_job(rig, answer->job_id)));
}

/* ---- The operations ---------------------------------------------------------------------------------------- */

static void prepare_nothing(Rig *rig _unused_) {
}

static void prepare_applied(Rig *rig) {
        rig_apply_done(rig, "one", false);
}

static void prepare_other_build(Rig *rig) {
        rig_stage(rig, "one-again", true);
}

static void prepare_unconfirmed(Rig *rig) {
        const OperationOptions options = { .confirm_within_usec = LONG };

        rig_expect(rig, rig_apply_with(rig, "one", &options), JOB_RESULT_DONE);
}

static int attempt_apply(Rig *rig, Failure *f) {
        _cleanup_answer_ Answer answer = {};
        int r = manager_apply_fd(rig->manager, rig_open("one"), PLAIN, UID, on_answer, &answer, &answer.failure);

        r = wait_for_job(rig, &answer, r, f);
        return r == REFUSED_ALREADY_APPLIED ? 0 : r;
}

static bool is_applied_and_lasts(Rig *rig) {
        return is_applied(rig) && lasts(rig);
}

static int attempt_revert(Rig *rig, Failure *f) {
        _cleanup_answer_ Answer answer = {};
        int r = manager_revert(rig->manager, "lp_one", PLAIN, UID, on_answer, &answer, &answer.failure);

        r = wait_for_job(rig, &answer, r, f);
        return r == REFUSED_NOT_APPLIED ? 0 : r;
}

static bool is_reverted(Rig *rig) {
        return one(rig) && !is_applied(rig) && !one(rig)->record->reapply;
}

static int attempt_remove(Rig *rig, Failure *f) {
        int r = rig_remove(rig, "lp_one", f);

        return r == REFUSED_NO_SUCH_PATCH ? 0 : r;
}

static bool is_removed(Rig *rig) {
        return !one(rig);
}

static int attempt_confirm(Rig *rig, Failure *f) {
        _cleanup_answer_ Answer answer = {};
        int r = manager_confirm(rig->manager, "lp_one", UID, on_answer, &answer, &answer.failure);

        r = wait_for_job(rig, &answer, r, f);
        return r == REFUSED_ALREADY_APPLIED ? 0 : r;
}

TEST(apply) {
        fill_up(&(Operation) { prepare_nothing, attempt_apply, is_applied_and_lasts });
}

TEST(apply_another_build) {
        fill_up(&(Operation) { prepare_other_build, attempt_apply, is_applied_and_lasts });
}

TEST(revert) {
        fill_up(&(Operation) { prepare_applied, attempt_revert, is_reverted });
}

TEST(remove) {
        fill_up(&(Operation) { prepare_applied, attempt_remove, is_removed });
}

TEST(confirm) {
        fill_up(&(Operation) { prepare_unconfirmed, attempt_confirm, is_applied_and_lasts });
}
