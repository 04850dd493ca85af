/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon's promise: killed before any call that changes a file, in whatever it does, its next start comes to rest
 * in a state of the story; and so does a machine whose power fails at the same moment.
 *
 * Each story is run once for every such call: on a machine of its own, in a process that ends at the call. */

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "daemon/guard-store.h"
#include "fault.h"
#include "manager-fixture.h"
#include "test.h"

#define ANOTHER_BOOT "ffffffffffffffffffffffffffffffff"
#define LONG (3600 * USEC_PER_SEC)
#define CALLS_MAX 500 /* no story has as many: it would never end */

typedef struct Story {
        void (*prepare)(Rig *rig);
        void (*act)(Rig *rig);
        /* After the next start has come to rest. */
        void (*check)(Rig *rig);
        /* What the next boot finds on record of lp_one (NULL: nothing), if the power failed instead. */
        void (*check_boot)(const PatchRecord *record);
        /* It, or the patch that may take its place, is in the kernel all the time; then both may be on record. */
        const char *instead;
} Story;

/* ---- Running a story --------------------------------------------------------------------------------------- */

static void stop_all(Rig *rig) {
        rig_stop(rig);
        rig->event = sd_event_unref(rig->event); /* a child must have its own */
        rig_stop_kernel(rig);
}

static bool is_at_rest(Rig *rig) {
        return rig->manager && manager_is_idle(rig->manager);
}

/* Whether the process was killed: the story has as many calls. */
static bool run_until(const Story *story, Rig *rig, unsigned call) {
        pid_t pid = fork();
        int status;

        ASSERT_OK(pid);
        if (pid == 0) {
                test_in_child();
                rig_go_on(rig);
                fault_arm(FAULT_KILL, call, 0);
                story->act(rig);
                RIG_WAIT(rig, is_at_rest(rig));
                (void) fault_disarm();
                _exit(EXIT_SUCCESS);
        }
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_TRUE(WIFEXITED(status));
        if (WEXITSTATUS(status) != EXIT_SUCCESS)
                ASSERT_EQ(WEXITSTATUS(status), FAULT_EXIT_STATUS);
        return WEXITSTATUS(status) != EXIT_SUCCESS;
}

static const PatchRecord *find(const RecordList *list, const char *name) {
        for (size_t i = 0; name && i < list->n; i++)
                if (streq(list->records[i]->name, name))
                        return list->records[i];
        return NULL;
}

/* Whoever is wanted at boot, somebody is: what is superseded for good is so by somebody who lasts. */
static void check_level(const Story *story, const RecordList *list) {
        const PatchRecord *below = find(list, "lp_one"), *above = find(list, story->instead);

        if (!story->instead)
                return;
        ASSERT_NOT_NULL(below);
        ASSERT_TRUE(below->reapply || (above && above->reapply));
        if (above && above->reapply) {
                ASSERT_EQ(above->n_supersedes, 1);
                ASSERT_STREQ(above->supersedes[0].name, "lp_one");
        }
}

/* The store as another boot reads it; nothing of this one's /run is in it. */
static void check_boot(const Story *story, const Rig *rig) {
        _cleanup_(store_closep) Store *store = NULL;
        _cleanup_strv_free_ char **problems = NULL;
        _cleanup_rig_ Rig copy = {};
        RecordList list = {};

        rig_copy_files(&copy, rig, "var");
        ASSERT_EQ(store_open(copy.root_fd, 0, &store, NULL), 0);
        ASSERT_EQ(store_load(store, ANOTHER_BOOT, &list, &problems, NULL), 0);
        ASSERT_EQ(strv_length(problems), 0);
        ASSERT_TRUE(list.n <= (story->instead ? 2 : 1));
        for (size_t i = 0; i < list.n; i++)
                ASSERT_NULL(list.records[i]->transient_boot_id);
        story->check_boot(find(&list, "lp_one"));
        check_level(story, &list);
        record_list_done(&list);
}

