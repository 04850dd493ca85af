/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Manager.Plan: what applying patches would do; and findings as a message has them. */

#include "common/string-util.h"
#include "daemon/bus-error.h"
#include "daemon/bus-message.h"
#include "daemon/bus-request.h"
#include "daemon/plan.h"

/* More patches than anybody has; each is a file to be opened. */
#define NAMES_MAX 256

static int append_finding(sd_bus_message *m, const Finding *f) {
        const BusText texts[] = {
                { "severity", finding_severity_to_string(f->severity) },
                { "code", f->code },
                { "object", f->object },
                { "function", f->function },
                { "text", f->text },
                {},
        };
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r < 0)
                return r;
        r = bus_message_append_text_entries(m, texts);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_finding_array(sd_bus_message *m, const void *userdata) {
        const FindingList *findings = userdata;
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "a{sv}");
        if (r < 0)
                return r;
        for (size_t i = 0; findings && i < findings->n; i++) {
                r = append_finding(m, &findings->findings[i]);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

int bus_append_findings(sd_bus_message *m, const FindingList *findings) {
        return bus_message_append_entry(m, "findings", "aa{sv}", append_finding_array, findings);
}

static int append_step(sd_bus_message *m, const PlanStep *step) {
        const BusText texts[] = {
                { "action", plan_action_to_string(step->action) },
                { "patch", step->patch_id },
                { "reason", step->reason },
                {},
        };
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r < 0)
                return r;
        r = bus_message_append_text_entries(m, texts);
        if (r >= 0)
                r = bus_append_findings(m, &step->findings);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

typedef struct StepList {
        const PlanStep *steps;
        size_t n;
} StepList;

static int append_steps(sd_bus_message *m, const void *userdata) {
        const StepList *list = userdata;
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "a{sv}");
        if (r < 0)
                return r;
        for (size_t i = 0; i < list->n; i++) {
                r = append_step(m, &list->steps[i]);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

static void reply_plan(void *userdata, const Failure *failure, const PlanStep *steps, size_t n_steps) {
        bus_request_reply(userdata, failure, append_steps, &(StepList) { steps, n_steps });
}

static int read_names(sd_bus_message *m, char ***ret, sd_bus_error *error) {
        const char *name;
        size_t n = 0;
        int r;

        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "s");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read_basic(m, 's', &name)) > 0) {
                if (++n > NAMES_MAX)
                        return bus_error_set_invalid_args(error, "At most %d patches can be planned at a time. "
                                                          "Nothing was changed.", NAMES_MAX);
                r = strv_append(ret, name);
                if (r < 0)
                        return bus_error_set_errno(error, r);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

int bus_method_plan(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(bus_request_freep) BusRequest *request = NULL;
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_failure_ Failure failure = {};
        Bus *bus = userdata;
        uid_t uid;
        int r;

        r = read_names(m, &names, error);
        if (r < 0)
                return r;
        r = bus_message_read_options(m, (const BusOption[]) { {} }, error);
        if (r < 0)
                return r;
        r = bus_request_begin(bus, m, (PolkitDetail) {}, &uid, &request, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_plan(bus->manager, names, uid, reply_plan, request, &failure);
        return bus_request_begun(&request, r, &failure, error);
}
