/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The crash guard's writes on the disk worker: before the kernel is asked for anything, and after. */

#include <time.h>

#include "common/log.h"
#include "common/string-util.h"
#include "daemon/guard-store.h"
#include "daemon/transaction-internal.h"

static uint64_t now_monotonic_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

static void set_guard(Transaction *t, GuardRecord *record) {
        guard_record_free(t->guard);
        t->guard = record;
        t->guard_changed = true;
}

/* What is damaged has been reported when the records were loaded, and is written anew. */
static int read_previous(Transaction *t, GuardRecord **ret, Failure *f) {
        int r = store_read_guard(t->store, t->release, t->name, ret, NULL);

        if (r == -ENOENT || r == -EBADMSG)
                return 0;
        return r < 0 ? store_failure(f, r, "read the crash guard's record", "Nothing was loaded") : 0;
}

/* Nothing came of it: what was known of the name before is what is known. */
static void note_refused(Transaction *t) {
        _cleanup_failure_ Failure why = {};
        int r;

        if (t->guard_before)
                r = store_put_guard(t->store, t->guard_before, &why);
        else
                r = store_remove_guard(t->store, t->release, t->name, &why);
        if (r != 0) {
                log_warning("%s", failure_text(&why));
                return;
        }
        set_guard(t, TAKE_PTR(t->guard_before));
}

/* The one that is about to be loaded. */
static int refuse_unwritten(const Transaction *t, Failure *f) {
        return failure_set(f, REFUSED_QUARANTINED,
                           "The machine went down with '%s', which could not be written to the disk yet. It was not "
                           "loaded. Make room on /var, or make it writable, then 'systemctl restart "
                           "livepatchd.service'", t->name);
}

/* The records of earlier boots were judged when this process started. If that could not be written then, what is read
 * now is as it was before: it is judged before the new record takes its place. */
static int judge_previous(Transaction *t, const char *sha256, Failure *f) {
        GuardRecord *previous = t->guard_before;
        _cleanup_strv_free_ char **clean = NULL;

        if (store_clean_shutdowns(t->store, &clean) < 0)
                return failure_oom(f);
        switch (guard_judge(previous, t->boot_id, clean)) {
        case GUARD_VERDICT_KEEP:
                break;
        case GUARD_VERDICT_DISARM:
                previous->crashes = 0;
                if (!guard_record_disarm(&t->guard_before))
                        t->guard_before = guard_record_free(t->guard_before);
                break;
        case GUARD_VERDICT_COUNT:
                guard_record_count_crash(previous);
                break;
        case GUARD_VERDICT_QUARANTINE:
                if (guard_record_is_of(previous, sha256, t->build_id))
                        return refuse_unwritten(t, f);
                if (free_and_strdup(&previous->reason, guard_record_what_happened(previous)) < 0)
                        return failure_oom(f);
                previous->phase = GUARD_QUARANTINED;
                break;
        }
        return 0;
}

static int check_previous(Transaction *t, const char *sha256, Failure *f) {
        const GuardRecord *quarantine;
        int r = t->guard_before ? judge_previous(t, sha256, f) : 0;

        if (r != 0)
                return r;
        quarantine = guard_record_quarantine_of(t->guard_before, sha256, t->build_id);
        return quarantine ? guard_record_refuse(quarantine, f) : 0;
}

/* livepatch-guard.service was stopped by hand: the machine runs on all the same, and a crash from here on is one. */
static void take_back_shutdown(const Transaction *t) {
        _cleanup_failure_ Failure why = {};

        if (guard_mark_shutdown(t->root_fd, false, &why) != 0)
                log_warning("%s", failure_text(&why));
}

