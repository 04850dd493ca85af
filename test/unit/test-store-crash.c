/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store's promise: killed or failing at any call that changes the disk, it is in the old state or in the new one.
 *
 * Each scenario is run once to learn both states, then once for every such call of it and every kind of fault. A state
 * is everything that store_load() says in this boot and in the next one, and every file that is left after that. */

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "fault.h"
#include "store-fixture.h"
#include "test.h"

#define BOOT "boot"
#define NEXT_BOOT "next"
#define PATCHES STATE "/patches"
#define MANIFEST PATCHES "/" RELEASE "/lp_fix/manifest.json"

/* One run of a scenario, in a root directory of its own. */
typedef struct Run {
        int root_fd;
        Store *store;
        ModuleImage *image;  /* what act() stages, made before faults are armed */
        PatchRecord *record; /* what act() puts */
} Run;

typedef struct Scenario {
        void (*prepare)(Run *run);
        int (*act)(Run *run, Failure *f);
        bool quiet; /* a failure is not the caller's business: the next load does it */
} Scenario;

/* ---- Scenarios ---- */

static void expect_image(Run *run, const char *bytes, const char *boot_id) {
        run->image = fixture_image(bytes);
        run->record = fixture_record("lp_fix", bytes, boot_id);
        run->record->order = 5;
}

static int act_stage(Run *run, Failure *f) {
        int r = store_put_module(run->store, RELEASE, "lp_fix", run->image, f);

        return r != 0 ? r : store_put(run->store, run->record, f);
}

static int act_put(Run *run, Failure *f) {
        return store_put(run->store, run->record, f);
}

static int act_remove(Run *run, Failure *f) {
        return store_remove(run->store, RELEASE, "lp_fix", f);
}

static int act_load_in_next_boot(Run *run, Failure *f) {
        _cleanup_strv_free_ char **problems = NULL;
        RecordList list = {};
        int r = store_load(run->store, NEXT_BOOT, &list, &problems, f);

        record_list_done(&list);
        return r;
}

static void prepare_nothing(Run *run) {
        expect_image(run, "first build", NULL);
}

static void prepare_other_build(Run *run) {
        patch_record_free(fixture_put(run->store, "lp_fix", "first build", NULL));
        expect_image(run, "second build", NULL);
}

static void prepare_neighbour(Run *run) {
        patch_record_free(fixture_put(run->store, "lp_neighbour", "neighbour", NULL));
        expect_image(run, "first build", NULL);
}

static void prepare_reapply(Run *run) {
        run->record = fixture_put(run->store, "lp_fix", "first build", NULL);
        run->record->reapply = true;
}

static void prepare_removal(Run *run) {
        patch_record_free(fixture_put(run->store, "lp_fix", "first build", NULL));
}

static void prepare_transient_over_persisted(Run *run) {
        patch_record_free(fixture_put(run->store, "lp_fix", "first build", NULL));
        expect_image(run, "second build", BOOT);
}

static void prepare_transient_to_keep(Run *run) {
        patch_record_free(fixture_put(run->store, "lp_fix", "first build", NULL));
        run->record = fixture_put(run->store, "lp_fix", "second build", BOOT);
        ASSERT_OK(free_and_strdup(&run->record->transient_boot_id, NULL));
}

static void prepare_transient_to_take_back(Run *run) {
        run->record = fixture_put(run->store, "lp_fix", "first build", NULL);
        patch_record_free(fixture_put(run->store, "lp_fix", "second build", BOOT));
}

static void prepare_transient(Run *run) {
        patch_record_free(fixture_put(run->store, "lp_fix", "first build", BOOT));
}

static void prepare_transient_over(Run *run) {
        patch_record_free(fixture_put(run->store, "lp_fix", "first build", NULL));
        patch_record_free(fixture_put(run->store, "lp_fix", "second build", BOOT));
}

static void prepare_damage(Run *run) {
        patch_record_free(fixture_put(run->store, "lp_fix", "first build", NULL));
        test_write_file(run->root_fd, MANIFEST, "junk");
}

static void prepare_leftovers(Run *run) {
        patch_record_free(fixture_put(run->store, "lp_fix", "first build", NULL));
        test_write_file(run->root_fd, MANIFEST ".tmp~", "torn");
        test_write_file(run->root_fd, PATCHES "/5.10/lp_other/manifest.json.tmp~", "torn");
}

/* ---- Runs ---- */

