/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Method calls wait here for their turn, in which no caller holds up another one.
 *
 * The bus delivers in order of arrival: behind ten thousand calls of somebody else, root would wait for all of them. So
 * what has arrived is read first, which takes microseconds a call, and served one after the other, users in turn
 * (fair-queue.h):
 *
 *     call -> filter: too large, or no place for it -> answered with an error, at once
 *                     nobody waits for the reply of a call that only reads -> dropped
 *                     else -> FairQueue
 *     nothing more to read, or READ_AHEAD_MAX read -> the next in turn is put back into the connection's queue
 *     call -> filter: admitted -> sd-bus dispatches it
 *
 * The user of a connection is asked for when it makes its first call, without blocking, and remembered: unique names
 * are never used again while the bus is there (D-Bus specification, "Bus names"). */

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/bus-error.h"
#include "daemon/bus-queue.h"
#include "daemon/fair-queue.h"

/* Twice as many as the replies that dbus-daemon lets a connection wait for (max_replies_per_connection in
 * dbus-daemon(1)). Each may hold 16 descriptors (max_message_unix_fds), all of them half of the unit's LimitNOFILE=. */
#define PLACES 256
/* Callers that are remembered, so that one that calls now and then is not asked for each time. */
#define IDLE_CALLERS_MAX 64
/* Calls that are read between two that are served: reading is far quicker, and the one that waits longest for its turn
 * is to wait for a moment only. */
#define READ_AHEAD_MAX 64
/* Nobody's arguments are larger; Plan() with the most patches that it takes has half of it. The other parts of a call
 * have limits of their own in sd-bus, the path the same. */
#define ARGUMENTS_MAX KIB(64)
/* What an argument takes beside its text, roughly. */
#define ARGUMENT_OVERHEAD 8
/* A flood is told once in this time, whoever makes it. */
#define NOTE_INTERVAL_USEC (60 * USEC_PER_SEC)
/* After everything that has arrived. */
#define TURN_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 1)

typedef struct Lookup Lookup;
typedef struct Admitted Admitted;

struct Lookup {
        Lookup *next;
        BusQueue *queue;
        char *sender;
        sd_bus_slot *slot;
};

struct Admitted {
        Admitted *next;
        sd_bus_message *message;
};

struct BusQueue {
        sd_bus *bus;
        sd_bus_slot *filter;
        sd_event_source *turn;
        FairQueue *waiting;
        Admitted *admitted; /* in the connection's queue */
        Lookup *lookups;
        unsigned n_read; /* since the last turn */
        uint64_t noted_usec; /* CLOCK_MONOTONIC; 0: never */
};

/* ---- Calls that do not get as far as waiting --------------------------------------------------------------- */

static bool wants_reply(sd_bus_message *m) {
        return sd_bus_message_get_expect_reply(m) > 0;
}

static bool only_reads(sd_bus_message *m) {
        static const struct {
                const char *interface;
                const char *member;
        } table[] = {
                { "org.freedesktop.DBus.Introspectable", "Introspect" },
                { "org.freedesktop.DBus.ObjectManager", "GetManagedObjects" },
                { "org.freedesktop.DBus.Peer", "GetMachineId" },
                { "org.freedesktop.DBus.Peer", "Ping" },
                { "org.freedesktop.DBus.Properties", "Get" },
                { "org.freedesktop.DBus.Properties", "GetAll" },
                { LP_IFACE_MANAGER, "GetPatch" },
                { LP_IFACE_MANAGER, "Inspect" },
                { LP_IFACE_MANAGER, "ListJobs" },
                { LP_IFACE_MANAGER, "ListPatches" },
                { LP_IFACE_MANAGER, "ListTrust" },
                { LP_IFACE_MANAGER, "Plan" },
                { LP_IFACE_PATCH, "ListBlockers" },
        };
        const char *interface = sd_bus_message_get_interface(m), *member = sd_bus_message_get_member(m);

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (streq_ptr(table[i].interface, interface) && streq_ptr(table[i].member, member))
                        return true;
        return false;
}

static bool is_container(char type) {
        return type == SD_BUS_TYPE_ARRAY || type == SD_BUS_TYPE_VARIANT || type == SD_BUS_TYPE_STRUCT ||
               type == SD_BUS_TYPE_DICT_ENTRY;
}

static int measure(sd_bus_message *m, size_t *size);

