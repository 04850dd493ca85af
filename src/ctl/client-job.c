/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting for a job of livepatchd to end. */

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "common/names.h"
#include "common/string-util.h"
#include "common/types.h"
#include "ctl/client-job.h"
#include "ctl/client-json.h"
#include "ctl/job-blockers.h"
#include "ctl/json-util.h"
#include "ctl/progress.h"

/* How often the line of progress is drawn anew, and a patch's state is looked at after a restart of livepatchd. */
#define TICK_MSEC 1000

/* Whoever watches is told who holds the job up, when it has waited this long; and again when they have become fewer. */
#define BLOCKERS_AFTER_USEC (3 * USEC_PER_SEC)
#define BLOCKERS_INTERVAL_USEC (5 * USEC_PER_SEC)

typedef struct JobWait {
        Client *client;
        const char *path;
        json_t *job; /* properties of the job, kept up to date */
        bool removed;
        bool went_away;
        int signal_fd;
        Progress progress;
        uint64_t next_blockers_usec;
        uint64_t n_blockers; /* when they were asked for */
} JobWait;

void job_outcome_done(JobOutcome *outcome) {
        free(outcome->patch);
        free(outcome->type);
        free(outcome->result);
        *outcome = (JobOutcome) {};
}

int client_job_subscribe(Client *c, CtlError *e) {
        static const char *const rules[] = {
                "type='signal',sender='" LP_BUS_NAME "',path='" LP_OBJECT_MANAGER "',interface='" LP_IFACE_MANAGER
                "',member='JobRemoved'",
                "type='signal',sender='" LP_BUS_NAME "',path='" LP_OBJECT_MANAGER
                "',interface='org.freedesktop.DBus.ObjectManager',member='InterfacesAdded',arg0path='" LP_JOB_PREFIX
                "/'",
                "type='signal',sender='" LP_BUS_NAME "',path_namespace='" LP_JOB_PREFIX
                "',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'",
                "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                "member='NameOwnerChanged',arg0='" LP_BUS_NAME "'",
        };

        for (size_t i = 0; i < ELEMENTSOF(rules); i++) {
                int r = sd_bus_add_match(client_bus(c), NULL, rules[i], NULL, NULL);

                if (r < 0)
                        return client_not_connected(c, e, r);
        }
        return 0;
}

/* Comes before the answer to the call that began the job. */
static int on_added(JobWait *w, sd_bus_message *m) {
        const char *path, *interface;
        int r = sd_bus_message_read_basic(m, SD_BUS_TYPE_OBJECT_PATH, &path);

        if (r < 0)
                return r;
        if (!streq(path, w->path))
                return 0;
        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "{sa{sv}}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, SD_BUS_TYPE_DICT_ENTRY, "sa{sv}")) > 0) {
                json_auto_t *properties = NULL;

                r = sd_bus_message_read_basic(m, SD_BUS_TYPE_STRING, &interface);
                if (r >= 0)
                        r = client_read_json(m, &properties);
                /* What is known already is newer. */
                if (r >= 0 && streq(interface, LP_IFACE_JOB) && json_object_update_missing(w->job, properties) < 0)
                        r = -ENOMEM;
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r;
}

static int on_removed(JobWait *w, sd_bus_message *m) {
        const char *path, *result;
        uint32_t id;
        int r = sd_bus_message_read(m, "uos", &id, &path, &result);

        if (r < 0)
                return r;
        if (!streq(path, w->path))
                return 0;
        w->removed = true;
        return json_object_set_new(w->job, "result", json_string(result)) < 0 ? -ENOMEM : 0;
}

static int on_properties_changed(JobWait *w, sd_bus_message *m) {
        json_auto_t *changed = NULL;
        int r;

        if (!streq_ptr(sd_bus_message_get_path(m), w->path))
                return 0;
        r = sd_bus_message_skip(m, "s");
        if (r < 0)
                return r;
        r = client_read_json(m, &changed);
        if (r < 0)
                return r;
        return json_object_update(w->job, changed) < 0 ? -ENOMEM : 0;
}

static int on_owner_changed(JobWait *w, sd_bus_message *m) {
        const char *name, *before, *after;
        int r = sd_bus_message_read(m, "sss", &name, &before, &after);

        if (r < 0)
                return r;
        /* The one that had the job; its successor, started on demand, knows nothing of it. */
        if (!isempty(before))
                w->went_away = true;
        return 0;
}

static int dispatch(JobWait *w, sd_bus_message *m) {
        if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.ObjectManager", "InterfacesAdded"))
                return on_added(w, m);
        if (sd_bus_message_is_signal(m, LP_IFACE_MANAGER, "JobRemoved"))
                return on_removed(w, m);
        if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.Properties", "PropertiesChanged"))
                return on_properties_changed(w, m);
        if (sd_bus_message_is_signal(m, "org.freedesktop.DBus", "NameOwnerChanged"))
                return on_owner_changed(w, m);
        return 0;
}

