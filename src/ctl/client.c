/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection to livepatchd: calls, and their failures as text and exit code. */

#include <stdarg.h>
#include <string.h>

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/client-json.h"
#include "ctl/client.h"
#include "ctl/json-util.h"
#include "ctl/polkit-agent.h"

/* livepatchd is started on demand, and at that time reads the kernel's and its own state. */
#define READ_TIMEOUT_USEC (60 * USEC_PER_SEC)

struct Client {
        const Options *options;
        sd_bus *bus;
        bool agent_tried;
        pid_t agent;
};

static int explain_connection(CtlError *e, const Options *o, int r) {
        if (o->host)
                return ctl_error_set(e, r, "Failed to connect to '%s': %s. Check that 'ssh %s' works, and that systemd "
                                     "is installed there.", o->host, strerror(-r), o->host);
        return ctl_error_set(e, r, "Failed to connect to the system bus: %s. Patches that are applied stay so; look at "
                             "'systemctl status dbus'.", strerror(-r));
}

int client_new(const Options *o, Client **ret, CtlError *e) {
        _cleanup_(client_freep) Client *c = calloc(1, sizeof(Client));
        int r;

        if (!c)
                return ctl_error_oom(e);
        c->options = o;
        r = o->host ? sd_bus_open_system_remote(&c->bus, o->host) : sd_bus_open_system(&c->bus);
        if (r < 0)
                return explain_connection(e, o, r);
        (void) sd_bus_set_allow_interactive_authorization(c->bus, o->ask_password);
        *ret = TAKE_PTR(c);
        return 0;
}

Client *client_free(Client *c) {
        if (!c)
                return NULL;
        sd_bus_flush_close_unref(c->bus);
        polkit_agent_stop(c->agent);
        free(c);
        return NULL;
}

sd_bus *client_bus(Client *c) {
        return c->bus;
}

const Options *client_options(const Client *c) {
        return c->options;
}

/* Started before the first call that may need it, and kept: several patches need only one password. */
static void start_agent(Client *c) {
        if (c->agent_tried || c->options->host || !c->options->ask_password)
                return;
        c->agent_tried = true;
        c->agent = polkit_agent_start();
}

static bool is_error(const sd_bus_error *error, const char *name) {
        return sd_bus_error_has_name(error, name);
}

static bool daemon_went_away(const sd_bus_error *error) {
        return is_error(error, SD_BUS_ERROR_NO_REPLY) || is_error(error, SD_BUS_ERROR_DISCONNECTED);
}

int client_not_connected(const Client *c, CtlError *e, int r) {
        return explain_connection(e, c->options, r);
}

/* The connection to the bus, not to livepatchd: over SSH it fails only when it is used. */
static bool connection_is_lost(int r) {
        return r == -ENOTCONN || r == -ECONNRESET || r == -EPIPE || r == -ECONNREFUSED;
}

static int explain_call(const Client *c, CtlError *e, const ClientCall *call, const sd_bus_error *error, int r) {
        if (connection_is_lost(r) && !daemon_went_away(error))
                return explain_connection(e, c->options, r);
        if (!sd_bus_error_is_set(error))
                return ctl_error_set(e, r, "Failed to call livepatchd: %s.", strerror(-r));
        if (daemon_went_away(error)) {
                if (call->action)
                        ctl_error_set(e, -EIO,
                                      "livepatchd stopped before it answered, so it is not known whether this was "
                                      "done. Look at 'livepatchctl status'; running the command again does no harm.");
                else
                        ctl_error_set(e, -EIO, "livepatchd does not answer. Patches that are applied stay so; look at "
                                      "'systemctl status livepatchd'.");
                return e->exit_code;
        }
        ctl_error_from_dbus(e, error->name, error->message);
        if (is_error(error, SD_BUS_ERROR_SERVICE_UNKNOWN) || is_error(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER) ||
            startswith(error->name, "org.freedesktop.DBus.Error.Spawn.") ||
            startswith(error->name, "org.freedesktop.systemd1."))
                ctl_error_add_hint(e, "livepatchd cannot be started; patches that are applied stay so. Look at "
                                   "'systemctl status livepatchd'.");
        else if (is_error(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED))
                ctl_error_add_hint(e, "Run this as root, or on a terminal without --no-ask-password.");
        return e->exit_code;
}

static int send_call(Client *c, const ClientCall *call, sd_bus_message **ret_reply, sd_bus_error *error,
                     const char *types, va_list ap) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(c->bus, &m, LP_BUS_NAME, call->path, call->interface, call->member);
        if (r < 0)
                return r;
        if (call->silent) {
                r = sd_bus_message_set_allow_interactive_authorization(m, false);
                if (r < 0)
                        return r;
        }
        if (call->strings) {
                r = sd_bus_message_append_strv(m, (char **) call->strings);
                if (r < 0)
                        return r;
        }
        if (types) {
                r = sd_bus_message_appendv(m, types, ap);
                if (r < 0)
                        return r;
        }
        if (call->append) {
                r = call->append(m, c->options);
                if (r < 0)
                        return r;
        }
        return sd_bus_call(c->bus, m, call->action ? UINT64_MAX : READ_TIMEOUT_USEC, error, ret_reply);
}

static int callv(Client *c, const ClientCall *call, sd_bus_message **ret_reply, CtlError *e, const char *types,
                 va_list ap) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        va_list again;
        int r;

        if (call->action)
                start_agent(c);
        va_copy(again, ap);
        r = send_call(c, call, ret_reply, &error, types, ap);
        if (r < 0 && !call->action && daemon_went_away(&error)) {
                sd_bus_error_free(&error);
                r = send_call(c, call, ret_reply, &error, types, again);
        }
        va_end(again);
        return r < 0 ? explain_call(c, e, call, &error, r) : 0;
}

