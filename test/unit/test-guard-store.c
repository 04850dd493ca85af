/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guard records and clean shutdowns on disk; killed or failing at any call, the old state or the new one. */

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "daemon/guard-store.h"
#include "fault.h"
#include "test.h"

#define RELEASE "6.1.0-56-amd64"
#define GUARD "var/lib/livepatch/guard"
#define FILE_OF(name) GUARD "/" RELEASE "/" name ".json"
#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static Store *open_store(void) {
        Store *store;

        ASSERT_EQ(store_open(test_tmpdir(), 0, &store, NULL), 0);
        return store;
}

static GuardRecord *record(const char *name, unsigned crashes) {
        GuardRecord *r;

        ASSERT_OK(guard_record_arm(NULL, name, RELEASE, SHA, "boot", 1, &r));
        r->crashes = crashes;
        return r;
}

static int put(Store *store, const char *name, unsigned crashes, Failure *f) {
        _cleanup_(guard_record_freep) GuardRecord *r = record(name, crashes);

        return store_put_guard(store, r, f);
}

/* -1: there is none. */
static int crashes_of(Store *store, const char *name) {
        _cleanup_(guard_record_freep) GuardRecord *r = NULL;
        int error = store_read_guard(store, RELEASE, name, &r, NULL);

        if (error == -ENOENT)
                return -1;
        ASSERT_EQ(error, 0);
        return (int) r->crashes;
}

TEST(put_read_remove) {
        _cleanup_(store_closep) Store *store = open_store();

        ASSERT_EQ(crashes_of(store, "lp_fix"), -1);
        ASSERT_EQ(store_remove_guard(store, RELEASE, "lp_fix", NULL), 0);
        ASSERT_EQ(put(store, "lp_fix", 1, NULL), 0);
        ASSERT_EQ(put(store, "lp_fix", 2, NULL), 0);
        ASSERT_EQ(crashes_of(store, "lp_fix"), 2);
        ASSERT_EQ(crashes_of(store, "lp_other"), -1);
        ASSERT_EQ(store_remove_guard(store, RELEASE, "lp_fix", NULL), 0);
        ASSERT_EQ(crashes_of(store, "lp_fix"), -1);
}

TEST(names_that_are_paths) {
        _cleanup_(store_closep) Store *store = open_store();
        GuardRecord *r;

        ASSERT_EQ(store_read_guard(store, "..", "lp_fix", &r, NULL), -ENOENT);
        ASSERT_EQ(store_read_guard(store, RELEASE, "../lp_fix", &r, NULL), -ENOENT);
        ASSERT_EQ(store_remove_guard(store, RELEASE, "../../patches", NULL), 0);
}

static size_t load(Store *store, char ***problems) {
        GuardList list = {};
        size_t n;

        ASSERT_EQ(store_load_guard(store, &list, problems, NULL), 0);
        n = list.n;
        guard_list_done(&list);
        return n;
}

TEST(loads_all_releases) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(guard_record_freep) GuardRecord *other = NULL;
        _cleanup_strv_free_ char **problems = NULL;

        ASSERT_EQ(load(store, &problems), 0);
        ASSERT_EQ(put(store, "lp_one", 0, NULL), 0);
        ASSERT_EQ(put(store, "lp_two", 0, NULL), 0);
        ASSERT_OK(guard_record_arm(NULL, "lp_one", "5.10", SHA, "boot", 1, &other));
        ASSERT_EQ(store_put_guard(store, other, NULL), 0);
        ASSERT_EQ(load(store, &problems), 3);
        ASSERT_EQ(strv_length(problems), 0);
}

static void assert_set_aside(void (*damage)(void)) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_strv_free_ char **problems = NULL, **aside = NULL;

        ASSERT_EQ(put(store, "lp_good", 0, NULL), 0);
        ASSERT_EQ(put(store, "lp_fix", 0, NULL), 0);
        damage();
        ASSERT_EQ(load(store, &problems), 1);
        ASSERT_EQ(strv_length(problems), 1);
        ASSERT_CONTAINS(problems[0], "/var/lib/livepatch/guard/" RELEASE "/lp_fix.json is damaged: ");
        ASSERT_EQ(list_dir_at(test_tmpdir(), "var/lib/livepatch/damaged", &aside), 1);
        /* Said once. */
        ASSERT_EQ(load(store, &problems), 1);
        ASSERT_EQ(strv_length(problems), 1);
        ASSERT_EQ(put(store, "lp_fix", 0, NULL), 0);
        ASSERT_EQ(load(store, &problems), 2);
}