int transaction_arm_guard(Transaction *t, Failure *f) {
        const char *sha256 = module_image_sha256(verified_module_image(t->module));
        _cleanup_(guard_record_freep) GuardRecord *record = NULL;
        int r = read_previous(t, &t->guard_before, f);

        if (r != 0)
                return r;
        r = check_previous(t, sha256, f);
        if (r != 0)
                return r;
        r = guard_record_arm(t->guard_before, t->name, t->release, sha256, t->boot_id, now_realtime_usec(), &record);
        if (r >= 0)
                r = free_and_strdup(&record->build_id, t->build_id);
        if (r < 0)
                return failure_oom(f);
        r = store_put_guard(t->store, record, f);
        if (r != 0) {
                note_refused(t); /* it may have got there all the same */
                return r;
        }
        take_back_shutdown(t);
        set_guard(t, TAKE_PTR(record));
        return 0;
}

/* The kernel's call is over: a crash from here on is one of a patch that was loaded. */
static void note_loaded(Transaction *t) {
        _cleanup_failure_ Failure why = {};

        t->guard->phase = GUARD_SETTLING;
        if (store_put_guard(t->store, t->guard, &why) != 0)
                log_warning("%s", failure_text(&why));
}

void transaction_note_insert(Transaction *t, bool loaded) {
        if (loaded)
                note_loaded(t);
        else
                note_refused(t);
}

static int put_step(Transaction *t, GuardRecord **record, bool keep, Failure *f) {
        int r = keep ? store_put_guard(t->store, *record, f) : store_remove_guard(t->store, t->release, t->name, f);

        if (r != 0)
                return r;
        set_guard(t, keep ? TAKE_PTR(*record) : NULL);
        return 0;
}

static int disarm(Transaction *t, GuardRecord **record, Failure *f) {
        bool keep = guard_record_disarm(record);

        return put_step(t, record, keep, f);
}

static int lift(Transaction *t, GuardRecord **record, Failure *f) {
        t->n_lifted = guard_record_lift(record, t->boot_id);
        return t->n_lifted > 0 ? put_step(t, record, *record != NULL, f) : 0;
}

static int quarantine(Transaction *t, GuardRecord **record, Failure *f) {
        if (free_and_strdup(&(*record)->reason, t->guard_reason) < 0)
                return failure_oom(f);
        (*record)->phase = GUARD_QUARANTINED;
        return put_step(t, record, true, f);
}

static int prove(Transaction *t, GuardRecord **record, Failure *f) {
        (*record)->phase = GUARD_PROVEN;
        (*record)->proven = true;
        (*record)->crashes = 0;
        return put_step(t, record, true, f);
}

static int settle(Transaction *t, GuardRecord **record, Failure *f) {
        (*record)->phase = GUARD_SETTLING;
        (*record)->settling_since = now_monotonic_usec();
        return put_step(t, record, true, f);
}

static int take_step(Transaction *t, Failure *f) {
        _cleanup_(guard_record_freep) GuardRecord *record = NULL;
        int r = store_read_guard(t->store, t->release, t->name, &record, NULL);

        if (r < 0)
                return r == -ENOENT || r == -EBADMSG ? 0 : store_failure(f, r, "read the crash guard's record",
                                                                         "Nothing was changed");
        switch (t->guard_step) {
        case GUARD_STEP_NONE:
                return 0;
        case GUARD_STEP_SETTLE:
                return guard_record_is_armed(record) ? settle(t, &record, f) : 0;
        case GUARD_STEP_PROVE:
                return guard_record_is_armed(record) ? prove(t, &record, f) : 0;
        case GUARD_STEP_DISARM:
                return guard_record_is_armed(record) ? disarm(t, &record, f) : 0;
        case GUARD_STEP_QUARANTINE:
                return record->phase != GUARD_QUARANTINED ? quarantine(t, &record, f) : 0;
        case GUARD_STEP_LIFT:
                return lift(t, &record, f);
        }
        return 0;
}

int transaction_take_guard_step(Transaction *t, Failure *f) {
        _cleanup_failure_ Failure why = {};
        int r = t->guard_step == GUARD_STEP_NONE ? 0 : take_step(t, &why);

        if (r == 0)
                return 0;
        /* Lifting is what was asked for; the others are notes on what has happened, and err on the safe side. */
        if (t->guard_step == GUARD_STEP_LIFT)
                return failure_move(f, &why);
        log_warning("%s", failure_text(&why));
        return 0;
}
