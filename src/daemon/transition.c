/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Follows one livepatch transition to its end. */

#include <time.h>

#include "common/string-util.h"
#include "daemon/task-pace.h"
#include "daemon/transition.h"
#include "kmod/klp-sysfs.h"
#include "kmod/klp-tasks.h"

#define POLL_FIRST_USEC (2 * USEC_PER_MSEC)
#define POLL_LAST_USEC USEC_PER_SEC
/* What work items of the kernel do after a transition (klp_free_patch_work_fn() in kernel/livepatch/core.c) comes
 * within a moment, or never: the reference to a patch that was forced is kept for good (klp_force_transition() in
 * kernel/livepatch/transition.c). */
#define CLEANUP_WAIT_USEC (5 * USEC_PER_SEC)

typedef struct TaskCount {
        Transition *transition; /* NULL when it was freed meanwhile */
        int root_fd;
        int target;
        int r;
        unsigned total;
        unsigned pending;
        uint64_t cost_usec;
} TaskCount;

struct Transition {
        sd_event *event;
        int root_fd;
        Worker *counter;
        char *name;
        TransitionCallbacks callbacks;
        void *userdata;
        sd_event_source *poll;
        sd_event_source *stall;
        uint64_t interval_usec;
        TaskPace pace;
        unsigned n_pending; /* as last counted */
        uint64_t next_count_usec;
        uint64_t cleanup_usec; /* since when the kernel cleans up behind it; 0: it does not */
        TaskCount *count;   /* one that is under way */
};

