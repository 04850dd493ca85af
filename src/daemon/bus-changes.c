/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* News of the core on their way to the bus, coalesced: one signal an object for each turn of the event loop.
 *
 * The observer only notes what has changed; the signals are made later, from a deferred source or just before a reply,
 * when the core has finished what it was doing. Order within one flush: objects appear, then their properties change,
 * then jobs are reported as ended, so that whoever waits for JobRemoved finds everything else up to date. */

#include <systemd/sd-daemon.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/bus-changes.h"
#include "daemon/bus-internal.h"

typedef enum ChangeKind {
        CHANGE_MANAGER,
        CHANGE_PATCH,
        CHANGE_JOB,
} ChangeKind;

struct BusChange {
        BusChange *next;
        ChangeKind kind;
        char *path;
        uint32_t job_id;
        bool added;
        bool changed;
        bool finished;
        unsigned groups; /* PatchChange */
        JobResult result;
};

static const char *const manager_properties[] = { "Summary", "Problems", NULL };
static const char *const job_properties[] = {
        "State", "Progress", "TasksTotal", "TasksPending", "Stalled", "Result", "Error", NULL,
};

static const struct {
        PatchChange group;
        const char *property;
} patch_properties[] = {
        { PATCH_CHANGED_STATE, "State" },
        { PATCH_CHANGED_STATE, "Drift" },
        { PATCH_CHANGED_STATE, "FailureReason" },
        { PATCH_CHANGED_STATE, "QuarantineReason" },
        { PATCH_CHANGED_STATE, "QuarantinedBuilds" },
        { PATCH_CHANGED_STATE, "Supersedes" },
        { PATCH_CHANGED_STATE, "SupersededBy" },
        { PATCH_CHANGED_STATE, "AppliedAt" },
        { PATCH_CHANGED_STATE, "AppliedBy" },
        { PATCH_CHANGED_STATE, "Replace" },
        { PATCH_CHANGED_STATE, "StackOrder" },
        { PATCH_CHANGED_STATE, "Unconfirmed" },
        { PATCH_CHANGED_STATE, "ConfirmBefore" },
        { PATCH_CHANGED_OBJECTS, "Objects" },
        { PATCH_CHANGED_OBJECTS, "ObjectsKnown" },
        { PATCH_CHANGED_REAPPLY, "Reapply" },
        { PATCH_CHANGED_BUILD, "Sha256" },
        { PATCH_CHANGED_BUILD, "BuildId" },
        { PATCH_CHANGED_BUILD, "ModuleVersion" },
        { PATCH_CHANGED_BUILD, "Description" },
        { PATCH_CHANGED_BUILD, "SignatureStatus" },
        { PATCH_CHANGED_BUILD, "Signer" },
        { PATCH_CHANGED_BUILD, "Kind" },
        { PATCH_CHANGED_BUILD, "Origin" },
        { PATCH_CHANGED_BUILD, "CVEs" },
        { PATCH_CHANGED_BUILD, "Severity" },
        { PATCH_CHANGED_BUILD, "Withdrawn" },
};

static BusChange *change_free(BusChange *c) {
        free(c->path);
        free(c);
        return NULL;
}

/* The entry of an object, made if need be; takes path over. NULL: out of memory, or the layer is stopped. */
static BusChange *note(Bus *bus, ChangeKind kind, char *path) {
        BusChange *c;

        if (!path || !bus->manager) {
                free(path);
                return NULL;
        }
        for (c = bus->changes.first; c; c = c->next)
                if (streq(c->path, path)) {
                        free(path);
                        return c;
                }
        c = calloc(1, sizeof(*c));
        if (!c) {
                free(path);
                return NULL;
        }
        *c = (BusChange) { .kind = kind, .path = path };
        if (bus->changes.last)
                bus->changes.last->next = c;
        else
                bus->changes.first = c;
        bus->changes.last = c;
        (void) sd_event_source_set_enabled(bus->changes.source, SD_EVENT_ONESHOT);
        return c;
}

static BusChange *note_patch(Bus *bus, const Patch *patch) {
        char *path = NULL;

        (void) bus_patch_path(patch, &path);
        return note(bus, CHANGE_PATCH, path);
}

static BusChange *note_job(Bus *bus, const Job *job) {
        BusChange *c;
        char *path = NULL;

        (void) bus_job_path(job_id(job), &path);
        c = note(bus, CHANGE_JOB, path);
        if (c)
                c->job_id = job_id(job);
        return c;
}

static void on_patch_added(void *userdata, const Patch *patch) {
        BusChange *c = note_patch(userdata, patch);

        if (c)
                c->added = true;
}

static void on_patch_changed(void *userdata, const Patch *patch, PatchChange what) {
        BusChange *c = note_patch(userdata, patch);

        if (!c)
                return;
        c->changed = true;
        c->groups |= what;
}

static void on_job_added(void *userdata, const Job *job) {
        BusChange *c = note_job(userdata, job);

        if (c)
                c->added = true;
}

static void on_job_changed(void *userdata, const Job *job) {
        BusChange *c = note_job(userdata, job);

        if (c)
                c->changed = true;
}

static void on_job_finished(void *userdata, const Job *job) {
        BusChange *c = note_job(userdata, job);

        if (!c)
                return;
        c->changed = true;
        c->finished = true;
        c->result = job_result(job);
}

