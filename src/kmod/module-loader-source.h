/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which descriptor finit_module(2) gets: the sealed image, or the persisted file with the same bytes. */
#pragma once

#include "common/failure.h"
#include "kmod/module-image.h"

/* *ret stays the image's. Reads the whole file to compare it. REFUSED_CONFLICT: the file has changed on disk since it
 * was verified. name: for messages. */
int module_loader_source(const ModuleImage *image, const char *name, int *ret, Failure *f);
