/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blocking work on threads, its end on the event loop. */

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

#include "daemon/worker.h"

#define JOIN_TIMEOUT_SEC 10

typedef struct WorkItem {
        WorkRun run;
        WorkDone done;
        void *context;
        struct WorkItem *next;
} WorkItem;

typedef struct WorkQueue {
        WorkItem *first;
        WorkItem **last;
} WorkQueue;

/* What the threads share with the loop. Counted: a thread that never comes back keeps it alive. */
typedef struct Shared {
        pthread_mutex_t mutex;
        pthread_cond_t wanted;
        WorkQueue waiting;
        WorkQueue finished;
        unsigned n_waiting; /* items that no thread has taken yet */
        unsigned n_idle;    /* threads that wait for an item, or were woken for one and have not taken it yet */
        unsigned n_references;
        bool stopping;
        int event_fd; /* rings when an item has finished */
} Shared;

struct Worker {
        Shared *shared;
        sd_event_source *source;
        pthread_t *threads;
        unsigned n_threads;
        unsigned threads_max;
        unsigned n_items; /* submitted and not done; the loop's thread only */
};

static void queue_push(WorkQueue *queue, WorkItem *item) {
        item->next = NULL;
        *queue->last = item;
        queue->last = &item->next;
}

static WorkItem *queue_pop(WorkQueue *queue) {
        WorkItem *item = queue->first;

        if (item) {
                queue->first = item->next;
                if (!queue->first)
                        queue->last = &queue->first;
        }
        return item;
}

static void shared_unref(Shared *shared) {
        bool last;

        (void) pthread_mutex_lock(&shared->mutex);
        last = --shared->n_references == 0;
        (void) pthread_mutex_unlock(&shared->mutex);
        if (!last)
                return;
        safe_close(shared->event_fd);
        (void) pthread_cond_destroy(&shared->wanted);
        (void) pthread_mutex_destroy(&shared->mutex);
        free(shared);
}

static void *thread_main(void *argument) {
        Shared *shared = argument;

        (void) pthread_mutex_lock(&shared->mutex);
        for (;;) {
                WorkItem *item = queue_pop(&shared->waiting);

                if (item) {
                        shared->n_waiting--;
                        (void) pthread_mutex_unlock(&shared->mutex);
                        item->run(item->context);
                        (void) pthread_mutex_lock(&shared->mutex);
                        queue_push(&shared->finished, item);
                        (void) eventfd_write(shared->event_fd, 1);
                        continue;
                }
                if (shared->stopping)
                        break;
                shared->n_idle++;
                (void) pthread_cond_wait(&shared->wanted, &shared->mutex);
                shared->n_idle--;
        }
        (void) pthread_mutex_unlock(&shared->mutex);
        shared_unref(shared);
        return NULL;
}

static WorkItem *take_finished(Worker *worker) {
        WorkItem *item;

        (void) pthread_mutex_lock(&worker->shared->mutex);
        item = queue_pop(&worker->shared->finished);
        (void) pthread_mutex_unlock(&worker->shared->mutex);
        return item;
}

static void finish(Worker *worker, WorkItem *item, bool canceled) {
        worker->n_items--;
        item->done(item->context, canceled);
        free(item);
}

static int on_finished(sd_event_source *source _unused_, int fd, uint32_t revents _unused_, void *userdata) {
        Worker *worker = userdata;
        eventfd_t count;
        WorkItem *item;

        (void) eventfd_read(fd, &count);
        while ((item = take_finished(worker)))
                finish(worker, item, false);
        return 0;
}

static int shared_new(Shared **ret) {
        Shared *shared = calloc(1, sizeof(Shared));

        if (!shared)
                return -ENOMEM;
        shared->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (shared->event_fd < 0) {
                int r = negative_errno();

                free(shared);
                return r;
        }
        (void) pthread_mutex_init(&shared->mutex, NULL);
        (void) pthread_cond_init(&shared->wanted, NULL);
        shared->waiting.last = &shared->waiting.first;
        shared->finished.last = &shared->finished.first;
        shared->n_references = 1;
        *ret = shared;
        return 0;
}

