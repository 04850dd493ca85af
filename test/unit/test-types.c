/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The string tables of the shared enumerations. */

#include <ctype.h>

#include "common/types.h"
#include "test.h"

/* Words of the public interface: lower case, digits and dashes. */
static bool is_public_word(const char *s) {
        for (; *s; s++)
                if (!islower((unsigned char) *s) && !isdigit((unsigned char) *s) && *s != '-')
                        return false;
        return true;
}

#define TEST_TABLE(name, type, max, invalid)                                            \
        TEST(name) {                                                                    \
                for (int i = 0; i < (int) (max); i++) {                                 \
                        const char *word = name##_to_string((type) i);                  \
                        ASSERT_NOT_NULL(word);                                          \
                        ASSERT_TRUE(is_public_word(word));                              \
                        ASSERT_EQ(name##_from_string(word), i);                         \
                }                                                                       \
                ASSERT_NULL(name##_to_string((type) (max)));                            \
                ASSERT_NULL(name##_to_string((type) -1));                               \
                ASSERT_NULL(name##_to_string(invalid));                                 \
                ASSERT_EQ(name##_from_string(NULL), invalid);                           \
                ASSERT_EQ(name##_from_string("no such word"), invalid);                 \
                ASSERT_EQ(name##_from_string(" "), invalid);                            \
        }

TEST_TABLE(patch_state, PatchState, _PATCH_STATE_MAX, _PATCH_STATE_INVALID)
TEST_TABLE(signature_status, SignatureStatus, _SIGNATURE_STATUS_MAX, _SIGNATURE_STATUS_INVALID)
TEST_TABLE(signature_policy, SignaturePolicy, _SIGNATURE_POLICY_MAX, _SIGNATURE_POLICY_INVALID)
TEST_TABLE(mode, Mode, _MODE_MAX, _MODE_INVALID)
TEST_TABLE(on_stall, OnStall, _ON_STALL_MAX, _ON_STALL_INVALID)
TEST_TABLE(job_type, JobType, _JOB_TYPE_MAX, _JOB_TYPE_INVALID)
TEST_TABLE(job_state, JobState, _JOB_STATE_MAX, _JOB_STATE_INVALID)
TEST_TABLE(job_result, JobResult, _JOB_RESULT_MAX, _JOB_RESULT_INVALID)
TEST_TABLE(origin, Origin, _ORIGIN_MAX, _ORIGIN_INVALID)
TEST_TABLE(livepatch_kind, LivepatchKind, _LIVEPATCH_KIND_MAX, _LIVEPATCH_KIND_INVALID)
TEST_TABLE(lockdown, Lockdown, _LOCKDOWN_MAX, _LOCKDOWN_INVALID)
TEST_TABLE(secure_boot, SecureBoot, _SECURE_BOOT_MAX, _SECURE_BOOT_INVALID)
TEST_TABLE(tristate, Tristate, _TRISTATE_MAX, _TRISTATE_INVALID)

TEST(words_are_exact) {
        ASSERT_EQ(patch_state_from_string("Applied"), _PATCH_STATE_INVALID);
        ASSERT_EQ(patch_state_from_string("applied "), _PATCH_STATE_INVALID);
        ASSERT_EQ(patch_state_from_string(""), _PATCH_STATE_INVALID);
        ASSERT_EQ(patch_state_from_string("appl"), _PATCH_STATE_INVALID);
        ASSERT_EQ(signature_policy_from_string("none"), _SIGNATURE_POLICY_INVALID);
}

/* What is zero is what a structure holds that nobody filled in: it must not promise anything. */
TEST(zero_promises_nothing) {
        ASSERT_EQ(TRISTATE_UNKNOWN, 0);
        ASSERT_EQ(LOCKDOWN_UNKNOWN, 0);
        ASSERT_EQ(SECURE_BOOT_UNKNOWN, 0);
        ASSERT_EQ(LIVEPATCH_KIND_UNKNOWN, 0);
        ASSERT_EQ(SIGNATURE_POLICY_REQUIRE, 0);
        ASSERT_STREQ(job_result_to_string(JOB_RESULT_NONE), "");
}
