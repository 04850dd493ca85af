/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the file of a module may be that something else has loaded. */
#pragma once

#include "common/failure.h"

typedef struct AdoptFile {
        char *path; /* below the root, without a leading slash */
        int fd;
} AdoptFile;

typedef struct AdoptFileList {
        AdoptFile *files;
        size_t n;
} AdoptFileList;
void adopt_file_list_done(AdoptFileList *list);

/* Where it looks, for people. */
#define ADOPT_PLACES                                                                                            \
        "/usr/lib/modules/RELEASE/{updates,extra,livepatch,kernel/livepatch}, /usr/lib/kpatch/RELEASE and "     \
        "/var/lib/kpatch/RELEASE"

/* The files that are called like the module, in the places of those who load patches. Only what root alone can change:
 * others are left out, and described in *f. Blocks on the disk; fails only when out of memory. */
int adopt_search(int root_fd, const char *release, const char *name, AdoptFileList *ret, Failure *f);
