/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.livepatch.Job: finding the objects, progress, Cancel(). */

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/bus-error.h"
#include "daemon/bus-internal.h"
#include "daemon/bus-message.h"

int bus_job_path(uint32_t id, char **ret) {
        return asprintf(ret, "%s/%" PRIu32, LP_JOB_PREFIX, id) < 0 ? -ENOMEM : 0;
}

static Job *find_job_by_id(const Bus *bus, uint32_t id) {
        if (bus->leaving_job && job_id(bus->leaving_job) == id)
                return (Job *) bus->leaving_job;
        return bus->manager ? manager_find_job(bus->manager, id) : NULL;
}

static int find_job(sd_bus *b _unused_, const char *path, const char *interface _unused_, void *userdata,
                    void **ret_found, sd_bus_error *error _unused_) {
        const char *number = startswith(path, LP_JOB_PREFIX "/");
        _cleanup_free_ char *canonical = NULL;
        Bus *bus = userdata;
        unsigned id;
        Job *job;
        int r;

        if (!number || parse_uint(number, &id) < 0)
                return 0;
        r = bus_job_path(id, &canonical);
        if (r < 0)
                return r;
        if (!streq(canonical, path)) /* "007" is not job 7 */
                return 0;
        job = find_job_by_id(bus, id);
        if (!job)
                return 0;
        bus->found_job = (BusJob) { .bus = bus, .job = job };
        *ret_found = &bus->found_job;
        return 1;
}

static int enumerate_jobs(sd_bus *b _unused_, const char *prefix _unused_, void *userdata, char ***ret_nodes,
                          sd_bus_error *error _unused_) {
        _cleanup_strv_free_ char **nodes = NULL;
        const Bus *bus = userdata;
        int r;

        for (size_t i = 0; i < manager_n_jobs(bus->manager); i++) {
                _cleanup_free_ char *path = NULL;

                r = bus_job_path(job_id(manager_job(bus->manager, i)), &path);
                if (r >= 0)
                        r = strv_append(&nodes, path);
                if (r < 0)
                        return r;
        }
        *ret_nodes = TAKE_PTR(nodes);
        return 0;
}

/* Whoever may begin such a job may end it; its id alone entitles nobody to anything. */
static int method_cancel(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_failure_ Failure failure = {};
        const BusJob *found = userdata;
        Bus *bus = found->bus;
        Job *job = found->job;
        uid_t uid;
        int r;

        r = bus_polkit_authorize(bus->polkit, m, bus_polkit_action_of_job_type(job_type(job)),
                                 (PolkitDetail) { "patch", job_patch_id(job) }, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = job_cancel(job, &failure);
        if (r != 0)
                return bus_error_set_failure(error, &failure);
        bus_changes_flush(bus);
        return sd_bus_reply_method_return(m, NULL);
}

static int get_text(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                    const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        const Job *job = ((const BusJob *) userdata)->job;
        const struct {
                const char *property;
                const char *value;
        } texts[] = {
                { "Type", job_type_to_string(job_type(job)) },
                { "Patch", job_patch_id(job) },
                { "State", job_state_to_string(job_state(job)) },
                { "Result", job_result_to_string(job_result(job)) },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (streq(texts[i].property, property))
                        return bus_message_append_text(reply, texts[i].value);
        return -ENOENT;
}

static int get_id(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                  const char *property _unused_, sd_bus_message *reply, void *userdata,
                  sd_bus_error *error _unused_) {
        return sd_bus_message_append(reply, "u", job_id(((const BusJob *) userdata)->job));
}

static int get_progress(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                        const char *property _unused_, sd_bus_message *reply, void *userdata,
                        sd_bus_error *error _unused_) {
        return sd_bus_message_append(reply, "d", job_progress(((const BusJob *) userdata)->job));
}

static int get_tasks_total(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                           const char *property _unused_, sd_bus_message *reply, void *userdata,
                           sd_bus_error *error _unused_) {
        return sd_bus_message_append(reply, "u", job_tasks_total(((const BusJob *) userdata)->job));
}

static int get_tasks_pending(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                             const char *property _unused_, sd_bus_message *reply, void *userdata,
                             sd_bus_error *error _unused_) {
        return sd_bus_message_append(reply, "u", job_tasks_pending(((const BusJob *) userdata)->job));
}

static int get_stalled(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                       const char *property _unused_, sd_bus_message *reply, void *userdata,
                       sd_bus_error *error _unused_) {
        return sd_bus_message_append(reply, "b", job_is_stalled(((const BusJob *) userdata)->job));
}

static int get_error(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                     const char *property _unused_, sd_bus_message *reply, void *userdata,
                     sd_bus_error *error _unused_) {
        const Failure *failure = job_failure(((const BusJob *) userdata)->job);
        int r;

        r = sd_bus_message_open_container(reply, SD_BUS_TYPE_STRUCT, "ss");
        if (r < 0)
                return r;
        r = bus_message_append_text(reply, failure->code == 0 ? NULL : failure_dbus_name(failure->code));
        if (r >= 0)
                r = bus_message_append_text(reply, failure->code == 0 ? NULL : failure_text(failure));
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static const sd_bus_vtable job_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Cancel", "", "", method_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Id", "u", get_id, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Type", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Patch", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Progress", "d", get_progress, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("TasksTotal", "u", get_tasks_total, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("TasksPending", "u", get_tasks_pending, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Stalled", "b", get_stalled, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Result", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Error", "(ss)", get_error, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

int bus_job_register(Bus *bus) {
        int r;

        r = sd_bus_add_fallback_vtable(bus->bus, NULL, LP_JOB_PREFIX, LP_IFACE_JOB, job_vtable, find_job, bus);
        if (r < 0)
                return r;
        return sd_bus_add_node_enumerator(bus->bus, NULL, LP_JOB_PREFIX, enumerate_jobs, bus);
}
