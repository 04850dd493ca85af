/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The follower: every end of a transition is seen, once, whenever it comes, and waiting costs next to nothing. */

#include <fcntl.h>
#include <time.h>

#include "common/fd-util.h"
#include "daemon/transition.h"
#include "test.h"

#define KLP "sys/kernel/livepatch/lp_one"
#define OTHER "sys/kernel/livepatch/lp_other"
#define MODULE "sys/module/lp_one"
#define TASK "proc/1/task/1/patch_state"

typedef struct Follower {
        sd_event *event;
        Worker *counter;
        Transition *transition;
        unsigned n_ended;
        TransitionEnd how;
        unsigned n_stalled;
        unsigned n_progress;
        unsigned total;
        unsigned pending;
        bool free_when_ended;
} Follower;

static void on_ended(void *userdata, TransitionEnd how) {
        Follower *f = userdata;

        f->n_ended++;
        f->how = how;
        if (f->free_when_ended)
                f->transition = transition_free(f->transition);
}

static void on_progress(void *userdata, unsigned total, unsigned pending) {
        Follower *f = userdata;

        f->n_progress++;
        f->total = total;
        f->pending = pending;
}

static void on_stalled(void *userdata) {
        Follower *f = userdata;

        f->n_stalled++;
}

static void follow(Follower *f, uint64_t stall_usec) {
        static const TransitionCallbacks callbacks = { on_ended, on_progress, on_stalled };

        if (!f->event) {
                ASSERT_OK(sd_event_new(&f->event));
                ASSERT_OK(worker_new(f->event, 1, &f->counter));
        }
        f->transition = transition_free(f->transition);
        ASSERT_OK(transition_new(f->event, test_tmpdir(), f->counter, "lp_one", stall_usec, &callbacks, f,
                                 &f->transition));
}

static void follower_done(Follower *f) {
        transition_free(f->transition);
        worker_free(f->counter);
        sd_event_unref(f->event);
}
#define _cleanup_follower_ _cleanup_(follower_done)

