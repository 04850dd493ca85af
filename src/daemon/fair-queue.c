/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Things that wait for their turn. */

#include <stdint.h>

#include "common/string-util.h"
#include "daemon/fair-queue.h"

typedef struct Waiting Waiting;
typedef struct User User;
typedef struct Sender Sender;

struct Waiting {
        Waiting *next;
        void *item;
};

struct User {
        User *next;
        uid_t uid;
        size_t n_senders;
        size_t n_waiting;
        uint64_t turn; /* when it was served last; smaller is longer ago */
};

struct Sender {
        Sender *next;
        char *name;
        User *user; /* NULL: not known yet */
        Waiting *first;
        Waiting *last;
        size_t n_waiting;
        uint64_t turn;
        bool left;
};

struct FairQueue {
        Sender *senders;
        User *users;
        size_t places;
        size_t idle_max;
        size_t n_waiting;
        size_t n_idle;
        uint64_t turn;
};

int fair_queue_new(size_t places, size_t idle_max, FairQueue **ret) {
        FairQueue *queue = malloc(sizeof(*queue));

        if (!queue)
                return -ENOMEM;
        *queue = (FairQueue) { .places = places, .idle_max = idle_max };
        *ret = queue;
        return 0;
}

static Sender *find(const FairQueue *queue, const char *name) {
        for (Sender *s = queue->senders; s; s = s->next)
                if (streq(s->name, name))
                        return s;
        return NULL;
}

/* ---- Users ------------------------------------------------------------------------------------------------- */

static int get_user(FairQueue *queue, uid_t uid, User **ret) {
        User *user;

        for (user = queue->users; user; user = user->next)
                if (user->uid == uid) {
                        *ret = user;
                        return 0;
                }
        user = malloc(sizeof(*user));
        if (!user)
                return -ENOMEM;
        *user = (User) { .next = queue->users, .uid = uid, .turn = queue->turn };
        queue->users = user;
        *ret = user;
        return 0;
}

static void leave_user(FairQueue *queue, Sender *sender) {
        User *user = TAKE_PTR(sender->user);

        if (!user)
                return;
        user->n_waiting -= sender->n_waiting;
        if (--user->n_senders > 0)
                return;
        for (User **p = &queue->users; *p; p = &(*p)->next)
                if (*p == user) {
                        *p = user->next;
                        break;
                }
        free(user);
}

/* ---- Senders ----------------------------------------------------------------------------------------------- */

static void note_taken(FairQueue *queue, Sender *sender) {
        queue->n_waiting--;
        queue->n_idle += --sender->n_waiting == 0;
        if (sender->user)
                sender->user->n_waiting--;
}

static void *sender_take(FairQueue *queue, Sender *sender) {
        Waiting *waiting = sender->first;
        void *item = waiting->item;

        sender->first = waiting->next;
        if (!sender->first)
                sender->last = NULL;
        free(waiting);
        note_taken(queue, sender);
        return item;
}

static void sender_free(FairQueue *queue, Sender *sender, FairQueueDrop drop, void *userdata) {
        for (Sender **p = &queue->senders; *p; p = &(*p)->next)
                if (*p == sender) {
                        *p = sender->next;
                        break;
                }
        while (sender->first)
                drop(userdata, sender_take(queue, sender));
        queue->n_idle--;
        leave_user(queue, sender);
        free(sender->name);
        free(sender);
}

static void forget_idle(FairQueue *queue) {
        while (queue->n_idle > queue->idle_max) {
                Sender *oldest = NULL;

                for (Sender *s = queue->senders; s; s = s->next)
                        if (s->n_waiting == 0 && (!oldest || s->turn < oldest->turn))
                                oldest = s;
                sender_free(queue, oldest, NULL, NULL);
        }
}

/* It has had its turn just now, as it were: a name that is new is no way to the front. */
static int sender_new(FairQueue *queue, const char *name, Sender **ret) {
        Sender *sender;
        char *copy;

        forget_idle(queue);
        sender = malloc(sizeof(*sender));
        copy = strdup(name);
        if (!sender || !copy) {
                free(sender);
                free(copy);
                return -ENOMEM;
        }
        *sender = (Sender) { .next = queue->senders, .name = copy, .turn = queue->turn };
        queue->senders = sender;
        queue->n_idle++;
        *ret = sender;
        return 0;
}

/* ---- Waiting ----------------------------------------------------------------------------------------------- */

static size_t count_unknown(const FairQueue *queue) {
        size_t n = 0;

        for (const Sender *s = queue->senders; s; s = s->next)
                n += s->user ? 0 : s->n_waiting;
        return n;
}

/* What its user has. Those who are not known yet may well be one user, and give way as such to who is known; among
 * themselves each is one of its own. n_unknown: 0, or what all of them have. */
static size_t weigh(const Sender *sender, size_t n_unknown) {
        return sender->user ? sender->user->n_waiting : MAX(n_unknown, sender->n_waiting);
}