/* Everything that has arrived. */
static int process(JobWait *w) {
        for (;;) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
                int r = sd_bus_process(client_bus(w->client), &m);

                if (r <= 0)
                        return r;
                if (m) {
                        r = dispatch(w, m);
                        if (r < 0)
                                return r;
                }
        }
}

/* Returns 1 when the user pressed ^C. */
static int wait_for_news(JobWait *w) {
        struct pollfd fds[] = {
                { .fd = sd_bus_get_fd(client_bus(w->client)) },
                { .fd = w->signal_fd, .events = POLLIN },
        };
        int events = sd_bus_get_events(client_bus(w->client));

        if (fds[0].fd < 0)
                return fds[0].fd;
        if (events < 0)
                return events;
        fds[0].events = (short) events;
        if (poll(fds, ELEMENTSOF(fds), TICK_MSEC) < 0 && errno != EINTR)
                return negative_errno();
        return (fds[1].revents & POLLIN) != 0;
}

static int explain_wait(CtlError *e, int r) {
        return ctl_error_set(e, r, "The connection to the bus was lost while waiting: %s. The job goes on; look at "
                             "'livepatchctl status'.", strerror(-r));
}

static int set_outcome(JobOutcome *outcome, const JobWait *w, const char *result) {
        if (free_and_strdup(&outcome->patch, json_text(w->job, "patch")) < 0 ||
            free_and_strdup(&outcome->type, json_text(w->job, "type")) < 0 ||
            free_and_strdup(&outcome->result, result) < 0)
                return -ENOMEM;
        return 0;
}

/* The job is over: its object stays readable for a while, with the reason for a failure. */
static int finish(JobWait *w, JobOutcome *ret, CtlError *e) {
        _cleanup_ctl_error_ CtlError ignored = {};
        json_auto_t *job = NULL;
        const json_t *error;

        if (set_outcome(ret, w, json_text(w->job, "result")) < 0)
                return ctl_error_oom(e);
        if (streq(ret->result, "done"))
                return 0;
        if (client_get_properties(w->client, w->path, LP_IFACE_JOB, &job, &ignored) == 0)
                (void) json_object_update(w->job, job);
        error = json_object_get(w->job, "error");
        if (!isempty(json_string_value(json_array_get(error, 0))))
                return ctl_error_from_dbus(e, json_string_value(json_array_get(error, 0)),
                                           json_string_value(json_array_get(error, 1)));
        if (streq(ret->result, "stalled"))
                return ctl_error_set(e, REFUSED_STALLED,
                                     "The transition of patch '%s' has stalled: some tasks still use the old code. "
                                     "Look at 'livepatchctl status'.", json_text(w->job, "patch"));
        if (streq(ret->result, "canceled"))
                return ctl_error_set(e, REFUSED_CANCELED, "The job was canceled. Look at 'livepatchctl status'.");
        return ctl_error_set(e, -EIO, "The job failed. Look at 'livepatchctl log'.");
}

/* Whether a patch in this state is what a job of this type was to bring about. */
static bool state_is_goal(JobType type, PatchState state) {
        if (type == JOB_APPLY)
                return state == PATCH_APPLIED;
        return (type == JOB_REVERT || type == JOB_ROLLBACK) &&
               state != PATCH_APPLIED && state != PATCH_FAILED && state != PATCH_EXTERNAL;
}

static int finish_by_state(JobWait *w, const json_t *patch, JobOutcome *ret, CtlError *e) {
        JobType type = job_type_from_string(json_text(w->job, "type"));
        const char *state = json_text(patch, "state"), *reason = json_text(patch, "failure_reason");
        bool reached = state_is_goal(type, patch_state_from_string(state));

        if (set_outcome(ret, w, reached ? "done" : "failed") < 0)
                return ctl_error_oom(e);
        if (reached)
                return 0;
        ctl_error_set(e, -EIO, "livepatchd was restarted during the job; patch '%s' is now in state '%s'.",
                      json_text(w->job, "patch"), state);
        ctl_error_add_hint(e, "%s", isempty(reason) ? "Run the command again." : reason);
        return e->exit_code;
}

/* livepatchd was killed: start it again by asking, and look at the patch until it rests. */
static int follow_state(JobWait *w, JobOutcome *ret, CtlError *e) {
        const char *name = json_text(w->job, "patch");

        if (isempty(name))
                return ctl_error_set(e, -EIO,
                                     "livepatchd was restarted during the job, so its result is not known. Look at "
                                     "'livepatchctl status', and run the command again.");
        for (;;) {
                json_auto_t *patch = NULL;
                PatchState state;
                int r = client_get_patch_properties(w->client, name, &patch, e);

                if (r == failure_exit_code(REFUSED_NO_SUCH_PATCH) && streq(json_text(w->job, "type"), "revert")) {
                        ctl_error_done(e);
                        return set_outcome(ret, w, "done") < 0 ? ctl_error_oom(e) : 0;
                }
                if (r != 0)
                        return r;
                state = patch_state_from_string(json_text(patch, "state"));
                if (state != PATCH_APPLYING && state != PATCH_REVERTING)
                        return finish_by_state(w, patch, ret, e);
                r = wait_for_news(w);
                if (r == 0)
                        r = process(w);
                if (r > 0) {
                        ret->interrupted = true;
                        return 0;
                }
                if (r < 0)
                        return explain_wait(e, r);
        }
}