static void on_manager_changed(void *userdata) {
        BusChange *c = note(userdata, CHANGE_MANAGER, strdup(LP_OBJECT_MANAGER));

        if (c)
                c->changed = true;
}

static void log_lost(const BusChange *c, int r) {
        if (r < 0)
                (void) log_debug_errno(r, "Failed to announce a change of '%s', ignoring: %m", c->path);
}

static void announce_added(Bus *bus, const BusChange *c) {
        if (!c->added)
                return;
        log_lost(c, sd_bus_emit_object_added(bus->bus, c->path));
        if (c->kind == CHANGE_JOB)
                log_lost(c, sd_bus_emit_signal(bus->bus, LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "JobNew", "uo",
                                               c->job_id, c->path));
}

static int announce_properties(Bus *bus, const BusChange *c, const char *interface, const char *const *names) {
        return sd_bus_emit_properties_changed_strv(bus->bus, c->path, interface, (char **) names);
}

static int announce_patch_changed(Bus *bus, const BusChange *c) {
        const char *names[ELEMENTSOF(patch_properties) + 1];
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(patch_properties); i++)
                if (c->groups & patch_properties[i].group)
                        names[n++] = patch_properties[i].property;
        names[n] = NULL;
        return announce_properties(bus, c, LP_IFACE_PATCH, names);
}

static void announce_status(Bus *bus) {
        size_t n = manager_n_patches(bus->manager), n_applied = 0;

        for (size_t i = 0; i < n; i++)
                if (manager_patch(bus->manager, i)->state == PATCH_APPLIED)
                        n_applied++;
        (void) sd_notifyf(false, "STATUS=%zu of %zu known live patches applied", n_applied, n);
}

/* An object that was added in the same flush has been announced with its present properties. */
static void announce_changed(Bus *bus, const BusChange *c) {
        if (!c->changed || c->added)
                return;
        switch (c->kind) {
        case CHANGE_MANAGER:
                log_lost(c, announce_properties(bus, c, LP_IFACE_MANAGER, manager_properties));
                announce_status(bus);
                break;
        case CHANGE_PATCH:
                log_lost(c, announce_patch_changed(bus, c));
                break;
        case CHANGE_JOB:
                log_lost(c, announce_properties(bus, c, LP_IFACE_JOB, job_properties));
                break;
        }
}

static void announce_finished(Bus *bus, const BusChange *c) {
        if (!c->finished)
                return;
        log_lost(c, sd_bus_emit_signal(bus->bus, LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "JobRemoved", "uos",
                                       c->job_id, c->path, job_result_to_string(c->result)));
}

void bus_changes_flush(Bus *bus) {
        BusChange *list = bus->changes.first;

        if (bus->changes.announcing > 0 || !list)
                return;
        bus->changes.first = bus->changes.last = NULL;
        bus->changes.announcing++;
        for (const BusChange *c = list; c; c = c->next)
                announce_added(bus, c);
        for (const BusChange *c = list; c; c = c->next)
                announce_changed(bus, c);
        for (const BusChange *c = list; c; c = c->next)
                announce_finished(bus, c);
        bus->changes.announcing--;
        while (list) {
                BusChange *c = list;

                list = c->next;
                (void) change_free(c);
        }
}

/* The object can still be found during the call: sd-bus looks which interfaces it had. */
static void announce_removed(Bus *bus, const char *path) {
        int r;

        if (!path || !bus->manager)
                return;
        bus_changes_flush(bus);
        bus->changes.announcing++;
        r = sd_bus_emit_object_removed(bus->bus, path);
        bus->changes.announcing--;
        if (r < 0)
                (void) log_debug_errno(r, "Failed to announce that '%s' is gone, ignoring: %m", path);
}

static void on_patch_removed(void *userdata, const Patch *patch) {
        _cleanup_free_ char *path = NULL;
        Bus *bus = userdata;

        (void) bus_patch_path(patch, &path);
        bus->leaving_patch = patch;
        announce_removed(bus, path);
        bus->leaving_patch = NULL;
}

static void on_job_removed(void *userdata, const Job *job) {
        _cleanup_free_ char *path = NULL;
        Bus *bus = userdata;

        (void) bus_job_path(job_id(job), &path);
        bus->leaving_job = job;
        announce_removed(bus, path);
        bus->leaving_job = NULL;
}

static int on_deferred(sd_event_source *source _unused_, void *userdata) {
        bus_changes_flush(userdata);
        return 0;
}

int bus_changes_init(Bus *bus) {
        static const ManagerObserver observer = {
                .patch_added = on_patch_added,
                .patch_changed = on_patch_changed,
                .patch_removed = on_patch_removed,
                .job_added = on_job_added,
                .job_changed = on_job_changed,
                .job_finished = on_job_finished,
                .job_removed = on_job_removed,
                .manager_changed = on_manager_changed,
        };
        int r;

        r = sd_event_add_defer(bus->event, &bus->changes.source, on_deferred, bus);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(bus->changes.source, SD_EVENT_OFF);
        if (r < 0)
                return r;
        manager_set_observer(bus->manager, &observer, bus);
        return 0;
}

void bus_changes_done(Bus *bus) {
        while (bus->changes.first) {
                BusChange *c = bus->changes.first;

                bus->changes.first = c->next;
                (void) change_free(c);
        }
        bus->changes.last = NULL;
        bus->changes.source = sd_event_source_disable_unref(bus->changes.source);
}
