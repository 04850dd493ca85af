/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tasks that hold up a transition, as text; made from the document of --json. */

#include <inttypes.h>
#include <pwd.h>

#include "common/string-util.h"
#include "ctl/blockers-text.h"

/* Enough to recognise a container by. */
#define CONTAINER_ID_SHOWN 12

/* "web --port 80", or "[kworker/0:1]" of what has no command line, as ps(1) shows it. */
static char *describe_command(const json_t *b) {
        const char *line = json_text(b, "command_line");
        char *text;

        if (!isempty(line))
                return strdup(line);
        return asprintf(&text, "[%s]", json_text(b, "comm")) < 0 ? NULL : text;
}

static char *describe_user(const Options *o, const json_t *b) {
        const json_t *uid = json_object_get(b, "uid");
        const struct passwd *user = NULL;
        char *text;

        if (!json_is_integer(uid))
                return strdup("");
        /* User ids of another machine have other names here. */
        if (!o->host)
                user = getpwuid((uid_t) json_integer_value(uid));
        if (user)
                return strdup(user->pw_name);
        return asprintf(&text, "%" PRIu64, json_number(b, "uid")) < 0 ? NULL : text;
}

/* Its unit, or the container where that is no service of this machine. */
static char *describe_unit(const json_t *b) {
        const char *unit = json_text(b, "unit"), *container = json_text(b, "container");
        char *text;

        if (!isempty(json_text(b, "user_unit")))
                unit = json_text(b, "user_unit");
        if (isempty(container) || endswith(unit, ".service"))
                return strdup(unit);
        return asprintf(&text, "%s %.*s", json_text(b, "container_runtime"), CONTAINER_ID_SHOWN, container) < 0 ?
                       NULL : text;
}

static char *describe_function(const json_t *b) {
        const char *function = json_text(b, "function"), *object = json_text(b, "object");
        char *text;

        if (isempty(function) || streq(object, "vmlinux"))
                return strdup(function);
        return asprintf(&text, "%s [%s]", function, object) < 0 ? NULL : text;
}

static Style advice_style(const char *advice) {
        return streq(advice, "restart-unit") ? STYLE_GOOD : streq(advice, "none") ? STYLE_BAD : STYLE_NORMAL;
}

static void add_row(Table *t, const Options *o, const json_t *b) {
        _cleanup_free_ char *command = describe_command(b), *user = describe_user(o, b), *unit = describe_unit(b);
        _cleanup_free_ char *function = describe_function(b);
        const char *advice = json_text(b, "advice");
        char tid[32];

        (void) snprintf(tid, sizeof(tid), "%" PRIu64, json_number(b, "tid"));
        table_add(t, STYLE_NORMAL, tid);
        table_add(t, STYLE_NORMAL, user);
        table_add(t, STYLE_NORMAL, unit);
        table_add(t, STYLE_NORMAL, function);
        table_add(t, advice_style(advice), advice);
        table_add(t, STYLE_NORMAL, command);
}

/* How many have the text of number first; 0 if one before it has, so that each text counts once. */
static size_t count_same_advice(const json_t *blockers, size_t first) {
        const char *text = json_text(json_array_get(blockers, first), "advice_text");
        size_t n = 0, i;
        const json_t *b;

        json_array_foreach(blockers, i, b) {
                if (!streq(json_text(b, "advice_text"), text))
                        continue;
                if (i < first)
                        return 0;
                n++;
        }
        return n;
}

static void print_advice(Output *out, const json_t *blockers) {
        const json_t *b;
        size_t i;

        output_text(out, "\n");
        json_array_foreach(blockers, i, b) {
                size_t n = count_same_advice(blockers, i);

                if (n == 1)
                        output_text(out, "%" PRIu64 ": %s.\n", json_number(b, "tid"), json_text(b, "advice_text"));
                else if (n > 1)
                        output_text(out, "%zu of them: %s.\n", n, json_text(b, "advice_text"));
        }
}

static void print_table(Output *out, const json_t *blockers) {
        static const char *const headers[] = { "TID", "USER", "UNIT", "FUNCTION", "ADVICE", "COMMAND" };
        _cleanup_(table_freep) Table *t = table_new(headers, ELEMENTSOF(headers));
        const json_t *b;
        size_t i;

        if (!t) {
                output_error(out->options, "Out of memory: the table is not complete");
                return;
        }
        json_array_foreach(blockers, i, b)
                add_row(t, out->options, b);
        output_table(out, t, NULL);
        if (out->options->legend)
                print_advice(out, blockers);
}

