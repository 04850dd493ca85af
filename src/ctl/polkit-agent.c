/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An authentication agent on this terminal, for as long as a request may need a password. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "ctl/polkit-agent.h"

/* Registering takes milliseconds; without polkit the agent gives up by itself, which closes the pipe too. */
#define AGENT_START_TIMEOUT_MSEC 10000
#define FD_NUMBER_MAX 12

_noreturn_ static void run_agent(int notify_fd, pid_t parent) {
        char number[FD_NUMBER_MAX];
        int tty;

        /* Go when the parent goes, also if it went before this line. */
        if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
                _exit(EXIT_FAILURE);
        /* The output may be a pipe, but the password is asked for on the terminal. */
        tty = open("/dev/tty", O_WRONLY | O_NOCTTY);
        if (tty < 0 || dup2(tty, STDOUT_FILENO) < 0 || dup2(tty, STDERR_FILENO) < 0)
                _exit(EXIT_FAILURE);
        if (fcntl(notify_fd, F_SETFD, 0) < 0)
                _exit(EXIT_FAILURE);
        (void) snprintf(number, sizeof(number), "%d", notify_fd);
        (void) execlp("pkttyagent", "pkttyagent", "--notify-fd", number, "--fallback", NULL);
        _exit(EXIT_FAILURE);
}

pid_t polkit_agent_start(void) {
        _cleanup_close_ int ready = -EBADF, notify = -EBADF;
        struct pollfd p;
        int fds[2];
        pid_t parent = getpid(), pid;

        if (geteuid() == 0 || !isatty(STDIN_FILENO))
                return 0;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return negative_errno();
        ready = fds[0];
        notify = fds[1];
        pid = fork();
        if (pid < 0)
                return negative_errno();
        if (pid == 0)
                run_agent(notify, parent);
        /* The agent closes its end when it is registered, or when it dies. */
        notify = safe_close(notify);
        p = (struct pollfd) { .fd = ready, .events = POLLIN };
        (void) poll(&p, 1, AGENT_START_TIMEOUT_MSEC);
        return pid;
}

void polkit_agent_stop(pid_t pid) {
        if (pid <= 0)
                return;
        (void) kill(pid, SIGTERM);
        (void) kill(pid, SIGCONT);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
}
