/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* May this module be staged for, or applied to, this kernel? Pure. */
#pragma once

#include "common/failure.h"
#include "kmod/kernel-info.h"
#include "kmod/module-elf.h"

/* Whether anything may be applied at all: kill switches, a kernel without livepatch support. */
int policy_check_kernel(const KernelInfo *kernel, Failure *f);

/* Whether the module fits the kernel: a livepatch, of this architecture, for this release. */
int policy_check_module(const KernelInfo *kernel, const ModuleInfo *info, Failure *f);

/* For staging ahead: any kernel that is installed will do. */
int policy_check_stage(const KernelInfo *kernel, const ModuleInfo *info, bool release_installed, Failure *f);
