/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a command and prints how long it took, in nanoseconds from before its process is made until it has exited. */

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "common/macro.h"

static uint64_t now_nsec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000000ULL + (uint64_t) ts.tv_nsec;
}

/* Its standard output goes nowhere: what is measured is the command, not the reader of a pipe. */
static int spawn(char *argv[], pid_t *ret) {
        posix_spawn_file_actions_t actions;
        int error;

        error = posix_spawn_file_actions_init(&actions);
        if (error != 0)
                return -error;
        error = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        if (error == 0)
                error = posix_spawnp(ret, argv[0], &actions, NULL, argv, environ);
        (void) posix_spawn_file_actions_destroy(&actions);
        return -error;
}

int main(int argc, char *argv[]) {
        uint64_t begin, end;
        int status, r;
        pid_t pid;

        if (argc < 2) {
                (void) fprintf(stderr, "usage: stopwatch COMMAND [ARGUMENT...]\n");
                return EXIT_FAILURE;
        }
        begin = now_nsec();
        r = spawn(argv + 1, &pid);
        if (r < 0) {
                (void) fprintf(stderr, "%s: %s\n", argv[1], strerror(-r));
                return EXIT_FAILURE;
        }
        if (waitpid(pid, &status, 0) < 0) {
                perror("waitpid");
                return EXIT_FAILURE;
        }
        end = now_nsec();
        (void) printf("%llu\n", (unsigned long long) (end - begin));
        return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
