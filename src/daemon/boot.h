/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchd --reapply: puts the persisted patches back into the kernel, early in the boot and without a bus. */
#pragma once

/* Returns the exit status of the process: 0 all are applied, or there is nothing to do or nothing shall be done; 1 some
 * are not. */
int boot_reapply(int root_fd);
