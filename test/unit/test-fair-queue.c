/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whoever has many things waiting holds up nobody but himself. */

#include <errno.h>

#include "common/string-util.h"
#include "daemon/fair-queue.h"
#include "test.h"

#define PLACES 256
#define IDLE_MAX 8

#define ALICE 1000
#define BOB 1001

typedef struct Fixture {
        FairQueue *queue;
        size_t n_dropped;
} Fixture;

static void count_drop(void *userdata, void *item) {
        Fixture *fixture = userdata;

        ASSERT_TRUE(item);
        fixture->n_dropped++;
}

static void fixture_done(Fixture *fixture) {
        (void) fair_queue_free(fixture->queue, count_drop, fixture);
}
#define _fixture_ __attribute__((__cleanup__(fixture_done)))

static Fixture fixture(void) {
        Fixture f = {};

        ASSERT_EQ(fair_queue_new(PLACES, IDLE_MAX, &f.queue), 0);
        return f;
}

/* Anything that is no NULL. */
static char items[PLACES];

/* 0, a negative errno, or DISPLACED and the number of the item that gave way. */
#define DISPLACED 1000

static int add(FairQueue *queue, const char *sender, size_t i, uid_t uid) {
        void *displaced;
        bool unknown;
        int r = fair_queue_add(queue, sender, items + i, &unknown, &displaced);

        if (r == 0 && unknown)
                r = fair_queue_identify(queue, sender, uid);
        return r == 0 && displaced ? (int) ((char *) displaced - items) + DISPLACED : r;
}

/* As many of item 0 as fit. */
static size_t fill(FairQueue *queue, const char *sender, uid_t uid) {
        for (size_t n = 0;; n++) {
                int r = add(queue, sender, 0, uid);

                if (r < 0) {
                        ASSERT_EQ(r, -ENOBUFS);
                        return n;
                }
        }
}

static void fill_by_many(FairQueue *queue, unsigned n_senders, uid_t uid) {
        char name[16];

        for (unsigned i = 0; fair_queue_length(queue) < PLACES; i++) {
                (void) snprintf(name, sizeof(name), ":8.%u", i % n_senders);
                ASSERT_EQ(add(queue, name, 0, uid), 0);
        }
}

static size_t taken(FairQueue *queue) {
        char *item = fair_queue_take(queue);

        ASSERT_TRUE(item);
        return (size_t) (item - items);
}

TEST(empty) {
        _fixture_ Fixture f = fixture();
        uid_t uid;

        ASSERT_TRUE(!fair_queue_take(f.queue));
        ASSERT_EQ(fair_queue_length(f.queue), 0);
        ASSERT_EQ(fair_queue_uid(f.queue, ":1.1", &uid), -ENXIO);
        ASSERT_EQ(fair_queue_identify(f.queue, ":1.1", ALICE), -ENXIO);
        fair_queue_forget(f.queue, ":1.1", count_drop, &f);
        fair_queue_leave(f.queue, ":1.1");
        ASSERT_TRUE(fair_queue_has_left(f.queue, ":1.1"));
        ASSERT_EQ(f.n_dropped, 0);
}

TEST(in_order_of_arrival) {
        _fixture_ Fixture f = fixture();

        for (size_t i = 0; i < 5; i++)
                ASSERT_EQ(add(f.queue, ":1.1", i, ALICE), 0);
        for (size_t i = 0; i < 5; i++)
                ASSERT_EQ(taken(f.queue), i);
        ASSERT_TRUE(!fair_queue_take(f.queue));
}

TEST(users_in_turn) {
        _fixture_ Fixture f = fixture();

        for (size_t i = 0; i < 3; i++)
                ASSERT_EQ(add(f.queue, ":1.1", i, ALICE), 0);
        for (size_t i = 10; i < 12; i++)
                ASSERT_EQ(add(f.queue, ":1.2", i, BOB), 0);
        ASSERT_TRUE((taken(f.queue) < 10) != (taken(f.queue) < 10));
        ASSERT_TRUE((taken(f.queue) < 10) != (taken(f.queue) < 10));
        ASSERT_EQ(taken(f.queue), 2);
}

TEST(behind_a_flood_one_waits_for_one) {
        _fixture_ Fixture f = fixture();

        (void) fill(f.queue, ":1.1", ALICE);
        for (size_t i = 0; i < 10; i++) {
                (void) taken(f.queue);
                ASSERT_TRUE(add(f.queue, ":1.2", 7, BOB) >= 0);
                if (taken(f.queue) != 7)
                        ASSERT_EQ(taken(f.queue), 7);
        }
}

TEST(connections_of_a_user_in_turn) {
        _fixture_ Fixture f = fixture();
        size_t n = 0;

        (void) fill(f.queue, ":1.1", ALICE);
        ASSERT_EQ(add(f.queue, ":1.2", 7, ALICE), DISPLACED);
        while (taken(f.queue) != 7)
                n++;
        ASSERT_TRUE(n <= 1);
}

