/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The test machine's agent: runs commands for the host over a virtio-serial port, several at a time. */

/*
 * Static and free of any service, so that it answers while a boot hangs. Both directions carry frames:
 *
 *      u32 magic | u32 type | u32 command | u32 size | size bytes        (little endian)
 *
 * lpvm/agent.py is the other end.
 */

#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT_NAME "org.livepatch.test"
#define FRAME_MAGIC 0x4147504cu /* "LPGA" */
#define COMMANDS_MAX 64
#define CHUNK (64u * 1024)

enum frame_type {
        FRAME_EXEC = 1,         /* argv, NUL-terminated strings */
        FRAME_STDIN = 2,        /* bytes; none of them closes the pipe */
        FRAME_KILL = 3,         /* u32 signal, to the command's process group */
        FRAME_HELLO = 10,       /* the boot id; without being asked once, and when the host sends one */
        FRAME_STDOUT = 11,
        FRAME_STDERR = 12,
        FRAME_EXIT = 13,        /* u32 wait status */
};

struct header {
        uint32_t magic, type, command, size;
};

struct command {
        bool used;
        uint32_t id;
        pid_t pid;
        int in, out, err;
        char *pending; /* for stdin, not yet written */
        size_t pending_size;
        bool in_ended;
};

static struct command commands[COMMANDS_MAX];
static int port;

static void die(const char *what) {
        fprintf(stderr, "test agent: %s: %m\n", what);
        exit(1);
}