static void show_text(Output *out, const char *label, const char *text) {
        if (!isempty(text))
                output_field(out, label, STYLE_NORMAL, "%s", text);
}

static void show_stack(Output *out, const json_t *b) {
        const char *status = json_text(b, "stack_status");
        const json_t *stack = json_object_get(b, "stack"), *frame;
        size_t i;

        if (!streq(status, "read")) {
                output_field(out, "Kernel stack", STYLE_MUTED, "%s",
                             streq(status, "not-permitted") ? "not permitted" : status);
                return;
        }
        json_array_foreach(stack, i, frame)
                output_field(out, i == 0 ? "Kernel stack" : "", STYLE_NORMAL, "%s",
                             strempty(json_string_value(frame)));
}

static void show_blocker(Output *out, const json_t *b) {
        _cleanup_free_ char *command = describe_command(b), *user = describe_user(out->options, b);
        _cleanup_free_ char *function = describe_function(b);

        output_field(out, "Thread", STYLE_STRONG, "%" PRIu64 " (%s)%s", json_number(b, "tid"), json_text(b, "comm"),
                     json_flag(b, "kernel_thread") ? ", a kernel thread" : "");
        output_field(out, "Process", STYLE_NORMAL, "%" PRIu64, json_number(b, "pid"));
        show_text(out, "Command", command);
        show_text(out, "User", user);
        show_text(out, "State", json_text(b, "state"));
        show_text(out, "Unit", json_text(b, "unit"));
        show_text(out, "User unit", json_text(b, "user_unit"));
        if (!isempty(json_text(b, "container")))
                output_field(out, "Container", STYLE_NORMAL, "%s %s", json_text(b, "container_runtime"),
                             json_text(b, "container"));
        show_text(out, "Control group", json_text(b, "cgroup"));
        show_text(out, "Function", function);
        show_text(out, "Sleeps in", json_text(b, "wait_channel"));
        show_stack(out, b);
        output_field(out, "Advice", advice_style(json_text(b, "advice")), "%s", json_text(b, "advice_text"));
}

static bool stacks_are_hidden(const json_t *blockers) {
        const json_t *b;
        size_t i;

        json_array_foreach(blockers, i, b)
                if (streq(json_text(b, "stack_status"), "not-permitted") && isempty(json_text(b, "function")))
                        return true;
        return false;
}

static void print_summary(Output *out, const json_t *document, const json_t *blockers) {
        uint64_t total = json_number(document, "total");

        output_text(out, "\n%" PRIu64 " %s not switched yet.", total, total == 1 ? "task has" : "tasks have");
        if (total > json_array_size(blockers))
                output_text(out, " The first %zu are shown.", json_array_size(blockers));
        if (stacks_are_hidden(blockers))
                output_text(out, " livepatchd may not read kernel stacks, so it cannot tell which functions they are "
                            "in; run this as root on that machine, or see livepatchctl(1).");
        output_text(out, "\n");
}

void blockers_print(Output *out, const json_t *document) {
        const json_t *blockers = json_object_get(document, "blockers"), *b;
        size_t i;

        if (out->options->full)
                json_array_foreach(blockers, i, b) {
                        if (i > 0)
                                output_text(out, "\n");
                        show_blocker(out, b);
                }
        else
                print_table(out, blockers);
        if (out->options->legend)
                print_summary(out, document, blockers);
}

static int describe_transition(const json_t *document, char **ret) {
        const char *name = json_text(document, "patch"), *state = json_text(document, "state");
        uint64_t tasks = json_number(document, "tasks_total");

        if (isempty(name))
                return asprintf(ret, "No patch is being applied or reverted.");
        if (!streq(state, "applying") && !streq(state, "reverting"))
                return asprintf(ret, "'%s' is %s: no task holds it up.", name, state);
        if (tasks > 0)
                return asprintf(ret, "%" PRIu64 " tasks have switched; what is left are idle processors, which follow "
                                "by themselves.", tasks);
        return asprintf(ret, "'%s' is %s, and no task holds it up: either the kernel has not begun to switch tasks, or "
                        "what is left are idle processors, which follow by themselves.", name, state);
}

char *blockers_describe_none(const json_t *document) {
        char *text;

        return describe_transition(document, &text) < 0 ? NULL : text;
}