static int measure_container(sd_bus_message *m, char type, const char *contents, size_t *size) {
        int r = sd_bus_message_enter_container(m, type, contents);

        if (r >= 0)
                r = measure(m, size);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int measure_basic(sd_bus_message *m, char type, size_t *size) {
        const char *text;
        int r;

        if (type != SD_BUS_TYPE_STRING && type != SD_BUS_TYPE_OBJECT_PATH && type != SD_BUS_TYPE_SIGNATURE)
                return sd_bus_message_read_basic(m, type, NULL);
        r = sd_bus_message_read_basic(m, type, &text);
        if (r > 0)
                *size += strlen(text);
        return r;
}

/* Adds the size of what is left of the arguments, or of the container that was entered. sd-bus does not tell it. */
static int measure(sd_bus_message *m, size_t *size) {
        const char *contents;
        char type;
        int r;

        while ((r = sd_bus_message_peek_type(m, &type, &contents)) > 0) {
                *size += ARGUMENT_OVERHEAD;
                if (*size > ARGUMENTS_MAX)
                        return -EFBIG;
                r = is_container(type) ? measure_container(m, type, contents, size) : measure_basic(m, type, size);
                if (r < 0)
                        return r;
        }
        return r;
}

static int check_size(sd_bus_message *m, sd_bus_error *error) {
        size_t size = 0;
        int r = measure(m, &size);

        if (r == -ENOMEM)
                return r;
        if (r < 0 && r != -EFBIG)
                return bus_error_set_invalid_args(error, "The arguments cannot be read. Nothing was changed.");
        if (r == -EFBIG || size > ARGUMENTS_MAX)
                return bus_error_set_invalid_args(error, "The arguments are larger than those of any call that makes "
                                                  "sense. Nothing was changed.");
        return 0;
}

/* ---- Who calls --------------------------------------------------------------------------------------------- */

static Lookup *lookup_free(Lookup *lookup) {
        if (!lookup)
                return NULL;
        for (Lookup **p = &lookup->queue->lookups; *p; p = &(*p)->next)
                if (*p == lookup) {
                        *p = lookup->next;
                        break;
                }
        sd_bus_slot_unref(lookup->slot);
        free(lookup->sender);
        free(lookup);
        return NULL;
}
DEFINE_CLEANUP(Lookup *, lookup_free)

static void drop_quietly(void *userdata _unused_, void *item) {
        sd_bus_message_unref(item);
}

/* As a rule the caller has left, and the bus has nobody to give this to. */
static void drop_unknown(void *userdata _unused_, void *item) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = item;

        (void) sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED,
                                          "Not authorized: it cannot be determined who asks. Nothing was changed.");
}

static void call_turn(BusQueue *queue) {
        if (!queue->admitted && fair_queue_length(queue->waiting) > 0)
                (void) sd_event_source_set_enabled(queue->turn, SD_EVENT_ONESHOT);
}

static int on_user(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        _cleanup_(lookup_freep) Lookup *lookup = userdata;
        BusQueue *queue = lookup->queue;
        uint32_t uid;
        int r = -sd_bus_message_get_errno(reply);

        if (r >= 0)
                r = sd_bus_message_read_basic(reply, 'u', &uid);
        if (r >= 0)
                r = fair_queue_identify(queue->waiting, lookup->sender, uid);
        if (r < 0) {
                (void) log_debug_errno(r, "It cannot be determined who '%s' is, dropping its calls: %m",
                                       lookup->sender);
                fair_queue_forget(queue->waiting, lookup->sender, drop_unknown, NULL);
        }
        call_turn(queue);
        return 0;
}

static int look_up(BusQueue *queue, const char *sender) {
        _cleanup_(lookup_freep) Lookup *lookup = malloc(sizeof(*lookup));
        int r;

        if (!lookup)
                return -ENOMEM;
        *lookup = (Lookup) { .next = queue->lookups, .queue = queue, .sender = strdup(sender) };
        queue->lookups = lookup;
        if (!lookup->sender)
                return -ENOMEM;
        r = sd_bus_call_method_async(queue->bus, &lookup->slot, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                     "org.freedesktop.DBus", "GetConnectionUnixUser", on_user, lookup, "s", sender);
        if (r < 0)
                return r;
        TAKE_PTR(lookup);
        return 0;
}

/* ---- Waiting, and turns ------------------------------------------------------------------------------------ */

static int refuse(sd_bus_error *error) {
        return bus_error_set_refusal(error, REFUSED_LIMITS_EXCEEDED,
                                     "Too many calls of yours wait for their turn. Nothing was changed; wait for the "
                                     "answers to some before calling again");
}

static void note_flood(BusQueue *queue, sd_bus_message *m) {
        uint64_t now = 0;
        uid_t uid;

        (void) sd_event_now(sd_event_source_get_event(queue->turn), CLOCK_MONOTONIC, &now);
        if (queue->noted_usec > 0 && now - queue->noted_usec < NOTE_INTERVAL_USEC)
                return;
        if (bus_queue_sender_uid(queue, m, &uid) < 0)
                return;
        queue->noted_usec = now;
        log_warning("User %u makes more calls than can be served, refusing some", (unsigned) uid);
}

static void turn_away(BusQueue *queue, void *item) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = item;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        note_flood(queue, m);
        if (wants_reply(m)) {
                (void) refuse(&error);
                (void) sd_bus_reply_method_error(m, &error);
        }
}

