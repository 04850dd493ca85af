/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sleeps in as many threads as it is told, for what has to look at every thread of the system. */

#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "common/macro.h"
#include "common/string-util.h"

static void *sleep_forever(void *argument _unused_) {
        for (;;)
                (void) pause();
        return NULL;
}

int main(int argc, char *argv[]) {
        pthread_attr_t attributes;
        unsigned n;

        if (argc != 2 || parse_uint(argv[1], &n) < 0) {
                (void) fprintf(stderr, "usage: many-threads NUMBER\n");
                return EXIT_FAILURE;
        }
        (void) pthread_attr_init(&attributes);
        (void) pthread_attr_setstacksize(&attributes, (size_t) PTHREAD_STACK_MIN);
        /* Else every stack takes two mappings, and there are not so many (vm.max_map_count). */
        (void) pthread_attr_setguardsize(&attributes, 0);
        for (unsigned i = 0; i < n; i++) {
                pthread_t thread;
                int error = pthread_create(&thread, &attributes, sleep_forever, NULL);

                if (error != 0) {
                        (void) fprintf(stderr, "thread %u: %s\n", i, strerror(error));
                        return EXIT_FAILURE;
                }
        }
        (void) sleep_forever(NULL);
}