static uint64_t now_monotonic(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

static void count_run(void *context) {
        TaskCount *count = context;
        uint64_t start = now_monotonic();

        count->r = klp_tasks_count(count->root_fd, count->target, &count->total, &count->pending);
        count->cost_usec = now_monotonic() - start;
}

static void count_done(void *context, bool canceled) {
        TaskCount *count = context;
        Transition *transition = count->transition;

        if (transition) {
                transition->count = NULL;
                transition->next_count_usec =
                        now_monotonic() + task_pace_next(&transition->pace, count->cost_usec,
                                                         count->r >= 0 && count->pending != transition->n_pending);
                transition->n_pending = count->pending;
                if (!canceled && count->r >= 0)
                        transition->callbacks.progress(transition->userdata, count->total, count->pending);
        }
        free(count);
}

static void count_tasks(Transition *transition, bool target) {
        TaskCount *count;

        if (transition->count || now_monotonic() < transition->next_count_usec)
                return;
        count = malloc(sizeof(TaskCount));
        if (!count)
                return;
        *count = (TaskCount) { .transition = transition, .root_fd = transition->root_fd, .target = target ? 1 : 0 };
        if (worker_submit(transition->counter, count_run, count_done, count) < 0) {
                free(count);
                return;
        }
        transition->count = count;
}

static void end(Transition *transition, TransitionEnd how) {
        (void) sd_event_source_set_enabled(transition->poll, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(transition->stall, SD_EVENT_OFF);
        transition->callbacks.ended(transition->userdata, how); /* may free the transition */
}

static bool cleanup_takes_too_long(Transition *transition) {
        if (transition->cleanup_usec == 0)
                transition->cleanup_usec = now_monotonic();
        return now_monotonic() - transition->cleanup_usec >= CLEANUP_WAIT_USEC;
}

/* When the directory is gone the kernel still holds the module for a moment: a work item drops the reference. refcnt is
 * -1 where the kernel cannot unload modules. */
static bool reference_dropped(Transition *transition, TransitionEnd *ret_end) {
        KernelModule module = {};
        int r = kernel_module_read(transition->root_fd, transition->name, &module);
        bool dropped;

        if (r < 0)
                return false;
        dropped = !module.present || module.refcnt <= 0 || cleanup_takes_too_long(transition);
        *ret_end = module.present ? TRANSITION_UNPATCHED : TRANSITION_VANISHED;
        kernel_module_done(&module);
        return dropped;
}

/* What a cumulative patch replaces is switched off before the transition ends (klp_unpatch_replaced_patches() in
 * kernel/livepatch/core.c), and has its directory until a work item removes it. Only sysfs of 6.11 and later says which
 * patches replace others: whatever is off and in no transition is on its way out. */
static bool replaced_are_gone(Transition *transition) {
        _cleanup_(klp_patch_list_done) KlpPatchList list = {};

        if (klp_sysfs_list(transition->root_fd, false, &list) < 0)
                return true; /* nothing to wait for that could be seen */
        for (size_t i = 0; i < list.n; i++)
                if (!list.patches[i].enabled && !list.patches[i].transition &&
                    !streq(list.patches[i].name, transition->name))
                        return cleanup_takes_too_long(transition);
        return true;
}

/* Returns true when it has ended (and *transition may be gone). */
static bool look(Transition *transition) {
        bool enabled, in_transition;
        TransitionEnd how;
        int r = klp_sysfs_read_state(transition->root_fd, transition->name, &enabled, &in_transition);

        if (r == -ENOENT || r == -ENODEV) {
                if (!reference_dropped(transition, &how))
                        return false;
                end(transition, how);
                return true;
        }
        if (r < 0)
                return false;
        /* Not in transition and not enabled: between the end and the removal of the directory. */
        if (!in_transition && enabled) {
                if (!replaced_are_gone(transition))
                        return false;
                end(transition, TRANSITION_PATCHED);
                return true;
        }
        transition->cleanup_usec = 0;
        if (in_transition)
                count_tasks(transition, enabled);
        return false;
}

static void look_again_in(Transition *transition, uint64_t usec) {
        (void) sd_event_source_set_time_relative(transition->poll, usec);
        (void) sd_event_source_set_enabled(transition->poll, SD_EVENT_ONESHOT);
}

static int on_poll(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Transition *transition = userdata;

        if (look(transition))
                return 0;
        transition->interval_usec = MIN(transition->interval_usec * 3 / 2, POLL_LAST_USEC);
        look_again_in(transition, transition->interval_usec);
        return 0;
}

void transition_wake(Transition *transition) {
        /* The line comes just before the state is in place: a short series of looks follows. */
        transition->interval_usec = POLL_FIRST_USEC;
        look_again_in(transition, 0);
}

static int on_stall(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Transition *transition = userdata;

        transition->callbacks.stalled(transition->userdata);
        return 0;
}

int transition_new(sd_event *event, int root_fd, Worker *counter, const char *name, uint64_t stall_timeout_usec,
                   const TransitionCallbacks *callbacks, void *userdata, Transition **ret) {
        _cleanup_(transition_freep) Transition *transition = calloc(1, sizeof(Transition));
        int r;

        if (!transition)
                return -ENOMEM;
        transition->event = sd_event_ref(event);
        transition->root_fd = root_fd;
        transition->counter = counter;
        transition->callbacks = *callbacks;
        transition->userdata = userdata;
        transition->interval_usec = POLL_FIRST_USEC;
        transition->name = strdup(name);
        if (!transition->name)
                return -ENOMEM;
        /* Precision of 1 ms: the default of 250 ms would be longer than most transitions. */
        r = sd_event_add_time_relative(event, &transition->poll, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_poll,
                                       transition);
        if (r < 0)
                return r;
        if (stall_timeout_usec != USEC_INFINITY) {
                r = sd_event_add_time_relative(event, &transition->stall, CLOCK_MONOTONIC, stall_timeout_usec, 0,
                                               on_stall, transition);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(transition);
        return 0;
}

Transition *transition_free(Transition *transition) {
        if (!transition)
                return NULL;
        if (transition->count)
                transition->count->transition = NULL;
        (void) sd_event_source_disable_unref(transition->poll);
        (void) sd_event_source_disable_unref(transition->stall);
        (void) sd_event_unref(transition->event);
        free(transition->name);
        free(transition);
        return NULL;
}
