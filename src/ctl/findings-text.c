/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands in a patch's way, as text; made from the documents of --json. */

#include "common/string-util.h"
#include "ctl/findings-text.h"

Style finding_style(const char *severity) {
        if (streq(severity, "blocker"))
                return STYLE_BAD;
        return streq(severity, "warning") ? STYLE_NOTICE : STYLE_NORMAL;
}

void findings_print(Output *out, const char *label, const json_t *findings) {
        const json_t *f;
        size_t i;

        json_array_foreach(findings, i, f) {
                const char *severity = json_text(f, "severity");

                output_field(out, label, finding_style(severity), "%s: %s", severity, json_text(f, "text"));
                label = "";
        }
}
