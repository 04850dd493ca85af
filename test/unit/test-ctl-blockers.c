/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What livepatchctl prints about the tasks that hold up a transition. */

#include "common/fd-util.h"
#include "common/string-util.h"
#include "ctl/blockers-stack.h"
#include "ctl/blockers-text.h"
#include "ctl/job-blockers.h"
#include "test.h"

static json_t *blocker(int tid, const char *advice_text) {
        return json_pack("{s:i, s:s, s:s, s:i, s:s, s:s, s:s}", "tid", tid, "comm", "worker", "command_line", "", "uid",
                         4242, "stack_status", "not-permitted", "advice", "wait", "advice_text", advice_text);
}

static json_t *document(int total, json_t *blockers) {
        return json_pack("{s:i, s:s, s:s, s:i, s:o}", "schema", JSON_SCHEMA, "patch", "fix", "state", "applying",
                         "total", total, "blockers", blockers);
}

/* Takes the document over; free the result. */
static char *print(const Options *o, json_t *d) {
        _cleanup_output_ Output out = {};

        ASSERT_EQ(output_begin(&out, o), 0);
        blockers_print(&out, d);
        json_decref(d);
        (void) fflush(out.stream);
        return strdup(out.buffer);
}

static const Options plain = { .legend = true, .host = "other" };

TEST(advice_is_told_once) {
        json_t *three = json_pack("[o, o, o]", blocker(1, "Wait"), blocker(2, "Stop"), blocker(3, "Wait"));
        _cleanup_free_ char *text = print(&plain, document(3, three));

        ASSERT_CONTAINS(text, "\n2 of them: Wait.\n2: Stop.\n");
        ASSERT_NULL(strstr(text, "3: Wait"));
        ASSERT_CONTAINS(text, "[worker]");
        ASSERT_CONTAINS(text, "4242");
        ASSERT_CONTAINS(text, "3 tasks have not switched yet.");
        ASSERT_NULL(strstr(text, "are shown"));
}

static char *names(json_t *blockers) {
        json_auto_t *owned = blockers;

        ASSERT_NOT_NULL(blockers);
        return blockers_name(owned);
}

TEST(in_a_few_words) {
        _cleanup_free_ char *one = names(json_pack("[{s:s,s:i}]", "comm", "lp_busy", "tid", 7));
        _cleanup_free_ char *none = names(json_array());
        _cleanup_free_ char *two = names(json_pack("[{s:s,s:i,s:s,s:i},{s:s,s:i,s:s}]", "comm", "a", "tid", 1, "unit",
                                                   "session-1.scope", "total", 2, "comm", "nginx", "tid", 2, "unit",
                                                   "nginx.service"));
        _cleanup_free_ char *many = names(json_pack("[{s:s,s:i,s:i},{s:s,s:i},{s:s,s:i},{s:s,s:i}]", "comm", "a", "tid",
                                                    1, "total", 2000, "comm", "b", "tid", 2, "comm", "c", "tid", 3,
                                                    "comm", "d", "tid", 4));

        ASSERT_NULL(none);
        ASSERT_STREQ(one, "lp_busy (7)");
        ASSERT_STREQ(two, "a (1) and nginx.service");
        ASSERT_STREQ(many, "a (1), b (2), c (3) and 1997 more");
}

TEST(more_than_are_listed) {
        _cleanup_free_ char *text = print(&plain, document(2345, json_pack("[o]", blocker(1, "Wait"))));

        ASSERT_CONTAINS(text, "2345 tasks have not switched yet. The first 1 are shown.");
}

TEST(why_no_function_is_known) {
        _cleanup_free_ char *hidden = print(&plain, document(1, json_pack("[o]", blocker(1, "Wait")))), *known = NULL;
        json_t *b = blocker(1, "Wait");

        ASSERT_CONTAINS(hidden, "may not read kernel stacks");
        (void) json_object_set_new(b, "function", json_string("slow_fn"));
        (void) json_object_set_new(b, "object", json_string("driver"));
        known = print(&plain, document(1, json_pack("[o]", b)));
        ASSERT_CONTAINS(known, "slow_fn [driver]");
        ASSERT_NULL(strstr(known, "may not read"));
}

TEST(containers_and_their_services) {
        _cleanup_free_ char *scope = NULL, *service = NULL;
        json_t *b = blocker(1, "Wait");

        (void) json_object_set_new(b, "container", json_string("0123456789abcdef"));
        (void) json_object_set_new(b, "container_runtime", json_string("docker"));
        (void) json_object_set_new(b, "unit", json_string("docker-0123456789abcdef.scope"));
        scope = print(&plain, document(1, json_pack("[O]", b)));
        ASSERT_CONTAINS(scope, "docker 0123456789ab ");
        (void) json_object_set_new(b, "unit", json_string("web.service"));
        service = print(&plain, document(1, json_pack("[o]", b)));
        ASSERT_CONTAINS(service, "web.service");
        ASSERT_NULL(strstr(service, "docker"));
}

