/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's announcements that a module came or went. */

#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd-util.h"
#include "kmod/uevent.h"

/* NETLINK_KOBJECT_UEVENT has two groups: 1 is what the kernel sends, 2 what udev makes of it. */
#define UEVENT_GROUP_KERNEL 1u

/* The first line is all that is wanted; a module's is the two prefixes below and a name. */
#define UEVENT_HEAD_SIZE 256

#define ADDED "add@/module/"
#define REMOVED "remove@/module/"

int uevent_open(void) {
        const struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = UEVENT_GROUP_KERNEL };
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

        if (fd < 0)
                return negative_errno();
        if (bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return negative_errno();
        return TAKE_FD(fd);
}

/* "ACTION@DEVPATH" with a NUL behind it, then the same and more as variables (uevent_net_broadcast_untagged() and
 * kobject_uevent_env() in lib/kobject_uevent.c). The kobjects of modules are /module/NAME; what is below them, and what
 * is not a module's name, is somebody else's. */
int uevent_parse(const char *data, size_t size, Uevent *ret) {
        const char *name;
        Uevent event = {};

        if (!memchr(data, '\0', size))
                return 0;
        name = startswith(data, ADDED);
        event.added = name != NULL;
        if (!name)
                name = startswith(data, REMOVED);
        if (!name || !module_name_is_valid(name))
                return 0;
        (void) strncpy(event.module, name, MODULE_NAME_MAX);
        *ret = event;
        return 1;
}

/* 1: a datagram of the kernel, of *ret_size bytes; 0: none; others are -EAGAIN for "look at the next". */
static int receive(int fd, char *buffer, size_t size, size_t *ret_size) {
        struct sockaddr_nl sender = {};
        socklen_t sender_size = sizeof(sender);
        ssize_t n = recvfrom(fd, buffer, size, 0, (struct sockaddr *) &sender, &sender_size);

        if (n < 0)
                return errno == EAGAIN ? 0 : negative_errno();
        /* The kernel's own port is 0 (netlink(7)); a process with CAP_NET_ADMIN may send to the group as well. */
        if (sender_size != sizeof(sender) || sender.nl_pid != 0)
                return -EAGAIN;
        *ret_size = (size_t) n;
        return 1;
}

int uevent_read(int fd, Uevent *ret, bool *ret_lost) {
        char buffer[UEVENT_HEAD_SIZE];

        for (;;) {
                size_t size = 0;
                int r = receive(fd, buffer, sizeof(buffer), &size);

                if (r == -ENOBUFS)
                        *ret_lost = true;
                else if (r == 1 && uevent_parse(buffer, size, ret) == 1)
                        return 1;
                else if (r <= 0 && r != -EAGAIN && r != -EINTR)
                        return r;
        }
}
