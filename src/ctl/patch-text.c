/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Patches as text: rows of tables, paragraphs; made from the documents of --json. */

#include <inttypes.h>
#include <pwd.h>
#include <string.h>
#include <time.h>

#include "common/string-util.h"
#include "ctl/patch-text.h"

#define NAME_COLUMNS 2

const char *patch_time_left(const json_t *patch, char *buffer, size_t size) {
        uint64_t before = json_number(patch, "confirm_before");
        struct timespec ts;
        uint64_t now;

        /* The daemon's clock is this one, or that of the machine behind --host=. */
        (void) clock_gettime(CLOCK_REALTIME, &ts);
        now = (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
        return format_duration(before > now ? before - now : 0, buffer, size);
}

/* "applied (confirm in 9min 30s)" */
static const char *mark_unconfirmed(const json_t *patch, char **ret) {
        const char *state = json_text(patch, "state");
        char left[FORMAT_DURATION_MAX];

        if (!json_flag(patch, "unconfirmed") || json_number(patch, "confirm_before") == 0)
                return state; /* its time has not begun */
        if (asprintf(ret, "%s (confirm in %s)", state, patch_time_left(patch, left, sizeof(left))) < 0)
                *ret = NULL;
        return *ret ?: state;
}

Table *patch_table_new(const json_t *patches, bool with_description) {
        static const char *const headers[] = { "NAME",   "STATE",     "REAPPLY",    "VERSION",
                                               "KERNEL", "SIGNATURE", "DESCRIPTION" };
        Table *t = table_new(headers, with_description ? ELEMENTSOF(headers) : ELEMENTSOF(headers) - 1);
        const json_t *p;
        size_t i;

        if (!t)
                return NULL;
        json_array_foreach(patches, i, p) {
                _cleanup_free_ char *marked = NULL;
                const char *state = json_text(p, "state"), *signature = json_text(p, "signature_status");

                table_add(t, STYLE_NORMAL, json_text(p, "name"));
                table_add(t, patch_state_style(state), mark_unconfirmed(p, &marked));
                table_add(t, STYLE_NORMAL, json_flag(p, "reapply") ? "yes" : "no");
                table_add(t, STYLE_NORMAL, json_text(p, "module_version"));
                table_add(t, STYLE_NORMAL, json_text(p, "kernel_release"));
                table_add(t, signature_status_style(signature), signature);
                if (with_description)
                        table_add(t, STYLE_NORMAL, json_text(p, "description"));
        }
        return t;
}

static void add_remark(FILE *stream, bool *first, const char *label, const char *text) {
        if (isempty(text))
                return;
        (void) fprintf(stream, "%s%s%s", *first ? "" : "; ", label, text);
        *first = false;
}

static void add_unconfirmed(FILE *stream, bool *first, const json_t *patch) {
        char left[FORMAT_DURATION_MAX];

        if (json_number(patch, "confirm_before") == 0)
                return add_remark(stream, first, "", "will have to be confirmed");
        add_remark(stream, first, "not confirmed, reverted in ", patch_time_left(patch, left, sizeof(left)));
}

/* Whose objects that are not loaded are waited for. */
static bool is_in_kernel(const json_t *patch) {
        const char *state = json_text(patch, "state");

        return streq(state, "applied") || streq(state, "applying") || streq(state, "external");
}

static void add_inactive(FILE *stream, bool *first, const json_t *patch) {
        const json_t *object;
        size_t i;

        json_array_foreach(json_object_get(patch, "objects"), i, object) {
                if (json_flag(object, "loaded"))
                        continue;
                add_remark(stream, first, "inactive: ", json_text(object, "name"));
                (void) fputs(" not loaded", stream);
        }
}

char *patch_remark(const json_t *patch) {
        const char *status = json_text(patch, "signature_status"), *state = json_text(patch, "state");
        bool in_kernel = streq(state, "applied") || streq(state, "applying"), first = true;
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);

        if (!stream)
                return NULL;
        add_remark(stream, &first, "", json_text(patch, "failure_reason"));
        add_remark(stream, &first, "", json_text(patch, "quarantine_reason"));
        add_remark(stream, &first, "by ", json_text(patch, "superseded_by"));
        add_remark(stream, &first, "", json_text(patch, "drift"));
        if (json_flag(patch, "withdrawn"))
                add_remark(stream, &first, "", "withdrawn by its publisher");
        if (in_kernel && !isempty(status) && !streq(status, "trusted") && !streq(status, "unchecked"))
                add_remark(stream, &first, "signature: ", status);
        if (is_in_kernel(patch))
                add_inactive(stream, &first, patch);
        if (json_flag(patch, "unconfirmed"))
                add_unconfirmed(stream, &first, patch);
        else if (streq(state, "applied") && !json_flag(patch, "reapply"))
                add_remark(stream, &first, "", "not reapplied at boot");
        if (fclose(stream) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

Table *patch_status_table_new(const json_t *patches) {
        static const char *const headers[] = { "NAME", "STATE", "REAPPLY", "KERNEL", "REMARK" };
        Table *t = table_new(headers, ELEMENTSOF(headers));
        const json_t *p;
        size_t i;

        if (!t)
                return NULL;
        json_array_foreach(patches, i, p) {
                _cleanup_free_ char *remark = patch_remark(p);
                const char *state = json_text(p, "state");
                Style style = patch_state_style(state);

                table_add(t, STYLE_NORMAL, json_text(p, "name"));
                table_add(t, style, state);
                table_add(t, STYLE_NORMAL, json_flag(p, "reapply") ? "yes" : "no");
                table_add(t, STYLE_NORMAL, json_text(p, "kernel_release"));
                table_add(t, style == STYLE_BAD ? STYLE_BAD : STYLE_NOTICE, remark);
        }
        return t;
}

Table *patch_kernel_table_new(const json_t *patches) {
        static const char *const headers[] = { "NAME", "STATE" };
        Table *t = table_new(headers, ELEMENTSOF(headers));
        const json_t *p;
        size_t i;

        if (!t)
                return NULL;
        json_array_foreach(patches, i, p) {
                table_add(t, STYLE_NORMAL, json_text(p, "name"));
                table_add(t, patch_state_style(json_text(p, "state")), json_text(p, "state"));
        }
        return t;
}

static void show_text(Output *out, const char *label, Style style, const char *text) {
        if (!isempty(text))
                output_field(out, label, style, "%s", text);
}

static void show_list(Output *out, const char *label, const json_t *list) {
        const json_t *item;
        size_t i;

        json_array_foreach(list, i, item)
                output_field(out, i == 0 ? label : "", STYLE_NORMAL, "%s", strempty(json_string_value(item)));
}

static void show_applied(Output *out, const json_t *patch) {
        uint64_t at = json_number(patch, "applied_at");
        const json_t *by = json_object_get(patch, "applied_by");
        char buffer[FORMAT_TIME_MAX];
        const struct passwd *user = NULL;

        if (at == 0)
                return;
        if (!json_is_integer(by)) {
                output_field(out, "Applied", STYLE_NORMAL, "%s", format_time(at, buffer, sizeof(buffer)));
                return;
        }
        /* User ids of another machine have other names here. */
        if (!out->options->host)
                user = getpwuid((uid_t) json_integer_value(by));
        if (user)
                output_field(out, "Applied", STYLE_NORMAL, "%s by %s", format_time(at, buffer, sizeof(buffer)),
                             user->pw_name);
        else
                output_field(out, "Applied", STYLE_NORMAL, "%s by user id %" PRIu64,
                             format_time(at, buffer, sizeof(buffer)), json_number(patch, "applied_by"));
}

/* Applied, and waiting for its module. */
static bool object_is_inactive(const json_t *object, bool applied) {
        return applied && !json_flag(object, "loaded");
}

static void show_object_name(Output *out, const json_t *object, bool applied) {
        bool color = out->options->color;
        const char *name = json_text(object, "name");

        output_text(out, "%*s  %s%s%s", NAME_COLUMNS, "", style_begin(STYLE_STRONG, color), name,
                    style_end(STYLE_STRONG, color));
        if (object_is_inactive(object, applied))
                output_text(out, " (inactive: %s not loaded; it is patched when it is)", name);
        else if (!json_flag(object, "loaded"))
                output_text(out, " (module is not loaded)");
        output_text(out, "\n");
}

static void show_object(Output *out, const json_t *object, bool applied) {
        const json_t *functions = json_object_get(object, "functions"), *f;
        const char *inactive = object_is_inactive(object, applied) ? "inactive" : "unpatched";
        bool color = out->options->color;
        size_t i;

        show_object_name(out, object, applied);
        json_array_foreach(functions, i, f) {
                bool patched = json_flag(f, "patched");
                Style style = patched ? STYLE_GOOD : STYLE_MUTED;
                uint64_t position = json_number(f, "sympos");

                output_text(out, "%*s    %s%-9s%s %s", NAME_COLUMNS, "", style_begin(style, color),
                            patched ? "patched" : inactive, style_end(style, color), json_text(f, "name"));
                if (position > 1)
                        output_text(out, " (no. %" PRIu64 " of this name)", position);
                output_text(out, "\n");
        }
}

static void show_objects(Output *out, const json_t *patch) {
        const json_t *objects = json_object_get(patch, "objects"), *object;
        bool applied = is_in_kernel(patch);
        size_t i;

        if (json_array_size(objects) == 0) {
                output_field(out, "Functions", STYLE_MUTED, "%s",
                             json_flag(patch, "objects_known") ?
                                     "none" :
                                     "not known: the module sets them up only when it is loaded");
                return;
        }
        output_text(out, "%*s:\n", OUTPUT_LABEL_WIDTH, "Functions");
        json_array_foreach(objects, i, object)
                show_object(out, object, applied);
}

static void show_unconfirmed(Output *out, const json_t *patch) {
        uint64_t before = json_number(patch, "confirm_before");
        char time[FORMAT_TIME_MAX], left[FORMAT_DURATION_MAX];

        if (!json_flag(patch, "unconfirmed"))
                return;
        if (before == 0)
                output_field(out, "Unconfirmed", STYLE_NOTICE, "yes, its time begins when it is applied completely");
        else
                output_field(out, "Unconfirmed", STYLE_NOTICE,
                             "yes, reverted in %s, at %s, unless 'livepatchctl confirm %s' comes before",
                             patch_time_left(patch, left, sizeof(left)), format_time(before, time, sizeof(time)),
                             json_text(patch, "name"));
}

/* Beside the build that the rest is about. */
static void show_quarantined_builds(Output *out, const json_t *patch) {
        uint64_t n = json_number(patch, "quarantined_builds");
        uint64_t this_one = *json_text(patch, "quarantine_reason") != '\0';

        if (n > this_one)
                output_field(out, "Quarantined", STYLE_NOTICE, "%" PRIu64 " other %s of this name", n - this_one,
                             n - this_one == 1 ? "build" : "builds");
}

static void show_identity(Output *out, const json_t *patch) {
        const char *state = json_text(patch, "state");

        show_text(out, "Name", STYLE_STRONG, json_text(patch, "name"));
        show_text(out, "State", patch_state_style(state), state);
        show_text(out, "Failure", STYLE_BAD, json_text(patch, "failure_reason"));
        show_text(out, "Quarantine", STYLE_BAD, json_text(patch, "quarantine_reason"));
        show_quarantined_builds(out, patch);
        show_text(out, "Superseded by", STYLE_NORMAL, json_text(patch, "superseded_by"));
        show_list(out, "Supersedes", json_object_get(patch, "supersedes"));
        show_text(out, "Drift", STYLE_BAD, json_text(patch, "drift"));
        if (json_flag(patch, "withdrawn"))
                show_text(out, "Withdrawn", STYLE_BAD, "yes, by its publisher");
        show_unconfirmed(out, patch);
        show_text(out, "Reapply", STYLE_NORMAL,
                  json_flag(patch, "reapply") ? "yes, at every boot of its kernel" : "no");
        show_text(out, "Kernel", STYLE_NORMAL, json_text(patch, "kernel_release"));
        show_text(out, "Version", STYLE_NORMAL, json_text(patch, "module_version"));
        show_text(out, "Description", STYLE_NORMAL, json_text(patch, "description"));
        show_text(out, "Severity", STYLE_NORMAL, json_text(patch, "severity"));
        show_list(out, "CVEs", json_object_get(patch, "cves"));
}

void patch_show(Output *out, const json_t *patch) {
        const char *status = json_text(patch, "signature_status");

        show_identity(out, patch);
        show_applied(out, patch);
        show_text(out, "Signature", signature_status_style(status), status);
        show_text(out, "Signer", STYLE_NORMAL, json_text(patch, "signer"));
        show_text(out, "Origin", STYLE_NORMAL, json_text(patch, "origin"));
        show_text(out, "Kind", STYLE_NORMAL, json_text(patch, "kind"));
        show_text(out, "Replace", STYLE_NORMAL, json_text(patch, "replace"));
        if (json_number(patch, "stack_order") > 0)
                output_field(out, "Stack order", STYLE_NORMAL, "%" PRIu64, json_number(patch, "stack_order"));
        show_text(out, "Build id", STYLE_NORMAL, json_text(patch, "build_id"));
        show_text(out, "SHA-256", STYLE_NORMAL, json_text(patch, "sha256"));
        show_objects(out, patch);
}
