/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Things that wait for their turn: users in turn, and senders of one user in turn, so that whoever has many holds up
 * nobody but himself.
 *
 * When all places are taken, whoever has most gives one up to who has less; that one was the last to come. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/macro.h"

typedef struct FairQueue FairQueue;

typedef void (*FairQueueDrop)(void *userdata, void *item);

/* places: things that can wait at a time. idle_max: senders without any that are remembered, with their users. */
int fair_queue_new(size_t places, size_t idle_max, FairQueue **ret);
/* What still waits is dropped. */
FairQueue *fair_queue_free(FairQueue *queue, FairQueueDrop drop, void *userdata);

/* -ENOBUFS: there is no place, and nobody has more than this one. *ret_unknown: the sender is new, and somebody has to
 * find out its user; what it has waits until then. *ret_displaced: what had to give way, or NULL. */
int fair_queue_add(FairQueue *queue, const char *sender, void *item, bool *ret_unknown, void **ret_displaced);
int fair_queue_identify(FairQueue *queue, const char *sender, uid_t uid);
/* Nobody can tell the user: what waits is dropped. */
void fair_queue_forget(FairQueue *queue, const char *sender, FairQueueDrop drop, void *userdata);

/* The next in turn. NULL: none waits, or only those of senders whose users are not known yet. */
void *fair_queue_take(FairQueue *queue);

size_t fair_queue_length(const FairQueue *queue);
/* -ENXIO: not known. The one whose turn was last always is. */
int fair_queue_uid(const FairQueue *queue, const char *sender, uid_t *ret);

/* The sender is not there any more. What it has waiting keeps its turn. */
void fair_queue_leave(FairQueue *queue, const char *sender);
bool fair_queue_has_left(const FairQueue *queue, const char *sender);
