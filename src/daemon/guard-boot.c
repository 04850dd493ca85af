/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first start after a boot: what earlier boots left of the crash guard is judged before anything is loaded. */

#include <string.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/guard-evidence.h"
#include "daemon/guard-store.h"
#include "daemon/manager-internal.h"

/* Longer than the text and the evidence, shorter than what a record takes. */
#define REASON_MAX 2048

/* Of several that were settling at once, all are suspects, but one is more so. */
static int describe(const GuardRecord *record, const GuardEvidence *evidence, char **ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (!evidence)
                r = asprintf(&text, "%s", guard_record_what_happened(record));
        else if (streq(evidence->name.name, record->name))
                r = asprintf(&text, "%s, and the crashed kernel's log names it: '%s' (%s)",
                             guard_record_what_happened(record), evidence->line, evidence->path);
        else
                r = asprintf(&text, "The crashed kernel's log names '%s'. %s, too", evidence->name.name,
                             guard_record_what_happened(record));
        if (r < 0) {
                text = NULL;
                return -ENOMEM;
        }
        *ret = sanitize_text(text, REASON_MAX);
        return *ret ? 0 : -ENOMEM;
}

static void log_quarantine(const GuardRecord *record) {
        log_event(LOG_ERR, LP_MESSAGE_QUARANTINED,
                  ((LogField[]){ { LP_FIELD_PATCH, record->name },
                                 { LP_FIELD_OPERATION, "judge" },
                                 { LP_FIELD_KERNEL, record->kernel_release },
                                 { LP_FIELD_SHA256, record->sha256 },
                                 {} }),
                  "Quarantined '%s' of kernel %s: %s. It is not loaded until its quarantine is lifted: livepatchctl "
                  "unquarantine %s", record->name, record->kernel_release, record->reason, record->name);
}

static int quarantine(GuardRecord *record, const GuardEvidence *evidence) {
        char *reason = NULL;
        int r = describe(record, evidence, &reason);

        if (r < 0)
                return r;
        free(record->reason);
        record->reason = reason;
        record->phase = GUARD_QUARANTINED;
        log_quarantine(record);
        return 0;
}

static void count_crash(GuardRecord *record) {
        guard_record_count_crash(record);
        log_warning("The machine went down while '%s' was settling. This build had settled before, so that it is not "
                    "the first suspect, and is reapplied; it is quarantined if that happens again", record->name);
}

/* On disk before anything is loaded. If that cannot be done, it holds in memory, and whoever wants to load the build
 * looks at the disk once more (transaction_arm_guard()). */
static int put(Manager *manager, const GuardRecord *record, bool keep) {
        _cleanup_failure_ Failure why = {};
        int r = keep ? store_put_guard(manager->store, record, &why) :
                       store_remove_guard(manager->store, record->kernel_release, record->name, &why);

        if (r == 0)
                return 0;
        log_error("%s", failure_text(&why));
        return manager_add_problem(manager, "%s", failure_text(&why));
}

/* Frees the record, or hands it to its patch. */
static int attach(Manager *manager, GuardRecord *record) {
        _cleanup_(guard_record_freep) GuardRecord *owned = record;
        Patch *patch = NULL;
        _cleanup_free_ char *id = NULL;
        int r;

        if (asprintf(&id, "%s%s%s", record->name, manager_is_this_kernel(manager, record->kernel_release) ? "" : "@",
                     manager_is_this_kernel(manager, record->kernel_release) ? "" : record->kernel_release) < 0) {
                id = NULL;
                return -ENOMEM;
        }
        patch = manager_patch_by_id(manager, id);
        /* The build that crashed the machine may have been forgotten with that boot: its quarantine is shown. */
        if (!patch && guard_record_any_quarantine(record)) {
                r = manager_make_patch(manager, record->name, record->kernel_release, &patch);
                if (r < 0)
                        return r;
        }
        if (patch)
                manager_set_guard(manager, patch, TAKE_PTR(owned));
        return 0;
}

static int judge_one(Manager *manager, GuardRecord *record, GuardVerdict verdict, const GuardEvidence *evidence) {
        bool keep = true;
        int r = 0;

        switch (verdict) {
        case GUARD_VERDICT_KEEP:
                return attach(manager, record);
        case GUARD_VERDICT_DISARM:
                record->crashes = 0; /* they are not in a row any more */
                keep = guard_record_disarm(&record);
                break;
        case GUARD_VERDICT_COUNT:
                count_crash(record);
                break;
        case GUARD_VERDICT_QUARANTINE:
                r = quarantine(record, evidence);
                break;
        }
        if (r == 0)
                r = put(manager, record, keep);
        if (r == 0 && keep)
                return attach(manager, record);
        guard_record_free(record);
        return r;
}

static int find_evidence(Manager *manager, const GuardList *list, const GuardVerdict *verdicts, GuardEvidence *ret) {
        _cleanup_strv_free_ char **suspects = NULL;
        uint64_t since = UINT64_MAX;

        for (size_t i = 0; i < list->n; i++) {
                if (verdicts[i] != GUARD_VERDICT_QUARANTINE)
                        continue;
                since = MIN(since, list->records[i]->armed_at);
                if (strv_append(&suspects, list->records[i]->name) < 0)
                        return -ENOMEM;
        }
        return suspects ? guard_evidence_find(manager->root_fd, suspects, since, ret) : 0;
}

static int judge_all(Manager *manager, GuardList *list, char *const *clean) {
        _cleanup_free_ GuardVerdict *verdicts = calloc(list->n + 1, sizeof(GuardVerdict));
        GuardEvidence evidence = {};
        int r, found;

        if (!verdicts)
                return -ENOMEM;
        for (size_t i = 0; i < list->n; i++)
                verdicts[i] = guard_judge(list->records[i], manager->kernel->boot_id, clean);
        r = found = find_evidence(manager, list, verdicts, &evidence);
        for (size_t i = 0; r >= 0 && i < list->n; i++)
                r = judge_one(manager, TAKE_PTR(list->records[i]), verdicts[i], found > 0 ? &evidence : NULL);
        guard_evidence_done(&evidence);
        return MIN(r, 0);
}

int manager_load_guard(Manager *manager, Failure *f) {
        _cleanup_strv_free_ char **problems = NULL, **clean = NULL;
        _cleanup_(guard_list_done) GuardList list = {};
        int r = store_load_guard(manager->store, &list, &problems, f);

        if (r != 0)
                return r;
        for (char **line = problems; line && *line; line++) {
                log_event(LOG_WARNING, LP_MESSAGE_STORE_DAMAGED,
                          ((LogField[]){ { LP_FIELD_OPERATION, "load" }, {} }), "%s", *line);
                (void) manager_add_problem(manager, "%s", *line);
        }
        r = store_clean_shutdowns(manager->store, &clean);
        if (r >= 0)
                r = judge_all(manager, &list, clean);
        return r < 0 ? failure_set(f, r, "Failed to judge what the last boot left: %s", strerror(-r)) : 0;
}