int worker_new(sd_event *event, unsigned threads_max, Worker **ret) {
        _cleanup_(worker_freep) Worker *worker = calloc(1, sizeof(Worker));
        int r;

        if (!worker)
                return -ENOMEM;
        worker->threads_max = threads_max;
        worker->threads = calloc(threads_max, sizeof(pthread_t));
        if (!worker->threads)
                return -ENOMEM;
        r = shared_new(&worker->shared);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &worker->source, worker->shared->event_fd, EPOLLIN, on_finished, worker);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(worker);
        return 0;
}

/* False: a thread did not come back in time. */
static bool join_threads(Worker *worker) {
        struct timespec deadline;
        bool all = true;

        /* Early in the boot the wall clock still jumps. */
        (void) clock_gettime(CLOCK_MONOTONIC, &deadline);
        deadline.tv_sec += JOIN_TIMEOUT_SEC;
        for (unsigned i = 0; i < worker->n_threads; i++)
                if (pthread_clockjoin_np(worker->threads[i], NULL, CLOCK_MONOTONIC, &deadline) != 0) {
                        (void) pthread_detach(worker->threads[i]);
                        all = false;
                }
        worker->n_threads = 0;
        return all;
}

bool worker_stop(Worker *worker) {
        Shared *shared = worker->shared;
        WorkQueue never_run = {};
        WorkItem *item;
        bool all;

        (void) pthread_mutex_lock(&shared->mutex);
        never_run.first = shared->waiting.first;
        shared->waiting.first = NULL;
        shared->waiting.last = &shared->waiting.first;
        shared->n_waiting = 0;
        shared->stopping = true;
        (void) pthread_cond_broadcast(&shared->wanted);
        (void) pthread_mutex_unlock(&shared->mutex);
        all = join_threads(worker);
        while ((item = take_finished(worker)))
                finish(worker, item, false);
        while ((item = queue_pop(&never_run)))
                finish(worker, item, true);
        return all;
}

Worker *worker_free(Worker *worker) {
        if (!worker)
                return NULL;
        (void) sd_event_source_disable_unref(worker->source);
        if (worker->shared) {
                (void) worker_stop(worker);
                shared_unref(worker->shared);
        }
        free(worker->threads);
        free(worker);
        return NULL;
}

/* Threads inherit the mask of their creator: with everything blocked, signals reach the loop's thread only. */
static int thread_start(Worker *worker) {
        sigset_t all, before;
        int error;

        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        worker->shared->n_references++;
        error = pthread_create(&worker->threads[worker->n_threads], NULL, thread_main, worker->shared);
        if (error == 0)
                worker->n_threads++;
        else
                worker->shared->n_references--;
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -error;
}

int worker_submit(Worker *worker, WorkRun run, WorkDone done, void *context) {
        Shared *shared = worker->shared;
        WorkItem *item = malloc(sizeof(WorkItem));
        int r = 0;

        if (!item)
                return -ENOMEM;
        *item = (WorkItem) { .run = run, .done = done, .context = context };
        (void) pthread_mutex_lock(&shared->mutex);
        if (shared->stopping) {
                (void) pthread_mutex_unlock(&shared->mutex);
                free(item);
                return -ESHUTDOWN;
        }
        /* A thread that waits may be meant for an item before this one. */
        if (shared->n_waiting >= shared->n_idle && worker->n_threads < worker->threads_max)
                r = thread_start(worker);
        if (worker->n_threads > 0) {
                queue_push(&shared->waiting, item);
                shared->n_waiting++;
                (void) pthread_cond_signal(&shared->wanted);
                r = 0;
        }
        (void) pthread_mutex_unlock(&shared->mutex);
        if (r < 0) {
                free(item);
                return r;
        }
        worker->n_items++;
        return 0;
}

bool worker_is_idle(const Worker *worker) {
        return worker->n_items == 0;
}
