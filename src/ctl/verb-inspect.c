/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl inspect */

#include <fcntl.h>
#include <inttypes.h>

#include "common/string-util.h"
#include "ctl/findings-text.h"
#include "ctl/inspect-report.h"
#include "ctl/module-file.h"
#include "ctl/output.h"
#include "ctl/remote.h"
#include "ctl/verbs.h"

static void print_field(Output *out, const char *label, Style style, const char *text) {
        if (!isempty(text))
                output_field(out, label, style, "%s", text);
}

static void print_kernel(Output *out, const json_t *report) {
        const char *release = json_text(report, "kernel_release"),
                   *running = json_text(report, "running_kernel_release");
        bool matches = streq(release, running);

        if (matches)
                output_field(out, "Kernel", STYLE_GOOD, "%s (the running one)", release);
        else
                output_field(out, "Kernel", STYLE_NOTICE, "%s (%s is running)", isempty(release) ? "not said" : release,
                             running);
        print_field(out, "Architecture", STYLE_NORMAL, json_text(report, "architecture"));
}

static void print_functions(Output *out, const json_t *report) {
        const json_t *objects = json_object_get(report, "objects"), *object, *f;
        size_t i, j;

        if (!json_flag(report, "livepatch"))
                return;
        print_field(out, "Replace", STYLE_NORMAL, json_text(report, "replace"));
        if (!json_flag(report, "objects_known"))
                output_field(out, "Functions", STYLE_NOTICE,
                             "not known: the module sets them up only when it is loaded");
        json_array_foreach(objects, i, object) {
                json_array_foreach(json_object_get(object, "functions"), j, f) {
                        uint64_t position = json_number(f, "sympos");

                        if (position > 1)
                                output_field(out, i + j == 0 ? "Functions" : "", STYLE_NORMAL,
                                             "%s: %s (no. %" PRIu64 " of this name)", json_text(object, "name"),
                                             json_text(f, "name"), position);
                        else
                                output_field(out, i + j == 0 ? "Functions" : "", STYLE_NORMAL, "%s: %s",
                                             json_text(object, "name"), json_text(f, "name"));
                }
        }
}

static void print_report(Output *out, const json_t *report) {
        const char *status = json_text(report, "signature_status");

        print_field(out, "File", STYLE_NORMAL, json_text(report, "file"));
        print_field(out, "Name", STYLE_STRONG, json_text(report, "name"));
        print_field(out, "Version", STYLE_NORMAL, json_text(report, "version"));
        print_field(out, "Description", STYLE_NORMAL, json_text(report, "description"));
        print_kernel(out, report);
        print_field(out, "Livepatch", json_flag(report, "livepatch") ? STYLE_NORMAL : STYLE_BAD,
                    json_flag(report, "livepatch") ? json_text(report, "kind") : "no, an ordinary module");
        print_functions(out, report);
        print_field(out, "Build id", STYLE_NORMAL, json_text(report, "build_id"));
        print_field(out, "SHA-256", STYLE_NORMAL, json_text(report, "sha256"));
        print_field(out, "Signature", signature_status_style(status), status);
        print_field(out, "Signer", STYLE_NORMAL, json_text(report, "signer"));
        if (!streq(json_text(report, "signature_text"), json_text(report, "refusal_text")))
                print_field(out, "", STYLE_NORMAL, json_text(report, "signature_text"));
        findings_print(out, "Findings", json_object_get(report, "findings"));
        if (json_flag(report, "would_apply"))
                output_field(out, "Verdict", STYLE_GOOD, "passes: the signature is trusted, and it is for this kernel");
        else
                output_field(out, "Verdict", STYLE_BAD, "would be refused: %s", json_text(report, "refusal_text"));
}

static int inspect_one(const Options *o, const char *path, json_t *reports) {
        _cleanup_close_ int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -EBADF;
        _cleanup_ctl_error_ CtlError e = {};
        json_t *report = NULL;
        int r, exit_code = 0;

        r = input_file_open(path, MODULE_FILE_MAX, &fd, &e);
        if (r == 0) {
                r = inspect_report_new(o, root_fd, fd, &report, &e);
                if (r != 0)
                        ctl_error_add_prefix(&e, path);
        }
        if (r != 0) {
                output_error(o, ctl_error_text(&e));
                report = json_pack("{s:o}", "error", json_error_object(&e));
                exit_code = r;
        } else if (!json_flag(report, "would_apply"))
                exit_code = exit_code_from_dbus_name(json_text(report, "refusal"));
        (void) json_object_set_new(report, "file", json_string(path));
        (void) json_array_append_new(reports, report);
        return exit_code;
}

static int print_reports(const Options *o, const json_t *reports) {
        _cleanup_output_ Output out = {};
        int r = output_begin(&out, o);
        bool first = true;
        const json_t *report;
        size_t i;

        if (r != 0)
                return r;
        json_array_foreach(reports, i, report) {
                if (json_object_get(report, "error"))
                        continue; /* told already, on standard error */
                if (!first)
                        output_text(&out, "\n");
                print_report(&out, report);
                first = false;
        }
        return output_end(&out);
}

static int run_inspect(const Options *o, char **arguments) {
        json_auto_t *reports = json_array();
        char inspect[] = "inspect";
        char *words[] = { inspect, NULL };
        int r, exit_code = 0;

        if (o->host)
                return remote_run_with_file(o, words, arguments);
        for (char **i = arguments; *i; i++) {
                r = inspect_one(o, *i, reports);
                exit_code = exit_code ?: r;
        }
        if (o->json != JSON_MODE_OFF)
                r = output_json(o, json_document("modules", TAKE_PTR(reports)));
        else
                r = print_reports(o, reports);
        return exit_code ?: r;
}

const Verb verb_inspect = {
        .name = "inspect",
        .arguments = "FILE|-...",
        .summary = "Show what a module file is, and whether it would be applied",
        .description = "Needs neither livepatchd nor privileges. Judges the signature by the certificates\n"
                       "that are trusted here, as with SignaturePolicy=require, the kernel it was built\n"
                       "for, and whether the running kernel could take it; root sees more of that. Where\n"
                       "patches are live already, livepatchd is asked which of them are its own. The exit\n"
                       "code is 0 if it passes, and 5 or that of 'apply' if it would be refused.\n",
        .min_arguments = 1,
        .max_arguments = VERB_ANY_NUMBER,
        .run = run_inspect,
};
