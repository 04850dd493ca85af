/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel itself tells about live patches, for when livepatchd cannot be asked. */

#include <sys/utsname.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "common/types.h"
#include "ctl/local-status.h"

#define SYSFS_DIR "sys/kernel/livepatch"

/* Documentation/ABI/testing/sysfs-kernel-livepatch: "enabled" is the target during a transition. */
static const char *read_state(int root_fd, const char *name) {
        _cleanup_free_ char *enabled_path = NULL, *transition_path = NULL;
        int enabled = 1, transition = 0;

        if (asprintf(&enabled_path, SYSFS_DIR "/%s/enabled", name) < 0 ||
            asprintf(&transition_path, SYSFS_DIR "/%s/transition", name) < 0)
                return patch_state_to_string(PATCH_EXTERNAL);
        (void) read_int_at(root_fd, enabled_path, &enabled);
        (void) read_int_at(root_fd, transition_path, &transition);
        if (transition)
                return patch_state_to_string(enabled ? PATCH_APPLYING : PATCH_REVERTING);
        return patch_state_to_string(enabled ? PATCH_APPLIED : PATCH_DISABLED);
}

json_t *local_status_read(int root_fd) {
        _cleanup_strv_free_ char **names = NULL;
        json_t *patches = json_array();
        struct utsname u = {};
        bool supported = list_dir_at(root_fd, SYSFS_DIR, &names) >= 0;

        (void) uname(&u);
        for (char **i = names; i && *i; i++)
                (void) json_array_append_new(patches,
                                             json_pack("{s:s, s:s}", "name", *i, "state", read_state(root_fd, *i)));
        return json_pack("{s:{s:s, s:s, s:b}, s:o}", "manager", "kernel_release", u.release, "architecture", u.machine,
                         "livepatch_supported", supported, "patches", patches);
}
