/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The crash guard while it runs: settle times, the kernel's reports, and lifting a quarantine. */

#include <string.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/guard-store.h"
#include "daemon/job-internal.h"
#include "daemon/transaction.h"
#include "kmod/kernel-log.h"

/* How often to look at a patch that nobody follows to the end of its transition. */
#define LOOK_INTERVAL_USEC (5 * USEC_PER_SEC)

static uint64_t now_monotonic(const Manager *manager) {
        uint64_t now = 0;

        (void) sd_event_now(manager->event, CLOCK_MONOTONIC, &now);
        return now;
}

static Patch *find(const Manager *manager, const char *name, const char *release) {
        for (size_t i = 0; i < manager->n_patches; i++)
                if (streq(manager->patches[i]->name, name) && streq(manager->patches[i]->kernel_release, release))
                        return manager->patches[i];
        return NULL;
}

/* Armed in this boot, and nothing is held against it. */
static bool is_settling(const Manager *manager, const Patch *patch) {
        return patch->guard && guard_record_is_armed(patch->guard) && !patch->guard->reason &&
               streq(patch->guard->boot_id, manager->kernel->boot_id);
}

bool manager_is_settling(const Manager *manager) {
        for (size_t i = 0; i < manager->n_patches; i++)
                if (is_settling(manager, manager->patches[i]))
                        return true;
        return false;
}

void manager_set_guard(Manager *manager, Patch *patch, GuardRecord *guard) {
        guard_record_free(patch->guard);
        patch->guard = guard;
        patch->guard_step_pending = false;
        (void) patch_update(patch);
        manager_notify_patch(manager, patch, PATCH_CHANGED_STATE);
}

void manager_take_guard(Manager *manager, Transaction *transaction) {
        Patch *patch = find(manager, transaction->name, transaction->release);

        if (!patch)
                return;
        if (transaction->guard_step != GUARD_STEP_NONE)
                patch->guard_step_pending = false;
        if (!transaction->guard_changed)
                return;
        manager_set_guard(manager, patch, TAKE_PTR(transaction->guard));
        manager_schedule_guard(manager);
}

int manager_check_quarantine(const Manager *manager, const char *name, const char *sha256, Failure *f) {
        const Patch *patch = find(manager, name, manager->kernel->release);

        if (!patch || !patch->guard || patch->guard->phase != GUARD_QUARANTINED ||
            !streq(patch->guard->sha256, sha256))
                return 0;
        return failure_set(f, REFUSED_QUARANTINED,
                           "'%s' is quarantined and was not loaded. %s. To let it try again: livepatchctl unquarantine "
                           "%s", patch->name, patch->guard->reason, patch->name);
}

/* ---- The settle time --------------------------------------------------------------------------------------- */

static void on_stepped(void *userdata _unused_, Transaction *transaction _unused_) {
}

static void submit_step(Manager *manager, Patch *patch, GuardStep step, const char *reason) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        int r = transaction_new(manager, patch->name, patch->kernel_release, &transaction);

        if (r >= 0)
                r = free_and_strdup(&transaction->guard_reason, reason);
        if (r >= 0) {
                transaction->guard_step = step;
                r = transaction_submit(TAKE_PTR(transaction), on_stepped, NULL);
        }
        if (r < 0) {
                (void) log_warning_errno(r, "Failed to note how '%s' settles, trying again later: %m", patch->id);
                return;
        }
        patch->guard_step_pending = true;
}

static bool is_in_force(const Patch *patch) {
        return patch->klp && patch->klp->enabled && !patch->klp->transition;
}

/* When to look at the patch again. */
static uint64_t settle_deadline(const Manager *manager, Patch *patch, uint64_t now) {
        /* Nobody noted the end of the transition: an earlier process ended before it. */
        if (patch->guard->settling_since == 0 && is_in_force(patch) && !patch->job)
                patch->guard->settling_since = now;
        if (patch->guard->settling_since == 0 || !is_in_force(patch))
                return now + LOOK_INTERVAL_USEC;
        return patch->guard->settling_since + manager->config->settle_time_usec;
}

static void judge_settling(Manager *manager, Patch *patch, uint64_t now) {
        if (patch->job)
                return;
        if (!patch->klp) {
                /* Unloaded or replaced by something else: no suspect any more, and nothing is proven. */
                submit_step(manager, patch, GUARD_STEP_DISARM, NULL);
                return;
        }
        if (!is_in_force(patch) || settle_deadline(manager, patch, now) > now)
                return;
        log_info("'%s' has settled: nothing in the kernel's log speaks against it", patch->id);
        submit_step(manager, patch, GUARD_STEP_PROVE, NULL);
}

