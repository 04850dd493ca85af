/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A request's insides, shared by the files that judge it. */
#pragma once

#include "daemon/manager-internal.h"
#include "daemon/preflight.h"
#include "daemon/transaction.h"

typedef enum RequestKind {
        REQUEST_APPLY,
        REQUEST_STAGE,
        REQUEST_INSPECT,
        REQUEST_ADOPT,
} RequestKind;

struct Request {
        Manager *manager;
        RequestKind kind;
        int fd;
        OperationOptions options; /* APPLY */
        bool reapply;             /* STAGE, ADOPT */
        uid_t uid;
        uint64_t bytes; /* counted against the caller's limit */
        bool on_thread; /* handed to the reader and not back yet */
        char *patch_id; /* of a patch that is on record, else NULL */
        char *staging_id; /* STAGE: of the patch that is being written to the disk */
        char *sha256;   /* that its file must have */
        char *build_id; /* ADOPT: of the module that is loaded */
        char *release;  /* of the running kernel */
        IngestRequest ingest;
        Candidate *candidate;
        Inspection *inspection;
        Preflight preflight; /* APPLY, INSPECT */
        Failure failure;
        Reply reply;
        ManagerInspectReply inspect_reply;
        void *inspect_userdata;
        PatchRecord *record; /* STAGE */
};

/* fd is taken over in every case; -EBADF for a request that finds its file itself. */
int request_new(Manager *manager, RequestKind kind, int fd, uid_t uid, Request **ret);
Request *request_free(Request *request);
DEFINE_CLEANUP(Request *, request_free)
/* Hands it to the reader, which owns it from then on, unless this fails. */
int request_submit(Request *request, Failure *f);

/* On the reader: finds and verifies the file of what is to be adopted. */
int request_find_adopted(Request *request);

/* Takes it off the manager's list, answers, and frees it. */
void request_reply(Request *request, const Failure *failure, const Patch *patch, const Job *job);
/* The same with request->failure, which is logged. */
void request_refuse(Request *request);

/* Against the state of this moment. 1: answered, or will be; else a refusal or negative errno, in request->failure. */
int request_judge_apply(Request *request);
int request_judge_stage(Request *request);
int request_judge_adopt(Request *request);

/* Puts the module and its record on the disk, then answers with the patch. If it is the build that is in force, it is
 * livepatchd's from then on. patch may be NULL. Returns as the functions above. */
int request_write_record(Request *request, const char *id, const Patch *patch);

/* Whether the module is the very file on record, and whether it is the build that is loaded. */
bool request_is_recorded(const Request *request, const Patch *patch);
bool request_is_loaded(const Request *request, const Patch *patch);
