/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The core's tables: patches, jobs, and news about them. */

#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/confirm.h"
#include "daemon/drift.h"
#include "daemon/health-internal.h"
#include "daemon/job-internal.h"
#include "daemon/operation.h"
#include "daemon/reapply.h"
#include "daemon/record-level.h"
#include "daemon/refused-module.h"
#include "daemon/request.h"
#include "daemon/rollback.h"
#include "daemon/supersede.h"
#include "daemon/watch.h"

/* A reapply at boot may hold the store this long (BootTimeoutSec= and some). */
#define STORE_LOCK_TIMEOUT_USEC (90 * USEC_PER_SEC)

uint64_t now_realtime_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

/* ---- News -------------------------------------------------------------------------------------------------- */

static void notify_manager(Manager *manager) {
        if (manager->observer)
                manager->observer->manager_changed(manager->observer_userdata);
}

void manager_notify_patch(Manager *manager, const Patch *patch, int what) {
        if (what <= 0)
                return;
        if (manager->observer)
                manager->observer->patch_changed(manager->observer_userdata, patch, (PatchChange) what);
        if (what & PATCH_CHANGED_STATE)
                notify_manager(manager);
}

int manager_add_problem(Manager *manager, const char *format, ...) {
        _cleanup_free_ char *line = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&line, format, ap);
        va_end(ap);
        if (r < 0) {
                line = NULL;
                return -ENOMEM;
        }
        return strv_append(&manager->problems, line);
}

void manager_drop_problem(Manager *manager, const char *line) {
        char **i = manager->problems;

        while (i && *i && !streq(*i, line))
                i++;
        if (!i || !*i)
                return;
        free(*i);
        for (; *i; i++)
                i[0] = i[1];
}

char *const *manager_problems(const Manager *manager) {
        static char *const none[] = { NULL };

        return manager->problems ?: none;
}

size_t manager_n_lost_records(const Manager *manager) {
        return manager->n_lost_records;
}

/* ---- Patches ----------------------------------------------------------------------------------------------- */

bool manager_is_this_kernel(const Manager *manager, const char *release) {
        return streq(manager->kernel->release, release);
}

static uint64_t patch_order(const Patch *patch) {
        return patch->record ? patch->record->order : UINT64_MAX;
}

/* This kernel's first; what is reapplied, in its order; then by name. */
static int compare_patches(const void *a, const void *b) {
        const Patch *x = *(Patch *const *) a, *y = *(Patch *const *) b;
        int r;

        if (x->this_kernel != y->this_kernel)
                return x->this_kernel ? -1 : 1;
        r = strcmp(x->kernel_release, y->kernel_release);
        if (r != 0)
                return r;
        if (patch_order(x) != patch_order(y))
                return patch_order(x) < patch_order(y) ? -1 : 1;
        return strcmp(x->name, y->name);
}

static void sort_patches(Manager *manager) {
        qsort(manager->patches, manager->n_patches, sizeof(Patch *), compare_patches);
}

static Patch *find_exactly(const Manager *manager, const char *name, const char *release) {
        for (size_t i = 0; i < manager->n_patches; i++)
                if (streq(manager->patches[i]->name, name) && streq(manager->patches[i]->kernel_release, release))
                        return manager->patches[i];
        return NULL;
}

Patch *manager_find_patch(const Manager *manager, const char *id_or_name) {
        Patch *found = NULL;
        const char *at = strchr(id_or_name, '@');

        for (size_t i = 0; i < manager->n_patches; i++) {
                Patch *patch = manager->patches[i];

                if (streq(patch->id, id_or_name))
                        return patch;
                if (at && streq(patch->kernel_release, at + 1) && strlen(patch->name) == (size_t) (at - id_or_name) &&
                    strncmp(patch->name, id_or_name, (size_t) (at - id_or_name)) == 0)
                        return patch; /* NAME@RELEASE of the running kernel */
        }
        if (at)
                return NULL;
        for (size_t i = 0; i < manager->n_patches; i++)
                if (streq(manager->patches[i]->name, id_or_name)) {
                        if (found)
                                return NULL;
                        found = manager->patches[i];
                }
        return found;
}

Patch *manager_patch_by_id(const Manager *manager, const char *id) {
        for (size_t i = 0; i < manager->n_patches; i++)
                if (streq(manager->patches[i]->id, id))
                        return manager->patches[i];
        return NULL;
}

int manager_make_patch(Manager *manager, const char *name, const char *release, Patch **ret) {
        Patch *patch = find_exactly(manager, name, release);
        Patch **grown;
        int r;

        if (patch) {
                *ret = patch;
                return 0;
        }
        grown = realloc(manager->patches, (manager->n_patches + 1) * sizeof(Patch *));
        if (!grown)
                return -ENOMEM;
        manager->patches = grown;
        r = patch_new(name, release, manager_is_this_kernel(manager, release), &patch);
        if (r < 0)
                return r;
        (void) patch_refresh(patch, manager->root_fd);
        manager->patches[manager->n_patches++] = patch;
        sort_patches(manager);
        if (manager->observer)
                manager->observer->patch_added(manager->observer_userdata, patch);
        notify_manager(manager);
        *ret = patch;
        return 0;
}