static void write_junk(void) {
        test_write_file(test_tmpdir(), FILE_OF("lp_fix"), "{}\n");
}

static void copy_neighbour(void) {
        ASSERT_OK(unlinkat(test_tmpdir(), FILE_OF("lp_fix"), 0));
        ASSERT_OK(linkat(test_tmpdir(), FILE_OF("lp_good"), test_tmpdir(), FILE_OF("lp_fix"), 0));
}

static void link_to_it(void) {
        ASSERT_OK(renameat(test_tmpdir(), FILE_OF("lp_fix"), test_tmpdir(), FILE_OF("lp_fix") ".real"));
        ASSERT_OK(symlinkat("lp_fix.json.real", test_tmpdir(), FILE_OF("lp_fix")));
}

static void let_others_write(void) {
        ASSERT_OK(fchmodat(test_tmpdir(), FILE_OF("lp_fix"), 0666, 0));
}

static void make_it_a_directory(void) {
        ASSERT_OK(unlinkat(test_tmpdir(), FILE_OF("lp_fix"), 0));
        ASSERT_OK(mkdirat(test_tmpdir(), FILE_OF("lp_fix"), 0700));
}

TEST(junk_is_set_aside) {
        assert_set_aside(write_junk);
}

TEST(anothers_record_is_set_aside) {
        assert_set_aside(copy_neighbour);
}

TEST(a_link_is_set_aside) {
        assert_set_aside(link_to_it);
}

TEST(what_others_may_write_is_set_aside) {
        assert_set_aside(let_others_write);
}

TEST(a_directory_is_set_aside) {
        assert_set_aside(make_it_a_directory);
}

TEST(leftovers_of_a_power_cut) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_strv_free_ char **problems = NULL;

        ASSERT_EQ(put(store, "lp_fix", 0, NULL), 0);
        test_write_file(test_tmpdir(), FILE_OF("lp_fix") TEMPORARY_SUFFIX, "torn");
        ASSERT_EQ(load(store, &problems), 1);
        ASSERT_EQ(strv_length(problems), 0);
        ASSERT_FALSE(exists_at(test_tmpdir(), FILE_OF("lp_fix") TEMPORARY_SUFFIX));
}

/* ---- Clean shutdowns ---- */

static void set_boot_id(const char *id) {
        test_write_file(test_tmpdir(), "proc/sys/kernel/random/boot_id", id);
}

static bool ended_cleanly(Store *store, const char *id) {
        _cleanup_strv_free_ char **ids = NULL;

        ASSERT_OK(store_clean_shutdowns(store, &ids));
        for (char **i = ids; i && *i; i++)
                if (streq(*i, id))
                        return true;
        return false;
}

TEST(clean_shutdowns) {
        _cleanup_(store_closep) Store *store = open_store();

        ASSERT_FALSE(ended_cleanly(store, "ab"));
        set_boot_id("a-b\n");
        ASSERT_EQ(guard_mark_shutdown(test_tmpdir(), false, NULL), 0);
        ASSERT_FALSE(exists_at(test_tmpdir(), GUARD));
        /* The lock is held by somebody else. */
        ASSERT_EQ(guard_mark_shutdown(test_tmpdir(), true, NULL), 0);
        ASSERT_TRUE(ended_cleanly(store, "ab"));
        /* The unit was only restarted. */
        ASSERT_EQ(guard_mark_shutdown(test_tmpdir(), false, NULL), 0);
        ASSERT_FALSE(ended_cleanly(store, "ab"));
        ASSERT_EQ(guard_mark_shutdown(test_tmpdir(), true, NULL), 0);
        /* One in which nothing of ours ran. */
        set_boot_id("c-d\n");
        ASSERT_EQ(guard_mark_shutdown(test_tmpdir(), false, NULL), 0);
        ASSERT_EQ(guard_mark_shutdown(test_tmpdir(), true, NULL), 0);
        ASSERT_TRUE(ended_cleanly(store, "ab"));
        ASSERT_TRUE(ended_cleanly(store, "cd"));
        ASSERT_FALSE(ended_cleanly(store, "ef"));
}

