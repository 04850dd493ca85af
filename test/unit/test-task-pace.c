/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counting tasks costs next to nothing in a stall of an hour, however long one count takes. */

#include "common/macro.h"
#include "daemon/task-pace.h"
#include "test.h"

#define HOUR (3600 * USEC_PER_SEC)

/* How often the tasks are counted in this time, if none of them switches. */
static unsigned count_stalled(TaskPace *pace, uint64_t cost_usec, uint64_t duration_usec) {
        unsigned n = 0;

        for (uint64_t t = 0; t < duration_usec; n++)
                t += cost_usec + task_pace_next(pace, cost_usec, false);
        return n;
}

TEST(often_while_tasks_switch) {
        TaskPace pace = {};

        for (unsigned i = 0; i < 100; i++)
                ASSERT_EQ(task_pace_next(&pace, USEC_PER_MSEC, true), 500 * USEC_PER_MSEC);
}

TEST(never_more_than_a_fiftieth_of_a_processor) {
        TaskPace pace = {};

        for (uint64_t cost = 0; cost < 10 * USEC_PER_SEC; cost = cost * 3 + 1)
                ASSERT_TRUE(task_pace_next(&pace, cost, true) >= 50 * cost);
}

TEST(an_hour_of_a_stall) {
        static const uint64_t costs[] = { 0, 1, USEC_PER_MSEC, 30 * USEC_PER_MSEC, 200 * USEC_PER_MSEC, USEC_PER_SEC };

        for (size_t i = 0; i < ELEMENTSOF(costs); i++) {
                TaskPace pace = {};
                unsigned n = count_stalled(&pace, costs[i], HOUR);

                /* One in a quarter of a minute; and 0.3 % with what the beginning takes. */
                if (n > 3600 / 15 + 10 || n * costs[i] > HOUR * 3 / 1000)
                        test_fail(__FILE__, __LINE__, "%u counts of %llu us each", n, (unsigned long long) costs[i]);
                ASSERT_TRUE(n >= 5);
        }
}

TEST(the_first_minute_is_lively) {
        TaskPace pace = {};

        ASSERT_TRUE(count_stalled(&pace, USEC_PER_MSEC, 60 * USEC_PER_SEC) >= 6);
}

TEST(a_task_that_switches_speeds_it_up_again) {
        TaskPace pace = {};

        (void) count_stalled(&pace, USEC_PER_MSEC, HOUR);
        ASSERT_EQ(task_pace_next(&pace, USEC_PER_MSEC, false), 15 * USEC_PER_SEC);
        ASSERT_EQ(task_pace_next(&pace, USEC_PER_MSEC, true), 500 * USEC_PER_MSEC);
        ASSERT_EQ(task_pace_next(&pace, USEC_PER_MSEC, false), USEC_PER_SEC);
}
