/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The crash guard's part of the store.
 *
 *     var/lib/livepatch/guard/<release>/<name>.json   guard records
 *     var/lib/livepatch/guard/clean-shutdown          ids of boots that ended cleanly, the newest first
 *     run/livepatch/settling                          while something settles, or waits for its confirmation:
 *                                                     livepatch-settle.path starts the daemon
 *
 * Written as durably as the rest of the store, with the same lock held, but for the list of clean shutdowns. */
#pragma once

#include "daemon/guard.h"
#include "daemon/store.h"

typedef struct GuardList {
        GuardRecord **records;
        size_t n;
} GuardList;
void guard_list_done(GuardList *list);

/* Every record of every release. What is damaged is set aside and described in *problems; what could not be read this
 * time is described and left. Fails only when out of memory. */
int store_load_guard(Store *store, GuardList *ret, char ***problems, Failure *f);

int store_read_guard(Store *store, const char *release, const char *name, GuardRecord **ret, Failure *f); /* -ENOENT */
int store_put_guard(Store *store, const GuardRecord *record, Failure *f);
int store_remove_guard(Store *store, const char *release, const char *name, Failure *f);

/* Ids of boots that ended cleanly: strv, empty when there are none or the list cannot be read. */
int store_clean_shutdowns(Store *store, char ***ret);

/* Puts the running boot on the list of those that ended cleanly, or takes it off. Needs no lock: whoever may load
 * something, and takes it off, has ended before livepatch-guard.service is stopped. */
int guard_mark_shutdown(int root_fd, bool clean, Failure *f);

void store_flag_watching(Store *store, bool watching);
