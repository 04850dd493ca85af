/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl plan */

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/client-json.h"
#include "ctl/client.h"
#include "ctl/findings-text.h"
#include "ctl/verbs.h"

static Style action_style(const char *action) {
        if (streq(action, "apply"))
                return STYLE_GOOD;
        return streq(action, "skip") ? STYLE_MUTED : STYLE_NOTICE;
}

static Table *step_table_new(const json_t *steps) {
        static const char *const headers[] = { "ACTION", "PATCH", "REASON" };
        Table *t = table_new(headers, ELEMENTSOF(headers));
        const json_t *step;
        size_t i;

        json_array_foreach(steps, i, step) {
                if (!t)
                        break;
                table_add(t, action_style(json_text(step, "action")), json_text(step, "action"));
                table_add(t, STYLE_NORMAL, json_text(step, "patch"));
                table_add(t, STYLE_NORMAL, json_text(step, "reason"));
        }
        return t;
}

/* The table has what blocks; what else there is to know comes below it. */
static void print_findings(Output *out, const json_t *steps) {
        const json_t *step, *f;
        bool first = true;
        size_t i, k;

        json_array_foreach(steps, i, step)
                json_array_foreach(json_object_get(step, "findings"), k, f) {
                        const char *severity = json_text(f, "severity");
                        Style style = finding_style(severity);

                        output_text(out, "%s%s: %s%s%s: %s.\n", first ? "\n" : "", json_text(step, "patch"),
                                    style_begin(style, out->options->color), severity,
                                    style_end(style, out->options->color), json_text(f, "text"));
                        first = false;
                }
}

static int print_plan(const Options *o, const json_t *steps) {
        _cleanup_(table_freep) Table *table = step_table_new(steps);
        _cleanup_output_ Output out = {};
        int r = output_begin(&out, o);

        if (r != 0)
                return r;
        if (!table) {
                output_error(o, "Out of memory");
                return CTL_EXIT_FAILED;
        }
        if (table_n_rows(table) > 0)
                output_table(&out, table, NULL);
        else if (o->legend)
                output_text(&out, "Nothing to do: no patch is to be reapplied to this kernel.\n");
        print_findings(&out, steps);
        return output_end(&out);
}

/* As of client_get_patch(): names of modules never have a '-'. */
static void normalize_names(char **names) {
        for (; *names; names++)
                for (char *p = *names; *p && *p != '@'; p++)
                        if (*p == '-')
                                *p = '_';
}

static int run_plan(const Options *o, char **arguments) {
        const ClientCall call = { LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "Plan", .action = true, .strings = arguments };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_ctl_error_ CtlError e = {};
        json_auto_t *steps = NULL;
        int r;

        normalize_names(arguments);
        r = client_new(o, &client, &e);
        if (r == 0)
                r = client_call(client, &call, &reply, &e, "a{sv}", 0);
        if (r == 0) {
                r = client_read_json(reply, &steps);
                if (r < 0)
                        r = client_bad_reply(&e, r);
        }
        if (r != 0)
                return output_failure(o, &e);
        if (o->json != JSON_MODE_OFF)
                return output_json(o, json_document("steps", TAKE_PTR(steps)));
        return print_plan(o, steps);
}

const Verb verb_plan = {
        .name = "plan",
        .arguments = "[NAME...]",
        .summary = "Show what applying patches would do",
        .description = "Shows the steps in which patches on this system would be applied, what each of\n"
                       "them takes the place of, and what stands in their way in the running kernel;\n"
                       "without names, those that 'livepatchctl reapply' would apply. Changes nothing.\n",
        .max_arguments = VERB_ANY_NUMBER,
        .run = run_plan,
};
