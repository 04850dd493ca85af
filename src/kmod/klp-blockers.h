/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tasks that hold up a transition: who they are, where they are, and what can be done about them. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/macro.h"
#include "kmod/task-cgroup.h"

/* Why there is a kernel stack, or none. */
typedef enum KlpStackStatus {
        KLP_STACK_READ,
        KLP_STACK_NOT_PERMITTED,
        KLP_STACK_UNAVAILABLE, /* this kernel does not show any */
        _KLP_STACK_STATUS_MAX,
} KlpStackStatus;

typedef enum KlpAdvice {
        KLP_ADVICE_NONE,         /* nothing but waiting is safe, and the text says why */
        KLP_ADVICE_WAIT,         /* the kernel goes on trying; the text says what else may help */
        KLP_ADVICE_RESTART_UNIT, /* a service that can be restarted */
        _KLP_ADVICE_MAX,
} KlpAdvice;

typedef struct KlpBlocker {
        pid_t tid;
        pid_t pid;
        char *comm;         /* of the thread */
        char *command_line; /* of the process, cleaned and cut; empty for a kernel thread */
        uid_t uid;          /* effective; (uid_t) -1 unknown */
        char state;         /* proc_pid_stat(5): 'R' running, 'S' sleeping, 'D' uninterruptible, ... */
        bool kernel_thread;
        TaskCgroup cgroup;
        KlpStackStatus stack_status;
        char **stack;   /* innermost first; NULL unless it was read */
        char *wchan;    /* the function that it sleeps in; NULL: not known, or not permitted */
        char *function; /* of the patch; NULL: not known */
        char *object;
        KlpAdvice advice;
        char *advice_text;
} KlpBlocker;

typedef struct KlpBlockerList {
        KlpBlocker *blockers;
        size_t n;
        unsigned n_pending; /* all of them: more than n when there are more than were asked for */
} KlpBlockerList;

void klp_blocker_list_done(KlpBlockerList *list);

/* The first n_max tasks that have not switched yet; an empty list when the patch is not in transition, and also when
 * only idle tasks are left, which are not in /proc. For a worker: it looks at every thread. What may not be read
 * without CAP_SYS_PTRACE and CAP_SYS_ADMIN is said to be so. */
int klp_blockers_read(int root_fd, const char *name, size_t n_max, KlpBlockerList *ret);

const char *klp_stack_status_to_string(KlpStackStatus status) _const_;
const char *klp_advice_to_string(KlpAdvice advice) _const_;

/* Sets advice and advice_text by everything else. */
int klp_blocker_advise(KlpBlocker *blocker);
