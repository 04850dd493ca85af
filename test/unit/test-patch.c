/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state that follows from what is on record, in the kernel and under way. */

#include "common/string-util.h"
#include "daemon/job-internal.h"
#include "daemon/patch.h"
#include "test.h"

#define KLP "sys/kernel/livepatch/lp_one/"
#define MODULE "sys/module/lp_one/"

static Patch *new_patch(void) {
        Patch *patch;

        ASSERT_OK(patch_new("lp_one", "6.1", true, &patch));
        return patch;
}

static PatchRecord *new_record(const char *build_id) {
        ModuleInfo info = { .name = (char *) "lp_one", .kernel_release = (char *) "6.1",
                            .build_id = (char *) build_id };
        SignatureReport signature = { .status = SIGNATURE_TRUSTED };
        PatchRecord *record;

        ASSERT_EQ(patch_record_new(&info, &signature,
                                   "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", &record), 0);
        return record;
}

static RuntimeRecord *new_runtime(uint64_t applied_at, const char *failure) {
        RuntimeRecord *runtime;

        ASSERT_OK(runtime_record_new("lp_one", &runtime));
        runtime->applied_at = applied_at;
        ASSERT_OK(free_and_strdup(&runtime->failure_text, failure));
        return runtime;
}

static void set_klp(Patch *patch, bool enabled, bool transition) {
        klp_patch_free(patch->klp);
        patch->klp = calloc(1, sizeof(KlpPatch));
        ASSERT_NOT_NULL(patch->klp);
        patch->klp->enabled = enabled;
        patch->klp->transition = transition;
        patch->module.present = true;
}

static void assert_state(const Patch *patch, PatchState state) {
        ASSERT_STREQ(patch_state_to_string(patch_derive_state(patch)), patch_state_to_string(state));
}

TEST(every_move_of_the_table) {
        /* One letter a state, in the order of the lines. */
        static const struct {
                PatchState from;
                const char *to;
        } moves[] = {
                { PATCH_AVAILABLE,   "yyy......." },
                { PATCH_STAGED,      "yyyy..yyy." },
                { PATCH_APPLYING,    ".yyyyy.yyy" },
                { PATCH_APPLIED,     "..yyy.y..." },
                { PATCH_REVERTING,   ".yyyyyyyyy" },
                { PATCH_DISABLED,    ".yy.yyyy.." },
                { PATCH_SUPERSEDED,  ".yy.yyy..." },
                { PATCH_FAILED,      ".yyy...yy." },
                { PATCH_QUARANTINED, ".y.....yy." },
                { PATCH_EXTERNAL,    ".yyyy.y..y" },
        };

        ASSERT_EQ(sizeof(moves) / sizeof(moves[0]), _PATCH_STATE_MAX);
        for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++)
                for (PatchState to = 0; to < _PATCH_STATE_MAX; to++)
                        if (patch_state_move_is_legal(moves[i].from, to) != (moves[i].to[to] == 'y'))
                                test_fail(__FILE__, __LINE__, "%s -> %s", patch_state_to_string(moves[i].from),
                                          patch_state_to_string(to));
}

TEST(what_is_not_loaded) {
        _cleanup_(patch_freep) Patch *patch = new_patch();

        assert_state(patch, PATCH_STAGED);
        patch->record = new_record("aa");
        assert_state(patch, PATCH_STAGED);
        patch->runtime = new_runtime(0, NULL);
        assert_state(patch, PATCH_STAGED);
        ASSERT_OK(free_and_strdup(&patch->superseded_by, "lp_two"));
        assert_state(patch, PATCH_SUPERSEDED);
        /* Tried in its stead, and in vain. */
        ASSERT_OK(free_and_strdup(&patch->runtime->failure_text, "no"));
        assert_state(patch, PATCH_FAILED);
}

TEST(what_is_loaded) {
        _cleanup_(patch_freep) Patch *patch = new_patch();

        patch->module.present = true;
        assert_state(patch, PATCH_DISABLED);
        ASSERT_OK(free_and_strdup(&patch->superseded_by, "lp_two"));
        assert_state(patch, PATCH_SUPERSEDED);
        ASSERT_OK(free_and_strdup(&patch->superseded_by, NULL));
        set_klp(patch, true, true);
        assert_state(patch, PATCH_APPLYING);
        set_klp(patch, false, true);
        assert_state(patch, PATCH_REVERTING);
        /* The directory is there for a moment after the end. */
        set_klp(patch, false, false);
        assert_state(patch, PATCH_REVERTING);
        set_klp(patch, true, false);
        assert_state(patch, PATCH_EXTERNAL);
        /* A failure of the past does not matter to what is loaded. */
        patch->runtime = new_runtime(0, "no");
        assert_state(patch, PATCH_EXTERNAL);
}

