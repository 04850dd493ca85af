/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the store's files share: directories, files that are known to be ours, failure texts. */
#pragma once

#include "common/names.h"
#include "common/string-util.h"
#include "daemon/record-manifest.h"
#include "daemon/store.h"

#define STORE_STATE_PATH "/" LP_STATE_DIR
#define STORE_DAMAGED_DIR_NAME "damaged"
#define STORE_MANIFEST_NAME "manifest.json"
#define STORE_DIR_MODE 0700
#define STORE_FILE_MODE 0600
#define STORE_MODULE_SUFFIX ".ko"

struct Store {
        int root_fd;
        int lock_fd;
        int run_fd; /* run/livepatch */
        bool was_read_only;
};

/* "<sha256>.ko" */
typedef struct StoreModuleName {
        char name[SHA256_HEX_LENGTH + sizeof(STORE_MODULE_SUFFIX)];
} StoreModuleName;
StoreModuleName store_module_name(const char *sha256);
bool store_is_module_name(const char *name);

/* Opens a directory below another, without following links, created (durably) if asked for. -EBADMSG with a text: what
 * is there is not ours. Returns the descriptor. */
int store_open_dir(int parent_fd, const char *name, bool create, Failure *f);

/* The same from the state directory on down: patches/<release>/<name>. release and name may be NULL. */
int store_open_patches(Store *store, const char *release, const char *name, bool create, Failure *f);
int store_open_state(Store *store, bool create, Failure *f);

/* Opens a regular file that only we can have written. -EBADMSG with a text: it is something else. */
int store_open_file(int dir_fd, const char *name, Failure *f);

/* Reads and parses the manifest of an open patch directory: -ENOENT, -EBADMSG with a text, or other errors. *ret_data:
 * the bytes as they are on the disk; may be NULL. */
int store_read_manifest(int dir_fd, Manifest *ret, char **ret_data, size_t *ret_size, Failure *f);

/* Checks that the record's module file is there, ours, and of the recorded size (0: any): -EBADMSG with a text. A
 * vendor's record needs none. *ret_size may be NULL. */
int store_check_module(int dir_fd, const PatchRecord *record, uint64_t *ret_size, Failure *f);

/* Deletes module files other than those of the manifest (of all, if NULL) and temporary files. Returns the number of
 * other entries that it left, or a negative errno. */
int store_sweep_dir(int dir_fd, const Manifest *keep);

/* Removes patches/<release>/<name> and patches/<release> if they are empty. */
void store_prune_dirs(Store *store, const char *release, const char *name);

/* Moves patches/<release>/<name> (patches/<release> when name is NULL) into damaged/; *ret_path: where to. */
int store_set_aside(Store *store, const char *release, const char *name, char **ret_path);

/* The same for an entry of any directory; release and name (may be NULL) are for its new name. */
int store_set_aside_entry(Store *store, int from_fd, const char *entry, const char *release, const char *name,
                          char **ret_path);

/* A negative errno of an operation on the disk becomes REFUSED_STORE_FAILED (-ENOMEM stays): "Failed to <what> in DIR:
 * <reason>. <outcome>. <advice>". */
int store_failure(Failure *f, int error, const char *what, const char *outcome);
