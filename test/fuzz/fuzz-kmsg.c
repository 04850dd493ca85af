/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records of /dev/kmsg: the texts in them are partly other people's. */

#include "kmod/kernel-log.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(kernel_log_line_done) KernelLogLine line = {};
        int r = kernel_log_parse((const char *) data, size, &line);

        if (r > 0) {
                FUZZ_ASSERT(line.priority <= 7);
                /* What is shown holds no control character. */
                for (const char *p = line.text; *p; p++)
                        FUZZ_ASSERT((unsigned char) *p >= 0x20 && *p != 0x7f);
                (void) kernel_log_line_is_relevant(line.text, "lp_cmdline");
        } else
                FUZZ_ASSERT(!line.text);
        return 0;
}
