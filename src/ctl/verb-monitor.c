/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl monitor */

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/client-json.h"
#include "ctl/client.h"
#include "ctl/json-util.h"
#include "ctl/monitor-event.h"
#include "ctl/output.h"
#include "ctl/verbs.h"

/* livepatchd stays for who has subscribed: one that has left would not see what others do to the kernel. */
static int keep_livepatchd(Client *client, CtlError *e) {
        static const ClientCall call = {
                .path = LP_OBJECT_MANAGER,
                .interface = LP_IFACE_MANAGER,
                .member = "Subscribe",
        };

        return client_call(client, &call, NULL, e, NULL);
}

static int add_matches(sd_bus *bus) {
        static const char *const rules[] = {
                "type='signal',sender='" LP_BUS_NAME "',path_namespace='" LP_OBJECT_MANAGER "'",
                "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                "member='NameOwnerChanged',arg0='" LP_BUS_NAME "'",
        };

        for (size_t i = 0; i < ELEMENTSOF(rules); i++) {
                int r = sd_bus_add_match(bus, NULL, rules[i], NULL, NULL);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* A new process knows nothing of the old one's subscribers. None is started for that: whoever stopped livepatchd may
 * have meant it. */
static void keep_new_livepatchd(sd_bus *bus, const json_t *event) {
        if (streq(json_text(event, "event"), "started"))
                (void) sd_bus_call_method_async(bus, NULL, LP_BUS_NAME, LP_OBJECT_MANAGER, LP_IFACE_MANAGER,
                                                "Subscribe", NULL, NULL, NULL);
}

/* {"schema", "time", "event", "path", ...} out of a signal; NULL if it is not one of ours. */
static json_t *read_event(sd_bus_message *m) {
        json_auto_t *arguments = json_array();
        struct timespec now;
        int r;

        while ((r = sd_bus_message_at_end(m, 1)) == 0) {
                json_t *argument = NULL;

                if (client_read_json(m, &argument) < 0)
                        return NULL;
                (void) json_array_append_new(arguments, argument);
        }
        if (r < 0)
                return NULL;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        return monitor_event_new(strempty(sd_bus_message_get_member(m)), strempty(sd_bus_message_get_path(m)),
                                 arguments,
                                 (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC);
}

static int print_event(const Options *o, json_t *event) {
        _cleanup_free_ char *text = NULL;
        uint64_t time_usec = json_number(event, "time");
        char time_text[FORMAT_TIME_MAX];
        int r = 0;

        if (o->json != JSON_MODE_OFF)
                return output_json(o, event);
        text = monitor_event_text(event);
        if (text)
                r = printf("%s  %s\n", format_time(time_usec, time_text, sizeof(time_text)), text) < 0 ||
                    fflush(stdout) != 0;
        json_decref(event);
        return r;
}

static int loop(const Options *o, sd_bus *bus) {
        for (;;) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
                json_t *event;
                int r = sd_bus_process(bus, &m);

                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
                if (r < 0 && r != -EINTR)
                        return r;
                event = m ? read_event(m) : NULL;
                if (event)
                        keep_new_livepatchd(bus, event);
                if (event && print_event(o, event) != 0)
                        return -EIO;
        }
}

static int run_monitor(const Options *o, char **arguments _unused_) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_ctl_error_ CtlError e = {};
        Options one_line = *o;
        int r;

        /* One document a line, so that a reader knows where it ends. */
        if (one_line.json == JSON_MODE_PRETTY)
                one_line.json = JSON_MODE_SHORT;
        if (client_new(o, &client, &e) != 0)
                return output_failure(o, &e);
        r = add_matches(client_bus(client));
        if (r >= 0) {
                if (keep_livepatchd(client, &e) != 0)
                        return output_failure(o, &e);
                if (o->legend && o->json == JSON_MODE_OFF && !o->quiet)
                        (void) fputs("Waiting for events; ^C ends it.\n", stderr);
                r = loop(&one_line, client_bus(client));
        }
        client_not_connected(client, &e, r);
        return output_failure(o, &e);
}

const Verb verb_monitor = {
        .name = "monitor",
        .arguments = "",
        .summary = "Show what happens to patches and jobs as it happens",
        .description = "One line an event, until ^C; livepatchd stays that long, so that it sees what others\n"
                       "do. With --json every line is a document, in the short form always.\n",
        .run = run_monitor,
};