TEST(full) {
        static const Options full = { .legend = true, .host = "other", .full = true };
        _cleanup_free_ char *without = print(&full, document(1, json_pack("[o]", blocker(7, "Wait")))), *with = NULL;
        json_t *b = blocker(7, "Wait");

        ASSERT_CONTAINS(without, "Thread: 7 (worker)");
        ASSERT_CONTAINS(without, "Kernel stack: not permitted");
        ASSERT_CONTAINS(without, "Advice: Wait");
        ASSERT_NULL(strstr(without, "Unit:"));
        (void) json_object_set_new(b, "stack_status", json_string("read"));
        (void) json_object_set_new(b, "stack", json_pack("[s, s]", "msleep+0x1/0x2", "slow_fn+0x1/0x2 [driver]"));
        with = print(&full, document(1, json_pack("[o]", b)));
        ASSERT_CONTAINS(with, "Kernel stack: msleep+0x1/0x2\n");
        ASSERT_CONTAINS(with, " slow_fn+0x1/0x2 [driver]\n");
}

TEST(without_legend_only_rows) {
        static const Options rows = { .host = "other" };
        _cleanup_free_ char *text = print(&rows, document(1, json_pack("[o]", blocker(7, "Wait"))));

        ASSERT_EQ(strncmp(text, "7 ", 2), 0);
        ASSERT_EQ(strchr(text, '\n') - text, (long) strlen(text) - 1);
}

static void assert_none(json_t *d, const char *wanted) {
        _cleanup_free_ char *text = blockers_describe_none(d);

        json_decref(d);
        ASSERT_CONTAINS(text, wanted);
}

TEST(none) {
        json_t *d = document(0, json_array());

        assert_none(json_pack("{s:n}", "patch"), "No patch is being applied or reverted.");
        assert_none(json_pack("{s:s, s:s}", "patch", "fix", "state", "applied"), "'fix' is applied: no task");
        assert_none(json_incref(d), "the kernel has not begun to switch tasks");
        (void) json_object_set_new(d, "tasks_total", json_integer(134));
        assert_none(d, "134 tasks have switched; what is left are idle processors");
}

/* The document after stacks were looked for, of a thread 7 of process 5. */
static json_t *with_stack(const char *comm, const char *stack) {
        json_t *b = blocker(7, "Wait"), *d;

        (void) json_object_set_new(b, "pid", json_integer(5));
        d = document(1, json_pack("[o]", b));
        ASSERT_OK(mkdir_parents_at(test_tmpdir(), "sys/kernel/livepatch/fix/driver/slow_fn,1", 0755));
        test_write_file(test_tmpdir(), "sys/kernel/livepatch/fix/enabled", "1\n");
        test_write_file(test_tmpdir(), "sys/kernel/livepatch/fix/transition", "1\n");
        test_write_file(test_tmpdir(), "proc/5/task/7/comm", comm);
        if (stack)
                test_write_file(test_tmpdir(), "proc/5/task/7/stack", stack);
        blockers_read_stacks(test_tmpdir(), d);
        return d;
}

#define STACK "[<0>] msleep+0x1/0x2\n[<0>] slow_fn+0x1/0x2 [driver]\n"

TEST(stack_that_the_daemon_may_not_read) {
        json_t *d = with_stack("worker\n", STACK);
        const json_t *b = json_array_get(json_object_get(d, "blockers"), 0);

        ASSERT_STREQ(json_text(b, "stack_status"), "read");
        ASSERT_EQ(json_array_size(json_object_get(b, "stack")), 2);
        ASSERT_STREQ(json_text(b, "function"), "slow_fn");
        ASSERT_STREQ(json_text(b, "object"), "driver");
        json_decref(d);
}

TEST(stacks_that_are_left_alone) {
        /* Nobody may read it; the number is another thread's by now. */
        json_t *documents[] = { with_stack("worker\n", NULL), with_stack("other\n", STACK) };

        for (size_t i = 0; i < ELEMENTSOF(documents); i++) {
                const json_t *b = json_array_get(json_object_get(documents[i], "blockers"), 0);

                ASSERT_STREQ(json_text(b, "stack_status"), "not-permitted");
                ASSERT_NULL(json_object_get(b, "function"));
                json_decref(documents[i]);
        }
}
