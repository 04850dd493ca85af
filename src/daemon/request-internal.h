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
} RequestKind;

struct Request {
        Manager *manager;
        RequestKind kind;
        int fd;
        OperationOptions options; /* APPLY */
        bool reapply;             /* STAGE */
        uid_t uid;
        uint64_t bytes; /* counted against the caller's limit */
        bool on_thread; /* handed to the reader and not back yet */
        char *patch_id; /* of a patch that is on record, else NULL */
        char *staging_id; /* STAGE: of the patch that is being written to the disk */
        char *sha256;   /* that its file must have */
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

/* Takes it off the manager's list, answers, and frees it. */
void request_reply(Request *request, const Failure *failure, const Patch *patch, const Job *job);
/* The same with request->failure, which is logged. */
void request_refuse(Request *request);

/* Against the state of this moment. 1: answered, or will be; else a refusal or negative errno, in request->failure. */
int request_judge_apply(Request *request);
int request_judge_stage(Request *request);

/* Whether the module is the very file on record, and whether it is the build that is loaded. */
bool request_is_recorded(const Request *request, const Patch *patch);
bool request_is_loaded(const Request *request, const Patch *patch);