static void drop_patch(Manager *manager, Patch *patch) {
        for (size_t i = 0; i < manager->n_patches; i++)
                if (manager->patches[i] == patch) {
                        memmove(manager->patches + i, manager->patches + i + 1,
                                (manager->n_patches - i - 1) * sizeof(Patch *));
                        manager->n_patches--;
                        break;
                }
        if (manager->observer)
                manager->observer->patch_removed(manager->observer_userdata, patch);
        patch_free(patch);
        notify_manager(manager);
}

/* Nothing on record, nothing in the kernel, nothing under way, no quarantine to show. */
static bool nothing_is_left(const Patch *patch) {
        return !patch->record && !patch->klp && !patch->module.present && !patch->job &&
               !guard_record_any_quarantine(patch->guard);
}

void manager_refresh_patch(Manager *manager, Patch *patch) {
        int changed = patch_refresh(patch, manager->root_fd);

        if (changed < 0) {
                log_debug_errno(changed, "Failed to read the state of '%s', ignoring: %m", patch->id);
                changed = 0;
        }
        watch_follow(manager->watch, patch);
        changed |= refused_module_refresh(manager, patch);
        if (nothing_is_left(patch))
                return drop_patch(manager, patch);
        manager_notify_patch(manager, patch, changed | supersede_refresh(manager, patch));
}

/* What clients see differently, the state apart, which is derived anew. */
static int record_changes(const PatchRecord *before, const PatchRecord *after) {
        int what = 0;

        if (!before || !after)
                return before == after ? 0 : _PATCH_CHANGED_ALL;
        if (!streq_ptr(before->sha256, after->sha256) || before->signature_status != after->signature_status ||
            before->origin != after->origin)
                what |= PATCH_CHANGED_BUILD | PATCH_CHANGED_OBJECTS | PATCH_CHANGED_STATE;
        if (before->reapply != after->reapply)
                what |= PATCH_CHANGED_REAPPLY;
        if (!record_level_is_equal(before, after))
                what |= PATCH_CHANGED_STATE;
        return what;
}

void manager_set_record(Manager *manager, const char *patch_id, PatchRecord *record) {
        Patch *patch = manager_patch_by_id(manager, patch_id);
        int what;

        if (!patch) {
                patch_record_free(record);
                return;
        }
        what = record_changes(patch->record, record);
        patch_record_free(patch->record);
        patch->record = record;
        sort_patches(manager);
        manager_notify_patch(manager, patch, what);
        manager_refresh_patch(manager, patch);
        supersede_update(manager);
}

void manager_set_runtime(Manager *manager, const char *patch_id, RuntimeRecord *runtime) {
        Patch *patch = manager_patch_by_id(manager, patch_id);

        if (!patch) {
                runtime_record_free(runtime);
                return;
        }
        runtime_record_free(patch->runtime);
        patch->runtime = runtime;
        (void) patch_update(patch);
        manager_notify_patch(manager, patch, PATCH_CHANGED_STATE);
        manager_schedule_confirm(manager);
}

uint64_t manager_next_order(const Manager *manager) {
        uint64_t next = 1;

        for (size_t i = 0; i < manager->n_patches; i++)
                if (manager->patches[i]->record && manager->patches[i]->record->order >= next)
                        next = manager->patches[i]->record->order + 1;
        return next;
}

void manager_refresh_patches(Manager *manager) {
        KlpPatchList list = {};
        int r = klp_sysfs_list(manager->root_fd, false, &list);

        if (r < 0 && r != -EOPNOTSUPP)
                log_debug_errno(r, "Failed to list /sys/kernel/livepatch, ignoring: %m");
        for (size_t i = 0; r >= 0 && i < list.n; i++) {
                Patch *patch;

                (void) manager_make_patch(manager, list.patches[i].name, manager->kernel->release, &patch);
        }
        klp_patch_list_done(&list);
        /* From the end: a patch of which nothing is left is dropped on the way. */
        for (size_t i = manager->n_patches; i > 0; i--)
                if (i <= manager->n_patches)
                        manager_refresh_patch(manager, manager->patches[i - 1]);
        /* Now that all are known: one that was read before the one that replaced it. */
        supersede_update(manager);
        for (size_t i = 0; i < manager->n_patches; i++)
                drift_review(manager, manager->patches[i]);
}

size_t manager_n_patches(const Manager *manager) {
        return manager->n_patches;
}

const Patch *manager_patch(const Manager *manager, size_t i) {
        return manager->patches[i];
}

/* ---- Jobs -------------------------------------------------------------------------------------------------- */

size_t manager_n_jobs(const Manager *manager) {
        return manager->n_jobs;
}

Job *manager_job(const Manager *manager, size_t i) {
        return manager->jobs[i];
}

Job *manager_find_job(const Manager *manager, uint32_t id) {
        for (size_t i = 0; i < manager->n_jobs; i++)
                if (manager->jobs[i]->id == id)
                        return manager->jobs[i];
        return NULL;
}