static int on_settled(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Manager *manager = userdata;
        uint64_t now = now_monotonic(manager);

        manager_refresh_patches(manager);
        for (size_t i = 0; i < manager->n_patches; i++) {
                Patch *patch = manager->patches[i];

                if (is_settling(manager, patch) && !patch->guard_step_pending)
                        judge_settling(manager, patch, now);
        }
        manager_schedule_guard(manager);
        return 0;
}

void manager_schedule_guard(Manager *manager) {
        uint64_t now = now_monotonic(manager), next = USEC_INFINITY;

        for (size_t i = 0; i < manager->n_patches; i++)
                if (is_settling(manager, manager->patches[i])) {
                        uint64_t deadline = settle_deadline(manager, manager->patches[i], now);

                        next = MIN(next, deadline > now ? deadline : now + LOOK_INTERVAL_USEC);
                        if (deadline <= now && !manager->patches[i]->guard_step_pending && !manager->patches[i]->job)
                                next = now;
                }
        store_flag_settling(manager->store, next != USEC_INFINITY);
        if (next == USEC_INFINITY) {
                (void) sd_event_source_set_enabled(manager->guard_timer, SD_EVENT_OFF);
                return;
        }
        (void) sd_event_source_set_time(manager->guard_timer, next);
        (void) sd_event_source_set_enabled(manager->guard_timer, SD_EVENT_ONESHOT);
}

int manager_init_guard(Manager *manager) {
        int r = sd_event_add_time(manager->event, &manager->guard_timer, CLOCK_MONOTONIC, 0, 0, on_settled, manager);

        return r < 0 ? r : sd_event_source_set_enabled(manager->guard_timer, SD_EVENT_OFF);
}

/* ---- The kernel's reports ---------------------------------------------------------------------------------- */

static void blame(Manager *manager, Patch *patch, const char *line) {
        _cleanup_free_ char *reason = NULL;

        if (asprintf(&reason, "The kernel reported a fault in '%s' before it had settled: %s", patch->name,
                     line + strspn(line, " ")) < 0) {
                reason = NULL;
                return;
        }
        log_event(LOG_ERR, LP_MESSAGE_SUSPECTED,
                  ((LogField[]){ { LP_FIELD_PATCH, patch->name },
                                 { LP_FIELD_OPERATION, "settle" },
                                 { LP_FIELD_KERNEL, patch->kernel_release },
                                 { LP_FIELD_SHA256, patch->guard->sha256 },
                                 {} }),
                  "%s. It stays applied, but does not count as proven: should the machine go down, it is quarantined. "
                  "To take it out of use: livepatchctl revert %s", reason, patch->name);
        (void) manager_add_problem(manager, "%s. To take it out of use: livepatchctl revert %s", reason, patch->name);
        submit_step(manager, patch, GUARD_STEP_SUSPECT, reason);
        /* At once, whenever it gets to the disk: it must not settle meanwhile. */
        patch->guard->reason = TAKE_PTR(reason);
        manager_schedule_guard(manager);
}

void manager_feed_guard(Manager *manager, const char *line) {
        GuardLogName name;
        Patch *patch;

        if (guard_log_feed(&manager->guard_log, line, &name) != GUARD_LOG_BLAMED)
                return;
        patch = find(manager, name.name, manager->kernel->release);
        if (patch && is_settling(manager, patch))
                blame(manager, patch, line);
}

typedef struct Report {
        GuardLogName name;
        char *line;
} Report;

static int note_report(Report **reports, size_t *n, const GuardLogName *name, const char *line) {
        Report *grown;

        for (size_t i = 0; i < *n; i++)
                if (streq((*reports)[i].name.name, name->name))
                        return 0;
        grown = realloc(*reports, (*n + 1) * sizeof(Report));
        if (!grown)
                return -ENOMEM;
        *reports = grown;
        grown[*n] = (Report) { .name = *name, .line = strdup(line) };
        if (!grown[*n].line)
                return -ENOMEM;
        (*n)++;
        return 0;
}

static void drop_report(Report *reports, size_t *n, const GuardLogName *name) {
        for (size_t i = 0; i < *n; i++)
                if (streq(reports[i].name.name, name->name)) {
                        free(reports[i].line);
                        reports[i] = reports[--*n];
                        return;
                }
}