/* The one that has most, of the user who has most. */
static Sender *find_largest(const FairQueue *queue, size_t n_unknown) {
        Sender *largest = NULL;

        for (Sender *s = queue->senders; s; s = s->next) {
                size_t weight = weigh(s, n_unknown), most = largest ? weigh(largest, n_unknown) : 0;

                if (!largest || weight > most || (weight == most && s->n_waiting > largest->n_waiting))
                        largest = s;
        }
        return largest;
}

/* Who gives a place up to the sender (NULL: a new one): nobody who would have less than that afterwards. */
static Sender *find_yielding(const FairQueue *queue, const Sender *sender) {
        size_t n_unknown = sender && sender->user ? count_unknown(queue) : 0;
        Sender *largest = find_largest(queue, n_unknown);

        if (sender && sender->user && sender->user == largest->user)
                return largest->n_waiting >= sender->n_waiting + 2 ? largest : NULL;
        return weigh(largest, n_unknown) >= (sender ? weigh(sender, n_unknown) : 0) + 2 ? largest : NULL;
}

static void *take_last(FairQueue *queue, Sender *sender) {
        Waiting *last = sender->last, *before = NULL;
        void *item = last->item;

        for (Waiting *w = sender->first; w != last; w = w->next)
                before = w;
        if (before)
                before->next = NULL;
        else
                sender->first = NULL;
        sender->last = before;
        free(last);
        note_taken(queue, sender);
        return item;
}

static int sender_add(FairQueue *queue, Sender *sender, void *item) {
        Waiting *waiting = malloc(sizeof(*waiting));

        if (!waiting)
                return -ENOMEM;
        *waiting = (Waiting) { .item = item };
        if (sender->last)
                sender->last->next = waiting;
        else
                sender->first = waiting;
        sender->last = waiting;
        queue->n_waiting++;
        queue->n_idle -= sender->n_waiting++ == 0;
        if (sender->user)
                sender->user->n_waiting++;
        return 0;
}

int fair_queue_add(FairQueue *queue, const char *name, void *item, bool *ret_unknown, void **ret_displaced) {
        Sender *sender = find(queue, name), *yielding = NULL;
        bool unknown = !sender;
        int r = 0;

        if (queue->n_waiting >= queue->places) {
                yielding = find_yielding(queue, sender);
                if (!yielding)
                        return -ENOBUFS;
        }
        if (!sender)
                r = sender_new(queue, name, &sender);
        if (r < 0)
                return r;
        r = sender_add(queue, sender, item);
        if (r < 0 && unknown)
                sender_free(queue, sender, NULL, NULL);
        if (r < 0)
                return r;
        *ret_unknown = unknown;
        *ret_displaced = yielding ? take_last(queue, yielding) : NULL;
        return 0;
}

int fair_queue_identify(FairQueue *queue, const char *name, uid_t uid) {
        Sender *sender = find(queue, name);
        User *user;
        int r;

        if (!sender || sender->user)
                return -ENXIO;
        r = get_user(queue, uid, &user);
        if (r < 0)
                return r;
        sender->user = user;
        user->n_senders++;
        user->n_waiting += sender->n_waiting;
        return 0;
}

void fair_queue_forget(FairQueue *queue, const char *name, FairQueueDrop drop, void *userdata) {
        Sender *sender = find(queue, name);

        if (sender)
                sender_free(queue, sender, drop, userdata);
}

/* ---- Turns ------------------------------------------------------------------------------------------------- */

static User *next_user(const FairQueue *queue) {
        User *next = NULL;

        for (User *u = queue->users; u; u = u->next)
                if (u->n_waiting > 0 && (!next || u->turn < next->turn))
                        next = u;
        return next;
}

static Sender *next_sender(const FairQueue *queue, const User *user) {
        Sender *next = NULL;

        for (Sender *s = queue->senders; s; s = s->next)
                if (s->user == user && s->n_waiting > 0 && (!next || s->turn < next->turn))
                        next = s;
        return next;
}

void *fair_queue_take(FairQueue *queue) {
        User *user = next_user(queue);
        Sender *sender = user ? next_sender(queue, user) : NULL;

        if (!sender)
                return NULL;
        sender->turn = user->turn = ++queue->turn;
        return sender_take(queue, sender);
}

size_t fair_queue_length(const FairQueue *queue) {
        return queue->n_waiting;
}

int fair_queue_uid(const FairQueue *queue, const char *name, uid_t *ret) {
        const Sender *sender = find(queue, name);

        if (!sender || !sender->user)
                return -ENXIO;
        *ret = sender->user->uid;
        return 0;
}

void fair_queue_leave(FairQueue *queue, const char *name) {
        Sender *sender = find(queue, name);

        if (sender)
                sender->left = true;
}

bool fair_queue_has_left(const FairQueue *queue, const char *name) {
        const Sender *sender = find(queue, name);

        return !sender || sender->left;
}

FairQueue *fair_queue_free(FairQueue *queue, FairQueueDrop drop, void *userdata) {
        if (!queue)
                return NULL;
        while (queue->senders)
                sender_free(queue, queue->senders, drop, userdata);
        free(queue);
        return NULL;
}
