/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Long output goes through the user's pager. */

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-login.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "ctl/pager.h"

/* sh(1)'s exit codes for a command that is not there or cannot be run. */
#define SHELL_CANNOT_RUN 126

/* A pager can start commands. Somebody who may only run livepatchctl as root, through sudo(8), must not get a root
 * shell out of it: then only less(1), in its secure mode. The same rules as systemd's tools ($SYSTEMD_PAGERSECURE). */
static bool pager_must_be_secure(void) {
        const char *e = getenv("SYSTEMD_PAGERSECURE");
        uid_t owner;

        if (e)
                return parse_boolean(e) != 0;
        return sd_pid_get_owner_uid(0, &owner) < 0 ? geteuid() != getuid() || getenv("SUDO_UID") : owner != geteuid();
}

static const char *pager_command(bool secure) {
        const char *e;

        if (secure)
                return "less";
        e = getenv("SYSTEMD_PAGER");
        if (!e)
                e = getenv("PAGER");
        return e ?: "less";
}

_noreturn_ static void run_pager(int input, const char *command, bool secure) {
        const char *options = getenv("SYSTEMD_LESS");

        if (dup2(input, STDIN_FILENO) < 0)
                _exit(EXIT_FAILURE);
        (void) setenv("LESS", options ?: "FRSXMK", 1);
        if (secure)
                (void) setenv("LESSSECURE", "1", 1);
        (void) execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(EXIT_FAILURE);
}

static int wait_for_pager(pid_t pid) {
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return negative_errno();
        return WIFEXITED(status) && WEXITSTATUS(status) >= SHELL_CANNOT_RUN ? -ENOENT : 0;
}

int pager_show(const char *text) {
        bool secure = pager_must_be_secure();
        const char *command = pager_command(secure);
        _cleanup_close_ int input = -EBADF, output = -EBADF;
        struct sigaction ignore = { .sa_handler = SIG_IGN }, old_int, old_pipe;
        int fds[2], r;
        pid_t pid;

        if (isempty(command) || streq(command, "cat"))
                return -ENOENT;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return negative_errno();
        input = fds[0];
        output = fds[1];
        pid = fork();
        if (pid < 0)
                return negative_errno();
        if (pid == 0)
                run_pager(input, command, secure);

        /* ^C belongs to the pager; one that is left early closes the pipe, which is no failure. */
        (void) sigaction(SIGINT, &ignore, &old_int);
        (void) sigaction(SIGPIPE, &ignore, &old_pipe);
        input = safe_close(input);
        (void) write_all(output, text, strlen(text));
        output = safe_close(output);
        r = wait_for_pager(pid);
        (void) sigaction(SIGINT, &old_int, NULL);
        (void) sigaction(SIGPIPE, &old_pipe, NULL);
        return r;
}