TEST(whose_build_is_loaded) {
        static const struct {
                const char *recorded, *loaded;
                Tristate verdict;
                PatchState state;
        } cases[] = {
                { "aa", "aa", TRISTATE_YES, PATCH_APPLIED },
                { "aa", "ab", TRISTATE_NO, PATCH_EXTERNAL },
                { "aa", NULL, TRISTATE_NO, PATCH_EXTERNAL },
                { NULL, "aa", TRISTATE_NO, PATCH_EXTERNAL },
                { NULL, NULL, TRISTATE_UNKNOWN, PATCH_EXTERNAL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(patch_freep) Patch *patch = new_patch();

                patch->record = new_record(cases[i].recorded);
                ASSERT_EQ(patch_loaded_is_recorded(patch), TRISTATE_UNKNOWN);
                set_klp(patch, true, false);
                ASSERT_OK(free_and_strdup(&patch->module.build_id, cases[i].loaded));
                ASSERT_EQ(patch_loaded_is_recorded(patch), cases[i].verdict);
                assert_state(patch, cases[i].state);
        }
}

TEST(without_build_ids_the_note_decides) {
        _cleanup_(patch_freep) Patch *patch = new_patch();

        patch->record = new_record(NULL);
        set_klp(patch, true, false);
        patch->runtime = new_runtime(1, NULL);
        assert_state(patch, PATCH_EXTERNAL); /* of another build, or of none */
        ASSERT_OK(free_and_strdup(&patch->runtime->sha256, patch->record->sha256));
        assert_state(patch, PATCH_APPLIED);
        patch->runtime->applied_at = 0;
        assert_state(patch, PATCH_EXTERNAL);
        patch->runtime->pending = true;
        assert_state(patch, PATCH_APPLIED);
}

TEST(with_a_job) {
        static const struct {
                JobType type;
                bool loaded;
                PatchState state;
        } cases[] = {
                { JOB_APPLY, false, PATCH_APPLYING },   { JOB_APPLY, true, PATCH_APPLYING },
                { JOB_REAPPLY, false, PATCH_APPLYING }, { JOB_REAPPLY, true, PATCH_APPLYING },
                { JOB_REVERT, false, PATCH_STAGED },    { JOB_REVERT, true, PATCH_REVERTING },
                { JOB_REMOVE, false, PATCH_STAGED },    { JOB_REMOVE, true, PATCH_REVERTING },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(patch_freep) Patch *patch = new_patch();
                Job job = { .type = cases[i].type, .state = JOB_QUEUED };

                patch->record = new_record("aa");
                patch->job = &job;
                assert_state(patch, PATCH_STAGED);
                for (JobState state = JOB_RUNNING; state <= JOB_CANCELING; state++) {
                        job.state = state;
                        if (cases[i].loaded)
                                set_klp(patch, true, false);
                        assert_state(patch, cases[i].state);
                }
        }
}

TEST(another_kernels_is_staged_whatever_is_loaded) {
        _cleanup_(patch_freep) Patch *patch = NULL;

        ASSERT_OK(patch_new("lp_one", "6.2", false, &patch));
        ASSERT_STREQ(patch->id, "lp_one@6.2");
        set_klp(patch, true, false);
        patch->runtime = new_runtime(1, "no");
        assert_state(patch, PATCH_STAGED);
}

TEST(what_is_no_drift) {
        _cleanup_(patch_freep) Patch *patch = new_patch();

        /* A stranger's patch has nothing to differ from, switched off or not. */
        set_klp(patch, true, false);
        ASSERT_TRUE(patch_update(patch) >= 0);
        ASSERT_EQ(patch->state, PATCH_EXTERNAL);
        ASSERT_NULL(patch->drift);
        patch->klp = klp_patch_free(patch->klp);
        patch->module.present = true;
        ASSERT_TRUE(patch_update(patch) >= 0);
        ASSERT_NULL(patch->drift);
        /* What is for the next boot is not missed in this one. */
        patch->module.present = false;
        patch->record = new_record("aa");
        patch->record->reapply = true;
        ASSERT_TRUE(patch_update(patch) >= 0);
        ASSERT_NULL(patch->drift);
        /* Ours has replaced it. */
        patch->runtime = new_runtime(1, NULL);
        patch->module.present = true;
        ASSERT_OK(free_and_strdup(&patch->superseded_by, "stranger"));
        ASSERT_OK(free_and_strdup(&patch->module.build_id, "aa"));
        ASSERT_TRUE(patch_update(patch) >= 0);
        ASSERT_EQ(patch->state, PATCH_SUPERSEDED);
        ASSERT_NULL(patch->drift);
}

TEST(drift_names_who_and_what_to_do) {
        _cleanup_(patch_freep) Patch *patch = new_patch();

        patch->record = new_record("aa");
        patch->runtime = new_runtime(1, NULL);
        patch->module.present = true;
        ASSERT_OK(free_and_strdup(&patch->superseded_by, "stranger"));
        ASSERT_OK(free_and_strdup(&patch->module.build_id, "aa"));
        ASSERT_OK(free_and_strdup(&patch->replaced_by, "stranger"));
        ASSERT_TRUE(patch_update(patch) >= 0);
        ASSERT_CONTAINS(patch->drift, "'stranger'");
        ASSERT_CONTAINS(patch->drift, "livepatchctl apply --runtime lp_one");
        patch->record->reapply = true;
        ASSERT_TRUE(patch_update(patch) >= 0);
        ASSERT_CONTAINS(patch->drift, "livepatchctl reapply");
        /* A kernel that does not tell which patches replace others. */
        ASSERT_OK(free_and_strdup(&patch->superseded_by, NULL));
        ASSERT_TRUE(patch_update(patch) >= 0);
        ASSERT_EQ(patch->state, PATCH_DISABLED);
        ASSERT_CONTAINS(patch->drift, "or replaced by 'stranger'");
        /* It is on its way out. */
        set_klp(patch, false, true);
        ASSERT_TRUE(patch_update(patch) >= 0);
        ASSERT_EQ(patch->state, PATCH_REVERTING);
        ASSERT_CONTAINS(patch->drift, "is switching it off");
}

TEST(drift) {
        _cleanup_(patch_freep) Patch *patch = new_patch();
        Job job = { .type = JOB_APPLY, .state = JOB_QUEUED };

        patch->record = new_record("aa");
        ASSERT_EQ(patch_update(patch), 0);
        ASSERT_NULL(patch->drift);
        /* Applied, and now gone. */
        patch->runtime = new_runtime(1, NULL);
        ASSERT_EQ(patch_update(patch), PATCH_CHANGED_STATE);
        ASSERT_CONTAINS(patch->drift, "unloaded it");
        ASSERT_EQ(patch_update(patch), 0);
        /* Switched off. */
        patch->module.present = true;
        ASSERT_OK(free_and_strdup(&patch->module.build_id, "aa"));
        ASSERT_EQ(patch_update(patch), PATCH_CHANGED_STATE);
        ASSERT_CONTAINS(patch->drift, "switched off");
        /* A job is about it already. */
        patch->job = &job;
        ASSERT_EQ(patch_update(patch), PATCH_CHANGED_STATE);
        ASSERT_NULL(patch->drift);
        patch->job = NULL;
        /* Another build. */
        set_klp(patch, true, false);
        ASSERT_OK(free_and_strdup(&patch->module.build_id, "bb"));
        ASSERT_EQ(patch_update(patch), PATCH_CHANGED_STATE);
        ASSERT_CONTAINS(patch->drift, "Another build");
        /* As it should be. */
        ASSERT_OK(free_and_strdup(&patch->module.build_id, "aa"));
        ASSERT_EQ(patch_update(patch), PATCH_CHANGED_STATE);
        ASSERT_NULL(patch->drift);
        ASSERT_EQ(patch->state, PATCH_APPLIED);
}

static void load(bool enabled, bool transition) {
        int root_fd = test_tmpdir();

        test_write_file(root_fd, MODULE "initstate", "live\n");
        test_write_file(root_fd, MODULE "refcnt", "1\n");
        test_write_file(root_fd, KLP "enabled", enabled ? "1\n" : "0\n");
        test_write_file(root_fd, KLP "transition", transition ? "1\n" : "0\n");
        test_write_file(root_fd, KLP "vmlinux/patched", "1\n");
        test_write_file(root_fd, KLP "vmlinux/f,1/none", "");
}

TEST(refreshing_tells_what_changed) {
        _cleanup_(patch_freep) Patch *patch = new_patch();
        int root_fd = test_tmpdir();

        ASSERT_EQ(patch_refresh(patch, root_fd), 0);
        load(true, true);
        ASSERT_EQ(patch_refresh(patch, root_fd), PATCH_CHANGED_STATE | PATCH_CHANGED_OBJECTS);
        ASSERT_EQ(patch->state, PATCH_APPLYING);
        ASSERT_TRUE(patch_in_transition(patch));
        ASSERT_EQ(patch_refresh(patch, root_fd), 0);
        load(true, false);
        ASSERT_EQ(patch_refresh(patch, root_fd), PATCH_CHANGED_STATE);
        ASSERT_EQ(patch->state, PATCH_EXTERNAL);
        test_write_file(root_fd, KLP "vmlinux/patched", "0\n");
        ASSERT_EQ(patch_refresh(patch, root_fd), PATCH_CHANGED_OBJECTS);
        test_write_file(root_fd, KLP "vmlinux/g,1/none", "");
        ASSERT_EQ(patch_refresh(patch, root_fd), PATCH_CHANGED_OBJECTS);
        test_write_file(root_fd, KLP "stack_order", "2\n");
        ASSERT_EQ(patch_refresh(patch, root_fd), PATCH_CHANGED_STATE);
        ASSERT_TRUE(patch_is_loaded(patch));
}

TEST(another_kernels_is_not_looked_for) {
        _cleanup_(patch_freep) Patch *patch = NULL;

        load(true, false);
        ASSERT_OK(patch_new("lp_one", "6.2", false, &patch));
        ASSERT_EQ(patch_refresh(patch, test_tmpdir()), 0);
        ASSERT_FALSE(patch_is_loaded(patch));
        ASSERT_NULL(patch->klp);
}

TEST(what_is_cumulative_now) {
        _cleanup_(patch_freep) Patch *patch = new_patch();

        ASSERT_FALSE(patch_is_cumulative_now(patch));
        set_klp(patch, true, false);
        ASSERT_FALSE(patch_is_cumulative_now(patch));
        patch->klp->replace = TRISTATE_YES;
        ASSERT_TRUE(patch_is_cumulative_now(patch));
        patch->klp->transition = true;
        ASSERT_FALSE(patch_is_cumulative_now(patch));
        patch->klp->transition = false;
        patch->klp->enabled = false;
        ASSERT_FALSE(patch_is_cumulative_now(patch));
        patch->klp->enabled = true;
        /* A kernel that does not say: the record does, if it is of what is loaded. */
        patch->klp->replace = TRISTATE_UNKNOWN;
        patch->record = new_record("aa");
        patch->record->replace = TRISTATE_YES;
        ASSERT_OK(free_and_strdup(&patch->module.build_id, "aa"));
        ASSERT_TRUE(patch_is_cumulative_now(patch));
        ASSERT_OK(free_and_strdup(&patch->module.build_id, "bb"));
        ASSERT_FALSE(patch_is_cumulative_now(patch));
}

TEST(ids) {
        static const char *const bad[] = { "", "@", "lp@", "@6.1", "lp-one", "lp/one", "lp@../x", "lp@6.1@6.2",
                                           "lp@.hidden", "l p" };
        _cleanup_free_ char *name = NULL, *release = NULL;

        ASSERT_TRUE(patch_id_parse("lp_one", &name, &release));
        ASSERT_STREQ(name, "lp_one");
        ASSERT_NULL(release);
        free(name);
        name = NULL;
        ASSERT_TRUE(patch_id_parse("lp_one@6.1.0-56-amd64", &name, &release));
        ASSERT_STREQ(name, "lp_one");
        ASSERT_STREQ(release, "6.1.0-56-amd64");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                char *n = NULL, *rel = NULL;

                if (patch_id_parse(bad[i], &n, &rel))
                        test_fail(__FILE__, __LINE__, "'%s' passed", bad[i]);
                ASSERT_NULL(n);
                ASSERT_NULL(rel);
        }
}
