/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What applying patches would do, step by step, without doing it.
 *
 * Which patches, and in which order, is decided on the loop; their files are read and verified, and the kernel is asked
 * about their functions, on a reader thread; what follows from all that is worked out on the loop again. */

#include <string.h>

#include "common/string-util.h"
#include "daemon/manager-internal.h"
#include "daemon/plan.h"
#include "daemon/policy.h"
#include "daemon/reapply.h"

static const char *const action_table[_PLAN_ACTION_MAX] = {
        [PLAN_APPLY] = "apply",
        [PLAN_REPLACE] = "replace",
        [PLAN_REVERT] = "revert",
        [PLAN_SKIP] = "skip",
};

const char *plan_action_to_string(PlanAction action) {
        return action >= 0 && action < _PLAN_ACTION_MAX ? action_table[action] : NULL;
}

/* A patch that might be applied. */
typedef struct PlanItem {
        char *patch_id;
        char *name;
        char *sha256;
        const char *skip; /* static; NULL: it is to be looked at */
        int fd;
        IngestRequest ingest;
        Candidate *candidate;
        PreflightModule module;
        Failure failure;
} PlanItem;

struct Plan {
        Manager *manager;
        Plan *next; /* of those being made */
        uid_t uid;
        int root_fd;
        PlanItem *items;
        size_t n_items;
        PreflightFacts facts;
        int error; /* out of memory */
        ManagerPlanReply reply;
        void *userdata;

        PlanStep *steps;
        size_t n_steps;
        char **live; /* ids, as they would be after the steps so far */
};

static void item_done(PlanItem *item) {
        safe_close(item->fd);
        candidate_free(item->candidate);
        failure_done(&item->failure);
        free(item->module.key_id);
        free(item->patch_id);
        free(item->name);
        free(item->sha256);
}

static void plan_unlink(Plan *plan) {
        Plan **link = &plan->manager->plans;

        while (*link && *link != plan)
                link = &(*link)->next;
        if (*link)
                *link = plan->next;
}

static Plan *plan_free(Plan *plan) {
        if (!plan)
                return NULL;
        plan_unlink(plan);
        for (size_t i = 0; i < plan->n_items; i++)
                item_done(&plan->items[i]);
        for (size_t i = 0; i < plan->n_steps; i++) {
                free(plan->steps[i].patch_id);
                free(plan->steps[i].reason);
                finding_list_done(&plan->steps[i].findings);
        }
        free(plan->items);
        free(plan->steps);
        strv_free(plan->live);
        preflight_facts_done(&plan->facts);
        free(plan);
        return NULL;
}
DEFINE_CLEANUP(Plan *, plan_free)

/* ---- Which patches ----------------------------------------------------------------------------------------- */

static const char *reason_to_skip(const Manager *manager, const Patch *patch, bool by_name) {
        if (!patch->this_kernel)
                return "It is for another kernel than the running one";
        if (patch->job)
                return "A job works on it";
        if (patch->klp && patch->record && patch_loaded_is_recorded(patch) == TRISTATE_NO)
                return "Another build of it is loaded, by something other than livepatchd: revert that one first";
        if (patch->klp && patch->state == PATCH_EXTERNAL)
                return "It is applied already, by something other than livepatchd";
        if (patch->klp)
                return patch->klp->transition ? "It is in transition" : "It is applied already";
        if (!patch->record)
                return "Something other than livepatchd loaded its module, and there is no file of it";
        if (!by_name && ((patch->superseded_by && !patch->replaced_by) ||
                         patch->record->order < reapply_cumulative_order(manager)))
                return "A cumulative patch has taken its place";
        return NULL;
}

static int prepare_item(const Manager *manager, const Patch *patch, PlanItem *item) {
        item->sha256 = strdup(patch->record->sha256);
        if (!item->sha256)
                return -ENOMEM;
        item->fd = store_open_module(manager->store, patch->record, &item->failure);
        item->ingest = manager_ingest_stored(manager, patch->record, item->fd, item->sha256);
        return 0;
}

