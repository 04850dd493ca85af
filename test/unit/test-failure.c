/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Failures: texts, ownership, and the one table of names and exit codes. */

#include <errno.h>

#include "common/failure.h"
#include "common/names.h"
#include "test.h"

TEST(every_refusal_has_its_own_dbus_name) {
        for (int i = 1; i < _REFUSED_MAX; i++) {
                char name[128];

                (void) snprintf(name, sizeof(name), "%s", failure_dbus_name(i));
                ASSERT_EQ(refusal_from_dbus_name(name), i);
                ASSERT_TRUE(strlen(name) > strlen(LP_ERROR_PREFIX));
                ASSERT_NULL(strpbrk(name + strlen(LP_ERROR_PREFIX), " ._-/"));
        }
}

TEST(every_refusal_has_an_exit_code_and_a_text) {
        for (int i = 1; i < _REFUSED_MAX; i++) {
                const Failure f = { .code = i };
                int code = failure_exit_code(i);

                ASSERT_TRUE(code == 1 || (code >= 4 && code <= 7));
                ASSERT_TRUE(strlen(failure_text(&f)) > 10);
        }
        ASSERT_EQ(failure_exit_code(0), 0);
        ASSERT_EQ(failure_exit_code(REFUSED_UNSIGNED), 5);
        ASSERT_EQ(failure_exit_code(REFUSED_NO_SUCH_PATCH), 4);
        ASSERT_EQ(failure_exit_code(REFUSED_STALLED), 6);
        ASSERT_EQ(failure_exit_code(REFUSED_NOT_SUPPORTED), 7);
}

TEST(codes_outside_the_table_are_plain_failures) {
        ASSERT_STREQ(failure_dbus_name(-EIO), "org.livepatch.Error.Failed");
        ASSERT_STREQ(failure_dbus_name(_REFUSED_MAX), "org.livepatch.Error.Failed");
        ASSERT_NULL(failure_dbus_name(0));
        ASSERT_EQ(failure_exit_code(-EIO), 1);
        ASSERT_EQ(failure_exit_code(_REFUSED_MAX), 1);
}

TEST(foreign_dbus_names_are_no_refusal) {
        ASSERT_EQ(refusal_from_dbus_name(NULL), 0);
        ASSERT_EQ(refusal_from_dbus_name(""), 0);
        ASSERT_EQ(refusal_from_dbus_name("Unsigned"), 0);
        ASSERT_EQ(refusal_from_dbus_name("org.livepatch.Error."), 0);
        ASSERT_EQ(refusal_from_dbus_name("org.livepatch.Error.Failed"), 0);
        ASSERT_EQ(refusal_from_dbus_name("org.livepatch.Error.unsigned"), 0);
        ASSERT_EQ(refusal_from_dbus_name("org.livepatch.Error.Unsigned2"), 0);
        ASSERT_EQ(refusal_from_dbus_name("org.freedesktop.DBus.Error.Unsigned"), 0);
}

TEST(set_formats_and_replaces) {
        _cleanup_failure_ Failure f = {};

        errno = ENOSPC;
        ASSERT_EQ(failure_set(&f, REFUSED_STORE_FAILED, "Cannot write: %m"), REFUSED_STORE_FAILED);
        ASSERT_EQ(errno, ENOSPC);
        ASSERT_STREQ(failure_text(&f), "Cannot write: No space left on device");
        /* The old text may be part of the new one. */
        ASSERT_EQ(failure_set(&f, -EIO, "Later: %s", f.text), -EIO);
        ASSERT_STREQ(failure_text(&f), "Later: Cannot write: No space left on device");
        ASSERT_EQ(f.code, -EIO);
}

TEST(nobody_needs_to_listen) {
        Failure f = {};

        ASSERT_EQ(failure_set(NULL, REFUSED_BUSY, "text"), REFUSED_BUSY);
        ASSERT_EQ(failure_oom(NULL), -ENOMEM);
        (void) failure_set(&f, REFUSED_BUSY, "text");
        ASSERT_EQ(failure_copy(NULL, &f), REFUSED_BUSY);
        ASSERT_EQ(failure_move(NULL, &f), REFUSED_BUSY);
        ASSERT_EQ(f.code, 0);
        ASSERT_NULL(f.text);
        failure_done(NULL);
}

TEST(move_and_copy_keep_one_owner_each) {
        _cleanup_failure_ Failure a = {}, b = {}, c = {};

        (void) failure_set(&a, REFUSED_BUSY, "first");
        (void) failure_set(&b, REFUSED_CONFLICT, "second");
        ASSERT_EQ(failure_move(&b, &a), REFUSED_BUSY);
        ASSERT_STREQ(b.text, "first");
        ASSERT_NULL(a.text);
        ASSERT_EQ(a.code, 0);
        ASSERT_EQ(failure_copy(&c, &b), REFUSED_BUSY);
        ASSERT_TRUE(c.text != b.text);
        ASSERT_STREQ(c.text, "first");
        ASSERT_EQ(failure_copy(&c, &c), REFUSED_BUSY);
        ASSERT_STREQ(c.text, "first");
}

TEST(text_is_never_null) {
        _cleanup_failure_ Failure f = {};

        ASSERT_STREQ(failure_text(&f), "Success");
        f.code = -ENOENT;
        ASSERT_STREQ(failure_text(&f), "No such file or directory");
        f.code = _REFUSED_MAX;
        ASSERT_NOT_NULL(failure_text(&f));
        (void) failure_set(&f, REFUSED_BUSY, "text");
        ASSERT_EQ(failure_oom(&f), -ENOMEM);
        ASSERT_STREQ(failure_text(&f), "Out of memory");
}
