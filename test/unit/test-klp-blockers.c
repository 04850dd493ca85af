/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who holds up a transition, in a fake /proc and /sys. */

#include "common/fd-util.h"
#include "common/string-util.h"
#include "kmod/klp-blockers.h"
#include "test.h"

#define KTHREAD_FLAGS "2129984" /* 0x208040 */
#define SERVICE "0::/system.slice/web.service\n"

static void put(const char *task, const char *file, const char *content) {
        char path[128];

        (void) snprintf(path, sizeof(path), "proc/%s/%s", task, file);
        test_write_file(test_tmpdir(), path, content);
}

/* A thread with everything that a kernel shows of it but its stack. */
static void add_task(const char *task, const char *patch_state, const char *cgroup) {
        put(task, "patch_state", patch_state);
        put(task, "stat", "7 (worker) S 1 7 7 0 -1 4194560 0 0 0\n");
        put(task, "status", "Name:\tworker\nUid:\t1000\t33\t1000\t1000\n");
        put(task, "cgroup", cgroup);
        test_write_bytes(test_tmpdir(), task[0] == '7' ? "proc/7/task/7/cmdline" : "proc/8/task/8/cmdline",
                         "web\0--port\00080", sizeof("web\0--port\00080"));
        put(task, "wchan", "0");
}

static void set_patch(const char *enabled, const char *transition) {
        test_write_file(test_tmpdir(), "sys/kernel/livepatch/fix/enabled", enabled);
        test_write_file(test_tmpdir(), "sys/kernel/livepatch/fix/transition", transition);
        ASSERT_OK(mkdir_parents_at(test_tmpdir(), "sys/kernel/livepatch/fix/vmlinux/do_read,1", 0755));
        ASSERT_OK(mkdir_parents_at(test_tmpdir(), "sys/kernel/livepatch/fix/driver/slow_fn,1", 0755));
}

static void read_list(size_t n_max, size_t n, unsigned n_pending, KlpBlockerList *list) {
        ASSERT_OK(klp_blockers_read(test_tmpdir(), "fix", n_max, list));
        ASSERT_EQ(list->n, n);
        ASSERT_EQ(list->n_pending, n_pending);
}

/* The only blocker, 7. */
static void read_one(KlpBlockerList *list) {
        read_list(10, 1, 1, list);
        ASSERT_EQ(list->blockers[0].tid, 7);
}

TEST(who_it_is) {
        _cleanup_(klp_blocker_list_done) KlpBlockerList list = {};
        const KlpBlocker *b;

        set_patch("1\n", "1\n");
        add_task("7/task/7", "0\n", SERVICE);
        add_task("8/task/8", "1\n", SERVICE);
        read_one(&list);
        b = list.blockers;
        ASSERT_EQ(b->pid, 7);
        ASSERT_EQ(b->uid, 33);
        ASSERT_EQ(b->state, 'S');
        ASSERT_FALSE(b->kernel_thread);
        ASSERT_STREQ(b->comm, "worker");
        ASSERT_STREQ(b->command_line, "web --port 80");
        ASSERT_STREQ(b->cgroup.path, "/system.slice/web.service");
        ASSERT_STREQ(b->cgroup.unit, "web.service");
        ASSERT_STREQ(klp_advice_to_string(b->advice), "restart-unit");
        ASSERT_CONTAINS(b->advice_text, "systemctl restart web.service");
}

TEST(not_in_transition) {
        _cleanup_(klp_blocker_list_done) KlpBlockerList list = {};

        set_patch("1\n", "0\n");
        add_task("7/task/7", "0\n", SERVICE);
        read_list(10, 0, 0, &list);
}

TEST(no_such_patch) {
        _cleanup_(klp_blocker_list_done) KlpBlockerList list = {};

        add_task("7/task/7", "0\n", SERVICE);
        read_list(10, 0, 0, &list);
        ASSERT_EQ(klp_blockers_read(test_tmpdir(), "../fix", 10, &list), -EINVAL);
}

TEST(no_proc) {
        KlpBlockerList list = {};

        set_patch("1\n", "1\n");
        ASSERT_EQ(klp_blockers_read(test_tmpdir(), "fix", 10, &list), -ENOENT);
        ASSERT_EQ(list.n, 0);
}

