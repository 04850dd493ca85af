/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl show */

#include "ctl/client.h"
#include "ctl/patch-text.h"
#include "ctl/verbs.h"

/* Every patch that is there is shown; the first failure gives the exit code. */
static int fetch(const Options *o, Client *client, char **names, json_t *patches) {
        int exit_code = 0;

        for (char **i = names; *i; i++) {
                _cleanup_ctl_error_ CtlError e = {};
                json_t *patch = NULL;

                if (client_get_patch_properties(client, *i, &patch, &e) == 0)
                        (void) json_array_append_new(patches, patch);
                else {
                        output_error(o, ctl_error_text(&e));
                        exit_code = exit_code ?: e.exit_code;
                }
        }
        return exit_code;
}

static int print_patches(const Options *o, const json_t *patches) {
        _cleanup_output_ Output out = {};
        int r = output_begin(&out, o);
        const json_t *patch;
        size_t i;

        if (r != 0)
                return r;
        json_array_foreach(patches, i, patch) {
                if (i > 0)
                        output_text(&out, "\n");
                patch_show(&out, patch);
        }
        return output_end(&out);
}

static int run_show(const Options *o, char **arguments) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_ctl_error_ CtlError e = {};
        json_auto_t *patches = json_array();
        int r, exit_code;

        if (client_new(o, &client, &e) != 0)
                return output_failure(o, &e);
        exit_code = fetch(o, client, arguments, patches);
        if (o->json != JSON_MODE_OFF)
                r = output_json(o, json_document("patches", TAKE_PTR(patches)));
        else
                r = print_patches(o, patches);
        return exit_code ?: r;
}

const Verb verb_show = {
        .name = "show",
        .arguments = "NAME...",
        .summary = "Show everything about patches",
        .description = "State, signature and signer, build-id, and every function with whether the\n"
                       "running kernel uses the patch for it. A patch for another kernel is\n"
                       "NAME@RELEASE where the name alone would mean another one.\n",
        .min_arguments = 1,
        .max_arguments = VERB_ANY_NUMBER,
        .run = run_show,
};
