/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each verdict, and which one comes first. */

#include <elf.h>

#include "daemon/policy.h"
#include "test.h"

static KernelInfo kernel(void) {
        return (KernelInfo) {
                .release = (char *) "6.1.0-56-amd64",
                .architecture = (char *) "x86_64",
                .livepatch_supported = true,
                .config_livepatch = TRISTATE_YES,
                .mode = MODE_ENABLED,
        };
}

static ModuleInfo module(void) {
        return (ModuleInfo) {
                .name = (char *) "lp_one",
                .kernel_release = (char *) "6.1.0-56-amd64",
                .machine = EM_X86_64,
                .livepatch = true,
        };
}

TEST(a_fitting_module_on_a_fitting_kernel) {
        KernelInfo k = kernel();
        ModuleInfo m = module();

        ASSERT_EQ(policy_check_kernel(&k, NULL), 0);
        ASSERT_EQ(policy_check_module(&k, &m, NULL), 0);
        ASSERT_EQ(policy_check_stage(&k, &m, false, NULL), 0);
}

TEST(switched_off) {
        _cleanup_failure_ Failure f = {};
        KernelInfo k = kernel();

        k.mode = MODE_OFF;
        ASSERT_EQ(policy_check_kernel(&k, &f), REFUSED_SWITCHED_OFF);
        ASSERT_CONTAINS(failure_text(&f), "livepatch=off");
        ASSERT_CONTAINS(failure_text(&f), "/etc/livepatch/disabled");
        /* Before the other reason: it is the one that somebody chose. */
        k.livepatch_supported = false;
        ASSERT_EQ(policy_check_kernel(&k, &f), REFUSED_SWITCHED_OFF);
}

TEST(no_reapply_is_about_the_boot) {
        KernelInfo k = kernel();

        k.mode = MODE_NO_REAPPLY;
        ASSERT_EQ(policy_check_kernel(&k, NULL), 0);
}

TEST(a_kernel_without_livepatching) {
        _cleanup_failure_ Failure unknown = {}, known = {};
        KernelInfo k = kernel();

        k.livepatch_supported = false;
        k.config_livepatch = TRISTATE_UNKNOWN;
        ASSERT_EQ(policy_check_kernel(&k, &unknown), REFUSED_NOT_SUPPORTED);
        ASSERT_NULL(strstr(failure_text(&unknown), "is not set"));
        k.config_livepatch = TRISTATE_NO;
        ASSERT_EQ(policy_check_kernel(&k, &known), REFUSED_NOT_SUPPORTED);
        ASSERT_CONTAINS(failure_text(&known), "CONFIG_LIVEPATCH is not set");
}

TEST(another_architecture) {
        _cleanup_failure_ Failure f = {};
        KernelInfo k = kernel();
        ModuleInfo m = module();

        m.machine = EM_AARCH64;
        ASSERT_EQ(policy_check_module(&k, &m, &f), REFUSED_WRONG_ARCHITECTURE);
        ASSERT_CONTAINS(failure_text(&f), "aarch64");
        ASSERT_CONTAINS(failure_text(&f), "x86_64");
        ASSERT_EQ(policy_check_stage(&k, &m, true, &f), REFUSED_WRONG_ARCHITECTURE);
        /* The kernel itself decides where the word of its architecture says nothing to us. */
        k.architecture = (char *) "pdp11";
        ASSERT_EQ(policy_check_module(&k, &m, NULL), 0);
}

TEST(not_a_livepatch) {
        _cleanup_failure_ Failure f = {};
        KernelInfo k = kernel();
        ModuleInfo m = module();

        m.livepatch = false;
        m.kernel_release = (char *) "5.10.0";
        ASSERT_EQ(policy_check_module(&k, &m, &f), REFUSED_NOT_A_LIVEPATCH);
        ASSERT_CONTAINS(failure_text(&f), "modprobe");
        ASSERT_EQ(policy_check_stage(&k, &m, true, &f), REFUSED_NOT_A_LIVEPATCH);
}

TEST(no_vermagic) {
        KernelInfo k = kernel();
        ModuleInfo m = module();

        m.kernel_release = NULL;
        ASSERT_EQ(policy_check_module(&k, &m, NULL), REFUSED_MALFORMED_MODULE);
        ASSERT_EQ(policy_check_stage(&k, &m, true, NULL), REFUSED_MALFORMED_MODULE);
}

TEST(another_kernel) {
        static const char *const others[] = { "6.1.0-57-amd64", "6.1.0-56-amd6", "6.1.0-56-amd64 ", "6.1.0-56-AMD64" };
        KernelInfo k = kernel();
        ModuleInfo m = module();

        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
                _cleanup_failure_ Failure f = {};

                m.kernel_release = (char *) others[i];
                ASSERT_EQ(policy_check_module(&k, &m, &f), REFUSED_WRONG_KERNEL);
                ASSERT_CONTAINS(failure_text(&f), others[i]);
                ASSERT_CONTAINS(failure_text(&f), "6.1.0-56-amd64");
        }
}

TEST(staging_ahead_needs_the_kernel) {
        _cleanup_failure_ Failure f = {};
        KernelInfo k = kernel();
        ModuleInfo m = module();

        m.kernel_release = (char *) "6.1.0-57-amd64";
        ASSERT_EQ(policy_check_stage(&k, &m, true, NULL), 0);
        ASSERT_EQ(policy_check_stage(&k, &m, false, &f), REFUSED_WRONG_KERNEL);
        ASSERT_CONTAINS(failure_text(&f), "/usr/lib/modules/6.1.0-57-amd64");
}