/* The job may go on for hours: whoever waits is let go, as when a time limit has passed. */
static int finish_stalled(JobWait *w, JobOutcome *ret, CtlError *e) {
        const char *patch = json_text(w->job, "patch");
        _cleanup_free_ char *blockers = job_blockers_name(w->client, patch);

        if (set_outcome(ret, w, "stalled") < 0)
                return ctl_error_oom(e);
        if (json_number(w->job, "tasks_total") == 0)
                ctl_error_set(e, REFUSED_STALLED, "The transition of another patch, which something other than "
                              "livepatchd began, has stalled, and the job waits for its end.");
        else
                ctl_error_set(e, REFUSED_STALLED, "The transition of patch '%s' has stalled: %" PRIu64 " of %" PRIu64
                              " tasks have not switched%s%s. The job goes on.", isempty(patch) ? "?" : patch,
                              json_number(w->job, "tasks_pending"), json_number(w->job, "tasks_total"),
                              blockers ? ": " : "", strempty(blockers));
        ctl_error_add_hint(e, "'livepatchctl blockers' tells more.");
        if (!isempty(patch))
                ctl_error_add_hint(e, "'livepatchctl cancel %s' takes it back.", patch);
        return e->exit_code;
}

static void look_for_blockers(JobWait *w) {
        uint64_t pending = json_number(w->job, "tasks_pending"), elapsed = progress_elapsed_usec(&w->progress);
        _cleanup_free_ char *blockers = NULL;

        if (!w->progress.enabled || pending == w->n_blockers ||
            elapsed < MAX(w->next_blockers_usec, BLOCKERS_AFTER_USEC))
                return;
        w->n_blockers = pending;
        w->next_blockers_usec = elapsed + BLOCKERS_INTERVAL_USEC;
        if (pending > 0)
                blockers = job_blockers_name(w->client, json_text(w->job, "patch"));
        (void) json_object_set_new(w->job, "waiting_for", json_string(strempty(blockers)));
}

static int wait_loop(JobWait *w, JobOutcome *ret, CtlError *e) {
        for (;;) {
                int r = process(w);

                if (r < 0)
                        return explain_wait(e, r);
                if (w->removed || !isempty(json_text(w->job, "result")))
                        return finish(w, ret, e);
                if (w->went_away)
                        return follow_state(w, ret, e);
                if (json_flag(w->job, "stalled"))
                        return finish_stalled(w, ret, e);
                look_for_blockers(w);
                progress_draw(&w->progress, w->job);
                r = wait_for_news(w);
                if (r < 0)
                        return explain_wait(e, r);
                if (r > 0) {
                        ret->interrupted = true;
                        return set_outcome(ret, w, NULL) < 0 ? ctl_error_oom(e) : 0;
                }
        }
}

static int wait_with_signals(JobWait *w, JobOutcome *ret, CtlError *e) {
        sigset_t set, old;
        int r;

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGINT);
        (void) sigprocmask(SIG_BLOCK, &set, &old);
        w->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (w->signal_fd < 0)
                r = ctl_error_set(e, negative_errno(), "Failed to wait for the job: %m. The job goes on.");
        else {
                struct signalfd_siginfo taken;

                r = wait_loop(w, ret, e);
                if (read(w->signal_fd, &taken, sizeof(taken)) > 0)
                        ret->interrupted = ret->interrupted || !ret->result;
                w->signal_fd = safe_close(w->signal_fd);
        }
        (void) sigprocmask(SIG_SETMASK, &old, NULL);
        return r;
}

/* If livepatchd was killed after it had accepted the job, its successor does not know that; what was announced tells
 * which patch it is about. */
static int read_job(JobWait *w, CtlError *e) {
        json_auto_t *properties = NULL;
        int r = client_get_properties(w->client, w->path, LP_IFACE_JOB, &properties, e);

        if (r == 0)
                return json_object_update(w->job, properties) < 0 ? ctl_error_oom(e) : 0;
        if (process(w) < 0 || isempty(json_text(w->job, "type"))) {
                ctl_error_add_hint(e, "The job was accepted; look at 'livepatchctl status'.");
                return r;
        }
        ctl_error_done(e);
        w->went_away = true;
        return 0;
}

int client_job_wait(Client *c, const char *job, JobOutcome *ret, CtlError *e) {
        JobWait w = { .client = c, .path = job, .job = json_object(), .signal_fd = -EBADF };
        int r = w.job ? read_job(&w, e) : ctl_error_oom(e);

        if (r == 0) {
                progress_begin(&w.progress, client_options(c));
                r = wait_with_signals(&w, ret, e);
                progress_end(&w.progress);
        }
        json_decref(w.job);
        return r;
}
