/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every public name: bus, paths, interfaces, polkit actions, errors, journal fields, message ids, files. */
#pragma once

#define LP_BUS_NAME "org.livepatch"
#define LP_OBJECT_MANAGER "/org/livepatch"
#define LP_PATCH_PREFIX "/org/livepatch/patch"
#define LP_JOB_PREFIX "/org/livepatch/job"

#define LP_IFACE_MANAGER "org.livepatch.Manager"
#define LP_IFACE_PATCH "org.livepatch.Patch"
#define LP_IFACE_JOB "org.livepatch.Job"

#define LP_ERROR_PREFIX "org.livepatch.Error."

#define LP_ACTION_INSPECT "org.livepatch.inspect"
#define LP_ACTION_APPLY "org.livepatch.apply"
#define LP_ACTION_REVERT "org.livepatch.revert"
#define LP_ACTION_FORCE "org.livepatch.force"
#define LP_ACTION_STAGE "org.livepatch.stage"
#define LP_ACTION_MANAGE_BOOT "org.livepatch.manage-boot"
#define LP_ACTION_MANAGE_TRUST "org.livepatch.manage-trust"

/* Paths below a root directory: never with a leading slash, so that openat(root_fd, ...) works and tests can
 * point the root elsewhere. */
#define LP_VENDOR_DIR "usr/lib/livepatch"
#define LP_CONFIG_DIR "etc/livepatch"
#define LP_STATE_DIR "var/lib/livepatch"
#define LP_RUN_DIR "run/livepatch"
#define LP_CONFIG_FILE LP_CONFIG_DIR "/livepatch.conf"
#define LP_DISABLED_FILE LP_CONFIG_DIR "/disabled"
#define LP_TRUSTED_DIR_NAME "trusted.d"
#define LP_REVOKED_DIR_NAME "revoked.d"
#define LP_PATCHES_DIR_NAME "patches"

/* Words on the kernel command line. */
#define LP_CMDLINE_KEY "livepatch"
#define LP_CMDLINE_OFF "livepatch=off"
#define LP_CMDLINE_NO_REAPPLY "livepatch=no-reapply"

/* Journal fields of every lifecycle message. */
#define LP_FIELD_PATCH "LIVEPATCH_NAME"
#define LP_FIELD_OPERATION "LIVEPATCH_OPERATION"
#define LP_FIELD_KERNEL "LIVEPATCH_KERNEL"
#define LP_FIELD_SHA256 "LIVEPATCH_SHA256"
#define LP_FIELD_SIGNER "LIVEPATCH_SIGNER"
#define LP_FIELD_ERROR "LIVEPATCH_ERROR"
#define LP_FIELD_CALLER_UID "LIVEPATCH_CALLER_UID"

/* MESSAGE_IDs; each has an entry in units/livepatchd.catalog (a test compares the two). */
#define LP_MESSAGE_APPLIED "9f1dc3df764e4154b90ee39c1b93d3de"
#define LP_MESSAGE_APPLY_FAILED "3e1139b74a32401692b2fe74d65a08e5"
#define LP_MESSAGE_REVERTED "bfd30d608dfd48da9bd1bbd3e0666d56"
#define LP_MESSAGE_REVERT_FAILED "e08abc3fb125407ba057c6362df7da79"
#define LP_MESSAGE_REFUSED "264c19a06fca47b18262365524b2f51d"
#define LP_MESSAGE_STAGED "e5bc276f40a243278f07a18250a7d1fc"
#define LP_MESSAGE_REMOVED "949ec0fa93424f74803aae3ba8e50a75"
#define LP_MESSAGE_STALLED "693baee6fde24c4fa8ed70fe9744fb3c"
#define LP_MESSAGE_REAPPLY_DONE "e43312a5980e46babd0126e9867d129f"
#define LP_MESSAGE_REAPPLY_SKIPPED "310628f054be47e7b09bc06bdc513bca"
#define LP_MESSAGE_STORE_DAMAGED "0771bca48a17404ca9838c76f9c39dfd"
#define LP_MESSAGE_TRUST_CHANGED "ae5454d95abb4046bab3adbf5e7a5357"
#define LP_MESSAGE_QUARANTINED "297f34a64f715e679c3df77b776bedd8"
#define LP_MESSAGE_QUARANTINE_LIFTED "6071216b20cb229c5efd3a42bac92151"
#define LP_MESSAGE_UNHEALTHY "8c0d2296f52213253be7a9cb713b3146"
#define LP_MESSAGE_HEALTH_UNKNOWN "dc9f66aca37e4ef899603f1312da0a9a"
#define LP_MESSAGE_CONFIRMED "5ad3f7de34f94b0fb9a4ce59d9c24d6b"
#define LP_MESSAGE_NOT_CONFIRMED "d00f7bb8ee4c41bd93f1d3bd4a7f8c62"
#define LP_MESSAGE_ADOPTED "e8b36714985141c6ce7509e3f60af37b"
#define LP_MESSAGE_MODULE_REFUSED "9b06caa4d6d2a50bc564fa9d0c7e61a8"
#define LP_MESSAGE_DRIFT "257bb9458ced38d0408ce983a04810fb"
#define LP_MESSAGE_DRIFT_ENDED "4c0ffd6dd13089912be0db91a697cd39"
#define LP_MESSAGE_SUPERSEDED "e332312b0b3f4899950693428d00795f"
#define LP_MESSAGE_ROLLED_BACK "45f457a285374f19b0078770c5685176"
#define LP_MESSAGE_FELL_BACK "233a9e04cee843f8803b7171eaea8ba5"
#define LP_MESSAGE_FORCED "c1524cd05abf4eadaafb29acd8a84fde"
#define LP_MESSAGE_UNVERIFIED_APPLIED "574662975a40472984b43e9df868fcc0"
