/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl's command line: options, verbs, files, errors and exit codes. */

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/string-util.h"
#include "ctl/error.h"
#include "ctl/json-util.h"
#include "ctl/local-status.h"
#include "ctl/module-file.h"
#include "ctl/options.h"
#include "ctl/verb.h"
#include "test.h"

/* Returns what options_parse() does; words as of a shell. */
static int parse(Options *ret, char ***ret_args, char **argv) {
        return options_parse((int) strv_length(argv), argv, ret, ret_args);
}

#define ARGV(...) ((char *[]) { (char[]) { "livepatchctl" }, __VA_ARGS__, NULL })
#define WORD(s) ((char[]) { s })

TEST(options_may_stand_anywhere) {
        Options o;
        char **args;
        int r = parse(&o, &args, ARGV(WORD("apply"), WORD("--runtime"), WORD("x.ko"), WORD("-q")));

        ASSERT_EQ(r, 0);
        ASSERT_STREQ(args[0], "apply");
        ASSERT_STREQ(args[1], "x.ko");
        ASSERT_NULL(args[2]);
        ASSERT_TRUE(options_given(&o, OPTION_RUNTIME));
        ASSERT_FALSE(options_given(&o, OPTION_REAPPLY));
        ASSERT_TRUE(o.quiet);
}

TEST(defaults) {
        Options o;
        char **args;
        int r = parse(&o, &args, ARGV(WORD("list")));

        ASSERT_EQ(r, 0);
        ASSERT_EQ(o.json, JSON_MODE_OFF);
        ASSERT_TRUE(o.pager && o.legend && o.ask_password);
        ASSERT_FALSE(o.full || o.quiet || o.help || o.version);
        ASSERT_NULL(o.host);
        ASSERT_EQ(o.given, 0);
}

TEST(confirm_within) {
        Options o;
        char **args;

        ASSERT_EQ(parse(&o, &args, ARGV(WORD("apply"), WORD("--confirm-within=10min"), WORD("x.ko"))), 0);
        ASSERT_TRUE(options_given(&o, OPTION_CONFIRM_WITHIN));
        ASSERT_EQ(o.confirm_within_usec, 600 * USEC_PER_SEC);
}

TEST(options_with_values) {
        Options o;
        char **args;
        int r = parse(&o, &args, ARGV(WORD("-Hme@there"), WORD("--json=pretty"), WORD("-n"), WORD("12"),
                                      WORD("--color=always"), WORD("--"), WORD("-x")));

        ASSERT_EQ(r, 0);
        ASSERT_STREQ(o.host, "me@there");
        ASSERT_EQ(o.json, JSON_MODE_PRETTY);
        ASSERT_EQ(o.lines, 12);
        ASSERT_TRUE(o.color && o.color_error);
        ASSERT_STREQ(args[0], "-x");
}

TEST(bad_options) {
        Options o;
        char **args;

        ASSERT_EQ(parse(&o, &args, ARGV(WORD("--json=xml"))), -EINVAL);
        ASSERT_EQ(parse(&o, &args, ARGV(WORD("--json="))), -EINVAL);
        ASSERT_EQ(parse(&o, &args, ARGV(WORD("--color=blue"))), -EINVAL);
        ASSERT_EQ(parse(&o, &args, ARGV(WORD("--host="))), -EINVAL);
        ASSERT_EQ(parse(&o, &args, ARGV(WORD("--host=-oProxyCommand=x"))), -EINVAL);
        ASSERT_EQ(parse(&o, &args, ARGV(WORD("--lines=4294967296"))), -EINVAL);
        ASSERT_EQ(parse(&o, &args, ARGV(WORD("--lines=1x"))), -EINVAL);
        ASSERT_EQ(parse(&o, &args, ARGV(WORD("--force"))), -EINVAL);
        ASSERT_EQ(parse(&o, &args, ARGV(WORD("--stall-timeout=0"))), -EINVAL);
        ASSERT_EQ(parse(&o, &args, ARGV(WORD("--stall-timeout=1 fortnight"))), -EINVAL);
        ASSERT_EQ(parse(&o, &args, ARGV(WORD("--on-stall=force"))), -EINVAL);
        ASSERT_EQ(parse(&o, &args, ARGV(WORD("--yes=no"))), -EINVAL);
}

