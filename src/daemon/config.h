/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatch.conf and its drop-ins, parsed into a struct that never changes afterwards. */
#pragma once

#include <stdbool.h>

#include "common/failure.h"
#include "common/types.h"

typedef struct Config {
        SignaturePolicy signature_policy;
        bool signature_policy_pinned; /* to "require", by something that could not be read or understood */
        uint64_t module_size_max;    /* bytes, of a module before and after decompression */
        uint64_t stall_timeout_usec; /* of a transition; USEC_INFINITY: never */
        OnStall on_stall;
        uint64_t boot_timeout_usec; /* budget of the reapply at boot */
        uint64_t settle_time_usec;  /* a build that was applied so long without a fault is proven */
        char *health_check_unit;    /* NULL: none */
        uint64_t exit_idle_usec;    /* USEC_INFINITY: never */
        unsigned jobs_per_user_max;
        unsigned pending_authorizations_per_user_max;
        uint64_t bytes_per_user_max; /* of modules in flight */
        char **problems; /* "FILE:LINE: ..." of what was ignored; NULL-terminated, never NULL */
} Config;

/* Reads usr/lib/livepatch/livepatch.conf.d, etc/livepatch/livepatch.conf and etc/livepatch/livepatch.conf.d below
 * root_fd: drop-ins of both directories sorted together by name after the main file, /etc hiding /usr of the same
 * name, one that links to /dev/null or is empty masking it. A missing file is fine. What cannot be understood is put
 * into problems and the default (or the earlier value) stands, except that an unreadable file or SignaturePolicy=
 * means "require", whatever else is said before or after. Fails only when out of memory. */
int config_load(int root_fd, Config **ret);
Config *config_free(Config *config);
DEFINE_CLEANUP(Config *, config_free)

/* One file's content into *config: sections in brackets, KEY=VALUE, '#' and ';' comments. For config_load(), tests and
 * the fuzz target. name is for the problems. */
int config_parse(Config *config, const char *name, const char *text, size_t size);
int config_new_default(Config **ret);
