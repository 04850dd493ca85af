/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals of livepatchd as events, and events as lines. */

#include <inttypes.h>

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/json-util.h"
#include "ctl/monitor-event.h"

static const char *argument_text(const json_t *arguments, size_t i) {
        return strempty(json_string_value(json_array_get(arguments, i)));
}

static json_t *event_new(const char *name, const char *path, uint64_t time_usec) {
        return json_pack("{s:i, s:I, s:s, s:s}", "schema", JSON_SCHEMA, "time", (json_int_t) time_usec, "event", name,
                         "path", path);
}

static json_t *job_event(const char *name, const json_t *arguments, uint64_t time_usec) {
        json_t *event = event_new(name, argument_text(arguments, 1), time_usec);

        (void) json_object_set(event, "id", json_array_get(arguments, 0));
        if (json_array_size(arguments) > 2)
                (void) json_object_set(event, "result", json_array_get(arguments, 2));
        return event;
}

static json_t *changed_event(const char *path, const json_t *arguments, uint64_t time_usec) {
        const char *interface = argument_text(arguments, 0);
        json_t *changed = json_array_get(arguments, 1), *event;

        if (json_object_size(changed) == 0)
                return NULL;
        if (streq(interface, LP_IFACE_PATCH))
                (void) json_shape_patch(changed);
        else if (!streq(interface, LP_IFACE_JOB) && !streq(interface, LP_IFACE_MANAGER))
                return NULL;
        event = event_new(streq(interface, LP_IFACE_PATCH) ? "patch-changed" :
                          streq(interface, LP_IFACE_JOB)   ? "job-changed" :
                                                             "manager-changed",
                          path, time_usec);
        (void) json_object_set(event, "properties", changed);
        return event;
}

static json_t *added_event(const json_t *arguments, uint64_t time_usec) {
        /* Interface names are keys of a dictionary, and so are lower-case here. */
        json_t *properties = json_object_get(json_array_get(arguments, 1), "org.livepatch.patch"), *event;

        if (!properties || !startswith(argument_text(arguments, 0), LP_PATCH_PREFIX "/"))
                return NULL; /* a job: JobNew tells */
        (void) json_shape_patch(properties);
        event = event_new("patch-added", argument_text(arguments, 0), time_usec);
        (void) json_object_set(event, "properties", properties);
        return event;
}

json_t *monitor_event_new(const char *signal, const char *path, const json_t *arguments, uint64_t time_usec) {
        if (streq(signal, "JobNew"))
                return job_event("job-new", arguments, time_usec);
        if (streq(signal, "JobRemoved"))
                return job_event("job-removed", arguments, time_usec);
        if (streq(signal, "PropertiesChanged"))
                return changed_event(path, arguments, time_usec);
        if (streq(signal, "InterfacesAdded"))
                return added_event(arguments, time_usec);
        if (streq(signal, "InterfacesRemoved"))
                return startswith(argument_text(arguments, 0), LP_PATCH_PREFIX "/") ?
                               event_new("patch-removed", argument_text(arguments, 0), time_usec) :
                               NULL;
        if (streq(signal, "NameOwnerChanged"))
                return event_new(isempty(argument_text(arguments, 2)) ? "stopped" : "started", "", time_usec);
        return NULL;
}

/* The last part of an object path with the bus's "_40" escapes undone: "lp_5fcmdline" -> "lp_cmdline". */
static char *object_name(const char *path) {
        const char *slash = strrchr(path, '/');
        char *name = strdup(slash ? slash + 1 : path), *out = name;

        for (const char *p = name; p && *p; p++) {
                unsigned value;

                if (*p == '_' && sscanf(p + 1, "%2x", &value) == 1 && strlen(p) > 2) {
                        *out++ = value >= ' ' && value < 0x7f ? (char) value : '?';
                        p += 2;
                } else
                        *out++ = *p;
        }
        if (out)
                *out = '\0';
        return name;
}

/* Words, numbers and flags; longer values are for --json and "show". */
static void print_property(FILE *stream, const char *key, const json_t *value) {
        if (json_is_string(value) && json_string_length(value) > 0)
                (void) fprintf(stream, " %s=%s", key, json_string_value(value));
        else if (json_is_integer(value))
                (void) fprintf(stream, " %s=%" JSON_INTEGER_FORMAT, key, json_integer_value(value));
        else if (json_is_boolean(value))
                (void) fprintf(stream, " %s=%s", key, json_is_true(value) ? "yes" : "no");
        else if (json_is_real(value))
                (void) fprintf(stream, " %s=%.2f", key, json_real_value(value));
}

static void print_properties(FILE *stream, json_t *properties) {
        const char *key;
        json_t *value;

        json_object_foreach(properties, key, value)
                print_property(stream, key, value);
}

static void print_event(FILE *stream, const json_t *event, const char *object) {
        const char *name = json_text(event, "event");

        if (streq(name, "job-new"))
                (void) fprintf(stream, "job %s is new", object);
        else if (streq(name, "job-removed"))
                (void) fprintf(stream, "job %s has ended: %s", object, json_text(event, "result"));
        else if (streq(name, "patch-added"))
                (void) fprintf(stream, "patch %s is new: %s", object,
                               json_text(json_object_get(event, "properties"), "state"));
        else if (streq(name, "patch-removed"))
                (void) fprintf(stream, "patch %s is gone", object);
        else if (streq(name, "started"))
                (void) fputs("livepatchd has started", stream);
        else if (streq(name, "stopped"))
                (void) fputs("livepatchd has stopped; it starts again when it is needed", stream);
        else {
                (void) fprintf(stream, "%.*s %s:", (int) strcspn(name, "-"), name,
                               streq(name, "manager-changed") ? "properties" : object);
                print_properties(stream, json_object_get(event, "properties"));
        }
}

char *monitor_event_text(const json_t *event) {
        _cleanup_free_ char *object = object_name(json_text(event, "path"));
        char *text = NULL;
        size_t size = 0;
        FILE *stream;

        if (!object)
                return NULL;
        stream = open_memstream(&text, &size);
        if (!stream)
                return NULL;
        print_event(stream, event, object);
        if (fclose(stream) != 0) {
                free(text);
                return NULL;
        }
        return text;
}