/* What is said is what is: never half of something, whatever the story. */
static void check_whole(Rig *rig) {
        for (size_t i = 0; i < manager_n_patches(rig->manager); i++) {
                const Patch *patch = manager_patch(rig->manager, i);

                ASSERT_FALSE(patch->runtime && patch->runtime->pending);
                ASSERT_EQ(patch->state == PATCH_APPLIED, patch->klp != NULL);
                ASSERT_EQ(patch->module.present, patch->klp != NULL);
                if (patch->klp)
                        ASSERT_EQ(patch_loaded_is_recorded(patch), TRISTATE_YES);
        }
        ASSERT_EQ(rig_exists(rig, "sys/module/lp_one"), rig_patch(rig, "lp_one") && rig_patch(rig, "lp_one")->klp);
        ASSERT_EQ(strv_length((char **) manager_problems(rig->manager)), 0);
}

static bool is_enabled(Rig *rig, const char *name) {
        _cleanup_free_ char *path = NULL, *value = NULL;

        ASSERT_TRUE(asprintf(&path, "sys/kernel/livepatch/%s/enabled", name) > 0);
        return read_line_at(rig->root_fd, path, &value) >= 0 && streq(value, "1");
}

/* Nothing waits for a manager to come, and undo that. */
static void check_patched(const Story *story, Rig *rig) {
        if (story->instead)
                ASSERT_TRUE(is_enabled(rig, "lp_one") || is_enabled(rig, story->instead));
}

static bool survives(const Story *story, const Rig *template, unsigned call) {
        _cleanup_rig_ Rig rig = {};
        bool killed;

        rig_prepare_copy(&rig, template);
        killed = run_until(story, &rig, call);
        check_boot(story, &rig);
        check_patched(story, &rig);
        rig_go_on(&rig);
        RIG_WAIT(&rig, is_at_rest(&rig));
        check_patched(story, &rig);
        manager_refresh_patches(rig.manager);
        check_whole(&rig);
        story->check(&rig);
        rig_stop(&rig);
        check_boot(story, &rig);
        return killed;
}

static void tell(const Story *story) {
        _cleanup_rig_ Rig template = {};
        unsigned call = 1;

        rig_prepare(&template);
        rig_control(&template, "transition-ms", "0");
        rig_control(&template, "unpatch-ms", "0");
        rig_go_on(&template);
        story->prepare(&template);
        stop_all(&template);
        while (survives(story, &template, call)) {
                printf("# killed at call %u\n", call);
                ASSERT_TRUE(++call < CALLS_MAX);
        }
        ASSERT_TRUE(call > 1);
}