int client_call(Client *c, const ClientCall *call, sd_bus_message **ret_reply, CtlError *e, const char *types, ...) {
        va_list ap;
        int r;

        va_start(ap, types);
        r = callv(c, call, ret_reply, e, types, ap);
        va_end(ap);
        return r;
}

int client_bad_reply(CtlError *e, int r) {
        if (r == -ENOMEM)
                return ctl_error_oom(e);
        return ctl_error_set(e, r,
                             "livepatchd sent a reply that cannot be read: %s. livepatchctl and livepatchd may be of "
                             "different versions.", strerror(-r));
}

int client_call_for_string(Client *c, const ClientCall *call, char **ret, CtlError *e, const char *types, ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *value;
        va_list ap;
        char type;
        int r;

        va_start(ap, types);
        r = callv(c, call, &reply, e, types, ap);
        va_end(ap);
        if (r != 0)
                return r;
        r = sd_bus_message_peek_type(reply, &type, NULL);
        if (r >= 0)
                r = sd_bus_message_read_basic(reply, type == SD_BUS_TYPE_OBJECT_PATH ? 'o' : 's', &value);
        if (r < 0)
                return client_bad_reply(e, r);
        *ret = clean_text(value);
        return *ret ? 0 : ctl_error_oom(e);
}

int client_get_properties(Client *c, const char *path, const char *interface, json_t **ret, CtlError *e) {
        const ClientCall call = { path, "org.freedesktop.DBus.Properties", "GetAll", .action = false };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        json_auto_t *properties = NULL;
        int r;

        r = client_call(c, &call, &reply, e, "s", interface);
        if (r != 0)
                return r;
        r = client_read_json(reply, &properties);
        if (r >= 0 && streq(interface, LP_IFACE_PATCH))
                r = json_shape_patch(properties);
        if (r < 0)
                return client_bad_reply(e, r);
        *ret = TAKE_PTR(properties);
        return 0;
}

int client_list_patches(Client *c, json_t **ret, CtlError *e) {
        static const ClientCall call = { LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "ListPatches", .action = false };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        json_auto_t *patches = NULL;
        json_t *patch;
        size_t i;
        int r;

        r = client_call(c, &call, &reply, e, NULL);
        if (r != 0)
                return r;
        r = client_read_json(reply, &patches);
        if (r < 0)
                return client_bad_reply(e, r);
        json_array_foreach(patches, i, patch) {
                r = json_shape_patch(patch);
                if (r < 0)
                        return client_bad_reply(e, r);
        }
        *ret = TAKE_PTR(patches);
        return 0;
}

int client_list_jobs(Client *c, json_t **ret, CtlError *e) {
        static const ClientCall call = { LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "ListJobs", .action = false };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        json_auto_t *paths = NULL, *jobs = json_array();
        const json_t *path;
        size_t i;
        int r;

        r = client_call(c, &call, &reply, e, NULL);
        if (r != 0)
                return r;
        r = client_read_json(reply, &paths);
        if (r < 0)
                return client_bad_reply(e, r);
        json_array_foreach(paths, i, path) {
                _cleanup_ctl_error_ CtlError ignored = {};
                json_t *job = NULL;

                /* One that has gone meanwhile is no failure; those that have ended stay readable, but are over. */
                if (client_get_properties(c, json_string_value(path), LP_IFACE_JOB, &job, &ignored) != 0)
                        continue;
                (void) json_object_set(job, "path", json_array_get(paths, i));
                if (streq(json_text(job, "state"), "finished"))
                        json_decref(job);
                else
                        (void) json_array_append_new(jobs, job);
        }
        *ret = TAKE_PTR(jobs);
        return 0;
}

/* Names of modules never have a '-', but the files they come from often do; a release behind '@' may. */
static char *normalize_name(const char *name) {
        char *copy = strdup(name);

        for (char *p = copy; p && *p && *p != '@'; p++)
                if (*p == '-')
                        *p = '_';
        return copy;
}

static void suggest_name(Client *c, const char *name, CtlError *e) {
        _cleanup_ctl_error_ CtlError ignored = {};
        json_auto_t *patches = NULL;
        const char *best = NULL;
        size_t best_distance = strlen(name) / 3 + 2, i;
        const json_t *patch;

        if (client_list_patches(c, &patches, &ignored) != 0)
                return;
        json_array_foreach(patches, i, patch) {
                size_t distance = edit_distance(name, json_text(patch, "name"));

                if (distance < best_distance) {
                        best_distance = distance;
                        best = json_text(patch, "name");
                }
        }
        if (best)
                ctl_error_add_hint(e, "Did you mean '%s'?", best);
}

int client_get_patch(Client *c, const char *name, char **ret_path, CtlError *e) {
        static const ClientCall call = { LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "GetPatch", .action = false };
        _cleanup_free_ char *normalized = normalize_name(name);
        int r;

        if (!normalized)
                return ctl_error_oom(e);
        r = client_call_for_string(c, &call, ret_path, e, "s", normalized);
        if (r != 0 && r == failure_exit_code(REFUSED_NO_SUCH_PATCH))
                suggest_name(c, normalized, e);
        return r;
}

int client_get_patch_properties(Client *c, const char *name, json_t **ret, CtlError *e) {
        _cleanup_free_ char *path = NULL;
        int r = client_get_patch(c, name, &path, e);

        return r != 0 ? r : client_get_properties(c, path, LP_IFACE_PATCH, ret, e);
}
