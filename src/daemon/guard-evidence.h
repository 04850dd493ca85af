/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the crashed kernel's last log, as pstore kept it, says about which patch it was. */
#pragma once

#include "daemon/guard-log.h"

typedef struct GuardEvidence {
        GuardLogName name; /* of the suspect that is named first */
        char *line;        /* sanitised */
        char *path;        /* from the root directory */
} GuardEvidence;
void guard_evidence_done(GuardEvidence *evidence);

/* Looks through /var/lib/systemd/pstore and /sys/fs/pstore, what is older than since (CLOCK_REALTIME, microseconds)
 * left out. 1: found, 0: nothing; fails only when out of memory. */
int guard_evidence_find(int root_fd, char *const *suspects, uint64_t since, GuardEvidence *ret);
