/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* --host= for what the bus connection over SSH cannot carry: files, whose descriptors stay on this machine. */

#include <string.h>
#include <sys/wait.h>

#include "common/string-util.h"
#include "ctl/module-file.h"
#include "ctl/output.h"
#include "ctl/remote.h"

static int append_output_options(char ***argv, const Options *o) {
        int r = 0;

        if (o->json != JSON_MODE_OFF)
                r = strv_append(argv, o->json == JSON_MODE_PRETTY ? "--json=pretty" : "--json=short");
        if (r >= 0 && o->quiet)
                r = strv_append(argv, "--quiet");
        if (r >= 0 && o->full)
                r = strv_append(argv, "--full");
        if (r >= 0 && !o->legend)
                r = strv_append(argv, "--no-legend");
        if (r >= 0 && o->color)
                r = strv_append(argv, "--color=always");
        return r;
}

static int build_command_line(const Options *o, char *const *command, char ***ret) {
        static const char *const ssh[] = { "ssh", "-xT", "--" };
        _cleanup_strv_free_ char **argv = NULL;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(ssh); i++)
                r = strv_append(&argv, ssh[i]);
        if (r >= 0)
                r = strv_append(&argv, o->host);
        for (char *const *i = command; r >= 0 && *i; i++)
                r = strv_append(&argv, *i);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(argv);
        return 0;
}

_noreturn_ static void become_ssh(const Options *o, int input_fd, char *const *argv) {
        if (input_fd < 0 || dup2(input_fd, STDIN_FILENO) >= 0)
                (void) execvp(argv[0], argv);
        output_error(o, "Failed to run ssh, which --host= needs. Nothing was changed");
        _exit(CTL_EXIT_FAILED);
}

/* ssh(1) exits with 255 when there is no connection, a shell with 127 when the other machine has no livepatchctl; what
 * went wrong has been said by then. */
static int exit_code_of(int status) {
        return WIFEXITED(status) && WEXITSTATUS(status) <= CTL_EXIT_MAX ? WEXITSTATUS(status) : CTL_EXIT_FAILED;
}

int remote_run(const Options *o, int input_fd, char *const *command) {
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_ctl_error_ CtlError e = {};
        int r = build_command_line(o, command, &argv), status;
        pid_t pid;

        if (r < 0) {
                ctl_error_oom(&e);
                return output_failure(o, &e);
        }
        pid = fork();
        if (pid == 0)
                become_ssh(o, input_fd, argv);
        if (pid < 0 || waitpid(pid, &status, 0) < 0) {
                ctl_error_set(&e, negative_errno(), "Failed to run ssh, which --host= needs: %m.");
                return output_failure(o, &e);
        }
        return exit_code_of(status);
}

int remote_run_with_file(const Options *o, char *const *words, char *const *files) {
        _cleanup_strv_free_ char **command = NULL;
        _cleanup_close_ int fd = -EBADF;
        _cleanup_ctl_error_ CtlError e = {};
        int r;

        if (strv_length(files) != 1) {
                output_error(o,
                             "With --host= only one file at a time can be sent. Nothing was changed; run the command "
                             "once for each");
                return CTL_EXIT_USAGE;
        }
        /* Standard input goes to ssh as it is; the other side bounds it. */
        r = streq(files[0], "-") ? 0 : input_file_open(files[0], MODULE_FILE_MAX, &fd, &e);
        if (r != 0)
                return output_failure(o, &e);
        r = strv_append(&command, "livepatchctl");
        for (char *const *i = words; r >= 0 && *i; i++)
                r = strv_append(&command, *i);
        if (r >= 0)
                r = strv_append(&command, "-");
        if (r >= 0)
                r = append_output_options(&command, o);
        if (r < 0) {
                ctl_error_oom(&e);
                return output_failure(o, &e);
        }
        return remote_run(o, fd, command);
}