static Run run_begin(const Scenario *scenario) {
        static unsigned serial;
        _cleanup_free_ char *name = NULL;
        Run run = {};

        ASSERT_TRUE(asprintf(&name, "%u", serial++) > 0);
        ASSERT_OK(mkdirat(test_tmpdir(), name, 0700));
        run.root_fd = openat(test_tmpdir(), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(run.root_fd);
        ASSERT_EQ(store_open(run.root_fd, 0, &run.store, NULL), 0);
        scenario->prepare(&run);
        return run;
}

static void run_end(Run *run) {
        store_close(run->store);
        module_image_unref(run->image);
        patch_record_free(run->record);
        safe_close(run->root_fd);
}

static void append(char **text, const char *more) {
        char *joined;

        ASSERT_TRUE(asprintf(&joined, "%s%s", strempty(*text), more) >= 0);
        free(*text);
        *text = joined;
}

/* The names of all files and directories below a path. */
static void describe_tree(int root_fd, const char *path, char **text) {
        _cleanup_strv_free_ char **names = NULL;
        int r = list_dir_at(root_fd, path, &names);

        if (r == -ENOENT || r == -ENOTDIR)
                return;
        ASSERT_OK(r);
        for (char **name = names; *name; name++) {
                _cleanup_free_ char *child = NULL;

                ASSERT_TRUE(asprintf(&child, "%s/%s", path, *name) > 0);
                append(text, child);
                append(text, "\n");
                describe_tree(root_fd, child, text);
        }
}

static void describe_record(Store *store, const PatchRecord *record, char **text) {
        _cleanup_free_ char *manifest = NULL, *bytes = NULL;
        _cleanup_close_ int fd = store_open_module(store, record, NULL);

        ASSERT_OK(fd);
        ASSERT_OK(read_fd(fd, KIB(64), &bytes, NULL));
        ASSERT_EQ(patch_record_format(record, &manifest), 0);
        append(text, manifest);
        append(text, bytes);
        append(text, "\n");
}

static void describe_boot(int root_fd, const char *boot_id, char **text) {
        _cleanup_(store_closep) Store *store = NULL;
        _cleanup_strv_free_ char **problems = NULL;
        RecordList list = {};

        ASSERT_EQ(store_open(root_fd, 0, &store, NULL), 0);
        ASSERT_EQ(store_load(store, boot_id, &list, &problems, NULL), 0);
        for (size_t i = 0; i < list.n; i++)
                describe_record(store, list.records[i], text);
        for (size_t i = 0; i < strv_length(problems); i++)
                append(text, problems[i]);
        record_list_done(&list);
        describe_tree(root_fd, PATCHES, text);
}

/* The caller must have closed the store. */
static char *describe(int root_fd) {
        char *text = NULL;

        describe_boot(root_fd, BOOT, &text);
        append(&text, "---- next boot ----\n");
        describe_boot(root_fd, NEXT_BOOT, &text);
        return text;
}

typedef struct States {
        char *old;
        char *old_tree; /* before any load */
        char *new;
        unsigned n_calls;
} States;

static void states_done(States *states) {
        free(states->old);
        free(states->old_tree);
        free(states->new);
}
#define _cleanup_states_ _cleanup_(states_done)

static char *old_state(const Scenario *scenario, char **ret_tree) {
        Run run = run_begin(scenario);
        char *text;

        append(ret_tree, "");
        describe_tree(run.root_fd, PATCHES, ret_tree);
        run.store = store_close(run.store);
        text = describe(run.root_fd);
        run_end(&run);
        return text;
}

static States learn_states(const Scenario *scenario) {
        States states = {};
        Run run;

        states.old = old_state(scenario, &states.old_tree);
        run = run_begin(scenario);
        fault_arm(FAULT_COUNT, 0, 0);
        ASSERT_EQ(scenario->act(&run, NULL), 0);
        states.n_calls = fault_disarm();
        run.store = store_close(run.store);
        states.new = describe(run.root_fd);
        run_end(&run);
        ASSERT_TRUE(states.n_calls > 0);
        return states;
}

static void assert_state(const char *state, const char *a, const char *b, const char *what, unsigned call) {
        if (!streq(state, a) && (!b || !streq(state, b)))
                test_fail(__FILE__, __LINE__, "%s at call %u: neither the old nor the new state, but:\n%s", what, call,
                          state);
}

/* ---- Faults ---- */

static int wait_for(pid_t pid) {
        int status;

        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_TRUE(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void kill_at(const Scenario *scenario, const States *states, unsigned call) {
        Run run = run_begin(scenario);
        _cleanup_free_ char *state = NULL;
        pid_t pid;

        /* The child inherits the lock along with the store; the parent lets go of its share. */
        pid = fork();
        ASSERT_OK(pid);
        if (pid == 0) {
                fault_arm(FAULT_KILL, call, 0);
                (void) scenario->act(&run, NULL);
                _exit(0);
        }
        ASSERT_EQ(wait_for(pid), FAULT_EXIT_STATUS);
        run.store = store_close(run.store);
        state = describe(run.root_fd);
        assert_state(state, states->old, states->new, "killed", call);
        run_end(&run);
}

static void assert_failure(const Failure *failure, int error) {
        ASSERT_EQ(failure->code, REFUSED_STORE_FAILED);
        ASSERT_CONTAINS(failure->text, "/var/lib/livepatch: ");
        ASSERT_CONTAINS(failure->text, strerror(error));
        ASSERT_CONTAINS(failure->text, "then try again");
}

static void fail_at(const Scenario *scenario, const States *states, unsigned call, int error) {
        Run run = run_begin(scenario);
        _cleanup_failure_ Failure failure = {};
        _cleanup_free_ char *state = NULL, *tree = NULL;
        int r;

        fault_arm(FAULT_FAIL, call, error);
        r = scenario->act(&run, &failure);
        (void) fault_disarm();
        append(&tree, "");
        describe_tree(run.root_fd, PATCHES, &tree);
        run.store = store_close(run.store);
        state = describe(run.root_fd);
        if (r == 0)
                assert_state(state, states->new, scenario->quiet ? states->old : NULL, "failed quietly", call);
        else {
                assert_failure(&failure, error);
                ASSERT_CONTAINS(failure.text, "Nothing was changed");
                assert_state(state, states->old, NULL, "failed", call);
                ASSERT_STREQ(tree, states->old_tree);
        }
        run_end(&run);
}

static void fail_from(const Scenario *scenario, const States *states, unsigned call, int error) {
        Run run = run_begin(scenario);
        _cleanup_failure_ Failure failure = {};
        _cleanup_free_ char *state = NULL;
        int r;

        fault_arm(FAULT_FAIL_ALL, call, error);
        r = scenario->act(&run, &failure);
        (void) fault_disarm();
        run.store = store_close(run.store);
        state = describe(run.root_fd);
        assert_state(state, states->old, states->new, "failing from", call);
        if (r != 0) {
                assert_failure(&failure, error);
                if (strstr(failure.text, "Nothing was changed"))
                        assert_state(state, states->old, NULL, "said to be unchanged, failing from", call);
        }
        run_end(&run);
}

static void check(const Scenario *scenario) {
        _cleanup_states_ States states = learn_states(scenario);

        for (unsigned call = 1; call <= states.n_calls; call++) {
                kill_at(scenario, &states, call);
                fail_at(scenario, &states, call, ENOSPC);
                fail_at(scenario, &states, call, EIO);
                fail_from(scenario, &states, call, EROFS);
        }
}

#define CRASH_TEST(name, ...)                                   \
        TEST(name) {                                            \
                static const Scenario scenario = __VA_ARGS__;   \
                check(&scenario);                               \
        }

CRASH_TEST(stage_the_first, { prepare_nothing, act_stage, false })
CRASH_TEST(stage_beside_another, { prepare_neighbour, act_stage, false })
CRASH_TEST(replace_a_build, { prepare_other_build, act_stage, false })
CRASH_TEST(set_reapply, { prepare_reapply, act_put, false })
CRASH_TEST(remove, { prepare_removal, act_remove, false })
CRASH_TEST(remove_a_transient_build_and_what_it_shadows, { prepare_transient_over, act_remove, false })
CRASH_TEST(apply_over_a_persisted_build, { prepare_transient_over_persisted, act_stage, false })
CRASH_TEST(keep_a_transient_build, { prepare_transient_to_keep, act_put, false })
CRASH_TEST(take_a_transient_build_back, { prepare_transient_to_take_back, act_put, false })
CRASH_TEST(forget_a_transient_build, { prepare_transient, act_load_in_next_boot, true })
CRASH_TEST(restore_the_persisted_build, { prepare_transient_over, act_load_in_next_boot, true })
CRASH_TEST(set_aside_what_is_damaged, { prepare_damage, act_load_in_next_boot, true })
CRASH_TEST(sweep_leftovers, { prepare_leftovers, act_load_in_next_boot, true })

TEST(texts_name_the_cause) {
        static const Scenario scenario = { prepare_nothing, act_stage, false };
        static const struct {
                int error;
                const char *advice;
        } cases[] = {
                { ENOSPC, "Free some space" },
                { EDQUOT, "Free some space" },
                { EROFS, "Make the file system writable" },
                { EACCES, "Check the owner and mode" },
                { EIO, "kernel log" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Run run = run_begin(&scenario);
                _cleanup_failure_ Failure failure = {};

                fault_arm(FAULT_FAIL_ALL, 1, cases[i].error);
                ASSERT_EQ(scenario.act(&run, &failure), REFUSED_STORE_FAILED);
                (void) fault_disarm();
                assert_failure(&failure, cases[i].error);
                ASSERT_CONTAINS(failure.text, cases[i].advice);
                run_end(&run);
        }
}
