/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The crash-safe store: staged modules with their records, and this boot's runtime records.
 *
 *     var/lib/livepatch/patches/<release>/<name>/manifest.json   the commit point: no manifest, no patch
 *     var/lib/livepatch/patches/<release>/<name>/<sha256>.ko     the verified, decompressed bytes
 *     var/lib/livepatch/damaged/<release>.<name>.<n>/            what could not be read, set aside
 *     run/livepatch/patches/<name>.json                          runtime records
 *     run/livepatch/lock                                         one process writes at a time
 *
 * Nothing below the state directory is followed through a link, and what does not belong to the daemon's user, or what
 * others may write to, is foreign: it is set aside like what is damaged.
 *
 * Every write is atomic and durable in the order that makes a power cut at any instant leave the old state or the new
 * one: module file first, manifest last; on removal the manifest first. Leftovers (files without a manifest, other
 * builds' files, temporaries) are swept by store_load(). The store keeps no cache: the caller owns what it loaded.
 * All calls block on the disk; they may be made from a worker thread, one at a time. */
#pragma once

#include "daemon/record.h"

typedef struct Store Store;

/* Opens (creating directories as needed) below root_fd, and takes the lock, waiting at most lock_timeout_usec:
 * REFUSED_BUSY names the holder's pid. A state directory that cannot be created (read-only, full) is no failure here:
 * reads work as far as they can, writes fail with REFUSED_STORE_FAILED. */
int store_open(int root_fd, uint64_t lock_timeout_usec, Store **ret, Failure *f);
Store *store_close(Store *store);

/* Whether the state directory was read-only when it was opened. What has a mount namespace of its own goes on to see it
 * so when the file system is made writable: "mount -o remount" changes a mount of the caller's namespace alone, and
 * each has its own flag (mount_namespaces(7), MS_REMOUNT in mount(2)). */
bool store_was_read_only(const Store *store);
DEFINE_CLEANUP(Store *, store_close)

typedef struct RecordList {
        PatchRecord **records;
        size_t n;
        size_t n_lost; /* entries that could not be read, this time or for good */
} RecordList;
void record_list_done(RecordList *list);

/* Reads every manifest of every release, sorted by release, order, name. What is damaged (unparsable, name or release
 * unlike its directory, module file missing or of another size than recorded...) is set aside durably and described
 * in *problems (strv, appended); what merely could not be read this time is described and left. Records of another
 * boot's transients are forgotten, and what they took the place of stands again. Sweeps leftovers. boot_id must not be
 * NULL. Fails only when out of memory. */
int store_load(Store *store, const char *boot_id, RecordList *ret, char ***problems, Failure *f);

/* Writes the module's bytes (durable, 0600) if they are not there yet. */
int store_put_module(Store *store, const char *release, const char *name, const ModuleImage *image, Failure *f);

/* Writes the manifest (durable), then deletes other builds' module files. Refuses (-EINVAL, programming error) a
 * record whose module file is not there, unless its origin is vendor. The size written is the file's.
 *
 * A transient record (transient_boot_id) does not cost the persisted one that it takes the place of: that one, with its
 * module file, waits in the same manifest and stands again at the next boot. Putting it again, or any other record that
 * is not transient, ends that.
 *
 * On failure the old record stands, and the module file that store_put_module() wrote for the new one is gone. */
int store_put(Store *store, const PatchRecord *record, Failure *f);

/* Ends what is of this boot only, now instead of at the next boot: the record that it took the place of stands again
 * and is returned, or the patch is forgotten (*ret is NULL). A record that lasts is left alone: *ret_changed. */
int store_take_back(Store *store, const char *release, const char *name, PatchRecord **ret, bool *ret_changed,
                    Failure *f);

/* Forgets the patch: manifest, files, directory. A missing one is success. */
int store_remove(Store *store, const char *release, const char *name, Failure *f);

/* Read-only descriptor of the record's module file (for ORIGIN_VENDOR: of
 * usr/lib/livepatch/patches/<release>/<name>.ko[.gz|.xz|.zst]). The content is verified by whoever reads it.
 * Like store_open_vendor() it returns a descriptor or a negative errno, never a refusal: a positive number is an fd.
 * The refusal that belongs to the errno is f->code. */
int store_open_module(Store *store, const PatchRecord *record, Failure *f);

/* Names of the vendor's patches of a release (file names without suffix, valid module names only), strv, sorted. */
int store_list_vendor(Store *store, const char *release, char ***ret);
int store_open_vendor(Store *store, const char *release, const char *name, Failure *f);

/* Runtime records: atomic, not fsynced (tmpfs). A damaged one is deleted, described, and treated as absent. */
int store_load_runtime(Store *store, const char *name, RuntimeRecord **ret, char ***problems); /* -ENOENT */
int store_list_runtime(Store *store, char ***ret_names);
int store_put_runtime(Store *store, const RuntimeRecord *record, Failure *f);
int store_remove_runtime(Store *store, const char *name);

/* The highest order in use + 1. */
uint64_t record_list_next_order(const RecordList *list);
