/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Puts a verified module into the kernel and takes one out again; never by force. */
#pragma once

#include "common/failure.h"
#include "kmod/kernel-info.h"
#include "kmod/module-verify.h"

/* finit_module(2) of the very bytes that were verified, with no flags. Blocks up to seconds: call from a worker.
 * name: the module's own, for messages. info: facts that help to explain a failure; NULL: they are read when one is to
 * be explained. On failure *f explains with the kernel's log lines. root_fd: where dev/kmsg is. 0: the module is loaded
 * and its transition has begun (it may be over already). */
int module_loader_insert(int root_fd, const VerifiedModule *module, const char *name, const KernelInfo *info,
                         Failure *f);

/* Unloads through libkmod, without its force flag (a forced unload of an enabled livepatch corrupts the kernel:
 * kernel.md, section 1). -ENOENT: not loaded. REFUSED_BUSY: still in use (EAGAIN/EBUSY); try again soon. */
int module_loader_remove(int root_fd, const char *name, Failure *f);
