/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kmod/klp-log.h"
#include "test.h"

#define REFUSED "livepatch: patch 'lp_fix' failed for module 'kvm_intel', refusing to load module 'kvm_intel'"

static void assert_event(const char *text, KlpLogEvent event, const char *patch, const char *module) {
        KlpLogNames names = {};

        ASSERT_EQ(klp_log_parse(text, &names), event);
        ASSERT_STREQ(names.patch, patch);
        ASSERT_STREQ(names.module, module);
}

TEST(events) {
        assert_event(REFUSED, KLP_LOG_REFUSED, "lp_fix", "kvm_intel");
        assert_event("livepatch: enabling patch 'lp_fix'", KLP_LOG_ENABLING, "lp_fix", "");
        assert_event("livepatch: reverting patch 'lp_fix' on unloading module 'kvm_intel'", KLP_LOG_REVERTING, "lp_fix",
                     "kvm_intel");
}

TEST(other_lines) {
        static const char *const lines[] = {
                "",
                "livepatch: ",
                "livepatch: 'lp_fix': patching complete",
                "livepatch: applying patch 'lp_fix' to loading module 'kvm_intel'",
                "livepatch: enabling patch 'lp_fix",
                "livepatch: enabling patch ''",
                "livepatch: enabling patch 'lp fix'",
                "livepatch: enabling patch '../../etc'",
                "livepatch: enabling patch 'lp_fix' and more",
                "enabling patch 'lp_fix'",
                " livepatch: enabling patch 'lp_fix'",
                "livepatch: patch 'lp_fix' failed for module 'kvm_intel', refusing to load module '",
                "livepatch: patch 'lp_fix' failed for module 'kvm_intel'",
                "livepatch: patch 'lp_fix' failed for module 'kvm_intel', refusing to load module 'a' 'b'",
                "livepatch: enabling patch 'a2345678901234567890123456789012345678901234567890123456'",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                KlpLogNames names = { .patch = "untouched" };

                ASSERT_EQ(klp_log_parse(lines[i], &names), KLP_LOG_NOTHING);
                ASSERT_STREQ(names.patch, "untouched");
        }
}

TEST(cut_off) {
        char line[] = REFUSED;

        for (size_t length = strlen(REFUSED); length-- > 0;) {
                KlpLogNames names;

                line[length] = '\0';
                ASSERT_EQ(klp_log_parse(line, &names), KLP_LOG_NOTHING);
        }
}