static int wait_for_turn(BusQueue *queue, sd_bus_message *m, sd_bus_error *error) {
        const char *sender = strempty(sd_bus_message_get_sender(m));
        void *displaced;
        bool unknown;
        int r = fair_queue_add(queue->waiting, sender, m, &unknown, &displaced);

        if (r == -ENOBUFS) {
                note_flood(queue, m);
                return refuse(error);
        }
        if (r < 0)
                return bus_error_set_errno(error, r);
        sd_bus_message_ref(m);
        if (displaced)
                turn_away(queue, displaced);
        if (!unknown)
                return 0;
        r = look_up(queue, sender);
        if (r < 0) {
                (void) log_debug_errno(r, "It cannot be asked who '%s' is, dropping its calls: %m", sender);
                fair_queue_forget(queue->waiting, sender, drop_unknown, NULL);
        }
        return 0;
}

int bus_queue_resume(BusQueue *queue, sd_bus_message *m) {
        Admitted *admitted = malloc(sizeof(*admitted));
        int r;

        if (!admitted)
                return -ENOMEM;
        r = sd_bus_message_rewind(m, true);
        if (r >= 0)
                r = sd_bus_enqueue_for_read(queue->bus, m);
        if (r < 0) {
                free(admitted);
                return r;
        }
        *admitted = (Admitted) { .next = queue->admitted, .message = sd_bus_message_ref(m) };
        queue->admitted = admitted;
        return 0;
}

static bool take_admitted(BusQueue *queue, sd_bus_message *m) {
        for (Admitted **p = &queue->admitted; *p; p = &(*p)->next)
                if ((*p)->message == m) {
                        Admitted *admitted = *p;

                        *p = admitted->next;
                        sd_bus_message_unref(admitted->message);
                        free(admitted);
                        return true;
                }
        return false;
}

static void serve_next(BusQueue *queue) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = fair_queue_take(queue->waiting);
        int r = m ? bus_queue_resume(queue, m) : 0;

        queue->n_read = 0;
        if (r < 0)
                (void) sd_bus_reply_method_errno(m, r, NULL);
        if (m && r < 0)
                call_turn(queue);
}

static int on_turn(sd_event_source *source _unused_, void *userdata) {
        BusQueue *queue = userdata;

        if (!queue->admitted)
                serve_next(queue);
        return 0;
}

static int receive(BusQueue *queue, sd_bus_message *m, sd_bus_error *error) {
        int r = check_size(m, error);

        return r < 0 ? r : wait_for_turn(queue, m, error);
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusQueue *queue = userdata;
        int r = 0;

        if (sd_bus_message_is_method_call(m, NULL, NULL) <= 0)
                return 0;
        if (take_admitted(queue, m)) {
                call_turn(queue);
                return 0;
        }
        if (wants_reply(m) || !only_reads(m))
                r = receive(queue, m, error);
        if (++queue->n_read >= READ_AHEAD_MAX && !queue->admitted)
                serve_next(queue);
        call_turn(queue);
        return r < 0 && wants_reply(m) ? r : 1;
}

/* ---- Life -------------------------------------------------------------------------------------------------- */

int bus_queue_new(sd_bus *bus, sd_event *event, BusQueue **ret) {
        _cleanup_(bus_queue_freep) BusQueue *queue = calloc(1, sizeof(*queue));
        int r;

        if (!queue)
                return -ENOMEM;
        queue->bus = sd_bus_ref(bus);
        r = fair_queue_new(PLACES, IDLE_CALLERS_MAX, &queue->waiting);
        if (r >= 0)
                r = sd_event_add_defer(event, &queue->turn, on_turn, queue);
        if (r >= 0)
                r = sd_event_source_set_enabled(queue->turn, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(queue->turn, TURN_PRIORITY);
        if (r >= 0)
                r = sd_bus_add_filter(bus, &queue->filter, on_message, queue);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(queue);
        return 0;
}

BusQueue *bus_queue_free(BusQueue *queue) {
        if (!queue)
                return NULL;
        sd_bus_slot_unref(queue->filter);
        sd_event_source_disable_unref(queue->turn);
        while (queue->lookups)
                lookup_free(queue->lookups);
        while (queue->admitted)
                (void) take_admitted(queue, queue->admitted->message);
        (void) fair_queue_free(queue->waiting, drop_quietly, NULL);
        sd_bus_unref(queue->bus);
        free(queue);
        return NULL;
}

bool bus_queue_is_empty(const BusQueue *queue) {
        return !queue->admitted && fair_queue_length(queue->waiting) == 0;
}

int bus_queue_sender_uid(const BusQueue *queue, sd_bus_message *m, uid_t *ret) {
        return fair_queue_uid(queue->waiting, strempty(sd_bus_message_get_sender(m)), ret);
}

void bus_queue_leave(BusQueue *queue, const char *sender) {
        fair_queue_leave(queue->waiting, sender);
}

bool bus_queue_sender_has_left(const BusQueue *queue, sd_bus_message *m) {
        return fair_queue_has_left(queue->waiting, strempty(sd_bus_message_get_sender(m)));
}
