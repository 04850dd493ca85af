/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of verbs. */

#include "ctl/verbs.h"

const Verb *const verb_table[] = {
        &verb_status,  &verb_list,   &verb_show,    &verb_inspect, &verb_plan,         &verb_apply,
        &verb_confirm, &verb_stage,  &verb_revert,  &verb_rollback, &verb_remove,      &verb_enable,
        &verb_disable, &verb_unquarantine, &verb_adopt, &verb_import_kpatch, &verb_reapply, &verb_blockers,
        &verb_cancel,  &verb_force,  &verb_trust,   &verb_log,     &verb_monitor,      &verb_help,
        &verb_version, NULL,
};
