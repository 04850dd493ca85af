/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The patches of a level that is returned to, on their way through verification. */
#pragma once

#include "daemon/ingest.h"
#include "daemon/preflight.h"
#include "daemon/rollback.h"

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
        Failure failure;   /* of reading; names the patch */
} Level;

void level_done(Level *level);
/* What a rollback of the patch has to load; opens the files. 0, a refusal, or negative errno. */
int level_list(const Manager *manager, const Patch *patch, Level *ret, Failure *f);
/* On a thread: level->failure. */
void level_read(Level *level);
/* By the kernel's facts and the patches of now. */
int level_judge(const Manager *manager, const Level *level, Failure *f);
