/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every item meets its done exactly once, in order where one thread works, and none waits for nothing. */

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>

#include "daemon/worker.h"
#include "test.h"

#define ITEMS_MAX 512

typedef struct Bench {
        sd_event *event;
        Worker *worker;
        unsigned order[ITEMS_MAX];
        unsigned n_done;
        unsigned n_canceled;
        sem_t go;      /* lets a held item run on */
        sem_t arrived; /* rings when a held item has begun */
} Bench;

typedef struct Item {
        Bench *bench;
        unsigned number;
        bool hold;
        bool ran;
} Item;

static void bench_init(Bench *bench, unsigned threads_max) {
        *bench = (Bench) {};
        ASSERT_OK(sd_event_new(&bench->event));
        ASSERT_OK(worker_new(bench->event, threads_max, &bench->worker));
        ASSERT_EQ(sem_init(&bench->go, 0, 0), 0);
        ASSERT_EQ(sem_init(&bench->arrived, 0, 0), 0);
}

static void bench_done(Bench *bench) {
        worker_free(bench->worker);
        sd_event_unref(bench->event);
        (void) sem_destroy(&bench->go);
        (void) sem_destroy(&bench->arrived);
}

static void run(void *context) {
        Item *item = context;

        item->ran = true;
        if (!item->hold)
                return;
        (void) sem_post(&item->bench->arrived);
        (void) sem_wait(&item->bench->go);
}

static void done(void *context, bool canceled) {
        Item *item = context;
        Bench *bench = item->bench;

        ASSERT_EQ(item->ran, !canceled);
        bench->n_canceled += canceled;
        bench->order[bench->n_done++] = item->number;
        free(item);
}

static void submit(Bench *bench, unsigned number, bool hold) {
        Item *item = malloc(sizeof(Item));

        ASSERT_NOT_NULL(item);
        *item = (Item) { .bench = bench, .number = number, .hold = hold };
        ASSERT_OK(worker_submit(bench->worker, run, done, item));
}

static void wait_for(sem_t *semaphore) {
        struct timespec deadline;

        (void) clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_sec += 10;
        ASSERT_EQ(sem_timedwait(semaphore, &deadline), 0);
}

static void run_until_done(Bench *bench, unsigned n) {
        while (bench->n_done < n)
                ASSERT_TRUE(sd_event_run(bench->event, 10 * USEC_PER_SEC) > 0);
}

TEST(one_thread_keeps_the_order) {
        Bench bench;

        bench_init(&bench, 1);
        ASSERT_TRUE(worker_is_idle(bench.worker));
        for (unsigned i = 0; i < ITEMS_MAX; i++)
                submit(&bench, i, false);
        ASSERT_FALSE(worker_is_idle(bench.worker));
        run_until_done(&bench, ITEMS_MAX);
        for (unsigned i = 0; i < ITEMS_MAX; i++)
                ASSERT_EQ(bench.order[i], i);
        ASSERT_TRUE(worker_is_idle(bench.worker));
        ASSERT_EQ(bench.n_canceled, 0);
        bench_done(&bench);
}

TEST(many_threads_do_everything_once) {
        bool seen[ITEMS_MAX] = {};
        Bench bench;

        bench_init(&bench, 4);
        for (unsigned i = 0; i < ITEMS_MAX; i++)
                submit(&bench, i, false);
        run_until_done(&bench, ITEMS_MAX);
        for (unsigned i = 0; i < ITEMS_MAX; i++) {
                ASSERT_FALSE(seen[bench.order[i]]);
                seen[bench.order[i]] = true;
        }
        bench_done(&bench);
}

