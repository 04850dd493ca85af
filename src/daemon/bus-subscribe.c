/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Subscribe() and Unsubscribe(): callers that the daemon stays for, so that they are told what happens.
 *
 * Signals go to everybody who listens. But a daemon that has left sees nothing, so whoever wants to know at once says
 * so. Anybody may: it costs a little memory until the caller leaves the bus, and each user has a bounded number. */

#include <stdlib.h>

#include "common/string-util.h"
#include "daemon/bus-error.h"
#include "daemon/bus-internal.h"

/* Connections of one user that are subscribed at a time; a desktop with some tools has three or four. */
#define SUBSCRIBERS_PER_USER_MAX 32

struct BusSubscriber {
        Bus *bus;
        BusSubscriber *next;
        char *name;
        uid_t uid;
};

static BusSubscriber *subscriber_free(BusSubscriber *s) {
        if (!s)
                return NULL;
        for (BusSubscriber **i = &s->bus->subscribers; *i; i = &(*i)->next)
                if (*i == s) {
                        *i = s->next;
                        break;
                }
        free(s->name);
        free(s);
        return NULL;
}
DEFINE_CLEANUP(BusSubscriber *, subscriber_free)

static BusSubscriber *find(const Bus *bus, const char *name) {
        for (BusSubscriber *s = bus->subscribers; s; s = s->next)
                if (streq(s->name, name))
                        return s;
        return NULL;
}

static unsigned count(const Bus *bus, uid_t uid) {
        unsigned n = 0;

        for (const BusSubscriber *s = bus->subscribers; s; s = s->next)
                n += s->uid == uid;
        return n;
}

void bus_subscribers_leave(Bus *bus, const char *sender) {
        subscriber_free(find(bus, sender));
}

static int subscribe(Bus *bus, sd_bus_message *m, uid_t uid) {
        _cleanup_(subscriber_freep) BusSubscriber *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->bus = bus;
        s->uid = uid;
        s->name = strdup(sd_bus_message_get_sender(m));
        if (!s->name)
                return -ENOMEM;
        s->next = bus->subscribers;
        bus->subscribers = TAKE_PTR(s);
        return 0;
}

int bus_method_subscribe(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;
        uid_t uid;
        int r;

        r = bus_queue_sender_uid(bus->queue, m, &uid);
        if (r < 0)
                return bus_error_set_errno(error, r);
        if (!find(bus, sd_bus_message_get_sender(m)) && !bus_queue_sender_has_left(bus->queue, m)) {
                if (count(bus, uid) >= SUBSCRIBERS_PER_USER_MAX)
                        return bus_error_set_refusal(error, REFUSED_LIMITS_EXCEEDED,
                                                     "%u connections of user id %u are subscribed already, which is "
                                                     "the limit. Close some, or call Unsubscribe() in them",
                                                     SUBSCRIBERS_PER_USER_MAX, uid);
                r = subscribe(bus, m, uid);
                if (r < 0)
                        return bus_error_set_errno(error, r);
        }
        return sd_bus_reply_method_return(m, NULL);
}

int bus_method_unsubscribe(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        subscriber_free(find(userdata, sd_bus_message_get_sender(m)));
        return sd_bus_reply_method_return(m, NULL);
}

void bus_subscribers_done(Bus *bus) {
        while (bus->subscribers)
                subscriber_free(bus->subscribers);
}
