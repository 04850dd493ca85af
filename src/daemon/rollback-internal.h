/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a rollback consists of: the patches of a level on their way through verification, and the steps. */
#pragma once

#include "daemon/ingest.h"
#include "daemon/operation.h"
#include "daemon/preflight.h"
#include "daemon/rollback.h"
#include "daemon/transaction.h"

typedef struct LevelItem {
        char *patch_id;
        char *sha256;
        bool cumulative;
        int fd;
        IngestRequest request;
        Candidate *candidate;
        Preflight preflight;
} LevelItem;

/* Filled in on the loop, worked on by a reader thread, and judged on the loop. */
typedef struct Level {
        int root_fd;
        char *release;
        LevelItem *items; /* in the order of loading */
        size_t n_items;
        LevelItem present; /* the patch that is left: to put it back */
        bool partly;       /* it is left in any case: what is of no use is left out */
        Failure left_out;  /* why the first one was; names the patch */
        Failure failure;   /* of reading; names the patch */
} Level;

void level_done(Level *level);
/* What a rollback of the patch has to load; opens the files. partly: of what it has replaced just now, and as much as
 * there is. 0, a refusal, or negative errno. */
int level_list(const Manager *manager, const Patch *patch, bool partly, Level *ret, Failure *f);
/* On a thread: level->failure. */
void level_read(Level *level);
/* By the kernel's facts and the patches of now. What is left out has no candidate any more. */
int level_judge(const Manager *manager, Level *level, Failure *f);
void level_leave_out(Level *level, Failure *why);

/* ---- The steps --------------------------------------------------------------------------------------------- */

/* Outlives the rollback while the reader works on it. */
typedef struct Reading {
        Rollback *rollback;
        Level level;
} Reading;

struct Rollback {
        Manager *manager;
        Job *job;
        char *patch_id;
        Reading *reading;
        Level level;
        size_t current; /* the item that is being loaded; n_items: the present patch is being left */
        Operation *operation;
        sd_event_source *next;
        char **claimed;

        bool canceled;
        bool leaving; /* the present patch goes: the point of no return is near */
        bool undoing;
        size_t undo;  /* entries of the level that are still to be taken back */
        char **applied; /* ids of the level, in order */
        JobResult result;
        Failure failure; /* what it ends with when all is back */
};

/* rollback.c */
Patch *rollback_present(const Rollback *rollback); /* NULL when it is gone */
void rollback_proceed_later(Rollback *rollback);
/* In the present patch's runtime record: whether a rollback is pending. */
int rollback_note(Rollback *rollback, bool pending, TransactionDone done);
/* Back to where it began, which it ends with. */
void rollback_undo(Rollback *rollback, JobResult result, const Failure *why);

/* rollback-begin.c: reads and judges the level, then proceeds. */
int rollback_begin(Rollback *rollback);
