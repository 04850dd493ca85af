/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What livepatchd does early in the boot and late in the shutdown, without a bus. */
#pragma once

/* livepatchd --reapply: puts the persisted patches back into the kernel.
 *
 * Returns the exit status of the process: 0 all are applied, or there is nothing to do or nothing shall be done; 1 some
 * are not. */
int boot_reapply(int root_fd);

/* livepatchd --mark-clean-shutdown, --mark-running: for the crash guard of the next boot. */
int boot_mark_clean_shutdown(int root_fd);
int boot_mark_running(int root_fd);