bool manager_is_idle(const Manager *manager) {
        for (size_t i = 0; i < manager->n_jobs; i++)
                if (manager->jobs[i]->state != JOB_FINISHED)
                        return false;
        return manager->n_requests == 0 && worker_is_idle(manager->disk) && worker_is_idle(manager->reader);
}

bool manager_began_read_only(const Manager *manager) {
        return store_was_read_only(manager->store);
}

bool manager_has_failed_to_write(const Manager *manager) {
        return manager->failed_to_write;
}

/* ---- Life -------------------------------------------------------------------------------------------------- */

const Config *manager_config(const Manager *manager) {
        return manager->config;
}

const KernelInfo *manager_kernel(const Manager *manager) {
        return manager->kernel;
}

void manager_refresh_kernel(Manager *manager) {
        int r = kernel_info_refresh(manager->root_fd, manager->kernel);

        if (r < 0)
                log_debug_errno(r, "Failed to read facts about the kernel again, ignoring: %m");
}

void manager_set_observer(Manager *manager, const ManagerObserver *observer, void *userdata) {
        manager->observer = observer;
        manager->observer_userdata = userdata;
}

static int make_workers(Manager *manager) {
        int r = worker_new(manager->event, 1, &manager->disk);

        if (r >= 0)
                r = worker_new(manager->event, READER_THREADS_MAX, &manager->reader);
        if (r >= 0)
                r = worker_new(manager->event, 1, &manager->counter);
        if (r >= 0)
                r = sd_event_add_defer(manager->event, &manager->run_next, job_run_next, manager);
        if (r >= 0)
                r = sd_event_source_set_enabled(manager->run_next, SD_EVENT_OFF);
        if (r >= 0)
                r = manager_init_guard(manager);
        if (r >= 0)
                r = manager_init_confirm(manager);
        return r;
}

int manager_new(sd_event *event, int root_fd, KernelInfo *kernel, Manager **ret, Failure *f) {
        _cleanup_(manager_freep) Manager *manager = calloc(1, sizeof(Manager));
        int r;

        if (!manager) {
                kernel_info_free(kernel);
                return failure_oom(f);
        }
        manager->event = sd_event_ref(event);
        manager->root_fd = root_fd;
        manager->kernel = kernel;
        r = config_load(root_fd, &manager->config);
        if (r < 0)
                return failure_set(f, r, "Failed to load the configuration: %s", strerror(-r));
        r = kernel ? 0 : kernel_info_read(root_fd, &manager->kernel);
        if (r < 0)
                return failure_set(f, r, "Failed to read facts about the kernel: %s", strerror(-r));
        r = make_workers(manager);
        if (r < 0)
                return failure_set(f, r, "Failed to set up the event loop: %s", strerror(-r));
        r = store_open(root_fd, STORE_LOCK_TIMEOUT_USEC, &manager->store, f);
        if (r != 0)
                return r;
        *ret = TAKE_PTR(manager);
        return 0;
}

void manager_set_booting(Manager *manager) {
        manager->reapplying_at_boot = true;
}

int manager_start(Manager *manager, Failure *f) {
        int r = manager_load_patches(manager, f);

        if (r == 0)
                r = manager_load_guard(manager, f);
        if (r != 0)
                return r;
        r = watch_new(manager, &manager->watch);
        if (r < 0)
                return failure_set(f, r, "Failed to watch the kernel: %s", strerror(-r));
        manager_refresh_patches(manager);
        r = manager_converge(manager, f);
        if (r != 0)
                return r;
        manager_review_kernel_log(manager);
        refused_module_review(manager);
        manager_schedule_guard(manager);
        manager_schedule_confirm(manager);
        manager->started = true;
        return 0;
}

Manager *manager_free(Manager *manager) {
        bool disk_is_done;

        if (!manager)
                return NULL;
        manager->stopping = true;
        /* Workers first: what they finish last is still recorded, and their contexts are nobody's after this. */
        disk_is_done = !manager->disk || worker_stop(manager->disk);
        manager->disk = worker_free(manager->disk);
        manager->reader = worker_free(manager->reader);
        manager->counter = worker_free(manager->counter);
        requests_cancel(manager);
        jobs_cancel(manager);
        manager->observer = NULL;
        for (size_t i = 0; i < manager->n_jobs; i++)
                job_free(manager->jobs[i]);
        free(manager->jobs);
        for (size_t i = 0; i < manager->n_patches; i++)
                patch_free(manager->patches[i]);
        free(manager->patches);
        watch_free(manager->watch);
        (void) sd_event_source_disable_unref(manager->run_next);
        (void) sd_event_source_disable_unref(manager->guard_timer);
        (void) sd_event_source_disable_unref(manager->confirm_timer);
        if (disk_is_done) /* else a thread that hangs will come back to it */
                store_close(manager->store);
        config_free(manager->config);
        kernel_info_free(manager->kernel);
        strv_free(manager->problems);
        (void) sd_event_unref(manager->event);
        free(manager);
        return NULL;
}
