/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>
#include <unistd.h>

#include "kmod/uevent.h"
#include "test.h"

#define EVENT(head) head "\0ACTION=add\0DEVPATH=/module/lp\0SUBSYSTEM=module\0SEQNUM=1"

static void assert_event(const char *data, size_t size, bool added, const char *module) {
        Uevent event = {};

        ASSERT_EQ(uevent_parse(data, size, &event), 1);
        ASSERT_EQ(event.added, added);
        ASSERT_STREQ(event.module, module);
}

static void assert_no_event(const char *data, size_t size) {
        Uevent event = { .module = "untouched" };

        ASSERT_EQ(uevent_parse(data, size, &event), 0);
        ASSERT_STREQ(event.module, "untouched");
}

TEST(modules) {
        static const char added[] = EVENT("add@/module/lp_target"), removed[] = EVENT("remove@/module/kvm_intel");

        assert_event(added, sizeof(added), true, "lp_target");
        assert_event(removed, sizeof(removed), false, "kvm_intel");
}

TEST(others) {
        static const char *const heads[] = {
                "change@/module/lp",
                "add@/module/",
                "add@/module/lp/holders",
                "add@/devices/module/lp",
                "add@/module/../../etc/lp",
                "add@/module/lp target",
                "add@",
                "",
                "libudev",
                "ADD@/module/lp",
                "add@module/lp",
                "remove@/bus/lp",
                "add@/module/a234567890123456789012345678901234567890123456789012345x6",
        };

        for (size_t i = 0; i < ELEMENTSOF(heads); i++)
                assert_no_event(heads[i], strlen(heads[i]) + 1);
}

TEST(cut_off) {
        static const char whole[] = "add@/module/lp_target";

        /* Without its end it might be any name. */
        for (size_t size = 0; size < sizeof(whole); size++)
                assert_no_event(whole, size);
        assert_event(whole, sizeof(whole), true, "lp_target");
}

TEST(a_socket_without_news) {
        bool lost = false;
        Uevent event;
        int fd = uevent_open();

        if (fd < 0)
                return; /* where netlink is not to be had */
        /* Others' events may come at any time; after them, there are none, and it does not block. */
        while (uevent_read(fd, &event, &lost) > 0)
                ASSERT_TRUE(module_name_is_valid(event.module));
        (void) close(fd);
}
