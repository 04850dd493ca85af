/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All builds of one name that the crash guard has a verdict on: the present one, and former ones behind it. */

#include "common/string-util.h"
#include "daemon/guard.h"

const GuardRecord *guard_record_quarantine_of(const GuardRecord *record, const char *sha256, const char *build_id) {
        for (; record; record = record->former)
                if (record->phase == GUARD_QUARANTINED && guard_record_is_of(record, sha256, build_id))
                        return record;
        return NULL;
}

const GuardRecord *guard_record_any_quarantine(const GuardRecord *record) {
        while (record && record->phase != GUARD_QUARANTINED)
                record = record->former;
        return record;
}

unsigned guard_record_n_quarantined(const GuardRecord *record) {
        unsigned n = 0;

        for (; record; record = record->former)
                n += record->phase == GUARD_QUARANTINED;
        return n;
}

int guard_record_refuse(const GuardRecord *quarantine, Failure *f) {
        return failure_set(f, REFUSED_QUARANTINED, "'%s' is quarantined, and was not loaded. %s. To let it try again: "
                           "livepatchctl unquarantine %s", quarantine->name, quarantine->reason, quarantine->name);
}

/* ---- Remembering ------------------------------------------------------------------------------------------- */

/* One that is armed is only on its way to a verdict: what is left of it is that it was proven before, if it was. */
static bool is_verdict(const GuardRecord *record) {
        return record->phase == GUARD_QUARANTINED || record->proven;
}

static int copy_verdict(const GuardRecord *from, GuardRecord **ret) {
        _cleanup_(guard_record_freep) GuardRecord *copy = NULL;
        int r = guard_record_arm(NULL, from->name, from->kernel_release, from->sha256, from->boot_id, from->armed_at,
                                 &copy);

        if (r < 0)
                return r;
        copy->phase = from->phase == GUARD_QUARANTINED ? GUARD_QUARANTINED : GUARD_PROVEN;
        copy->proven = from->proven;
        copy->crashes = from->crashes;
        r = free_and_strdup(&copy->build_id, from->build_id);
        if (r < 0)
                return r;
        if (copy->phase == GUARD_QUARANTINED && from->reason) {
                copy->reason = sanitize_text(from->reason, GUARD_FORMER_REASON_MAX);
                if (!copy->reason)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(copy);
        return 0;
}

/* The oldest, but a quarantine only when there is nothing else: what is forgotten may be loaded again. */
static void evict(GuardRecord *record) {
        GuardRecord **oldest = NULL, **oldest_proven = NULL, *gone;

        for (GuardRecord **i = &record->former; *i; i = &(*i)->former) {
                oldest = i;
                if ((*i)->phase != GUARD_QUARANTINED)
                        oldest_proven = i;
        }
        if (oldest_proven)
                oldest = oldest_proven;
        if (!oldest)
                return;
        gone = *oldest;
        *oldest = TAKE_PTR(gone->former);
        guard_record_free(gone);
}

int guard_record_remember(GuardRecord *record, const GuardRecord *previous) {
        GuardRecord **end = &record->former;
        unsigned n = 0;

        for (; previous; previous = previous->former) {
                int r;

                if (!is_verdict(previous) || streq(previous->sha256, record->sha256))
                        continue;
                r = copy_verdict(previous, end);
                if (r < 0)
                        return r;
                end = &(*end)->former;
                n++;
        }
        for (; n > GUARD_FORMER_MAX; n--)
                evict(record);
        return 0;
}

/* ---- What stands afterwards -------------------------------------------------------------------------------- */

/* Without the present one. */
static void drop_first(GuardRecord **record) {
        GuardRecord *gone = *record;

        *record = TAKE_PTR(gone->former);
        guard_record_free(gone);
}

bool guard_record_disarm(GuardRecord **record) {
        if ((*record)->phase == GUARD_QUARANTINED)
                return true;
        if ((*record)->proven) {
                (*record)->phase = GUARD_PROVEN;
                (*record)->settling_since = 0;
                free((*record)->reason);
                (*record)->reason = NULL;
                return true;
        }
        if (!(*record)->former)
                return false;
        drop_first(record);
        return true;
}

static bool is_or_would_be_quarantined(const GuardRecord *record, const char *boot_id) {
        return record->phase == GUARD_QUARANTINED ||
               (guard_record_is_armed(record) && !streq(record->boot_id, boot_id));
}

unsigned guard_record_lift(GuardRecord **record, const char *boot_id) {
        unsigned n = 0;

        while (*record) {
                if (!is_or_would_be_quarantined(*record, boot_id)) {
                        record = &(*record)->former;
                        continue;
                }
                drop_first(record);
                n++;
        }
        return n;
}
