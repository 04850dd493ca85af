/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose the live patches are. */

#include "common/string-util.h"
#include "ctl/client.h"
#include "ctl/inspect-external.h"
#include "ctl/json-util.h"

/* Something else loaded it, or a build of it that livepatchd does not know. */
static bool is_external(const json_t *patch) {
        return streq(json_text(patch, "state"), "external") || isempty(json_text(patch, "sha256"));
}

int inspect_list_external(const Options *o, const char *release, char ***ret) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_ctl_error_ CtlError e = {};
        json_auto_t *patches = NULL;
        const json_t *patch;
        size_t i;

        *ret = NULL;
        if (client_new(o, &client, &e) != 0 || client_list_patches(client, &patches, &e) != 0)
                return 0;
        json_array_foreach(patches, i, patch) {
                if (!streq(json_text(patch, "kernel_release"), release) || !is_external(patch))
                        continue;
                if (strv_append(&names, json_text(patch, "name")) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(names);
        return 0;
}