TEST(idle_and_switched_tasks) {
        _cleanup_(klp_blocker_list_done) KlpBlockerList list = {};

        set_patch("0\n", "1\n");
        add_task("7/task/7", "-1\n", SERVICE);
        add_task("8/task/8", "0\n", SERVICE);
        read_list(10, 0, 0, &list);
}

TEST(more_than_wanted) {
        _cleanup_(klp_blocker_list_done) KlpBlockerList list = {};

        set_patch("1\n", "1\n");
        add_task("7/task/7", "0\n", SERVICE);
        add_task("8/task/8", "0\n", SERVICE);
        read_list(1, 1, 2, &list);
}

TEST(threads_that_end_meanwhile) {
        _cleanup_(klp_blocker_list_done) KlpBlockerList list = {};

        set_patch("1\n", "1\n");
        add_task("7/task/7", "0\n", SERVICE);
        put("8/task/8", "patch_state", "0\n");
        read_one(&list);
}

TEST(kernel_thread) {
        _cleanup_(klp_blocker_list_done) KlpBlockerList list = {};

        set_patch("1\n", "1\n");
        add_task("7/task/7", "0\n", "0::/\n");
        put("7/task/7", "stat", "7 (kworker/0:1) 1) D 2 0 0 0 -1 " KTHREAD_FLAGS " 0\n");
        put("7/task/7", "cmdline", "");
        read_one(&list);
        ASSERT_TRUE(list.blockers[0].kernel_thread);
        ASSERT_STREQ(list.blockers[0].comm, "kworker/0:1) 1");
        ASSERT_STREQ(list.blockers[0].command_line, "");
        ASSERT_NULL(list.blockers[0].cgroup.unit);
        ASSERT_STREQ(klp_advice_to_string(list.blockers[0].advice), "none");
        ASSERT_CONTAINS(list.blockers[0].advice_text, "kernel thread");
}

TEST(stat_that_no_kernel_writes) {
        static const char *const bad[] = { "", "7 worker S 1\n", "7 (worker\n", ")(\n", "7 (worker) S 1 7\n" };
        KlpBlockerList list = {};

        set_patch("1\n", "1\n");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                add_task("7/task/7", "0\n", SERVICE);
                put("7/task/7", "stat", bad[i]);
                ASSERT_EQ(klp_blockers_read(test_tmpdir(), "fix", 10, &list), -EBADMSG);
        }
}

TEST(text_of_others_is_cleaned_and_cut) {
        _cleanup_(klp_blocker_list_done) KlpBlockerList list = {};
        char text[20000];

        memset(text, 'x', sizeof(text));
        memcpy(text, "a\033[2J\nb\0c", 9);
        set_patch("1\n", "1\n");
        add_task("7/task/7", "0\n", SERVICE);
        put("7/task/7", "stat", "7 (\033]0;x\007) S 1 7 7 0 -1 0 0\n");
        test_write_bytes(test_tmpdir(), "proc/7/task/7/cmdline", text, sizeof(text));
        read_one(&list);
        ASSERT_NULL(strchr(list.blockers[0].comm, '\033'));
        ASSERT_EQ(strncmp(list.blockers[0].command_line, "a?[2J b c", 9), 0);
        ASSERT_TRUE(strlen(list.blockers[0].command_line) < 600);
}

TEST(function_by_the_stack) {
        _cleanup_(klp_blocker_list_done) KlpBlockerList list = {};

        set_patch("1\n", "1\n");
        add_task("7/task/7", "0\n", SERVICE);
        put("7/task/7", "stack", "[<0>] msleep+0x2d/0x40\n[<0>] slow_fn+0x1a/0x30 [driver]\n[<0>] do_read+0x1/0x2\n");
        read_one(&list);
        ASSERT_STREQ(klp_stack_status_to_string(list.blockers[0].stack_status), "read");
        ASSERT_STREQ(list.blockers[0].stack[0], "msleep+0x2d/0x40");
        ASSERT_STREQ(list.blockers[0].stack[1], "slow_fn+0x1a/0x30 [driver]");
        ASSERT_STREQ(list.blockers[0].function, "slow_fn");
        ASSERT_STREQ(list.blockers[0].object, "driver");
}

