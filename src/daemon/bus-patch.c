/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.livepatch.Patch: finding the objects, and the methods. */

#include "common/names.h"
#include "common/string-util.h"
#include "daemon/bus-error.h"
#include "daemon/bus-message.h"
#include "daemon/bus-patch-properties.h"
#include "daemon/bus-request.h"

int bus_patch_path(const Patch *patch, char **ret) {
        return sd_bus_path_encode(LP_PATCH_PREFIX, patch->id, ret);
}

static const Patch *find_patch_by_id(const Bus *bus, const char *id) {
        const Patch *patch;

        if (bus->leaving_patch && streq(bus->leaving_patch->id, id))
                return bus->leaving_patch;
        if (!bus->manager)
                return NULL;
        patch = manager_find_patch(bus->manager, id);
        return patch && streq(patch->id, id) ? patch : NULL; /* a bare name may stand for another kernel's patch */
}

/* Each patch has exactly one path: other spellings of its escaping, and bare names for NAME@RELEASE, have none. */
static int find_patch(sd_bus *b _unused_, const char *path, const char *interface _unused_, void *userdata,
                      void **ret_found, sd_bus_error *error _unused_) {
        _cleanup_free_ char *id = NULL, *canonical = NULL;
        const Patch *patch;
        Bus *bus = userdata;
        int r;

        r = sd_bus_path_decode(path, LP_PATCH_PREFIX, &id);
        if (r <= 0)
                return r;
        bus_refresh_patches(bus);
        patch = find_patch_by_id(bus, id);
        if (!patch)
                return 0;
        r = bus_patch_path(patch, &canonical);
        if (r < 0)
                return r;
        if (!streq(canonical, path))
                return 0;
        bus->found_patch = (BusPatch) { .bus = bus, .patch = patch };
        *ret_found = &bus->found_patch;
        return 1;
}

static int enumerate_patches(sd_bus *b _unused_, const char *prefix _unused_, void *userdata, char ***ret_nodes,
                             sd_bus_error *error _unused_) {
        _cleanup_strv_free_ char **nodes = NULL;
        Bus *bus = userdata;
        int r;

        bus_refresh_patches(bus);
        for (size_t i = 0; i < manager_n_patches(bus->manager); i++) {
                _cleanup_free_ char *path = NULL;

                r = bus_patch_path(manager_patch(bus->manager, i), &path);
                if (r >= 0)
                        r = strv_append(&nodes, path);
                if (r < 0)
                        return r;
        }
        *ret_nodes = TAKE_PTR(nodes);
        return 0;
}

int bus_patch_begin(const BusPatch *found, sd_bus_message *m, Bus **ret_bus, char **ret_id, uid_t *ret_uid,
                    BusRequest **ret, sd_bus_error *error) {
        Bus *bus = found->bus;
        int r;

        *ret_bus = bus;
        r = free_and_strdup(ret_id, found->patch->id);
        if (r < 0)
                return bus_error_set_errno(error, r);
        return bus_request_begin(bus, m, (PolkitDetail) { "patch", *ret_id }, ret_uid, ret, error);
}

/* What changes the patch in a job, with the options of one; replies with the job. */
typedef int (*JobMethod)(Manager *manager, const char *patch_id, const OperationOptions *options, uid_t uid,
                         ManagerReply reply, void *userdata, Failure *f);
/* What takes nothing but the patch; replies when it is done. */
typedef int (*PlainMethod)(Manager *manager, const char *patch_id, uid_t uid, ManagerReply reply, void *userdata,
                           Failure *f);