/* Otherwise whoever connects anew for each call would always be the next. */
TEST(a_new_name_is_no_way_to_the_front) {
        _fixture_ Fixture f = fixture();
        char name[16];

        ASSERT_EQ(add(f.queue, ":1.1", 1, ALICE), 0);
        ASSERT_EQ(add(f.queue, ":1.1", 2, ALICE), 0);
        ASSERT_EQ(taken(f.queue), 1);
        for (int i = 0; i < 3; i++) {
                (void) snprintf(name, sizeof(name), ":2.%d", i);
                ASSERT_EQ(add(f.queue, name, 9, ALICE), 0);
        }
        for (int i = 0; i < 4; i++)
                if (taken(f.queue) == 2)
                        return;
        test_fail(__FILE__, __LINE__, "starved");
}

TEST(one_alone_may_have_all) {
        _fixture_ Fixture f = fixture();

        ASSERT_EQ(fill(f.queue, ":1.1", ALICE), PLACES);
        (void) taken(f.queue);
        ASSERT_EQ(fill(f.queue, ":1.1", ALICE), 1);
        ASSERT_EQ(fair_queue_length(f.queue), PLACES);
}

TEST(who_has_most_gives_way) {
        _fixture_ Fixture f = fixture();

        for (size_t i = 0; i < PLACES; i++)
                ASSERT_EQ(add(f.queue, ":1.1", i, ALICE), 0);
        for (int i = 1; i <= PLACES / 2; i++)
                ASSERT_EQ(add(f.queue, ":1.2", 0, BOB), DISPLACED + PLACES - i);
        ASSERT_EQ(add(f.queue, ":1.2", 0, BOB), -ENOBUFS);
        ASSERT_EQ(add(f.queue, ":1.1", 0, ALICE), -ENOBUFS);
        ASSERT_EQ(fair_queue_length(f.queue), PLACES);
}

TEST(a_user_with_many_connections_gives_way) {
        _fixture_ Fixture f = fixture();

        fill_by_many(f.queue, PLACES, ALICE);
        for (int i = 0; i < PLACES / 2; i++)
                ASSERT_EQ(add(f.queue, ":1.2", 7, BOB), DISPLACED);
        ASSERT_EQ(add(f.queue, ":1.2", 7, BOB), -ENOBUFS);
        ASSERT_EQ(add(f.queue, ":8.0", 7, ALICE), -ENOBUFS);
}

TEST(a_connection_gives_way_to_another_one_of_its_user) {
        _fixture_ Fixture f = fixture();

        ASSERT_EQ(fill(f.queue, ":1.1", ALICE), PLACES);
        for (int i = 0; i < PLACES / 2; i++)
                ASSERT_EQ(add(f.queue, ":1.2", 7, ALICE), DISPLACED);
        ASSERT_EQ(add(f.queue, ":1.2", 7, ALICE), -ENOBUFS);
}

TEST(the_only_thing_of_a_user_stays) {
        _fixture_ Fixture f = fixture();
        char name[16];

        for (unsigned i = 0; i < PLACES; i++) {
                (void) snprintf(name, sizeof(name), ":1.%u", i);
                ASSERT_EQ(add(f.queue, name, i, ALICE + i), 0);
        }
        ASSERT_EQ(add(f.queue, ":2.1", 0, ALICE + PLACES), -ENOBUFS);
        ASSERT_EQ(add(f.queue, ":1.0", 0, ALICE), -ENOBUFS);
        ASSERT_EQ(fair_queue_length(f.queue), PLACES);
}

/* Somebody who connects again and again, and calls once each time. */
TEST(unknown_users_give_way_to_a_known_one) {
        _fixture_ Fixture f = fixture();
        void *displaced;
        char name[16];
        bool unknown;
        int r;

        ASSERT_EQ(add(f.queue, ":2.1", 7, BOB), 0);
        ASSERT_EQ(taken(f.queue), 7);
        for (unsigned i = 0; i < PLACES; i++) {
                (void) snprintf(name, sizeof(name), ":1.%u", i);
                ASSERT_EQ(fair_queue_add(f.queue, name, items, &unknown, &displaced), 0);
        }
        for (int i = 0; i < PLACES / 2; i++) {
                r = fair_queue_add(f.queue, ":2.1", items + 7, &unknown, &displaced);
                ASSERT_EQ(r, 0);
                ASSERT_TRUE(displaced == items);
        }
        ASSERT_EQ(fair_queue_add(f.queue, ":2.1", items, &unknown, &displaced), -ENOBUFS);
        ASSERT_EQ(fair_queue_length(f.queue), PLACES);
        ASSERT_EQ(taken(f.queue), 7);
}

TEST(never_more_than_there_are_places) {
        _fixture_ Fixture f = fixture();
        void *displaced;
        char name[16];
        bool unknown;
        int r = 0;

        for (unsigned i = 0; i < 1000; i++) {
                (void) snprintf(name, sizeof(name), ":1.%u", i);
                r = fair_queue_add(f.queue, name, items, &unknown, &displaced);
        }
        ASSERT_EQ(r, -ENOBUFS);
        ASSERT_EQ(fair_queue_length(f.queue), PLACES);
}

