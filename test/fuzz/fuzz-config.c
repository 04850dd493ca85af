/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzes livepatch.conf: whatever the text, every value is within the limits that the rest of the daemon relies on. */

#include "common/string-util.h"
#include "daemon/config.h"
#include "fuzz.h"

#define YEAR_USEC (365 * 86400 * USEC_PER_SEC)
#define PROBLEMS_MAX 65

static void check_duration(uint64_t usec, bool infinity) {
        FUZZ_ASSERT(usec > 0);
        FUZZ_ASSERT(usec <= YEAR_USEC || (infinity && usec == USEC_INFINITY));
}

static void check_config(const Config *config) {
        FUZZ_ASSERT(signature_policy_to_string(config->signature_policy));
        FUZZ_ASSERT(on_stall_to_string(config->on_stall));
        FUZZ_ASSERT(config->module_size_max > 0 && config->module_size_max <= 1024 * MIB(1));
        FUZZ_ASSERT(config->bytes_per_user_max > 0 && config->bytes_per_user_max <= 65536 * MIB(1));
        FUZZ_ASSERT(config->jobs_per_user_max > 0 && config->jobs_per_user_max <= 1024);
        FUZZ_ASSERT(config->pending_authorizations_per_user_max > 0 &&
                    config->pending_authorizations_per_user_max <= 1024);
        check_duration(config->stall_timeout_usec, true);
        check_duration(config->boot_timeout_usec, false);
        check_duration(config->exit_idle_usec, true);
        FUZZ_ASSERT(strv_length(config->problems) <= PROBLEMS_MAX);
        for (char **problem = config->problems; *problem; problem++)
                FUZZ_ASSERT(!strpbrk(*problem, "\n\x1b"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(config_freep) Config *config = NULL;

        FUZZ_ASSERT(config_new_default(&config) == 0);
        FUZZ_ASSERT(config_parse(config, "fuzz", (const char *) data, size) == 0);
        check_config(config);
        return 0;
}
