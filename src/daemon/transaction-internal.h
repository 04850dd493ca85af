/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps of a transaction that are in files of their own; all on the disk worker. */
#pragma once

#include "daemon/store-internal.h"
#include "daemon/transaction.h"

/* guard-transaction.c: durably before the load; what came of the load; and t->guard_step. */
int transaction_arm_guard(Transaction *t, Failure *f);
void transaction_note_insert(Transaction *t, bool loaded);
int transaction_take_guard_step(Transaction *t, Failure *f);
