/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl blockers */

#include <fcntl.h>

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/blockers-stack.h"
#include "ctl/blockers-text.h"
#include "ctl/client-json.h"
#include "ctl/client.h"
#include "ctl/verbs.h"

static bool in_transition(const json_t *patch) {
        const char *state = json_text(patch, "state");

        return streq(state, "applying") || streq(state, "reverting");
}

/* Without a name it is the patch in transition, of which the kernel has one at most; *ret NULL: there is none. */
static int find_patch(Client *client, const char *name, json_t **ret, CtlError *e) {
        json_auto_t *patches = NULL, *patch = NULL;
        _cleanup_free_ char *path = NULL;
        json_t *p;
        size_t i;
        int r;

        if (name) {
                r = client_get_patch(client, name, &path, e);
                if (r == 0)
                        r = client_get_properties(client, path, LP_IFACE_PATCH, &patch, e);
                if (r != 0)
                        return r;
                if (json_object_set_new(patch, "path", json_string(path)) < 0)
                        return ctl_error_oom(e);
                *ret = TAKE_PTR(patch);
                return 0;
        }
        r = client_list_patches(client, &patches, e);
        if (r != 0)
                return r;
        json_array_foreach(patches, i, p)
                if (in_transition(p)) {
                        *ret = json_incref(p);
                        return 0;
                }
        *ret = NULL;
        return 0;
}

static int list_blockers(Client *client, const json_t *patch, json_t **ret, CtlError *e) {
        /* Somebody may be asked for a password. */
        const ClientCall call = { json_text(patch, "path"), LP_IFACE_PATCH, "ListBlockers", .action = true };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r = client_call(client, &call, &reply, e, NULL);

        if (r != 0)
                return r;
        r = client_read_json(reply, ret);
        return r < 0 ? client_bad_reply(e, r) : 0;
}

/* How many tasks there are, by the job that switches them; 0 if there is none, as for a patch that others loaded. */
static uint64_t count_tasks(Client *client, const json_t *patch) {
        _cleanup_ctl_error_ CtlError ignored = {};
        json_auto_t *jobs = NULL;
        const json_t *job;
        size_t i;

        if (client_list_jobs(client, &jobs, &ignored) != 0)
                return 0;
        json_array_foreach(jobs, i, job)
                if (streq(json_text(job, "patch"), json_text(patch, "name")) &&
                    !streq(json_text(job, "state"), "queued"))
                        return json_number(job, "tasks_total");
        return 0;
}

/* The total is repeated in each entry: how many there are, listed or not. */
static uint64_t take_total(json_t *blockers) {
        uint64_t total = json_number(json_array_get(blockers, 0), "total");
        json_t *b;
        size_t i;

        json_array_foreach(blockers, i, b) {
                (void) json_object_del(b, "total");
                if (json_number(b, "uid") == UINT32_MAX)
                        (void) json_object_set_new(b, "uid", json_null());
        }
        return total;
}

static int fetch(const Options *o, const char *name, json_t **ret, CtlError *e) {
        _cleanup_(client_freep) Client *client = NULL;
        json_auto_t *patch = NULL, *blockers = NULL;
        uint64_t tasks, total;
        int r = client_new(o, &client, e);

        if (r == 0)
                r = find_patch(client, name, &patch, e);
        if (r != 0)
                return r;
        if (!patch) {
                *ret = json_pack("{s:i, s:n, s:n, s:n, s:i, s:[]}", "schema", JSON_SCHEMA, "patch", "state",
                                 "tasks_total", "total", 0, "blockers");
                return *ret ? 0 : ctl_error_oom(e);
        }
        r = list_blockers(client, patch, &blockers, e);
        if (r != 0)
                return r;
        total = take_total(blockers);
        tasks = count_tasks(client, patch);
        *ret = json_pack("{s:i, s:O, s:O, s:o, s:I, s:O}", "schema", JSON_SCHEMA, "patch",
                         json_object_get(patch, "name"), "state", json_object_get(patch, "state"), "tasks_total",
                         tasks > 0 ? json_integer((json_int_t) tasks) : json_null(), "total", (json_int_t) total,
                         "blockers", blockers);
        return *ret ? 0 : ctl_error_oom(e);
}

static void read_stacks(json_t *document) {
        _cleanup_close_ int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (root_fd >= 0)
                blockers_read_stacks(root_fd, document);
}

static int print_none(const Options *o, const json_t *document) {
        _cleanup_free_ char *text = blockers_describe_none(document);

        if (!text) {
                output_error(o, "Out of memory");
                return CTL_EXIT_FAILED;
        }
        output_message(o, STYLE_NORMAL, "%s", text);
        return 0;
}

static int run_blockers(const Options *o, char **arguments) {
        _cleanup_output_ Output out = {};
        _cleanup_ctl_error_ CtlError e = {};
        json_auto_t *document = NULL;
        int r;

        if (fetch(o, arguments[0], &document, &e) != 0)
                return output_failure(o, &e);
        if (!o->host)
                read_stacks(document);
        if (o->json != JSON_MODE_OFF)
                return output_json(o, TAKE_PTR(document));
        if (json_array_size(json_object_get(document, "blockers")) == 0)
                return print_none(o, document);
        r = output_begin(&out, o);
        if (r != 0)
                return r;
        blockers_print(&out, document);
        return output_end(&out);
}

const Verb verb_blockers = {
        .name = "blockers",
        .arguments = "[NAME]",
        .summary = "Show which tasks hold up a patch, and what can be done",
        .description = "A patch is applied or reverted when every task has switched. Those that have not\n"
                       "are listed: who they are, their unit or container, the patched function that they\n"
                       "are in where that is known, and what helps. With --full the kernel stack, too.\n",
        .max_arguments = 1,
        .run = run_blockers,
};
