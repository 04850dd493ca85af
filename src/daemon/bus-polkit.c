/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The security desk: who may do what, decided by uid and polkit, without blocking.
 *
 * Asking polkit may take as long as a person needs to find a password, so a handler cannot wait for it:
 *
 *     call -> handler: parse, validate -> bus_polkit_authorize() = 0 -> handler returns
 *                                              | CheckAuthorization, asynchronous
 *     answer -> stored beside the call -> the call is dispatched again (bus_queue_resume())
 *     call -> handler: parse, validate -> bus_polkit_authorize() = 1 or denied -> look up, act, reply
 *
 * The second pass is a whole dispatch: objects are found again, arguments are read again. Keeping the handler's
 * pointers over the wait instead is how CVE-2020-1712 came about. What was authorised is compared with what is asked
 * in the second pass, so that an answer is never good for anything else.
 *
 * The subject is the caller's unique bus name, never its process id, which another process can take over in the
 * meantime (CVE-2013-4288). A caller whose uid cannot be determined is denied (CVE-2021-3560). When the caller leaves
 * the bus, its query is dropped; polkit itself closes the dialog. */

#include <unistd.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/bus-error.h"
#include "daemon/bus-polkit.h"

#define POLKIT_BUS_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

/* CheckAuthorizationFlags, polkit's docs/extensions: AllowUserInteraction. */
#define POLKIT_ALLOW_INTERACTION 1u

typedef enum Verdict {
        VERDICT_PENDING,
        VERDICT_AUTHORIZED,
        VERDICT_CHALLENGE,
        VERDICT_DENIED,
        VERDICT_UNAVAILABLE,
} Verdict;

typedef struct Query Query;

struct Query {
        BusPolkit *polkit;
        Query *next;
        sd_bus_message *message; /* the caller's; identifies the query while this reference keeps it alive */
        char *action;
        char *detail_name;
        char *detail_value;
        uid_t uid;
        sd_bus_slot *slot;
        sd_event_source *reaper;
        Verdict verdict;
};

struct BusPolkit {
        sd_bus *bus;
        sd_event *event;
        BusQueue *queue;
        unsigned pending_per_user_max;
        Query *queries;
};

static const struct {
        const char *interface;
        const char *member;
        const char *action;
} action_table[] = {
        { LP_IFACE_MANAGER, "AddTrust", LP_ACTION_MANAGE_TRUST },
        { LP_IFACE_MANAGER, "Apply", LP_ACTION_APPLY },
        { LP_IFACE_MANAGER, "Confirm", LP_ACTION_APPLY },
        { LP_IFACE_MANAGER, "Inspect", LP_ACTION_INSPECT },
        { LP_IFACE_MANAGER, "Plan", LP_ACTION_INSPECT },
        { LP_IFACE_MANAGER, "Reapply", LP_ACTION_MANAGE_BOOT },
        { LP_IFACE_MANAGER, "RemoveTrust", LP_ACTION_MANAGE_TRUST },
        { LP_IFACE_MANAGER, "Stage", LP_ACTION_STAGE },
        /* It loads nothing: it decides what the next boot applies. */
        { LP_IFACE_PATCH, "Adopt", LP_ACTION_MANAGE_BOOT },
        { LP_IFACE_PATCH, "Apply", LP_ACTION_APPLY },
        { LP_IFACE_PATCH, "Force", LP_ACTION_FORCE },
        { LP_IFACE_PATCH, "ListBlockers", LP_ACTION_INSPECT },
        { LP_IFACE_PATCH, "Remove", LP_ACTION_MANAGE_BOOT },
        { LP_IFACE_PATCH, "Revert", LP_ACTION_REVERT },
        { LP_IFACE_PATCH, "Rollback", LP_ACTION_REVERT },
        { LP_IFACE_PATCH, "SetReapply", LP_ACTION_MANAGE_BOOT },
        { LP_IFACE_PATCH, "ClearQuarantine", LP_ACTION_MANAGE_BOOT },
};

const char *bus_polkit_action_of_method(sd_bus_message *m) {
        const char *interface = sd_bus_message_get_interface(m), *member = sd_bus_message_get_member(m);

        for (size_t i = 0; i < ELEMENTSOF(action_table); i++)
                if (streq_ptr(action_table[i].interface, interface) && streq_ptr(action_table[i].member, member))
                        return action_table[i].action;
        return NULL;
}

const char *bus_polkit_action_of_job_type(JobType type) {
        switch (type) {
        case JOB_APPLY:
                return LP_ACTION_APPLY;
        case JOB_REVERT:
        case JOB_ROLLBACK:
                return LP_ACTION_REVERT;
        case JOB_REMOVE:
        case JOB_REAPPLY:
                return LP_ACTION_MANAGE_BOOT;
        case _JOB_TYPE_MAX:
        case _JOB_TYPE_INVALID:
                break;
        }
        return NULL;
}