TEST(functions_that_are_not_the_patch_s) {
        static const char *const stacks[] = {
                "",
                "[<0>] slow_fn+0x1a/0x30\n",            /* of the kernel, not of the module */
                "[<0>] do_read+0x1/0x2 [driver]\n",     /* the other way round */
                "[<0>] slow_fn+0x1a/0x30 [driver2]\n",
                "[<0>] slow_fn2+0x1a/0x30 [driver]\n",
                "[<0>] slow_f+0x1a/0x30 [driver]\n",
                "[<0>] new_fn+0x1a/0x30 [fix]\n",       /* its own, but it is being applied */
                "[<0>]\n+0x1/0x2 [\n",
        };

        set_patch("1\n", "1\n");
        add_task("7/task/7", "0\n", SERVICE);
        for (size_t i = 0; i < ELEMENTSOF(stacks); i++) {
                _cleanup_(klp_blocker_list_done) KlpBlockerList list = {};

                put("7/task/7", "stack", stacks[i]);
                read_one(&list);
                ASSERT_NULL(list.blockers[0].function);
                ASSERT_NULL(list.blockers[0].object);
        }
}

TEST(reverting_waits_for_the_patch_s_own_functions) {
        _cleanup_(klp_blocker_list_done) KlpBlockerList list = {};

        set_patch("0\n", "1\n");
        add_task("7/task/7", "1\n", SERVICE);
        put("7/task/7", "stack", "[<0>] slow_fn+0x1a/0x30 [driver]\n[<0>] new_fn+0x1/0x2 [fix]\n");
        read_one(&list);
        ASSERT_STREQ(list.blockers[0].function, "new_fn");
        ASSERT_STREQ(list.blockers[0].object, "fix");
}

TEST(without_a_stack) {
        _cleanup_(klp_blocker_list_done) KlpBlockerList list = {};

        set_patch("1\n", "1\n");
        add_task("7/task/7", "0\n", SERVICE);
        read_one(&list);
        ASSERT_STREQ(klp_stack_status_to_string(list.blockers[0].stack_status), "unavailable");
        ASSERT_NULL(list.blockers[0].stack);
        ASSERT_NULL(list.blockers[0].wchan);
        ASSERT_NULL(list.blockers[0].function);
}

TEST(function_by_the_wait_channel) {
        _cleanup_(klp_blocker_list_done) KlpBlockerList list = {};

        set_patch("1\n", "1\n");
        add_task("7/task/7", "0\n", SERVICE);
        put("7/task/7", "wchan", "do_read");
        read_one(&list);
        ASSERT_STREQ(list.blockers[0].wchan, "do_read");
        ASSERT_STREQ(list.blockers[0].function, "do_read");
        ASSERT_STREQ(list.blockers[0].object, "vmlinux");
}

static void assert_advice(const char *cgroup, const char *advice, const char *text) {
        _cleanup_(klp_blocker_list_done) KlpBlockerList list = {};

        put("7/task/7", "cgroup", cgroup);
        read_one(&list);
        ASSERT_STREQ(klp_advice_to_string(list.blockers[0].advice), advice);
        ASSERT_CONTAINS(list.blockers[0].advice_text, text);
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

TEST(advice) {
        set_patch("1\n", "1\n");
        add_task("7/task/7", "0\n", SERVICE);
        assert_advice(SERVICE, "restart-unit", "systemctl restart web.service");
        assert_advice("0::/machine.slice/systemd-nspawn@box.service/payload\n", "restart-unit", "nspawn@box.service");
        assert_advice("0::/system.slice/dbus.service\n", "none", "cannot be restarted");
        assert_advice("0::/init.scope\n", "none", "init.scope");
        assert_advice("0::/system.slice/run-1.scope\n", "wait", "run-1.scope");
        assert_advice("0::/user.slice/user-1000.slice/session-3.scope\n", "wait", "session of user 33");
        assert_advice("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n", "wait",
                      "systemctl --user restart x.service");
        assert_advice("0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", "wait", "session of user");
        assert_advice("0::/system.slice/docker-" ID ".scope\n", "wait", "docker container 0123456789ab:");
        assert_advice("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope\n", "wait",
                      "podman container 0123456789ab:");
        assert_advice("0::/\n", "wait", "no unit");
        put("7/task/7", "stat", "7 (worker) D 1 7 7 0 -1 4194560 0\n");
        assert_advice(SERVICE, "none", "may not be interruptible");
}
