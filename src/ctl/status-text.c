/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The overview of "status" as text, made from its JSON document. */

#include <inttypes.h>

#include "common/string-util.h"
#include "common/types.h"
#include "ctl/patch-text.h"
#include "ctl/progress.h"
#include "ctl/status-text.h"

#define TABLE_INDENT "  "

static void print_kernel(Output *out, const json_t *manager) {
        bool supported = json_flag(manager, "livepatch_supported");

        output_field(out, "Kernel", supported ? STYLE_NORMAL : STYLE_BAD, "%s (%s), %s",
                     json_text(manager, "kernel_release"), json_text(manager, "architecture"),
                     supported ? "can be live-patched" :
                                 "cannot be live-patched: it has no /sys/kernel/livepatch (CONFIG_LIVEPATCH)");
        if (streq(json_text(manager, "ftrace_enabled"), "no"))
                output_field(out, "", STYLE_BAD,
                             "ftrace is off: no patch can be applied before 'sysctl kernel.ftrace_enabled=1'");
}

static void print_mode(Output *out, const json_t *manager) {
        switch (mode_from_string(json_text(manager, "mode"))) {
        case MODE_ENABLED:
                output_field(out, "Mode", STYLE_NORMAL, "enabled");
                break;
        case MODE_NO_REAPPLY:
                output_field(out, "Mode", STYLE_NOTICE, "no-reapply: nothing is applied at boot, because of "
                             "'livepatch=no-reapply' on the kernel command line");
                break;
        case MODE_OFF:
                output_field(out, "Mode", STYLE_BAD, "off: nothing is applied. To switch it on again remove "
                             "/etc/livepatch/disabled, or 'livepatch=off' from the kernel command line");
                break;
        case _MODE_MAX:
        case _MODE_INVALID:
        default:
                break;
        }
}

static void print_policy(Output *out, const json_t *manager) {
        switch (signature_policy_from_string(json_text(manager, "signature_policy"))) {
        case SIGNATURE_POLICY_REQUIRE:
                output_field(out, "Signatures", STYLE_NORMAL, "required (SignaturePolicy=require)");
                break;
        case SIGNATURE_POLICY_WARN:
                output_field(out, "Signatures", STYLE_NOTICE, "not required (SignaturePolicy=warn)");
                break;
        case SIGNATURE_POLICY_KERNEL:
                output_field(out, "Signatures", STYLE_NOTICE, "left to the kernel (SignaturePolicy=kernel), which %s",
                             streq(json_text(manager, "module_signature_enforced"), "yes") ? "enforces them" :
                                                                                            "does not enforce them");
                break;
        case _SIGNATURE_POLICY_MAX:
        case _SIGNATURE_POLICY_INVALID:
        default:
                break;
        }
}

/* Only where it restricts something: most machines have neither. */
static void print_lockdown(Output *out, const json_t *manager) {
        bool secure_boot = streq(json_text(manager, "secure_boot"), "enabled");
        Lockdown lockdown = lockdown_from_string(json_text(manager, "lockdown"));

        if (secure_boot || lockdown == LOCKDOWN_INTEGRITY || lockdown == LOCKDOWN_CONFIDENTIALITY)
                output_field(out, "Secure Boot", STYLE_NORMAL, "%s, lockdown: %s",
                             secure_boot ? "enabled" : "not enabled", json_text(manager, "lockdown"));
}

static void print_counts(Output *out, const json_t *patches) {
        unsigned counts[_PATCH_STATE_MAX] = {};
        const json_t *p;
        bool first = true;
        size_t i;

        json_array_foreach(patches, i, p) {
                PatchState state = patch_state_from_string(json_text(p, "state"));

                if (state >= 0 && state < _PATCH_STATE_MAX)
                        counts[state]++;
        }
        output_text(out, "%*s: ", OUTPUT_LABEL_WIDTH, "Patches");
        for (PatchState s = 0; s < _PATCH_STATE_MAX; s++) {
                Style style = patch_state_style(patch_state_to_string(s));

                if (counts[s] == 0)
                        continue;
                output_text(out, "%s%s%u %s%s", first ? "" : ", ", style_begin(style, out->options->color), counts[s],
                            patch_state_to_string(s), style_end(style, out->options->color));
                first = false;
        }
        output_text(out, "%s\n", first ? "none" : "");
}

static void print_jobs(Output *out, const json_t *jobs) {
        const json_t *job;
        size_t i;

        json_array_foreach(jobs, i, job) {
                _cleanup_free_ char *text = progress_describe(job);

                output_field(out, i == 0 ? "Jobs" : "", STYLE_NOTICE, "%s", strempty(text));
        }
}

static void print_problems(Output *out, const json_t *problems) {
        const json_t *problem;
        size_t i;

        json_array_foreach(problems, i, problem)
                output_field(out, i == 0 ? "Problems" : "", STYLE_BAD, "%s", strempty(json_string_value(problem)));
}

static bool any_is_bad(const json_t *patches) {
        const json_t *p;
        size_t i;

        json_array_foreach(patches, i, p)
                if (patch_state_style(json_text(p, "state")) == STYLE_BAD)
                        return true;
        return false;
}

static void print_table(Output *out, const json_t *status) {
        const json_t *patches = json_object_get(status, "patches");
        _cleanup_(table_freep) Table *table = NULL;

        if (json_array_size(patches) == 0)
                return;
        table = json_flag(status, "reachable") ? patch_status_table_new(patches) : patch_kernel_table_new(patches);
        if (!table)
                return;
        output_text(out, "\n");
        output_table(out, table, TABLE_INDENT);
        if (out->options->legend && any_is_bad(patches))
                output_text(out, "\n'livepatchctl show NAME' tells all about a patch.\n");
}

void status_print(Output *out, const json_t *status) {
        const json_t *manager = json_object_get(status, "manager");

        print_kernel(out, manager);
        print_mode(out, manager);
        print_policy(out, manager);
        print_lockdown(out, manager);
        print_counts(out, json_object_get(status, "patches"));
        print_jobs(out, json_object_get(status, "jobs"));
        print_problems(out, json_object_get(manager, "problems"));
        print_table(out, status);
}