static int call_job(sd_bus_message *m, const BusPatch *found, JobType type, JobMethod method, sd_bus_error *error) {
        _cleanup_(bus_request_freep) BusRequest *request = NULL;
        _cleanup_failure_ Failure failure = {};
        _cleanup_free_ char *id = NULL;
        OperationOptions options = {};
        uid_t uid;
        Bus *bus;
        int r;

        r = bus_message_read_operation_options(m, type, &options, error);
        if (r < 0)
                return r;
        r = bus_patch_begin(found, m, &bus, &id, &uid, &request, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = method(bus->manager, id, &options, uid, bus_request_reply_job, request, &failure);
        return bus_request_begun(&request, r, &failure, error);
}

static int call_plain(sd_bus_message *m, const BusPatch *found, PlainMethod method, sd_bus_error *error) {
        _cleanup_(bus_request_freep) BusRequest *request = NULL;
        _cleanup_failure_ Failure failure = {};
        _cleanup_free_ char *id = NULL;
        uid_t uid;
        Bus *bus;
        int r;

        r = bus_patch_begin(found, m, &bus, &id, &uid, &request, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = method(bus->manager, id, uid, bus_request_reply_empty, request, &failure);
        return bus_request_begun(&request, r, &failure, error);
}

/* There is an a{sv} for options to come; none is known yet. */
static int call_without_options(sd_bus_message *m, const BusPatch *found, PlainMethod method, sd_bus_error *error) {
        int r = bus_message_read_options(m, (const BusOption[]) { {} }, error);

        return r < 0 ? r : call_plain(m, found, method, error);
}

static int method_apply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return call_job(m, userdata, JOB_APPLY, manager_apply, error);
}

static int method_revert(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return call_job(m, userdata, JOB_REVERT, manager_revert, error);
}

static int method_rollback(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return call_job(m, userdata, JOB_ROLLBACK, manager_rollback, error);
}

static int method_remove(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return call_without_options(m, userdata, manager_remove, error);
}

static int method_set_reapply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(bus_request_freep) BusRequest *request = NULL;
        _cleanup_failure_ Failure failure = {};
        _cleanup_free_ char *id = NULL;
        int r, reapply;
        uid_t uid;
        Bus *bus;

        r = sd_bus_message_read_basic(m, 'b', &reapply);
        if (r < 0)
                return r;
        r = bus_patch_begin(userdata, m, &bus, &id, &uid, &request, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_set_reapply(bus->manager, id, reapply, uid, bus_request_reply_empty, request, &failure);
        return bus_request_begun(&request, r, &failure, error);
}

/* Nothing else forces a transition: never by itself, never as the answer to a stall. */
static int method_force(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return call_without_options(m, userdata, manager_force, error);
}

static int method_clear_quarantine(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return call_plain(m, userdata, manager_clear_quarantine, error);
}

static int method_adopt(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return call_plain(m, userdata, manager_adopt, error);
}

static const sd_bus_vtable patch_methods_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_NAMES("Apply",
                                 "a{sv}", SD_BUS_PARAM(options),
                                 "o", SD_BUS_PARAM(job),
                                 method_apply, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("Revert",
                                 "a{sv}", SD_BUS_PARAM(options),
                                 "o", SD_BUS_PARAM(job),
                                 method_revert, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("Rollback",
                                 "a{sv}", SD_BUS_PARAM(options),
                                 "o", SD_BUS_PARAM(job),
                                 method_rollback, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("Remove",
                                 "a{sv}", SD_BUS_PARAM(options),
                                 "", ,
                                 method_remove, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("SetReapply",
                                 "b", SD_BUS_PARAM(reapply),
                                 "", ,
                                 method_set_reapply, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("ListBlockers",
                                 "", ,
                                 "aa{sv}", SD_BUS_PARAM(blockers),
                                 bus_method_list_blockers, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Adopt", "", "", method_adopt, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("Force",
                                 "a{sv}", SD_BUS_PARAM(options),
                                 "", ,
                                 method_force, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ClearQuarantine", "", "", method_clear_quarantine, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int bus_patch_register(Bus *bus) {
        int r;

        r = sd_bus_add_fallback_vtable(bus->bus, NULL, LP_PATCH_PREFIX, LP_IFACE_PATCH, patch_methods_vtable,
                                       find_patch, bus);
        if (r < 0)
                return r;
        r = sd_bus_add_fallback_vtable(bus->bus, NULL, LP_PATCH_PREFIX, LP_IFACE_PATCH, bus_patch_properties_vtable,
                                       find_patch, bus);
        if (r < 0)
                return r;
        return sd_bus_add_node_enumerator(bus->bus, NULL, LP_PATCH_PREFIX, enumerate_patches, bus);
}