static uint64_t now(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

/* Returns how often the loop woke up. */
static unsigned run_for(Follower *f, uint64_t usec) {
        uint64_t until = now() + usec;
        unsigned n = 0;

        for (uint64_t t = now(); t < until; t = now()) {
                int r = sd_event_run(f->event, until - t);

                ASSERT_OK(r);
                n += r > 0;
        }
        return n;
}

static void run_until_ended(Follower *f, uint64_t patience_usec) {
        uint64_t until = now() + patience_usec;

        while (f->n_ended == 0 && now() < until)
                ASSERT_OK(sd_event_run(f->event, until - MIN(until, now())));
        ASSERT_EQ(f->n_ended, 1);
}

/* As a kernel does, in one go. */
static void set(const char *path, const char *value) {
        test_write_file(test_tmpdir(), "new", value);
        ASSERT_EQ(renameat(test_tmpdir(), "new", test_tmpdir(), path), 0);
}

static void load(const char *enabled, const char *transition) {
        test_write_file(test_tmpdir(), MODULE "/initstate", "live\n");
        test_write_file(test_tmpdir(), MODULE "/refcnt", "1\n");
        test_write_file(test_tmpdir(), KLP "/enabled", enabled);
        test_write_file(test_tmpdir(), KLP "/transition", transition);
        test_write_file(test_tmpdir(), TASK, "0\n");
        test_write_file(test_tmpdir(), "proc/2/task/2/patch_state", "1\n");
}

static void drop_directory(void) {
        int root_fd = test_tmpdir();

        ASSERT_EQ(unlinkat(root_fd, KLP "/enabled", 0), 0);
        ASSERT_EQ(unlinkat(root_fd, KLP "/transition", 0), 0);
        ASSERT_EQ(unlinkat(root_fd, KLP, AT_REMOVEDIR), 0);
}

static void drop_module(void) {
        int root_fd = test_tmpdir();

        ASSERT_EQ(unlinkat(root_fd, MODULE "/initstate", 0), 0);
        ASSERT_EQ(unlinkat(root_fd, MODULE "/refcnt", 0), 0);
        ASSERT_EQ(unlinkat(root_fd, MODULE, AT_REMOVEDIR), 0);
}

TEST(over_before_anybody_looked) {
        _cleanup_follower_ Follower f = {};

        load("1", "0");
        follow(&f, USEC_INFINITY);
        /* From the loop, not from within. */
        ASSERT_EQ(f.n_ended, 0);
        run_until_ended(&f, USEC_PER_SEC);
        ASSERT_EQ(f.how, TRANSITION_PATCHED);
        ASSERT_EQ(run_for(&f, 100 * USEC_PER_MSEC), 0);
        ASSERT_EQ(f.n_ended, 1);
}

TEST(what_it_has_replaced_goes_after_it) {
        _cleanup_follower_ Follower f = { .free_when_ended = true };
        int root_fd = test_tmpdir();

        load("1", "1");
        test_write_file(root_fd, OTHER "/enabled", "1\n");
        test_write_file(root_fd, OTHER "/transition", "0\n");
        follow(&f, USEC_INFINITY);
        (void) run_for(&f, 20 * USEC_PER_MSEC);
        set(OTHER "/enabled", "0");
        set(KLP "/transition", "0");
        (void) run_for(&f, 300 * USEC_PER_MSEC);
        ASSERT_EQ(f.n_ended, 0);
        ASSERT_EQ(unlinkat(root_fd, OTHER "/enabled", 0), 0);
        run_until_ended(&f, USEC_PER_SEC);
        ASSERT_EQ(f.how, TRANSITION_PATCHED);
}

TEST(what_is_below_it_stays) {
        _cleanup_follower_ Follower f = { .free_when_ended = true };

        load("1", "0");
        test_write_file(test_tmpdir(), OTHER "/enabled", "1\n");
        test_write_file(test_tmpdir(), OTHER "/transition", "0\n");
        follow(&f, USEC_INFINITY);
        run_until_ended(&f, USEC_PER_SEC);
        ASSERT_EQ(f.how, TRANSITION_PATCHED);
}

TEST(what_is_off_and_never_goes) {
        _cleanup_follower_ Follower f = { .free_when_ended = true };

        load("1", "0");
        test_write_file(test_tmpdir(), OTHER "/enabled", "0\n");
        test_write_file(test_tmpdir(), OTHER "/transition", "0\n");
        follow(&f, USEC_INFINITY);
        (void) run_for(&f, 3 * USEC_PER_SEC);
        ASSERT_EQ(f.n_ended, 0);
        run_until_ended(&f, 5 * USEC_PER_SEC);
        ASSERT_EQ(f.how, TRANSITION_PATCHED);
}

TEST(over_a_little_later) {
        _cleanup_follower_ Follower f = { .free_when_ended = true };
        uint64_t begin;

        load("1", "1");
        follow(&f, USEC_INFINITY);
        (void) run_for(&f, 20 * USEC_PER_MSEC);
        ASSERT_EQ(f.n_ended, 0);
        set(KLP "/transition", "0");
        begin = now();
        run_until_ended(&f, USEC_PER_SEC);
        ASSERT_EQ(f.how, TRANSITION_PATCHED);
        /* It looks often in the beginning: most transitions are short. */
        ASSERT_TRUE(now() - begin < 200 * USEC_PER_MSEC);
}

TEST(over_much_later) {
        _cleanup_follower_ Follower f = { .free_when_ended = true };

        load("1", "1");
        follow(&f, USEC_INFINITY);
        (void) run_for(&f, 4 * USEC_PER_SEC);
        set(KLP "/transition", "0");
        run_until_ended(&f, 3 * USEC_PER_SEC / 2);
        ASSERT_EQ(f.how, TRANSITION_PATCHED);
}

TEST(a_wake_up_is_quicker_than_the_timer) {
        _cleanup_follower_ Follower f = { .free_when_ended = true };
        uint64_t begin;

        load("1", "1");
        follow(&f, USEC_INFINITY);
        (void) run_for(&f, 3500 * USEC_PER_MSEC);
        /* The line comes before the state. */
        transition_wake(f.transition);
        (void) run_for(&f, 5 * USEC_PER_MSEC);
        ASSERT_EQ(f.n_ended, 0);
        set(KLP "/transition", "0");
        begin = now();
        run_until_ended(&f, USEC_PER_SEC);
        ASSERT_TRUE(now() - begin < 200 * USEC_PER_MSEC);
}

TEST(unpatched) {
        _cleanup_follower_ Follower f = { .free_when_ended = true };

        load("0", "1");
        follow(&f, USEC_INFINITY);
        (void) run_for(&f, 10 * USEC_PER_MSEC);
        /* Over, but the kernel's work item has not run yet. */
        set(KLP "/transition", "0");
        (void) run_for(&f, 50 * USEC_PER_MSEC);
        ASSERT_EQ(f.n_ended, 0);
        drop_directory();
        (void) run_for(&f, 200 * USEC_PER_MSEC);
        ASSERT_EQ(f.n_ended, 0);
        set(MODULE "/refcnt", "0");
        run_until_ended(&f, 2 * USEC_PER_SEC);
        ASSERT_EQ(f.how, TRANSITION_UNPATCHED);
}

TEST(vanished) {
        _cleanup_follower_ Follower f = { .free_when_ended = true };

        load("0", "1");
        follow(&f, USEC_INFINITY);
        (void) run_for(&f, 10 * USEC_PER_MSEC);
        drop_directory();
        drop_module();
        run_until_ended(&f, USEC_PER_SEC);
        ASSERT_EQ(f.how, TRANSITION_VANISHED);
}

TEST(never_there) {
        _cleanup_follower_ Follower f = {};

        follow(&f, USEC_INFINITY);
        run_until_ended(&f, USEC_PER_SEC);
        ASSERT_EQ(f.how, TRANSITION_VANISHED);
}

TEST(a_forced_one_keeps_its_reference) {
        _cleanup_follower_ Follower f = { .free_when_ended = true };

        load("0", "1");
        drop_directory();
        follow(&f, USEC_INFINITY);
        (void) run_for(&f, 3 * USEC_PER_SEC);
        ASSERT_EQ(f.n_ended, 0);
        run_until_ended(&f, 5 * USEC_PER_SEC);
        ASSERT_EQ(f.how, TRANSITION_UNPATCHED);
}

TEST(a_kernel_that_cannot_unload) {
        _cleanup_follower_ Follower f = { .free_when_ended = true };

        load("0", "1");
        drop_directory();
        ASSERT_EQ(unlinkat(test_tmpdir(), MODULE "/refcnt", 0), 0);
        follow(&f, USEC_INFINITY);
        run_until_ended(&f, USEC_PER_SEC);
        ASSERT_EQ(f.how, TRANSITION_UNPATCHED);
}

TEST(reversed_by_somebody_else) {
        _cleanup_follower_ Follower f = { .free_when_ended = true };

        load("1", "1");
        follow(&f, USEC_INFINITY);
        (void) run_for(&f, 20 * USEC_PER_MSEC);
        set(KLP "/enabled", "0");
        (void) run_for(&f, 20 * USEC_PER_MSEC);
        ASSERT_EQ(f.n_ended, 0);
        set(MODULE "/refcnt", "0");
        drop_directory();
        run_until_ended(&f, USEC_PER_SEC);
        ASSERT_EQ(f.how, TRANSITION_UNPATCHED);
}

TEST(a_stall_is_told_once_and_costs_nothing) {
        _cleanup_follower_ Follower f = { .free_when_ended = true };
        unsigned n, n_counts;

        load("1", "1");
        follow(&f, 2 * USEC_PER_SEC);
        n = run_for(&f, 10 * USEC_PER_SEC);
        ASSERT_EQ(f.n_ended, 0);
        ASSERT_EQ(f.n_stalled, 1);
        ASSERT_EQ(f.total, 2);
        ASSERT_EQ(f.pending, 1);
        n_counts = f.n_progress;
        ASSERT_TRUE(n_counts >= 3 && n_counts <= 20);
        /* Its own looks, without the ends of the counts: 15 until the interval is 1 s, then one a second. */
        if (n - n_counts > 26)
                test_fail(__FILE__, __LINE__, "%u wake-ups and %u counts in 10 s", n, n_counts);
        set(KLP "/transition", "0");
        run_until_ended(&f, 2 * USEC_PER_SEC);
        ASSERT_EQ(f.n_stalled, 1);
}

TEST(the_count_follows_the_direction) {
        _cleanup_follower_ Follower f = {};

        load("0", "1");
        test_write_file(test_tmpdir(), "proc/3/task/3/patch_state", "0\n");
        test_write_file(test_tmpdir(), "proc/4/task/4/patch_state", "-1\n");
        follow(&f, USEC_INFINITY);
        (void) run_for(&f, 100 * USEC_PER_MSEC);
        ASSERT_EQ(f.n_progress, 1);
        ASSERT_EQ(f.total, 4);
        ASSERT_EQ(f.pending, 1);
}

TEST(freed_while_the_tasks_are_counted) {
        _cleanup_follower_ Follower f = {};

        load("1", "1");
        follow(&f, USEC_PER_SEC);
        while (worker_is_idle(f.counter))
                ASSERT_OK(sd_event_run(f.event, USEC_PER_SEC));
        f.transition = transition_free(f.transition);
        while (!worker_is_idle(f.counter))
                ASSERT_OK(sd_event_run(f.event, USEC_PER_SEC));
        ASSERT_EQ(f.n_progress, 0);
        ASSERT_NULL(transition_free(NULL));
}

TEST(freed_with_the_worker_first) {
        _cleanup_follower_ Follower f = {};

        load("1", "1");
        follow(&f, USEC_PER_SEC);
        while (worker_is_idle(f.counter))
                ASSERT_OK(sd_event_run(f.event, USEC_PER_SEC));
        f.counter = worker_free(f.counter);
        ASSERT_EQ(f.n_ended, 0);
}

TEST(without_processes_to_count) {
        _cleanup_follower_ Follower f = { .free_when_ended = true };

        test_write_file(test_tmpdir(), KLP "/enabled", "1");
        test_write_file(test_tmpdir(), KLP "/transition", "1");
        follow(&f, USEC_INFINITY);
        (void) run_for(&f, 50 * USEC_PER_MSEC);
        ASSERT_EQ(f.n_progress, 0);
        set(KLP "/transition", "0");
        run_until_ended(&f, USEC_PER_SEC);
}