#define STORY_INSTEAD(name, other)                                                              \
        TEST(name) {                                                                            \
                static const Story story = { prepare_##name, act_##name, check_##name, boot_##name, other }; \
                tell(&story);                                                                   \
        }
#define STORY(name) STORY_INSTEAD(name, NULL)

static const Patch *one(Rig *rig) {
        return rig_patch(rig, "lp_one");
}

static bool is_applied(Rig *rig) {
        return one(rig) && one(rig)->state == PATCH_APPLIED;
}

static bool lasts(Rig *rig) {
        return one(rig)->record->reapply && !one(rig)->record->transient_boot_id;
}

static char *sha256_of(const char *module) {
        _cleanup_(module_image_unrefp) ModuleImage *image = NULL;
        _cleanup_close_ int fd = rig_open(module);

        ASSERT_EQ(module_image_new_from_fd(fd, MIB(64), NULL, &image, NULL), 0);
        return strdup(module_image_sha256(image));
}

static bool is_build(const PatchRecord *record, const char *module) {
        _cleanup_free_ char *sha256 = sha256_of(module);

        return streq(record->sha256, sha256);
}

/* ---- Apply ------------------------------------------------------------------------------------------------- */

static void prepare_apply(Rig *rig _unused_) {
}

static void act_apply(Rig *rig) {
        rig_apply_done(rig, "one", false);
}

static void check_apply(Rig *rig) {
        if (is_applied(rig))
                ASSERT_TRUE(lasts(rig));
}

static void boot_apply(const PatchRecord *record) {
        if (record)
                ASSERT_TRUE(record->reapply && is_build(record, "one"));
}

STORY(apply)

/* ---- Apply another build than the one that is on record ---------------------------------------------------- */

static void prepare_apply_another(Rig *rig) {
        rig_stage(rig, "one-again", true);
}

static void act_apply_another(Rig *rig) {
        rig_apply_done(rig, "one", false);
}

static void check_apply_another(Rig *rig) {
        ASSERT_NOT_NULL(one(rig));
        if (is_applied(rig))
                ASSERT_TRUE(lasts(rig) && is_build(one(rig)->record, "one"));
}

static void boot_apply_another(const PatchRecord *record) {
        ASSERT_NOT_NULL(record);
        ASSERT_TRUE(record->reapply);
        ASSERT_TRUE(is_build(record, "one") || is_build(record, "one-again"));
}

STORY(apply_another)

/* ---- Apply for this boot ----------------------------------------------------------------------------------- */

static void prepare_apply_runtime(Rig *rig _unused_) {
}

static void act_apply_runtime(Rig *rig) {
        rig_apply_done(rig, "one", true);
}

static void check_apply_runtime(Rig *rig) {
        if (is_applied(rig))
                ASSERT_FALSE(one(rig)->record->reapply);
}

static void boot_apply_runtime(const PatchRecord *record) {
        ASSERT_NULL(record);
}

STORY(apply_runtime)

/* ---- Revert ------------------------------------------------------------------------------------------------ */

static void prepare_revert(Rig *rig) {
        rig_apply_done(rig, "one", false);
}

static void act_revert(Rig *rig) {
        rig_revert_done(rig, "lp_one", false);
}

static void check_revert(Rig *rig) {
        ASSERT_NOT_NULL(one(rig));
        ASSERT_EQ(lasts(rig), is_applied(rig));
        if (!is_applied(rig))
                ASSERT_EQ(one(rig)->state, PATCH_STAGED);
}

static void boot_revert(const PatchRecord *record) {
        ASSERT_NOT_NULL(record);
        ASSERT_TRUE(is_build(record, "one"));
}

STORY(revert)

/* ---- Remove ------------------------------------------------------------------------------------------------ */

static void prepare_remove(Rig *rig) {
        rig_apply_done(rig, "one", false);
}

static void act_remove(Rig *rig) {
        _cleanup_failure_ Failure failure = {};

        ASSERT_EQ(rig_remove(rig, "lp_one", &failure), 0);
}

static void check_remove(Rig *rig) {
        ASSERT_EQ(one(rig) != NULL, is_applied(rig));
        if (one(rig))
                ASSERT_TRUE(lasts(rig));
}

static void boot_remove(const PatchRecord *record) {
        if (record)
                ASSERT_TRUE(record->reapply && is_build(record, "one"));
}

STORY(remove)

/* ---- Apply on condition, confirm, and what happens if nobody does ------------------------------------------ */

static void apply_module_on_condition(Rig *rig, const char *module) {
        const OperationOptions options = { .confirm_within_usec = LONG };

        rig_expect(rig, rig_apply_with(rig, module, &options), JOB_RESULT_DONE);
}

static void apply_on_condition(Rig *rig) {
        apply_module_on_condition(rig, "one");
}

static void prepare_apply_on_condition(Rig *rig _unused_) {
}

static void act_apply_on_condition(Rig *rig) {
        apply_on_condition(rig);
}

static void check_apply_on_condition(Rig *rig) {
        if (is_applied(rig))
                ASSERT_TRUE(patch_is_unconfirmed(one(rig)) && !lasts(rig));
}

static void boot_apply_on_condition(const PatchRecord *record) {
        ASSERT_NULL(record);
}

STORY(apply_on_condition)

static void prepare_confirm(Rig *rig) {
        apply_on_condition(rig);
}

static void confirm(Rig *rig, const char *id) {
        _cleanup_answer_ Answer answer = {};

        ASSERT_EQ(manager_confirm(rig->manager, id, UID, on_answer, &answer, NULL), 0);
        RIG_WAIT(rig, answer.calls > 0);
        ASSERT_EQ(answer.failure.code, 0);
}

static void act_confirm(Rig *rig) {
        confirm(rig, "lp_one");
}

/* Either somebody has to try again, or it lasts. */
static void check_confirm(Rig *rig) {
        ASSERT_TRUE(is_applied(rig));
        ASSERT_EQ(patch_is_unconfirmed(one(rig)), !lasts(rig));
        if (patch_is_unconfirmed(one(rig)))
                act_confirm(rig);
        RIG_WAIT(rig, is_at_rest(rig));
        ASSERT_TRUE(lasts(rig));
}

static void boot_confirm(const PatchRecord *record) {
        if (record)
                ASSERT_TRUE(record->reapply && is_build(record, "one"));
}

STORY(confirm)

/* The time is over as soon as somebody looks. */
static void expire(Rig *rig, const char *path) {
        _cleanup_free_ char *text = NULL, *before = NULL, *after = NULL;
        const char *key = "\"deadline\": ", *at, *end;

        rig_stop(rig);
        text = rig_read(rig, path);
        at = strstr(text, key);
        ASSERT_NOT_NULL(at);
        end = at + strlen(key);
        before = strndup(text, (size_t) (end - text));
        ASSERT_TRUE(asprintf(&after, "%s1%s", before, end + strspn(end, "0123456789")) > 0);
        test_write_file(rig->root_fd, path, after);
        ASSERT_OK(fchmodat(rig->root_fd, path, 0600, 0));
}

static void prepare_expire(Rig *rig) {
        apply_on_condition(rig);
        expire(rig, RUN "/patches/lp_one.json");
}

static void act_expire(Rig *rig) {
        RIG_WAIT(rig, !one(rig));
}

static void check_expire(Rig *rig) {
        RIG_WAIT(rig, !one(rig));
        RIG_WAIT(rig, is_at_rest(rig));
        ASSERT_FALSE(rig_exists(rig, RUN "/settling"));
}

static void boot_expire(const PatchRecord *record) {
        ASSERT_NULL(record);
}

STORY(expire)

static void prepare_expire_over_another(Rig *rig) {
        rig_stage(rig, "one-again", true);
        apply_on_condition(rig);
        expire(rig, RUN "/patches/lp_one.json");
}

static void act_expire_over_another(Rig *rig) {
        RIG_WAIT(rig, one(rig)->state == PATCH_FAILED);
}

static void check_expire_over_another(Rig *rig) {
        act_expire_over_another(rig);
        ASSERT_TRUE(lasts(rig));
        ASSERT_TRUE(is_build(one(rig)->record, "one-again"));
}

static void boot_expire_over_another(const PatchRecord *record) {
        ASSERT_NOT_NULL(record);
        ASSERT_TRUE(record->reapply && is_build(record, "one-again"));
}

STORY(expire_over_another)

/* ---- The same of a cumulative patch over another one -------------------------------------------------------- */

static const Patch *above(Rig *rig) {
        return rig_patch(rig, "lp_cumulative");
}

static void boot_level(const PatchRecord *record) {
        ASSERT_TRUE(record && is_build(record, "one"));
}
#define boot_replace_on_condition boot_level
#define boot_confirm_replacing boot_level
#define boot_expire_replacing boot_level

static void prepare_replace_on_condition(Rig *rig) {
        rig_apply_done(rig, "one", false);
}

static void act_replace_on_condition(Rig *rig) {
        apply_module_on_condition(rig, "cumulative");
}

static void check_replace_on_condition(Rig *rig) {
        ASSERT_TRUE(one(rig)->record->reapply);
        if (is_applied(rig)) {
                ASSERT_FALSE(above(rig) && above(rig)->klp);
                return;
        }
        ASSERT_EQ(one(rig)->state, PATCH_SUPERSEDED);
        ASSERT_TRUE(patch_is_unconfirmed(above(rig)));
        ASSERT_NOT_NULL(above(rig)->record->transient_boot_id);
}

STORY_INSTEAD(replace_on_condition, "lp_cumulative")

static void prepare_confirm_replacing(Rig *rig) {
        rig_apply_done(rig, "one", false);
        apply_module_on_condition(rig, "cumulative");
}

static void act_confirm_replacing(Rig *rig) {
        confirm(rig, "lp_cumulative");
}

static void check_confirm_replacing(Rig *rig) {
        ASSERT_EQ(above(rig)->state, PATCH_APPLIED);
        if (patch_is_unconfirmed(above(rig)))
                act_confirm_replacing(rig);
        RIG_WAIT(rig, is_at_rest(rig));
        ASSERT_TRUE(above(rig)->record->reapply && !above(rig)->record->transient_boot_id);
        ASSERT_EQ(one(rig)->state, PATCH_SUPERSEDED);
        ASSERT_FALSE(one(rig)->record->reapply);
}

STORY_INSTEAD(confirm_replacing, "lp_cumulative")

static void prepare_expire_replacing(Rig *rig) {
        prepare_confirm_replacing(rig);
        expire(rig, RUN "/patches/lp_cumulative.json");
}

static void act_expire_replacing(Rig *rig) {
        RIG_WAIT(rig, !above(rig));
}

static void check_expire_replacing(Rig *rig) {
        RIG_WAIT(rig, !above(rig));
        RIG_WAIT(rig, is_at_rest(rig));
        ASSERT_TRUE(is_applied(rig) && lasts(rig));
        ASSERT_FALSE(patch_is_unconfirmed(one(rig)));
        ASSERT_FALSE(rig_exists(rig, "sys/module/lp_cumulative"));
}

STORY_INSTEAD(expire_replacing, "lp_cumulative")

/* ---- The crash guard --------------------------------------------------------------------------------------- */

static bool is_proven(Rig *rig) {
        return one(rig)->guard && one(rig)->guard->phase == GUARD_PROVEN;
}

static void prepare_settle(Rig *rig) {
        rig_apply_done(rig, "one", false);
        rig_configure(rig, "SettleTimeSec=1s");
}

static void act_settle(Rig *rig) {
        RIG_WAIT(rig, is_proven(rig));
}

static void check_settle(Rig *rig) {
        act_settle(rig);
        RIG_WAIT(rig, is_at_rest(rig));
        ASSERT_TRUE(is_applied(rig) && lasts(rig));
        ASSERT_FALSE(manager_is_watching(rig->manager));
}

static void boot_settle(const PatchRecord *record) {
        ASSERT_NOT_NULL(record);
        ASSERT_TRUE(record->reapply);
}

STORY(settle)

static void prepare_unquarantine(Rig *rig) {
        rig_apply_done(rig, "one", false);
        rig_power_cut(rig);
        rig_expect_state(rig, "lp_one", PATCH_QUARANTINED);
}

static void act_unquarantine(Rig *rig) {
        _cleanup_answer_ Answer answer = {};

        ASSERT_EQ(manager_clear_quarantine(rig->manager, "lp_one", UID, on_answer, &answer, NULL), 0);
        RIG_WAIT(rig, answer.calls > 0);
        ASSERT_EQ(answer.failure.code, 0);
}

static void check_unquarantine(Rig *rig) {
        ASSERT_TRUE(one(rig)->state == PATCH_QUARANTINED || one(rig)->state == PATCH_STAGED);
        ASSERT_TRUE(lasts(rig));
}

static void boot_unquarantine(const PatchRecord *record) {
        ASSERT_NOT_NULL(record);
        ASSERT_TRUE(record->reapply);
}

STORY(unquarantine)