TEST(unknown_users_wait) {
        _fixture_ Fixture f = fixture();
        void *displaced;
        bool unknown;

        ASSERT_EQ(fair_queue_add(f.queue, ":1.1", items + 1, &unknown, &displaced), 0);
        ASSERT_TRUE(unknown);
        ASSERT_EQ(fair_queue_add(f.queue, ":1.1", items + 2, &unknown, &displaced), 0);
        ASSERT_TRUE(!unknown);
        ASSERT_TRUE(!fair_queue_take(f.queue));
        ASSERT_EQ(add(f.queue, ":1.2", 3, BOB), 0);
        ASSERT_EQ(taken(f.queue), 3);
        ASSERT_TRUE(!fair_queue_take(f.queue));
        ASSERT_EQ(fair_queue_identify(f.queue, ":1.1", ALICE), 0);
        ASSERT_EQ(fair_queue_identify(f.queue, ":1.1", BOB), -ENXIO);
        ASSERT_EQ(taken(f.queue), 1);
        ASSERT_EQ(taken(f.queue), 2);
}

TEST(nobody_can_tell_the_user) {
        _fixture_ Fixture f = fixture();
        void *displaced;
        bool unknown;
        uid_t uid;

        for (int i = 0; i < 3; i++)
                ASSERT_EQ(fair_queue_add(f.queue, ":1.1", items, &unknown, &displaced), 0);
        fair_queue_forget(f.queue, ":1.1", count_drop, &f);
        ASSERT_EQ(f.n_dropped, 3);
        ASSERT_EQ(fair_queue_length(f.queue), 0);
        ASSERT_EQ(fair_queue_uid(f.queue, ":1.1", &uid), -ENXIO);
        ASSERT_EQ(fair_queue_add(f.queue, ":1.1", items, &unknown, &displaced), 0);
        ASSERT_TRUE(unknown);
}

TEST(idle_ones_are_remembered_up_to_a_number) {
        _fixture_ Fixture f = fixture();
        unsigned n_known = 0;
        char name[16];
        uid_t uid = 0;

        for (unsigned i = 0; i < 100; i++) {
                (void) snprintf(name, sizeof(name), ":1.%u", i);
                ASSERT_EQ(add(f.queue, name, i, ALICE + i % 3), 0);
                ASSERT_EQ(taken(f.queue), i);
                ASSERT_EQ(fair_queue_uid(f.queue, name, &uid), 0);
                ASSERT_EQ(uid, ALICE + i % 3);
        }
        for (unsigned i = 0; i < 100; i++) {
                (void) snprintf(name, sizeof(name), ":1.%u", i);
                n_known += fair_queue_uid(f.queue, name, &uid) == 0;
        }
        ASSERT_TRUE(n_known >= IDLE_MAX && n_known <= IDLE_MAX + 1);
}

TEST(who_waits_is_not_forgotten) {
        _fixture_ Fixture f = fixture();
        char name[16];
        uid_t uid;

        ASSERT_EQ(add(f.queue, ":1.0", 1, ALICE), 0);
        for (unsigned i = 0; i < 100; i++) {
                (void) snprintf(name, sizeof(name), ":2.%u", i);
                ASSERT_EQ(add(f.queue, name, 2, BOB), 0);
                if (taken(f.queue) == 1)
                        ASSERT_EQ(add(f.queue, ":1.0", 1, ALICE), 0);
        }
        ASSERT_EQ(fair_queue_uid(f.queue, ":1.0", &uid), 0);
        ASSERT_EQ(uid, ALICE);
}

TEST(who_has_left_keeps_the_turn) {
        _fixture_ Fixture f = fixture();
        uid_t uid;

        ASSERT_EQ(add(f.queue, ":1.1", 1, ALICE), 0);
        ASSERT_TRUE(!fair_queue_has_left(f.queue, ":1.1"));
        fair_queue_leave(f.queue, ":1.1");
        ASSERT_EQ(taken(f.queue), 1);
        ASSERT_TRUE(fair_queue_has_left(f.queue, ":1.1"));
        ASSERT_EQ(fair_queue_uid(f.queue, ":1.1", &uid), 0);
}

TEST(what_waits_at_the_end_is_dropped) {
        Fixture f = {};
        void *displaced;
        bool unknown;

        ASSERT_EQ(fair_queue_new(PLACES, IDLE_MAX, &f.queue), 0);
        ASSERT_EQ(add(f.queue, ":1.1", 1, ALICE), 0);
        ASSERT_EQ(fair_queue_add(f.queue, ":1.2", items, &unknown, &displaced), 0);
        f.queue = fair_queue_free(f.queue, count_drop, &f);
        ASSERT_TRUE(!f.queue);
        ASSERT_EQ(f.n_dropped, 2);
        ASSERT_TRUE(!fair_queue_free(NULL, count_drop, &f));
}