TEST(verbs_are_complete) {
        for (const Verb *const *i = verb_table; *i; i++) {
                const Verb *v = *i;

                ASSERT_TRUE(v->name && v->arguments && v->summary && v->run);
                ASSERT_TRUE(v->min_arguments <= v->max_arguments);
                ASSERT_TRUE(verb_find(v->name) == v);
                ASSERT_TRUE(v->max_arguments == 0 || *v->arguments);
        }
        ASSERT_NULL(verb_find("--force"));
        ASSERT_NULL(verb_find(""));
}

TEST(suggestions) {
        ASSERT_STREQ(verb_suggest("lsit"), "list");
        ASSERT_STREQ(verb_suggest("reaply"), "reapply");
        ASSERT_STREQ(verb_suggest("Status"), "status");
        ASSERT_NULL(verb_suggest("xyzzy"));
        ASSERT_NULL(verb_suggest(""));
        ASSERT_NULL(verb_suggest("a-very-long-word-that-is-nothing-like-any-verb-of-this-or-any-other-program"));
}

TEST(files_and_names) {
        ASSERT_TRUE(argument_is_file("-"));
        ASSERT_TRUE(argument_is_file("./x"));
        ASSERT_TRUE(argument_is_file("/nonexistent"));
        ASSERT_TRUE(argument_is_file("x.ko"));
        ASSERT_TRUE(argument_is_file("x.ko.gz"));
        ASSERT_TRUE(argument_is_file("x.ko.xz"));
        ASSERT_TRUE(argument_is_file("x.ko.zst"));
        ASSERT_FALSE(argument_is_file("x.ko.bz2"));
        ASSERT_FALSE(argument_is_file("lp_cmdline"));
        ASSERT_FALSE(argument_is_file("lp_cmdline@6.1.0"));
        ASSERT_FALSE(argument_is_file(""));
}

static void assert_not_opened(const char *path, int exit_code, const char *text) {
        _cleanup_ctl_error_ CtlError e = {};
        int fd = -EBADF;

        ASSERT_EQ(input_file_open(path, KIB(1), &fd, &e), exit_code);
        ASSERT_EQ(fd, -EBADF);
        ASSERT_CONTAINS(ctl_error_text(&e), text);
        ASSERT_CONTAINS(e.name, "org.livepatch.Error.");
}

TEST(what_cannot_be_opened) {
        char path[256];

        assert_not_opened("/nonexistent/x.ko", CTL_EXIT_FAILED, "No such file or directory");
        assert_not_opened("nonexistent.ko", CTL_EXIT_FAILED, "There is no file 'nonexistent.ko'");
        assert_not_opened("/", 5, "a directory");
        assert_not_opened("/dev/null", 5, "not a regular file");
        (void) test_tmpdir();
        (void) snprintf(path, sizeof(path), "%s/fifo", test_tmpdir_path());
        ASSERT_EQ(mkfifo(path, 0600), 0);
        assert_not_opened(path, 5, "not a regular file");
}

/* Standard input replaced by the file, and put back. */
static int open_input(int dir_fd, const char *content, size_t max, int *ret_fd, CtlError *e) {
        _cleanup_close_ int saved = dup(STDIN_FILENO), file = -EBADF;
        int r;

        test_write_file(dir_fd, "input", content);
        file = openat(dir_fd, "input", O_RDONLY | O_CLOEXEC);
        ASSERT_OK(dup2(file, STDIN_FILENO));
        r = input_file_open("-", max, ret_fd, e);
        ASSERT_OK(dup2(saved, STDIN_FILENO));
        return r;
}

TEST(standard_input_is_sealed) {
        _cleanup_ctl_error_ CtlError e = {};
        _cleanup_close_ int fd = -EBADF;
        char data[16] = {};

        ASSERT_EQ(open_input(test_tmpdir(), "module", 6, &fd, &e), 0);
        ASSERT_EQ(pread(fd, data, sizeof(data), 0), 6);
        ASSERT_STREQ(data, "module");
        ASSERT_EQ(write(fd, "x", 1), -1);
        ASSERT_EQ(ftruncate(fd, 0), -1);
}