static void write_all(int fd, const void *data, size_t size) {
        while (size > 0) {
                ssize_t n = write(fd, data, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        die("writing to the port");
                data = (const char *) data + n;
                size -= (size_t) n;
        }
}

static void read_all(int fd, void *data, size_t size) {
        while (size > 0) {
                ssize_t n = read(fd, data, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        die("reading from the port");
                data = (char *) data + n;
                size -= (size_t) n;
        }
}

static void send_frame(uint32_t type, uint32_t command, const void *data, size_t size) {
        struct header h = { FRAME_MAGIC, type, command, (uint32_t) size };

        write_all(port, &h, sizeof(h));
        write_all(port, data, size);
}

/* By the name in sysfs rather than udev's link: udev may not be up, or may be what is being tested. */
static int open_port(void) {
        for (int attempt = 0; attempt < 600; attempt++, usleep(100 * 1000)) {
                DIR *ports = opendir("/sys/class/virtio-ports");
                struct dirent *entry;

                while (ports && (entry = readdir(ports))) {
                        char path[512], name[64] = "";
                        FILE *f;

                        snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
                        f = fopen(path, "re");
                        if (!f)
                                continue;
                        (void) !fscanf(f, "%63s", name);
                        fclose(f);
                        if (strcmp(name, PORT_NAME) != 0)
                                continue;
                        snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
                        closedir(ports);
                        return open(path, O_RDWR | O_CLOEXEC);
                }
                if (ports)
                        closedir(ports);
        }
        errno = ENODEV;
        return -1;
}

static struct command *find(uint32_t id) {
        for (size_t i = 0; i < COMMANDS_MAX; i++)
                if (commands[i].used && commands[i].id == id)
                        return &commands[i];
        return NULL;
}

static void close_fd(int *fd) {
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

static void become(char **argv, int in, int out, int err) {
        sigset_t none;

        setsid();
        signal(SIGPIPE, SIG_DFL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 || chdir("/") < 0)
                _exit(125);
        execvp(argv[0], argv);
        dprintf(2, "test agent: %s: %m\n", argv[0]);
        _exit(errno == ENOENT ? 127 : 126);
}

static void exec_command(uint32_t id, char *data, size_t size) {
        static char *argv[1024];
        int in[2], out[2], err[2];
        struct command *c = NULL;
        size_t n = 0;

        for (char *p = data; p < data + size && n < 1023; p += strlen(p) + 1)
                argv[n++] = p;
        argv[n] = NULL;

        for (size_t i = 0; i < COMMANDS_MAX && !c; i++)
                if (!commands[i].used)
                        c = &commands[i];
        if (!c || n == 0 || pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) {
                uint32_t status = 125u << 8;

                send_frame(FRAME_EXIT, id, &status, sizeof(status));
                return;
        }

        *c = (struct command) { .used = true, .id = id, .in = in[1], .out = out[0], .err = err[0] };
        c->pid = fork();
        if (c->pid < 0)
                die("fork");
        if (c->pid == 0)
                become(argv, in[0], out[1], err[1]);
        close(in[0]);
        close(out[1]);
        close(err[1]);
        fcntl(c->in, F_SETFL, O_NONBLOCK);
        fcntl(c->out, F_SETFL, O_NONBLOCK);
        fcntl(c->err, F_SETFL, O_NONBLOCK);
}

static void feed_stdin(struct command *c) {
        ssize_t n = c->pending_size > 0 ? write(c->in, c->pending, c->pending_size) : 0;

        if (n < 0 && errno == EAGAIN)
                return;
        if (n < 0) { /* the command does not want to read it */
                c->pending_size = 0;
                c->in_ended = true;
        } else {
                c->pending_size -= (size_t) n;
                memmove(c->pending, c->pending + n, c->pending_size);
        }
        if (c->pending_size == 0 && c->in_ended)
                close_fd(&c->in);
}

static void queue_stdin(struct command *c, const char *data, size_t size) {
        if (c->in < 0)
                return;
        if (size == 0)
                c->in_ended = true;
        c->pending = realloc(c->pending, c->pending_size + size + 1);
        if (!c->pending)
                die("memory");
        memcpy(c->pending + c->pending_size, data, size);
        c->pending_size += size;
        feed_stdin(c);
}

/* Passes on what is there; true when there was something. */
static bool forward(struct command *c, int *fd, uint32_t type) {
        static char buffer[CHUNK];
        ssize_t n = *fd < 0 ? -1 : read(*fd, buffer, sizeof(buffer));

        if (n > 0)
                send_frame(type, c->id, buffer, (size_t) n);
        if (n == 0)
                close_fd(fd);
        return n > 0;
}

static void say_hello(void) {
        char id[64] = "";
        int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, id, 36);

        close_fd(&fd);
        send_frame(FRAME_HELLO, 0, id, n > 0 ? (size_t) n : 0);
}

static void read_frame(void) {
        struct header h = {};
        struct command *c;
        char *data;

        /* One byte at a time until in step: a host that comes back may have left half a frame. */
        do {
                memmove(&h, (char *) &h + 1, 3);
                read_all(port, (char *) &h + 3, 1);
        } while (h.magic != FRAME_MAGIC);
        read_all(port, (char *) &h + 4, sizeof(h) - 4);
        data = malloc(h.size + 1);
        if (!data)
                die("memory");
        read_all(port, data, h.size);
        data[h.size] = '\0';

        c = find(h.command);
        if (h.type == FRAME_HELLO)
                say_hello();
        else if (h.type == FRAME_EXEC)
                exec_command(h.command, data, h.size);
        else if (h.type == FRAME_STDIN && c)
                queue_stdin(c, data, h.size);
        else if (h.type == FRAME_KILL && c && h.size == 4 && kill(-c->pid, *(int *) data) < 0)
                kill(c->pid, *(int *) data); /* it has not made its own process group yet */
        free(data);
}

/* What a command wrote before it ended belongs to it; what its left-behind children write later does not. */
static void reap(void) {
        pid_t pid;
        int status;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                for (size_t i = 0; i < COMMANDS_MAX; i++) {
                        struct command *c = &commands[i];

                        if (!c->used || c->pid != pid)
                                continue;
                        while (forward(c, &c->out, FRAME_STDOUT) || forward(c, &c->err, FRAME_STDERR))
                                ;
                        close_fd(&c->in);
                        close_fd(&c->out);
                        close_fd(&c->err);
                        free(c->pending);
                        c->used = false;
                        send_frame(FRAME_EXIT, c->id, &status, sizeof(status));
                }
}

static void serve(int signals) {
        for (;;) {
                struct pollfd fds[2 + 3 * COMMANDS_MAX] = {
                        { .fd = port, .events = POLLIN },
                        { .fd = signals, .events = POLLIN },
                };

                for (size_t i = 0; i < COMMANDS_MAX; i++) {
                        struct command *c = &commands[i];
                        struct pollfd *p = fds + 2 + 3 * i;

                        p[0] = (struct pollfd) { .fd = c->used ? c->out : -1, .events = POLLIN };
                        p[1] = (struct pollfd) { .fd = c->used ? c->err : -1, .events = POLLIN };
                        p[2] = (struct pollfd) { .fd = c->used && c->pending_size > 0 ? c->in : -1, .events = POLLOUT };
                }
                if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0 && errno != EINTR)
                        die("poll");

                for (size_t i = 0; i < COMMANDS_MAX; i++) {
                        struct command *c = &commands[i];
                        struct pollfd *p = fds + 2 + 3 * i;

                        if (p[0].revents)
                                forward(c, &c->out, FRAME_STDOUT);
                        if (p[1].revents)
                                forward(c, &c->err, FRAME_STDERR);
                        if (p[2].revents)
                                feed_stdin(c);
                }
                if (fds[1].revents) {
                        struct signalfd_siginfo info;

                        (void) !read(signals, &info, sizeof(info));
                        reap();
                }
                if (fds[0].revents & POLLIN)
                        read_frame();
                else if (fds[0].revents & POLLHUP)
                        usleep(100 * 1000); /* the host is not there (yet) */
        }
}

int main(void) {
        sigset_t child;
        int signals;

        port = open_port();
        if (port < 0)
                die("virtio port " PORT_NAME);
        signal(SIGPIPE, SIG_IGN);
        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        sigprocmask(SIG_BLOCK, &child, NULL);
        signals = signalfd(-1, &child, SFD_CLOEXEC);
        if (signals < 0)
                die("signalfd");
        say_hello();
        serve(signals);
}
