/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A few words about whom a job waits for. */

#include <inttypes.h>

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/client-json.h"
#include "ctl/job-blockers.h"
#include "ctl/json-util.h"

#define NAMED_MAX 3

/* A service is what one acts on; elsewhere it is a thread. */
static void print_name(FILE *stream, const json_t *blocker) {
        const char *unit = json_text(blocker, "unit");

        if (endswith(unit, ".service"))
                (void) fputs(unit, stream);
        else
                (void) fprintf(stream, "%s (%" PRIu64 ")", json_text(blocker, "comm"), json_number(blocker, "tid"));
}

char *blockers_name(const json_t *blockers) {
        size_t size, n = json_array_size(blockers), i;
        uint64_t total = MAX(json_number(json_array_get(blockers, 0), "total"), (uint64_t) n);
        const json_t *blocker;
        char *text = NULL;
        FILE *stream;

        if (n == 0)
                return NULL;
        stream = open_memstream(&text, &size);
        if (!stream)
                return NULL;
        json_array_foreach(blockers, i, blocker) {
                if (i == NAMED_MAX)
                        break;
                if (i > 0)
                        (void) fputs(i + 1 == total ? " and " : ", ", stream);
                print_name(stream, blocker);
        }
        if (total > i)
                (void) fprintf(stream, " and %" PRIu64 " more", total - i);
        if (fclose(stream) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

char *job_blockers_name(Client *c, const char *patch) {
        ClientCall call = { .interface = LP_IFACE_PATCH, .member = "ListBlockers", .silent = true };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_ctl_error_ CtlError ignored = {};
        _cleanup_free_ char *path = NULL;
        json_auto_t *blockers = NULL;

        if (isempty(patch) || client_get_patch(c, patch, &path, &ignored) != 0)
                return NULL;
        call.path = path;
        if (client_call(c, &call, &reply, &ignored, NULL) != 0 || client_read_json(reply, &blockers) < 0)
                return NULL;
        return blockers_name(blockers);
}
