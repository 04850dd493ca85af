/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl list */

#include "common/string-util.h"
#include "ctl/client.h"
#include "ctl/patch-text.h"
#include "ctl/verbs.h"

static int print_list(const Options *o, const json_t *patches) {
        _cleanup_(table_freep) Table *table = patch_table_new(patches, o->full);
        _cleanup_output_ Output out = {};
        int r = output_begin(&out, o);

        if (r != 0)
                return r;
        if (!table) {
                output_error(o, "Out of memory");
                return CTL_EXIT_FAILED;
        }
        if (table_n_rows(table) > 0 || o->legend)
                output_table(&out, table, NULL);
        if (o->legend)
                output_text(&out, "\n%zu %s known.%s\n", table_n_rows(table),
                            table_n_rows(table) == 1 ? "patch is" : "patches are",
                            table_n_rows(table) == 0 ? " 'livepatchctl apply FILE' applies one." : "");
        return output_end(&out);
}

static int run_list(const Options *o, char **arguments _unused_) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_ctl_error_ CtlError e = {};
        json_auto_t *patches = NULL;
        int r;

        r = client_new(o, &client, &e);
        if (r == 0)
                r = client_list_patches(client, &patches, &e);
        if (r != 0)
                return output_failure(o, &e);
        if (o->json != JSON_MODE_OFF)
                return output_json(o, json_document("patches", TAKE_PTR(patches)));
        return print_list(o, patches);
}

const Verb verb_list = {
        .name = "list",
        .arguments = "",
        .summary = "List the patches",
        .description = "One line a patch: name, state, whether it is reapplied at boot, version, kernel\n"
                       "and signature; with --full the description too.\n",
        .run = run_list,
};
