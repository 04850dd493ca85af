/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one path of a module up to the kernel's door: bytes -> image -> signature -> ELF. Blocks; runs on a worker. */
#pragma once

#include "kmod/module-elf.h"
#include "kmod/module-verify.h"

/* A module that passed verification and can be judged by policy. Immutable. */
typedef struct Candidate {
        ModuleImage *image;
        VerifiedModule *verified;
        ModuleInfo *info;
} Candidate;

Candidate *candidate_free(Candidate *candidate);
DEFINE_CLEANUP(Candidate *, candidate_free)

typedef struct IngestRequest {
        int root_fd;
        int fd;                      /* borrowed */
        bool keep_file;              /* fd is a file of ours: load through it (IMA, LoadPin) */
        uint64_t size_max;
        SignaturePolicy policy;
        bool skip_validity;          /* accepted before: an expired certificate or a wrong clock does not stop it */
        const char *expected_sha256; /* NULL: any */
} IngestRequest;

int ingest(const IngestRequest *request, Candidate **ret, Failure *f);

/* The same without refusing: what inspection reports. The ELF is looked at only if the signature passes the policy
 * (hostile bytes must not meet more code than they have to); else ret->info is NULL and *refusal says why. */
typedef struct Inspection {
        ModuleImage *image;
        SignatureReport signature;
        ModuleInfo *info;
        Failure refusal;
} Inspection;

int ingest_inspect(const IngestRequest *request, Inspection **ret, Failure *f);
Inspection *inspection_free(Inspection *inspection);
DEFINE_CLEANUP(Inspection *, inspection_free)
