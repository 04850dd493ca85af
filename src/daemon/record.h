/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The records on disk: what was staged (the manifest, survives reboots) and what happened to it in this boot. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/failure.h"
#include "common/types.h"
#include "daemon/operation-options.h"
#include "kmod/module-elf.h"
#include "kmod/module-verify.h"

#define RECORD_FORMAT_VERSION 1
#define RECORD_SIZE_MAX MIB(4)
#define UID_UNKNOWN ((uid_t) -1)

/* One of the patches that a cumulative one has taken the place of: together they are the level before it. */
typedef struct SupersededPatch {
        char *name;
        char *sha256;   /* NULL: something other than livepatchd had loaded it */
        uint64_t order; /* that it had then; with another one since, it has been applied anew */
        bool reapply;   /* what was wanted of the next boot */
        bool applied;   /* it was in force just before; else it is from the list of an earlier load */
} SupersededPatch;

/* One staged build of one patch: var/lib/livepatch/patches/<release>/<name>/manifest.json. Plain values; strings
 * owned. */
typedef struct PatchRecord {
        char *name;
        char *kernel_release;
        char *sha256; /* of the module file beside it (or of the vendor's file) */
        uint64_t size; /* of that file; the store fills it in when it writes the record */
        char *build_id;
        char *srcversion;
        char *version;
        char *description;
        SignatureStatus signature_status; /* as judged when it was staged; judged again before every load */
        char *signer;
        char *signer_fingerprint;
        LivepatchKind kind;
        Tristate replace;
        bool objects_known;
        ModuleObject *objects;
        size_t n_objects;
        ModuleState *states; /* none also where it is not known: then nothing follows from it */
        size_t n_states;
        Origin origin;   /* ORIGIN_VENDOR: no module file here, only a decision (reapply) about the vendor's */
        bool reapply;    /* at boot */
        uint64_t order;  /* position at boot: reapplied in ascending order */
        uint64_t staged_at; /* CLOCK_REALTIME, microseconds */
        uid_t staged_by;
        char *transient_boot_id; /* not NULL: belongs to this boot only (apply --runtime, or an apply that has not
                                  * come to its end yet) and is forgotten by store_load() of any other boot, which
                                  * then returns the persisted record that this one took the place of, if any */
        SupersededPatch *supersedes; /* sorted by order */
        size_t n_supersedes;
        bool rolled_back; /* what it superseded stands again, this one no more: then the list goes */
} PatchRecord;

/* Fills in everything that the module itself says. */
int patch_record_new(const ModuleInfo *info, const SignatureReport *signature, const char *sha256, PatchRecord **ret);
PatchRecord *patch_record_free(PatchRecord *record);
DEFINE_CLEANUP(PatchRecord *, patch_record_free)
int patch_record_copy(const PatchRecord *record, PatchRecord **ret);

/* JSON behind a checksum (record-manifest.c). Parsing trusts nothing: a wrong checksum, unknown format versions, wrong
 * types, missing or duplicate keys, invalid names, digests or enums, NULs, nesting, trailing bytes are -EBADMSG with a
 * text; unknown extra keys are ignored (a newer minor version wrote them). Formatting fails with -EINVAL for what
 * parsing would not accept, and with -EFBIG beyond RECORD_SIZE_MAX. */
int patch_record_parse(const char *data, size_t size, PatchRecord **ret, Failure *f);
int patch_record_format(const PatchRecord *record, char **ret);

/* What this boot did with a patch: run/livepatch/patches/<name>.json (of the running kernel). Lost at reboot, and
 * rightly so: it speaks of the kernel's memory. */
typedef struct RuntimeRecord {
        char *name;
        char *sha256;        /* the build that was loaded, or tried */
        uint64_t applied_at; /* 0: not applied by us in this boot */
        uid_t applied_by;
        bool pending;        /* an operation was begun and its end not recorded: the next start converges */
        JobType pending_type;
        OperationOptions pending_options;
        uid_t pending_by;
        uint64_t confirm_within;   /* microseconds; not 0: it reverts by itself unless it is confirmed */
        uint64_t confirm_deadline; /* CLOCK_BOOTTIME, microseconds; 0: the transition is not known to be complete */
        bool confirm_runtime;      /* confirmed, it stays in this boot only */
        bool confirm_expired;      /* the pending operation is the revert of what was not confirmed */
        char *drift; /* what the journal has of it; NULL: nothing */
        char *failure_error; /* D-Bus error name; NULL: no failure */
        char *failure_text;
} RuntimeRecord;

RuntimeRecord *runtime_record_free(RuntimeRecord *record);
DEFINE_CLEANUP(RuntimeRecord *, runtime_record_free)
int runtime_record_new(const char *name, RuntimeRecord **ret);
int runtime_record_copy(const RuntimeRecord *record, RuntimeRecord **ret);
int runtime_record_parse(const char *data, size_t size, RuntimeRecord **ret, Failure *f);
int runtime_record_format(const RuntimeRecord *record, char **ret);
