/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.livepatch.Manager: modules handed over, lists, and facts about this system. */

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/bus-error.h"
#include "daemon/bus-message.h"
#include "daemon/bus-request.h"

#define NAME_SHOWN_MAX 128

static int method_apply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(bus_request_freep) BusRequest *request = NULL;
        _cleanup_failure_ Failure failure = {};
        _cleanup_close_ int copy = -EBADF;
        OperationOptions options = {};
        Bus *bus = userdata;
        uid_t uid;
        int r, fd;

        r = bus_message_read_fd(m, &fd, error);
        if (r >= 0)
                r = bus_message_read_operation_options(m, JOB_APPLY, &options, error);
        if (r < 0)
                return r;
        r = bus_request_begin_fd(bus, m, fd, &copy, &uid, &request, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_apply_fd(bus->manager, TAKE_FD(copy), &options, uid, bus_request_reply_job, request, &failure);
        return bus_request_begun(&request, r, &failure, error);
}

static int method_stage(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(bus_request_freep) BusRequest *request = NULL;
        _cleanup_failure_ Failure failure = {};
        _cleanup_close_ int copy = -EBADF;
        bool reapply = false;
        Bus *bus = userdata;
        uid_t uid;
        int r, fd;

        r = bus_message_read_fd(m, &fd, error);
        if (r >= 0)
                r = bus_message_read_options(m, (const BusOption[]) { { .key = "reapply", .flag = &reapply }, {} },
                                             error);
        if (r < 0)
                return r;
        r = bus_request_begin_fd(bus, m, fd, &copy, &uid, &request, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_stage_fd(bus->manager, TAKE_FD(copy), reapply, uid, bus_request_reply_patch, request, &failure);
        return bus_request_begun(&request, r, &failure, error);
}

static int no_such_patch(const char *name, sd_bus_error *error) {
        _cleanup_free_ char *shown = sanitize_text(name, NAME_SHOWN_MAX);

        return bus_error_set_refusal(error, REFUSED_NO_SUCH_PATCH,
                                     "There is no patch '%s', or several for other kernels have that name: "
                                     "see the list of patches, and name it as NAME@RELEASE if need be",
                                     strempty(shown));
}

static int method_confirm(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(bus_request_freep) BusRequest *request = NULL;
        _cleanup_failure_ Failure failure = {};
        _cleanup_free_ char *patch_name = NULL, *release = NULL;
        Bus *bus = userdata;
        const char *name;
        uid_t uid;
        int r;

        r = sd_bus_message_read_basic(m, 's', &name);
        if (r < 0)
                return r;
        /* polkit shows it to people. */
        if (!patch_id_parse(name, &patch_name, &release))
                return no_such_patch(name, error);
        r = bus_request_begin(bus, m, (PolkitDetail) { "patch", name }, &uid, &request, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        bus_refresh_patches(bus);
        r = manager_confirm(bus->manager, name, uid, bus_request_reply_empty, request, &failure);
        return bus_request_begun(&request, r, &failure, error);
}

static int method_reapply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(bus_request_freep) BusRequest *request = NULL;
        _cleanup_failure_ Failure failure = {};
        Bus *bus = userdata;
        uid_t uid;
        int r;

        r = bus_request_begin(bus, m, (PolkitDetail) {}, &uid, &request, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_reapply(bus->manager, uid, bus_request_reply_job, request, &failure);
        return bus_request_begun(&request, r, &failure, error);
}

static int method_get_patch(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_free_ char *path = NULL;
        const Patch *patch;
        Bus *bus = userdata;
        const char *name;
        int r;

        r = sd_bus_message_read_basic(m, 's', &name);
        if (r < 0)
                return r;
        bus_refresh_patches(bus);
        patch = manager_find_patch(bus->manager, name);
        if (!patch)
                return no_such_patch(name, error);
        r = bus_patch_path(patch, &path);
        if (r < 0)
                return bus_error_set_errno(error, r);
        return sd_bus_reply_method_return(m, "o", path);
}

static int append_patch(Bus *bus, const Patch *patch, sd_bus_message *reply) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = bus_patch_path(patch, &path);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r < 0)
                return r;
        r = sd_bus_message_append(reply, "{sv}", "Path", "o", path);
        if (r < 0)
                return r;
        r = bus_patch_append_properties(bus, patch, reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_patches(Bus *bus, sd_bus_message *reply) {
        int r;

        r = sd_bus_message_open_container(reply, SD_BUS_TYPE_ARRAY, "a{sv}");
        if (r < 0)
                return r;
        for (size_t i = 0; i < manager_n_patches(bus->manager); i++) {
                r = append_patch(bus, manager_patch(bus->manager, i), reply);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

static int method_list_patches(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Bus *bus = userdata;
        int r;

        bus_refresh_patches(bus);
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = append_patches(bus, reply);
        if (r < 0)
                return bus_error_set_errno(error, r);
        return sd_bus_send(NULL, reply, NULL) < 0 ? -EIO : 1;
}

static int append_jobs(Bus *bus, sd_bus_message *reply) {
        int r;

        r = sd_bus_message_open_container(reply, SD_BUS_TYPE_ARRAY, "o");
        if (r < 0)
                return r;
        for (size_t i = 0; i < manager_n_jobs(bus->manager); i++) {
                _cleanup_free_ char *path = NULL;

                r = bus_job_path(job_id(manager_job(bus->manager, i)), &path);
                if (r >= 0)
                        r = sd_bus_message_append_basic(reply, 'o', path);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

static int method_list_jobs(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = append_jobs(userdata, reply);
        if (r < 0)
                return bus_error_set_errno(error, r);
        return sd_bus_send(NULL, reply, NULL) < 0 ? -EIO : 1;
}

static const char *text_version(const Bus *bus _unused_) {
        return PROJECT_VERSION;
}

static const char *text_release(const Bus *bus) {
        return manager_kernel(bus->manager)->release;
}

static const char *text_architecture(const Bus *bus) {
        return manager_kernel(bus->manager)->architecture;
}

static const char *text_boot_id(const Bus *bus) {
        return manager_kernel(bus->manager)->boot_id;
}

static const char *text_mode(const Bus *bus) {
        return mode_to_string(manager_kernel(bus->manager)->mode);
}

static const char *text_signature_policy(const Bus *bus) {
        return signature_policy_to_string(manager_config(bus->manager)->signature_policy);
}

static const char *text_lockdown(const Bus *bus) {
        return lockdown_to_string(manager_kernel(bus->manager)->lockdown);
}

static const char *text_secure_boot(const Bus *bus) {
        return secure_boot_to_string(manager_kernel(bus->manager)->secure_boot);
}

static const char *text_sig_enforce(const Bus *bus) {
        return tristate_to_string(manager_kernel(bus->manager)->sig_enforce);
}

static const char *text_ftrace_enabled(const Bus *bus) {
        return tristate_to_string(manager_kernel(bus->manager)->ftrace_enabled);
}

static const struct {
        const char *property;
        const char *(*text)(const Bus *bus);
} text_table[] = {
        { "Version", text_version },
        { "KernelRelease", text_release },
        { "Architecture", text_architecture },
        { "BootId", text_boot_id },
        { "Mode", text_mode },
        { "SignaturePolicy", text_signature_policy },
        { "Lockdown", text_lockdown },
        { "SecureBoot", text_secure_boot },
        { "ModuleSignatureEnforced", text_sig_enforce },
        { "FtraceEnabled", text_ftrace_enabled },
};

static int get_text(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                    const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        Bus *bus = userdata;

        bus_refresh_kernel(bus);
        for (size_t i = 0; i < ELEMENTSOF(text_table); i++)
                if (streq(text_table[i].property, property))
                        return bus_message_append_text(reply, text_table[i].text(bus));
        return -ENOENT;
}

static int get_livepatch_supported(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                                   const char *property _unused_, sd_bus_message *reply, void *userdata,
                                   sd_bus_error *error _unused_) {
        const Bus *bus = userdata;

        return sd_bus_message_append(reply, "b", manager_kernel(bus->manager)->livepatch_supported);
}

static int get_taint(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                     const char *property _unused_, sd_bus_message *reply, void *userdata,
                     sd_bus_error *error _unused_) {
        Bus *bus = userdata;

        bus_refresh_kernel(bus);
        return sd_bus_message_append(reply, "t", manager_kernel(bus->manager)->taint);
}

static int get_summary(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                       const char *property _unused_, sd_bus_message *reply, void *userdata,
                       sd_bus_error *error _unused_) {
        uint32_t counts[_PATCH_STATE_MAX] = {};
        Bus *bus = userdata;
        int r;

        bus_refresh_patches(bus);
        for (size_t i = 0; i < manager_n_patches(bus->manager); i++)
                counts[manager_patch(bus->manager, i)->state]++;
        r = sd_bus_message_open_container(reply, SD_BUS_TYPE_ARRAY, "{su}");
        if (r < 0)
                return r;
        for (int state = 0; state < _PATCH_STATE_MAX; state++) {
                if (counts[state] == 0)
                        continue;
                r = sd_bus_message_append(reply, "{su}", patch_state_to_string(state), counts[state]);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

static int get_problems(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                        const char *property _unused_, sd_bus_message *reply, void *userdata,
                        sd_bus_error *error _unused_) {
        Bus *bus = userdata;

        bus_refresh_kernel(bus);
        return bus_message_append_text_array(reply, manager_problems(bus->manager));
}

static const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_NAMES("Apply",
                                 "ha{sv}", SD_BUS_PARAM(module) SD_BUS_PARAM(options),
                                 "o", SD_BUS_PARAM(job),
                                 method_apply, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("Stage",
                                 "ha{sv}", SD_BUS_PARAM(module) SD_BUS_PARAM(options),
                                 "o", SD_BUS_PARAM(patch),
                                 method_stage, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("Inspect",
                                 "ha{sv}", SD_BUS_PARAM(module) SD_BUS_PARAM(options),
                                 "a{sv}", SD_BUS_PARAM(report),
                                 bus_method_inspect, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("Plan",
                                 "asa{sv}", SD_BUS_PARAM(names) SD_BUS_PARAM(options),
                                 "aa{sv}", SD_BUS_PARAM(steps),
                                 bus_method_plan, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("GetPatch",
                                 "s", SD_BUS_PARAM(name),
                                 "o", SD_BUS_PARAM(patch),
                                 method_get_patch, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("ListPatches",
                                 "", ,
                                 "aa{sv}", SD_BUS_PARAM(patches),
                                 method_list_patches, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("ListJobs",
                                 "", ,
                                 "ao", SD_BUS_PARAM(jobs),
                                 method_list_jobs, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("Reapply",
                                 "", ,
                                 "o", SD_BUS_PARAM(job),
                                 method_reapply, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("Confirm",
                                 "s", SD_BUS_PARAM(name),
                                 "", ,
                                 method_confirm, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("AddTrust",
                                 "h", SD_BUS_PARAM(certificate),
                                 "s", SD_BUS_PARAM(fingerprint),
                                 bus_method_add_trust, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("RemoveTrust",
                                 "s", SD_BUS_PARAM(fingerprint),
                                 "", ,
                                 bus_method_remove_trust, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_NAMES("ListTrust",
                                 "", ,
                                 "aa{sv}", SD_BUS_PARAM(certificates),
                                 bus_method_list_trust, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Subscribe", "", "", bus_method_subscribe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Unsubscribe", "", "", bus_method_unsubscribe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_NAMES("JobNew", "uo", SD_BUS_PARAM(id) SD_BUS_PARAM(job), 0),
        SD_BUS_SIGNAL_WITH_NAMES("JobRemoved", "uos", SD_BUS_PARAM(id) SD_BUS_PARAM(job) SD_BUS_PARAM(result), 0),
        SD_BUS_PROPERTY("Version", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("KernelRelease", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Architecture", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("BootId", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("LivepatchSupported", "b", get_livepatch_supported, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Mode", "s", get_text, 0, 0),
        SD_BUS_PROPERTY("SignaturePolicy", "s", get_text, 0, 0),
        SD_BUS_PROPERTY("Lockdown", "s", get_text, 0, 0),
        SD_BUS_PROPERTY("SecureBoot", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("ModuleSignatureEnforced", "s", get_text, 0, 0),
        SD_BUS_PROPERTY("FtraceEnabled", "s", get_text, 0, 0),
        SD_BUS_PROPERTY("Taint", "t", get_taint, 0, 0),
        SD_BUS_PROPERTY("Summary", "a{su}", get_summary, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Problems", "as", get_problems, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

int bus_manager_register(Bus *bus) {
        return sd_bus_add_object_vtable(bus->bus, NULL, LP_OBJECT_MANAGER, LP_IFACE_MANAGER, manager_vtable, bus);
}
