/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Manager.Inspect: everything that can be told about a module without changing anything. */

#include "common/string-util.h"
#include "daemon/bus-error.h"
#include "daemon/bus-message.h"
#include "daemon/bus-request.h"

static int append_texts(sd_bus_message *m, const InspectReport *report) {
        const ModuleInfo *info = report->info;
        const SignatureReport *signature = report->signature;
        const BusText texts[] = {
                { "name", info ? info->name : NULL },
                { "kernel-release", info ? info->kernel_release : NULL },
                { "vermagic", info ? info->vermagic : NULL },
                { "version", info ? info->version : NULL },
                { "description", info ? info->description : NULL },
                { "license", info ? info->license : NULL },
                { "sha256", report->sha256 },
                { "build-id", info ? info->build_id : NULL },
                { "srcversion", info ? info->srcversion : NULL },
                { "architecture", info ? module_elf_machine_to_string(info->machine) : NULL },
                { "kind", livepatch_kind_to_string(info ? info->kind : LIVEPATCH_KIND_UNKNOWN) },
                { "replace", tristate_to_string(info ? info->replace : TRISTATE_UNKNOWN) },
                { "signature-status", signature_status_to_string(signature ? signature->status : SIGNATURE_UNCHECKED) },
                { "signer", signature ? signature->signer : NULL },
                { "signer-fingerprint", signature ? signature->signer_fingerprint : NULL },
                { "digest", signature ? signature->digest : NULL },
                { "signature-text", signature ? signature->text : NULL },
                { "compression", report->compression },
                { "refusal", report->refusal ? failure_dbus_name(report->refusal->code) : NULL },
                { "refusal-text", report->refusal ? failure_text(report->refusal) : NULL },
                {},
        };

        return bus_message_append_text_entries(m, texts);
}

static int append_functions(sd_bus_message *m, const ModuleObject *object) {
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "(su)");
        if (r < 0)
                return r;
        for (size_t i = 0; i < object->n_functions; i++) {
                r = sd_bus_message_append(m, "(su)", object->functions[i].name,
                                          (uint32_t) object->functions[i].sympos);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

static int append_object(sd_bus_message *m, const ModuleObject *object) {
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_STRUCT, "sa(su)");
        if (r < 0)
                return r;
        r = bus_message_append_text(m, object->name);
        if (r < 0)
                return r;
        r = append_functions(m, object);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_objects(sd_bus_message *m, const void *userdata) {
        const ModuleInfo *info = userdata;
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "(sa(su))");
        if (r < 0)
                return r;
        for (size_t i = 0; info && i < info->n_objects; i++) {
                r = append_object(m, &info->objects[i]);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

static int append_report(sd_bus_message *m, const void *userdata) {
        const InspectReport *report = userdata;
        const ModuleInfo *info = report->info;
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r < 0)
                return r;
        r = append_texts(m, report);
        if (r < 0)
                return r;
        r = bus_message_append_entry(m, "objects", "a(sa(su))", append_objects, info);
        if (r < 0)
                return r;
        r = bus_append_findings(m, report->findings);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}",
                                  "livepatch", "b", info && info->livepatch,
                                  "objects-known", "b", info && info->objects_known,
                                  "size", "t", report->size,
                                  "would-apply", "b", !report->refusal);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static void reply_report(void *userdata, const Failure *failure, const InspectReport *report) {
        bus_request_reply(userdata, failure, append_report, report);
}

int bus_method_inspect(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(bus_request_freep) BusRequest *request = NULL;
        _cleanup_failure_ Failure failure = {};
        _cleanup_close_ int copy = -EBADF;
        Bus *bus = userdata;
        uid_t uid;
        int r, fd;

        r = bus_message_read_fd(m, &fd, error);
        if (r >= 0)
                r = bus_message_read_options(m, (const BusOption[]) { {} }, error);
        if (r < 0)
                return r;
        r = bus_request_begin_fd(bus, m, fd, &copy, &uid, &request, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_inspect_fd(bus->manager, TAKE_FD(copy), uid, reply_report, request, &failure);
        return bus_request_begun(&request, r, &failure, error);
}
