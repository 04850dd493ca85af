/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel's log says of patches and the modules that they are for. Pure: a line at a time. */
#pragma once

#include "common/string-util.h"

typedef enum KlpLogEvent {
        KLP_LOG_NOTHING,
        KLP_LOG_ENABLING,  /* a patch is loaded: what was said of its name before is of an earlier load */
        KLP_LOG_REFUSED,   /* a module was not loaded, because the patch could not be applied to it */
        KLP_LOG_REVERTING, /* a module that was patched is unloaded */
} KlpLogEvent;

typedef struct KlpLogNames {
        char patch[MODULE_NAME_MAX + 1];
        char module[MODULE_NAME_MAX + 1]; /* not of KLP_LOG_ENABLING */
} KlpLogNames;

/* *ret is filled in where there is an event. */
KlpLogEvent klp_log_parse(const char *text, KlpLogNames *ret);
