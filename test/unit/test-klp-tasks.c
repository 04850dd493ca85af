/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counting threads of a fake /proc. */

#include "common/fd-util.h"
#include "kmod/klp-tasks.h"
#include "test.h"

static void add_task(const char *path, const char *state) {
        char full[128];

        (void) snprintf(full, sizeof(full), "proc/%s/patch_state", path);
        test_write_file(test_tmpdir(), full, state);
}

static void assert_count(int target, unsigned total, unsigned pending) {
        unsigned t = 99, p = 99;

        ASSERT_OK(klp_tasks_count(test_tmpdir(), target, &t, &p));
        ASSERT_EQ(t, total);
        ASSERT_EQ(p, pending);
}

TEST(threads_of_all_processes) {
        add_task("1/task/1", "1\n");
        add_task("20/task/20", "0\n");
        add_task("20/task/21", "1\n");
        add_task("20/task/22", "0\n");
        assert_count(1, 4, 2);
        assert_count(0, 4, 2);
}

TEST(idle_threads_are_not_pending) {
        add_task("1/task/1", "-1\n");
        add_task("2/task/2", "-1\n");
        add_task("3/task/3", "0\n");
        assert_count(1, 3, 1);
        assert_count(0, 3, 0);
}

TEST(what_is_no_thread) {
        add_task("1/task/1", "0\n");
        add_task("self/task/1", "0\n");
        add_task("1x/task/1", "0\n");
        add_task("1/task/thread", "0\n");
        add_task("1/children/2", "0\n");
        test_write_file(test_tmpdir(), "proc/uptime", "1\n");
        test_write_file(test_tmpdir(), "proc/77", "a file\n");
        assert_count(1, 1, 1);
}

TEST(threads_that_end_meanwhile) {
        add_task("1/task/1", "0\n");
        ASSERT_OK(mkdir_parents_at(test_tmpdir(), "proc/2", 0755));
        ASSERT_OK(mkdir_parents_at(test_tmpdir(), "proc/3/task", 0755));
        ASSERT_OK(mkdir_parents_at(test_tmpdir(), "proc/4/task/4", 0755));
        assert_count(1, 1, 1);
}

TEST(no_proc) {
        unsigned total = 99, pending = 99;

        ASSERT_EQ(klp_tasks_count(test_tmpdir(), 1, &total, &pending), -ENOENT);
        ASSERT_EQ(total, 99);
}

TEST(states_that_no_kernel_writes) {
        static const char *const bad[] = { "", "\n", "2\n", "-2\n", "x\n", "01\n", "1 \n", "11111111111\n" };
        unsigned total = 99, pending = 99;

        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
                add_task("1/task/1", bad[i]);
                ASSERT_EQ(klp_tasks_count(test_tmpdir(), 1, &total, &pending), -EBADMSG);
        }
        ASSERT_EQ(pending, 99);
}