static int add_item(Plan *plan, const Patch *patch, bool by_name) {
        PlanItem *grown = reallocarray(plan->items, plan->n_items + 1, sizeof(PlanItem)), *item;

        if (!grown)
                return -ENOMEM;
        plan->items = grown;
        item = &plan->items[plan->n_items++];
        *item = (PlanItem) {
                .patch_id = strdup(patch->id),
                .name = strdup(patch->name),
                .skip = reason_to_skip(plan->manager, patch, by_name),
                .fd = -EBADF,
        };
        if (!item->patch_id || !item->name)
                return -ENOMEM;
        return item->skip ? 0 : prepare_item(plan->manager, patch, item);
}

static int add_names(Plan *plan, char *const *names, Failure *f) {
        for (; *names; names++) {
                const Patch *patch = manager_find_patch(plan->manager, *names);

                if (!patch)
                        return manager_no_such_patch(*names, f);
                if (add_item(plan, patch, true) < 0)
                        return failure_oom(f);
        }
        return 0;
}

/* In the order of the table, which is that of reapplying. */
static int add_all(Plan *plan, Failure *f) {
        const Manager *manager = plan->manager;

        for (size_t i = 0; i < manager->n_patches; i++)
                if (reapply_wants(manager, manager->patches[i]) && add_item(plan, manager->patches[i], false) < 0)
                        return failure_oom(f);
        return 0;
}

/* ---- On the thread ----------------------------------------------------------------------------------------- */

static int examine(Plan *plan, PlanItem *item) {
        const Candidate *c;

        if (item->skip)
                return 0;
        if (item->fd < 0) {
                item->failure.code = item->failure.code ?: item->fd;
                return 0;
        }
        item->failure.code = ingest(&item->ingest, &item->candidate, &item->failure);
        item->fd = safe_close(item->fd);
        if (item->failure.code != 0)
                return item->failure.code == -ENOMEM ? -ENOMEM : 0;
        c = item->candidate;
        return preflight_add(plan->root_fd, c->info, c->image, verified_module_signature(c->verified),
                             &plan->facts, &item->module);
}

static void plan_run(void *context) {
        Plan *plan = context;

        for (size_t i = 0; i < plan->n_items && plan->error == 0; i++)
                plan->error = examine(plan, &plan->items[i]);
        if (plan->error == 0)
                plan->error = preflight_facts_collect(plan->root_fd, &plan->facts);
}

/* ---- Steps ------------------------------------------------------------------------------------------------- */

static int add_step(Plan *plan, PlanAction action, const char *patch_id, const char *reason, FindingList *findings) {
        PlanStep *grown = reallocarray(plan->steps, plan->n_steps + 1, sizeof(PlanStep)), *step;

        if (!grown)
                return -ENOMEM;
        plan->steps = grown;
        step = &plan->steps[plan->n_steps++];
        *step = (PlanStep) { .action = action, .patch_id = strdup(patch_id), .reason = strdup(reason) };
        if (findings) {
                step->findings = *findings;
                *findings = (FindingList) {};
        }
        return step->patch_id && step->reason ? 0 : -ENOMEM;
}

static int add_replace(Plan *plan, const PlanItem *item, FindingList *findings) {
        _cleanup_strv_free_ char **replaced = TAKE_PTR(plan->live);
        _cleanup_free_ char *reason = NULL;
        int r;

        if (asprintf(&reason, "'%s' takes its place", item->patch_id) < 0) {
                reason = NULL;
                return -ENOMEM;
        }
        r = add_step(plan, PLAN_REPLACE, item->patch_id, "It is cumulative", findings);
        for (char **i = replaced; r >= 0 && i && *i; i++)
                r = add_step(plan, PLAN_REVERT, *i, reason, NULL);
        return r < 0 ? r : strv_append(&plan->live, item->patch_id);
}

static bool is_live(const Plan *plan, const char *id) {
        for (char **i = plan->live; i && *i; i++)
                if (streq(*i, id))
                        return true;
        return false;
}