static Query *query_free(Query *q) {
        for (Query **p = &q->polkit->queries; *p; p = &(*p)->next)
                if (*p == q) {
                        *p = q->next;
                        break;
                }
        sd_event_source_disable_unref(q->reaper);
        sd_bus_slot_unref(q->slot);
        sd_bus_message_unref(q->message);
        free(q->action);
        free(q->detail_name);
        free(q->detail_value);
        free(q);
        return NULL;
}
DEFINE_CLEANUP(Query *, query_free)

int bus_polkit_new(sd_bus *bus, sd_event *event, BusQueue *queue, unsigned pending_per_user_max, BusPolkit **ret) {
        BusPolkit *polkit = calloc(1, sizeof(*polkit));

        if (!polkit)
                return -ENOMEM;
        *polkit = (BusPolkit) {
                .bus = sd_bus_ref(bus),
                .event = sd_event_ref(event),
                .queue = queue,
                .pending_per_user_max = pending_per_user_max,
        };
        *ret = polkit;
        return 0;
}

BusPolkit *bus_polkit_free(BusPolkit *polkit) {
        if (!polkit)
                return NULL;
        while (polkit->queries)
                (void) query_free(polkit->queries);
        sd_bus_unref(polkit->bus);
        sd_event_unref(polkit->event);
        free(polkit);
        return NULL;
}

bool bus_polkit_is_busy(const BusPolkit *polkit) {
        return polkit->queries;
}

static int deny(sd_bus_error *error, const char *action, const char *why) {
        return sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED,
                                 "Not authorized for '%s': %s. Nothing was changed.", action, why);
}

/* Root needs no polkit. The daemon's own user is root, except when it is tried out by somebody else, who then controls
 * the process anyway. */
static bool uid_is_privileged(uid_t uid) {
        return uid == 0 || uid == geteuid();
}

static Query *find_query(BusPolkit *polkit, sd_bus_message *m) {
        for (Query *q = polkit->queries; q; q = q->next)
                if (q->message == m)
                        return q;
        return NULL;
}

static unsigned count_pending(const BusPolkit *polkit, uid_t uid) {
        unsigned n = 0;

        for (const Query *q = polkit->queries; q; q = q->next)
                if (q->uid == uid && q->verdict == VERDICT_PENDING)
                        n++;
        return n;
}

void bus_polkit_leave(BusPolkit *polkit, const char *sender) {
        Query *next;

        for (Query *q = polkit->queries; q; q = next) {
                next = q->next;
                if (!streq_ptr(sd_bus_message_get_sender(q->message), sender))
                        continue;
                log_debug("A caller left the bus while polkit was being asked, dropping its call");
                (void) query_free(q);
        }
}

static int on_reap(sd_event_source *source _unused_, void *userdata) {
        (void) query_free(userdata);
        return 0;
}

static Verdict read_answer(sd_bus_message *reply) {
        const sd_bus_error *failure = sd_bus_message_get_error(reply);
        int r, authorized, challenge;

        if (failure) {
                log_debug("polkit did not decide: %s: %s", failure->name, strempty(failure->message));
                return VERDICT_UNAVAILABLE;
        }
        r = sd_bus_message_enter_container(reply, SD_BUS_TYPE_STRUCT, "bba{ss}");
        if (r >= 0)
                r = sd_bus_message_read(reply, "bb", &authorized, &challenge);
        if (r < 0) {
                (void) log_debug_errno(r, "polkit's answer cannot be read: %m");
                return VERDICT_UNAVAILABLE;
        }
        return authorized ? VERDICT_AUTHORIZED : challenge ? VERDICT_CHALLENGE : VERDICT_DENIED;
}

/* The query outlives the second dispatch only if no handler asks for it (the object is gone by then): the reaper, at
 * idle priority, comes after the dispatch. */