static void collect_reports(int fd, Report **reports, size_t *n) {
        KernelLogLine line = {};
        GuardLog log = {};

        while (kernel_log_read(fd, &line, NULL) > 0) {
                GuardLogName name;
                GuardLogEvent event = guard_log_feed(&log, line.text, &name);
                int r = 0;

                if (event == GUARD_LOG_LOADED)
                        drop_report(*reports, n, &name);
                else if (event == GUARD_LOG_BLAMED)
                        r = note_report(reports, n, &name, line.text);
                kernel_log_line_done(&line);
                if (r < 0)
                        return;
        }
}

void manager_review_kernel_log(Manager *manager) {
        _cleanup_close_ int fd = -EBADF;
        Report *reports = NULL;
        size_t n = 0;

        if (!manager_is_settling(manager))
                return;
        fd = kernel_log_open_at_start(manager->root_fd);
        if (fd < 0) {
                (void) log_debug_errno(fd, "Cannot read the kernel's log of before, ignoring: %m");
                return;
        }
        collect_reports(fd, &reports, &n);
        for (size_t i = 0; i < n; i++) {
                Patch *patch = find(manager, reports[i].name.name, manager->kernel->release);

                if (patch && is_settling(manager, patch))
                        blame(manager, patch, reports[i].line);
                free(reports[i].line);
        }
        free(reports);
}

/* ---- Lifting ----------------------------------------------------------------------------------------------- */

typedef struct Lifting {
        Manager *manager;
        char *patch_id;
        Reply reply;
} Lifting;

static void lifting_end(Lifting *lifting, const Failure *failure, const Patch *patch) {
        reply_call(&lifting->reply, failure, patch, NULL);
        free(lifting->patch_id);
        free(lifting);
}

static void on_lifted(void *userdata, Transaction *transaction) {
        Lifting *lifting = userdata;
        Manager *manager = lifting->manager;
        Patch *patch;

        if (transaction->failure.code != 0)
                return lifting_end(lifting, &transaction->failure, NULL);
        log_event(LOG_NOTICE, LP_MESSAGE_QUARANTINE_LIFTED,
                  ((LogField[]){ { LP_FIELD_PATCH, transaction->name },
                                 { LP_FIELD_OPERATION, "unquarantine" },
                                 { LP_FIELD_KERNEL, transaction->release },
                                 {} }),
                  "Lifted the quarantine of '%s' for kernel %s", transaction->name, transaction->release);
        patch = manager_patch_by_id(manager, lifting->patch_id);
        if (patch)
                manager_refresh_patch(manager, patch); /* nothing may be left of it */
        lifting_end(lifting, NULL, manager_patch_by_id(manager, lifting->patch_id));
}

static void on_lifting_dropped(void *userdata) {
        _cleanup_failure_ Failure failure = {};

        (void) failure_set(&failure, REFUSED_CANCELED,
                           "livepatchd is stopping, and the quarantine may or may not have been lifted. Try again");
        lifting_end(userdata, &failure, NULL);
}

int manager_clear_quarantine(Manager *manager, const char *patch_id, uid_t uid _unused_, ManagerReply reply,
                             void *userdata, Failure *f) {
        _cleanup_(transaction_freep) Transaction *transaction = NULL;
        const Patch *patch = manager_find_patch(manager, patch_id);
        Lifting *lifting;

        if (!patch)
                return manager_no_such_patch(patch_id, f);
        if (!patch->guard || patch->guard->phase != GUARD_QUARANTINED)
                return failure_set(f, REFUSED_CONFLICT, "'%s' is not quarantined. Nothing was changed", patch->id);
        if (transaction_new(manager, patch->name, patch->kernel_release, &transaction) < 0)
                return failure_oom(f);
        transaction->guard_step = GUARD_STEP_LIFT;
        transaction->dropped = on_lifting_dropped;
        lifting = malloc(sizeof(Lifting));
        if (!lifting)
                return failure_oom(f);
        *lifting = (Lifting) {
                .manager = manager,
                .patch_id = strdup(patch->id),
                .reply = { reply, userdata },
        };
        if (!lifting->patch_id || transaction_submit(TAKE_PTR(transaction), on_lifted, lifting) < 0) {
                free(lifting->patch_id);
                free(lifting);
                return failure_oom(f);
        }
        return 0;
}