/* 0 or, with the text of why not, a refusal. */
static int judge_item(const Plan *plan, PlanItem *item, FindingList *findings) {
        const KernelInfo *kernel = plan->manager->kernel;
        int r = item->failure.code;

        if (r == 0)
                r = policy_check_kernel(kernel, &item->failure);
        if (r == 0)
                r = policy_check_module(kernel, item->candidate->info, &item->failure);
        if (r == 0 && !streq(item->candidate->info->name, item->name))
                r = failure_set(&item->failure, REFUSED_MALFORMED_MODULE, "The file holds the module '%s'",
                                item->candidate->info->name);
        if (r == 0)
                r = manager_check_quarantine(plan->manager, item->name, item->sha256, item->candidate->info->build_id,
                                             &item->failure);
        if (r != 0)
                return r;
        r = preflight_findings(plan->manager, &plan->facts, &item->module, findings);
        if (r < 0)
                return failure_oom(&item->failure);
        return preflight_refuse(findings, item->name, &item->failure);
}

static int plan_item(Plan *plan, PlanItem *item) {
        _cleanup_(finding_list_done) FindingList findings = {};
        int r;

        if (item->skip)
                return add_step(plan, PLAN_SKIP, item->patch_id, item->skip, NULL);
        if (is_live(plan, item->patch_id))
                return add_step(plan, PLAN_SKIP, item->patch_id, "An earlier step applies it", NULL);
        r = judge_item(plan, item, &findings);
        if (r == -ENOMEM)
                return r;
        if (r != 0)
                return add_step(plan, PLAN_SKIP, item->patch_id, failure_text(&item->failure), &findings);
        if (plan->live && item->candidate->info->replace == TRISTATE_YES)
                return add_replace(plan, item, &findings);
        r = add_step(plan, PLAN_APPLY, item->patch_id, "", &findings);
        return r < 0 ? r : strv_append(&plan->live, item->patch_id);
}

static int plan_steps(Plan *plan) {
        int r = plan->error;

        for (size_t i = 0; r >= 0 && i < plan->facts.patches.n; i++)
                if (plan->facts.patches.patches[i].enabled)
                        r = strv_append(&plan->live, plan->facts.patches.patches[i].name);
        for (size_t i = 0; r >= 0 && i < plan->n_items; i++)
                r = plan_item(plan, &plan->items[i]);
        return r;
}

static void plan_done(void *context, bool canceled) {
        _cleanup_(plan_freep) Plan *plan = context;
        _cleanup_failure_ Failure failure = {};

        if (canceled || plan->manager->stopping)
                (void) failure_set(&failure, REFUSED_CANCELED,
                                   "livepatchd is stopping. Nothing was changed. Try again");
        else {
                manager_refresh_kernel(plan->manager);
                if (plan_steps(plan) < 0)
                        (void) failure_oom(&failure);
        }
        plan->reply(plan->userdata, failure.code != 0 ? &failure : NULL, plan->steps, plan->n_steps);
}

/* Each holds a descriptor for every patch in it. */
static int check_plans(const Manager *manager, uid_t uid, Failure *f) {
        unsigned n = 0;

        for (const Plan *plan = manager->plans; plan; plan = plan->next)
                n += plan->uid == uid;
        if (n < manager->config->jobs_per_user_max)
                return 0;
        return failure_set(f, REFUSED_LIMITS_EXCEEDED,
                           "%u plans of yours are being made already, which is the limit (JobsPerUserMax=). Nothing "
                           "was changed. Wait for some to end", n);
}

static Plan *plan_new(Manager *manager, uid_t uid, ManagerPlanReply reply, void *userdata) {
        Plan *plan = malloc(sizeof(Plan));

        if (!plan)
                return NULL;
        *plan = (Plan) {
                .manager = manager,
                .next = manager->plans,
                .uid = uid,
                .root_fd = manager->root_fd,
                .reply = reply,
                .userdata = userdata,
        };
        return manager->plans = plan;
}

int manager_plan(Manager *manager, char *const *names, uid_t uid, ManagerPlanReply reply, void *userdata, Failure *f) {
        _cleanup_(plan_freep) Plan *plan = NULL;
        int r = check_plans(manager, uid, f);

        if (r != 0)
                return r;
        plan = plan_new(manager, uid, reply, userdata);
        if (!plan)
                return failure_oom(f);
        manager_refresh_patches(manager);
        r = names && *names ? add_names(plan, names, f) : add_all(plan, f);
        if (r != 0)
                return r;
        if (worker_submit(manager->reader, plan_run, plan_done, plan) < 0)
                return failure_oom(f);
        TAKE_PTR(plan);
        return 0;
}
