/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the verbs that change something share: every argument is tried, each has a result, the first failure gives the
 * exit code. */
#pragma once

#include "ctl/client-job.h"
#include "ctl/output.h"

/* What came of one argument. */
typedef struct ActionResult {
        char *patch;   /* the patch's name, where known */
        char *job;     /* object path */
        char *result;  /* "done", "queued", "already-applied", "not-applied", or a job's result */
        char *message; /* for a person */
        Style style;
        CtlError error;
} ActionResult;

typedef struct Action {
        const Options *options;
        const char *operation;
        const char *file; /* of action_run_with_file(), by name */
        Client *client;
        int fd; /* of the argument, as it was opened; -EBADF: there is none */
        json_t *results;
        int exit_code;
} Action;

/* Does it for one argument (NULL for a verb without) and fills in the result. */
typedef void (*ActionStep)(Action *a, const char *argument, ActionResult *ret);

/* Connects, tries every argument, prints. Returns the exit code. */
int action_run(const Options *o, const char *operation, char *const *arguments, ActionStep step);

/* The same where arguments are files: each is opened before livepatchd is asked for, and closed after the step. The
 * function returns 0, with *ret_fd left alone where the argument is none, or the exit code. */
typedef int (*ActionOpen)(const char *argument, int *ret_fd, CtlError *e);
int action_run_with_files(const Options *o, const char *operation, char *const *arguments, ActionOpen open,
                          ActionStep step);

/* The same with a file that belongs to the argument; NULL: none. */
int action_run_with_file(const Options *o, const char *operation, char *const *arguments, const char *file,
                         ActionStep step);

/* For ClientCall.append: the a{sv} of what applies and reverts, as the command line says. */
int action_append_options(sd_bus_message *m, const Options *o);

/* The action is done; the text is for a person. */
void action_succeed(ActionResult *ret, const char *result, Style style, const char *format, ...) _printf_(4, 5);

/* Waits for the job that livepatchd accepted (--no-block: does not). true: it is done, and the caller says what that
 * means; false: *ret tells everything. */
bool action_wait(Action *a, const char *job, ActionResult *ret);
