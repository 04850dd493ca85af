/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What applying patches would do, step by step, without doing it. */
#pragma once

#include "daemon/preflight.h"

typedef enum PlanAction {
        PLAN_APPLY,
        PLAN_REPLACE, /* apply, and so take the place of the patches in the revert steps that follow */
        PLAN_REVERT,
        PLAN_SKIP,
        _PLAN_ACTION_MAX,
} PlanAction;

const char *plan_action_to_string(PlanAction action) _const_;

typedef struct PlanStep {
        PlanAction action;
        char *patch_id;
        char *reason; /* "" where the action speaks for itself */
        FindingList findings;
} PlanStep;

/* steps: valid during the call. */
typedef void (*ManagerPlanReply)(void *userdata, const Failure *failure, const PlanStep *steps, size_t n_steps);

/* names: what applying these, one after the other, would do; none or NULL: what reapplying would. Asynchronous, as the
 * operations of manager.h are. */
int manager_plan(Manager *manager, char *const *names, uid_t uid, ManagerPlanReply reply, void *userdata, Failure *f);