TEST(standard_input_is_bounded) {
        _cleanup_ctl_error_ CtlError e = {};
        int fd = -EBADF;

        ASSERT_EQ(open_input(test_tmpdir(), "module", 5, &fd, &e), 5);
        ASSERT_STREQ(e.name, "org.livepatch.Error.TooLarge");
        ASSERT_EQ(fd, -EBADF);
        ASSERT_EQ(open_input(test_tmpdir(), "", 5, &fd, &e), 5);
        ASSERT_CONTAINS(ctl_error_text(&e), "empty");
}

TEST(exit_codes_of_error_names) {
        ASSERT_EQ(exit_code_from_dbus_name("org.livepatch.Error.Unsigned"), 5);
        ASSERT_EQ(exit_code_from_dbus_name("org.livepatch.Error.NoSuchPatch"), 4);
        ASSERT_EQ(exit_code_from_dbus_name("org.livepatch.Error.Stalled"), 6);
        ASSERT_EQ(exit_code_from_dbus_name("org.livepatch.Error.NotSupported"), 7);
        ASSERT_EQ(exit_code_from_dbus_name("org.freedesktop.DBus.Error.AccessDenied"), 3);
        ASSERT_EQ(exit_code_from_dbus_name("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"), 3);
        ASSERT_EQ(exit_code_from_dbus_name("org.freedesktop.DBus.Error.NoReply"), 1);
        ASSERT_EQ(exit_code_from_dbus_name("org.livepatch.Error.OfAnotherVersion"), 1);
        ASSERT_EQ(exit_code_from_dbus_name(""), 1);
        ASSERT_EQ(exit_code_from_dbus_name(NULL), 1);
}

TEST(errors_from_the_bus_are_cleaned) {
        _cleanup_ctl_error_ CtlError e = {};

        ASSERT_EQ(ctl_error_from_dbus(&e, "org.livepatch.Error.Busy", "a\033[2Jb\nc"), 1);
        ASSERT_STREQ(ctl_error_text(&e), "a?[2Jb\nc");
        ASSERT_EQ(ctl_error_from_dbus(&e, "org.livepatch.Error.Unsigned", NULL), 5);
        ASSERT_STREQ(ctl_error_text(&e), "The module is not signed");
        ASSERT_EQ(ctl_error_from_dbus(&e, NULL, ""), 1);
        ASSERT_TRUE(*ctl_error_text(&e) != '\0');
}

TEST(hints_are_sentences) {
        _cleanup_ctl_error_ CtlError e = {};

        ASSERT_EQ(ctl_error_set(&e, -ENOENT, "No %s", "luck"), 1);
        ctl_error_add_hint(&e, "Try %d.", 2);
        ctl_error_add_hint(&e, "Or not.");
        ctl_error_add_prefix(&e, "x");
        ASSERT_STREQ(ctl_error_text(&e), "x: No luck. Try 2. Or not.");
}

static void assert_state(const json_t *status, size_t i, const char *name, const char *state) {
        const json_t *patch = json_array_get(json_object_get(status, "patches"), i);

        ASSERT_STREQ(json_text(patch, "name"), name);
        ASSERT_STREQ(json_text(patch, "state"), state);
}

TEST(status_from_the_kernel_alone) {
        json_auto_t *status = NULL;
        int fd = test_tmpdir();

        test_write_file(fd, "sys/kernel/livepatch/a/enabled", "1\n");
        test_write_file(fd, "sys/kernel/livepatch/a/transition", "0\n");
        test_write_file(fd, "sys/kernel/livepatch/b/enabled", "1\n");
        test_write_file(fd, "sys/kernel/livepatch/b/transition", "1\n");
        test_write_file(fd, "sys/kernel/livepatch/c/enabled", "0\n");
        test_write_file(fd, "sys/kernel/livepatch/c/transition", "1\n");
        test_write_file(fd, "sys/kernel/livepatch/d/enabled", "0\n");
        status = local_status_read(fd);
        assert_state(status, 0, "a", "applied");
        assert_state(status, 1, "b", "applying");
        assert_state(status, 2, "c", "reverting");
        assert_state(status, 3, "d", "disabled");
        ASSERT_TRUE(json_flag(json_object_get(status, "manager"), "livepatch_supported"));
}

TEST(status_of_a_kernel_without_livepatch) {
        json_auto_t *status = local_status_read(test_tmpdir());

        ASSERT_FALSE(json_flag(json_object_get(status, "manager"), "livepatch_supported"));
        ASSERT_EQ(json_array_size(json_object_get(status, "patches")), 0);
}
