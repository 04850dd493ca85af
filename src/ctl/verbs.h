/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verbs; each in a file of its own. */
#pragma once

#include "ctl/verb.h"

extern const Verb verb_adopt;
extern const Verb verb_apply;
extern const Verb verb_blockers;
extern const Verb verb_cancel;
extern const Verb verb_confirm;
extern const Verb verb_disable;
extern const Verb verb_enable;
extern const Verb verb_force;
extern const Verb verb_help;
extern const Verb verb_import_kpatch;
extern const Verb verb_inspect;
extern const Verb verb_list;
extern const Verb verb_log;
extern const Verb verb_monitor;
extern const Verb verb_plan;
extern const Verb verb_reapply;
extern const Verb verb_remove;
extern const Verb verb_revert;
extern const Verb verb_rollback;
extern const Verb verb_show;
extern const Verb verb_stage;
extern const Verb verb_status;
extern const Verb verb_trust;
extern const Verb verb_unquarantine;
extern const Verb verb_version;