TEST(the_list_does_not_grow_for_ever) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_strv_free_ char **ids = NULL;

        for (unsigned i = 0; i < 100; i++) {
                char id[8];

                (void) snprintf(id, sizeof(id), "%u", i);
                set_boot_id(id);
                ASSERT_EQ(guard_mark_shutdown(test_tmpdir(), true, NULL), 0);
        }
        ASSERT_OK(store_clean_shutdowns(store, &ids));
        ASSERT_EQ(strv_length(ids), 32);
        ASSERT_STREQ(ids[0], "99");
}

TEST(a_damaged_list) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(guard_record_freep) GuardRecord *r = record("lp_fix", 0);

        set_boot_id("ab");
        ASSERT_EQ(store_put_guard(store, r, NULL), 0);
        test_write_file(test_tmpdir(), GUARD "/clean-shutdown", "\n\n\x1b[1m\nab\n");
        ASSERT_TRUE(ended_cleanly(store, "ab"));
        ASSERT_FALSE(ended_cleanly(store, ""));
        ASSERT_FALSE(ended_cleanly(store, "\x1b[1m"));
        ASSERT_OK(fchmodat(test_tmpdir(), GUARD "/clean-shutdown", 0666, 0));
        ASSERT_FALSE(ended_cleanly(store, "ab"));
        ASSERT_EQ(guard_mark_shutdown(test_tmpdir(), true, NULL), 0);
        ASSERT_TRUE(ended_cleanly(store, "ab"));
}

TEST(no_boot_id) {
        ASSERT_TRUE(guard_mark_shutdown(test_tmpdir(), true, NULL) < 0);
        set_boot_id("--\n");
        ASSERT_TRUE(guard_mark_shutdown(test_tmpdir(), true, NULL) < 0);
}

/* ---- Faults ---- */

static void act_put(Store *store, Failure *f) {
        (void) put(store, "lp_fix", 2, f);
}

static void act_remove(Store *store, Failure *f) {
        (void) store_remove_guard(store, RELEASE, "lp_fix", f);
}

static unsigned count_calls(void (*act)(Store *store, Failure *f)) {
        _cleanup_(store_closep) Store *store = open_store();

        ASSERT_EQ(put(store, "lp_fix", 1, NULL), 0);
        fault_arm(FAULT_COUNT, 0, 0);
        act(store, NULL);
        return fault_disarm();
}

static void survive(void (*act)(Store *store, Failure *f), int after) {
        unsigned n = count_calls(act);

        ASSERT_TRUE(n > 1);
        for (unsigned call = 1; call <= n; call++) {
                _cleanup_(store_closep) Store *store = open_store();
                _cleanup_strv_free_ char **problems = NULL;
                int status, found;
                pid_t pid;

                ASSERT_EQ(put(store, "lp_fix", 1, NULL), 0);
                pid = fork();
                ASSERT_OK(pid);
                if (pid == 0) {
                        fault_arm(FAULT_KILL, call, 0);
                        act(store, NULL);
                        _exit(0);
                }
                ASSERT_EQ(waitpid(pid, &status, 0), pid);
                ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == FAULT_EXIT_STATUS);
                found = crashes_of(store, "lp_fix");
                if (found != 1 && found != after)
                        test_fail(__FILE__, __LINE__, "killed at call %u: %d", call, found);
                (void) load(store, &problems);
                ASSERT_EQ(strv_length(problems), 0);
        }
}

TEST(killed_while_writing) {
        survive(act_put, 2);
}

TEST(killed_while_removing) {
        survive(act_remove, -1);
}

TEST(a_full_disk) {
        unsigned n = count_calls(act_put);

        for (unsigned call = 1; call <= n; call++) {
                _cleanup_(store_closep) Store *store = open_store();
                _cleanup_failure_ Failure failure = {};

                ASSERT_EQ(put(store, "lp_fix", 1, NULL), 0);
                fault_arm(FAULT_FAIL_ALL, call, ENOSPC);
                act_put(store, &failure);
                (void) fault_disarm();
                ASSERT_EQ(failure.code, REFUSED_STORE_FAILED);
                ASSERT_CONTAINS(failure.text, "No space left on device");
        }
}