static int query_dispatch_again(Query *q) {
        int r;

        r = sd_event_add_defer(q->polkit->event, &q->reaper, on_reap, q);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(q->reaper, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                return r;
        return bus_queue_resume(q->polkit->queue, q->message);
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        Query *q = userdata;
        int r;

        q->slot = sd_bus_slot_unref(q->slot);
        q->verdict = read_answer(reply);
        r = query_dispatch_again(q);
        if (r < 0) {
                (void) log_warning_errno(r, "Failed to resume a call after authorization: %m");
                (void) sd_bus_reply_method_errno(q->message, r, NULL);
                (void) query_free(q);
        }
        return 1;
}

/* CheckAuthorization((sa{sv}) subject, s action_id, a{ss} details, u flags, s cancellation_id), without a timeout of
 * ours: a person is typing. */
static int query_ask(Query *q, bool interactive) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        BusPolkit *polkit = q->polkit;
        int r;

        r = sd_bus_message_new_method_call(polkit->bus, &m, POLKIT_BUS_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                                           "CheckAuthorization");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s",
                                  sd_bus_message_get_sender(q->message), q->action);
        if (r < 0)
                return r;
        if (q->detail_name)
                r = sd_bus_message_append(m, "a{ss}", 1, q->detail_name, q->detail_value);
        else
                r = sd_bus_message_append(m, "a{ss}", 0);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "us", interactive ? POLKIT_ALLOW_INTERACTION : 0u, "");
        if (r < 0)
                return r;
        return sd_bus_call_async(polkit->bus, &q->slot, m, on_answer, q, UINT64_MAX);
}

static int query_new(BusPolkit *polkit, sd_bus_message *m, const char *action, PolkitDetail detail, uid_t uid,
                     Query **ret) {
        Query *q = calloc(1, sizeof(*q));
        int r;

        if (!q)
                return -ENOMEM;
        *q = (Query) { .polkit = polkit, .message = sd_bus_message_ref(m), .uid = uid, .next = polkit->queries };
        polkit->queries = q;
        r = free_and_strdup(&q->action, action);
        if (r >= 0)
                r = free_and_strdup(&q->detail_name, detail.name);
        if (r >= 0)
                r = free_and_strdup(&q->detail_value, detail.name ? strempty(detail.value) : NULL);
        if (r < 0) {
                (void) query_free(q);
                return r;
        }
        *ret = q;
        return 0;
}

static int begin_query(BusPolkit *polkit, sd_bus_message *m, const char *action, PolkitDetail detail, uid_t uid,
                       sd_bus_error *error) {
        _cleanup_(query_freep) Query *q = NULL;
        int r;

        if (bus_queue_sender_has_left(polkit->queue, m))
                return deny(error, action, "the caller has left the bus");
        if (count_pending(polkit, uid) >= polkit->pending_per_user_max)
                return bus_error_set_refusal(error, REFUSED_LIMITS_EXCEEDED,
                                             "%u requests of user %u wait for authorization already. Nothing was "
                                             "changed; answer or end those first", polkit->pending_per_user_max,
                                             (unsigned) uid);
        r = query_new(polkit, m, action, detail, uid, &q);
        if (r < 0)
                return bus_error_set_errno(error, r);
        r = query_ask(q, sd_bus_message_get_allow_interactive_authorization(m) > 0);
        if (r < 0)
                return bus_error_set_errno(error, r);
        TAKE_PTR(q);
        return 0;
}

/* The second pass: the answer counts for the very action and object that it was asked about. */
static int conclude_query(Query *query, const char *action, PolkitDetail detail, uid_t *ret_uid, sd_bus_error *error) {
        _cleanup_(query_freep) Query *q = query;

        if (!streq(q->action, action) || !streq_ptr(q->detail_name, detail.name) ||
            (detail.name && !streq(q->detail_value, strempty(detail.value))))
                return deny(error, action, "what the request is about has changed while it was being authorized");
        switch (q->verdict) {
        case VERDICT_AUTHORIZED:
                *ret_uid = q->uid;
                return 1;
        case VERDICT_CHALLENGE:
                return sd_bus_error_setf(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                         "'%s' needs interactive authentication, which the caller did not allow or no "
                                         "authentication agent offered. Nothing was changed.", action);
        case VERDICT_UNAVAILABLE:
                return deny(error, action, "polkit is not available, so only root may do this");
        case VERDICT_DENIED:
        case VERDICT_PENDING:
                break;
        }
        return deny(error, action, "polkit says no to this user");
}

int bus_polkit_authorize(BusPolkit *polkit, sd_bus_message *m, const char *action, PolkitDetail detail, uid_t *ret_uid,
                         sd_bus_error *error) {
        Query *q;
        uid_t uid;
        int r;

        if (!action)
                return deny(error, strempty(sd_bus_message_get_member(m)), "no rule says who may do this");
        q = find_query(polkit, m);
        if (q)
                return conclude_query(q, action, detail, ret_uid, error);
        r = bus_queue_sender_uid(polkit->queue, m, &uid);
        if (r < 0)
                return deny(error, action, "it cannot be determined who asks");
        if (uid_is_privileged(uid)) {
                *ret_uid = uid;
                return 1;
        }
        return begin_query(polkit, m, action, detail, uid, error);
}
