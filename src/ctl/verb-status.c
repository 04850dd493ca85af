/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl status */

#include <fcntl.h>

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/client.h"
#include "ctl/local-status.h"
#include "ctl/status-text.h"
#include "ctl/verbs.h"

static int fetch_status(const Options *o, json_t **ret, CtlError *e) {
        _cleanup_(client_freep) Client *client = NULL;
        json_auto_t *manager = NULL, *patches = NULL, *jobs = NULL;
        int r;

        r = client_new(o, &client, e);
        if (r == 0)
                r = client_get_properties(client, LP_OBJECT_MANAGER, LP_IFACE_MANAGER, &manager, e);
        if (r == 0)
                r = client_list_patches(client, &patches, e);
        if (r == 0)
                r = client_list_jobs(client, &jobs, e);
        if (r != 0)
                return r;
        *ret = json_pack("{s:i, s:b, s:O, s:O, s:O}", "schema", JSON_SCHEMA, "reachable", true, "manager", manager,
                         "patches", patches, "jobs", jobs);
        return *ret ? 0 : ctl_error_oom(e);
}

/* livepatchd cannot be asked: what the kernel tells, and why that is all. */
static json_t *degraded_status(const CtlError *e) {
        _cleanup_close_ int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        json_t *status = local_status_read(root_fd);

        (void) json_object_set_new(status, "schema", json_integer(JSON_SCHEMA));
        (void) json_object_set_new(status, "reachable", json_false());
        (void) json_object_set_new(status, "error", json_error_object(e));
        return status;
}

static int print_status(const Options *o, json_t *status) {
        _cleanup_output_ Output out = {};
        int r;

        if (o->json != JSON_MODE_OFF)
                return output_json(o, json_incref(status));
        r = output_begin(&out, o);
        if (r != 0)
                return r;
        status_print(&out, status);
        return output_end(&out);
}

static int run_status(const Options *o, char **arguments _unused_) {
        _cleanup_ctl_error_ CtlError e = {};
        json_auto_t *status = NULL;

        if (fetch_status(o, &status, &e) == 0)
                return print_status(o, status);
        if (o->host)
                return output_failure(o, &e);
        output_error(o, ctl_error_text(&e));
        status = degraded_status(&e);
        if (o->json == JSON_MODE_OFF)
                output_warning(o, "livepatchd did not answer; this is only what the kernel itself tells.");
        (void) print_status(o, status);
        return e.exit_code;
}

const Verb verb_status = {
        .name = "status",
        .arguments = "",
        .summary = "Show how things are (this is the default)",
        .description = "The kernel and whether it can be live-patched, what is switched on, the patches,\n"
                       "running jobs, and everything that needs attention. When livepatchd cannot be\n"
                       "reached, what the kernel itself tells is shown, and the exit code is 1.\n",
        .run = run_status,
};