/* All threads are idle; two items come in before the first thread has woken up. */
TEST(what_hangs_holds_nobody_else_up) {
        Bench bench;

        bench_init(&bench, 3);
        submit(&bench, 0, false);
        run_until_done(&bench, 1);
        submit(&bench, 1, true);
        submit(&bench, 2, true);
        submit(&bench, 3, true);
        for (unsigned i = 0; i < 3; i++)
                wait_for(&bench.arrived);
        /* That was the last thread. */
        submit(&bench, 4, false);
        ASSERT_EQ(sd_event_run(bench.event, 50 * USEC_PER_MSEC), 0);
        ASSERT_EQ(bench.n_done, 1);
        for (unsigned i = 0; i < 3; i++)
                ASSERT_EQ(sem_post(&bench.go), 0);
        run_until_done(&bench, 5);
        bench_done(&bench);
}

TEST(freed_while_one_runs_and_others_wait) {
        Bench bench;

        bench_init(&bench, 1);
        submit(&bench, 0, true);
        wait_for(&bench.arrived);
        for (unsigned i = 1; i < 10; i++)
                submit(&bench, i, false);
        ASSERT_EQ(sem_post(&bench.go), 0);
        ASSERT_TRUE(worker_stop(bench.worker));
        ASSERT_EQ(bench.n_done, 10);
        ASSERT_TRUE(bench.n_canceled <= 9);
        /* What had run is not canceled, and comes first. */
        ASSERT_EQ(bench.order[0], 0);
        ASSERT_TRUE(worker_is_idle(bench.worker));
        bench_done(&bench);
}

TEST(freed_before_anything_ran) {
        Bench bench;

        bench_init(&bench, 1);
        submit(&bench, 0, true);
        wait_for(&bench.arrived);
        submit(&bench, 1, false);
        ASSERT_EQ(sem_post(&bench.go), 0);
        worker_free(bench.worker);
        bench.worker = NULL;
        ASSERT_EQ(bench.n_done, 2);
        bench_done(&bench);
}

TEST(freed_with_nothing_to_do) {
        Bench bench;

        bench_init(&bench, 2);
        bench_done(&bench);
        ASSERT_NULL(worker_free(NULL));
}

TEST(a_stopped_one_takes_nothing) {
        Bench bench;
        Item item = { .bench = &bench };

        bench_init(&bench, 1);
        ASSERT_TRUE(worker_stop(bench.worker));
        ASSERT_EQ(worker_submit(bench.worker, run, done, &item), -ESHUTDOWN);
        ASSERT_EQ(bench.n_done, 0);
        bench_done(&bench);
}

static void resubmit_done(void *context, bool canceled) {
        Item *item = context;
        Bench *bench = item->bench;

        done(context, canceled);
        if (bench->n_done < 20)
                submit(bench, bench->n_done, false);
}

TEST(done_may_submit) {
        Item *item = malloc(sizeof(Item));
        Bench bench;

        bench_init(&bench, 1);
        ASSERT_NOT_NULL(item);
        *item = (Item) { .bench = &bench };
        ASSERT_OK(worker_submit(bench.worker, run, resubmit_done, item));
        run_until_done(&bench, 2);
        ASSERT_TRUE(worker_is_idle(bench.worker));
        bench_done(&bench);
}

static void read_mask(void *context) {
        (void) pthread_sigmask(SIG_SETMASK, NULL, context);
}

static void nothing(void *context _unused_, bool canceled _unused_) {
}

TEST(threads_leave_signals_to_the_loop) {
        sigset_t mask, before, after;
        Bench bench;

        bench_init(&bench, 1);
        (void) sigemptyset(&mask);
        (void) pthread_sigmask(SIG_SETMASK, NULL, &before);
        ASSERT_OK(worker_submit(bench.worker, read_mask, nothing, &mask));
        while (!worker_is_idle(bench.worker))
                ASSERT_TRUE(sd_event_run(bench.event, 10 * USEC_PER_SEC) > 0);
        ASSERT_EQ(sigismember(&mask, SIGTERM), 1);
        ASSERT_EQ(sigismember(&mask, SIGCHLD), 1);
        (void) pthread_sigmask(SIG_SETMASK, NULL, &after);
        ASSERT_EQ(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
        bench_done(&bench);
}
