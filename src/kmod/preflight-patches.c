/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the other patches in the kernel mean for this one. */

#include "common/string-util.h"
#include "kmod/preflight-internal.h"

bool subject_is_external(const PreflightSubject *subject, const char *name) {
        for (char *const *i = subject->external; i && *i; i++)
                if (streq(*i, name))
                        return true;
        return false;
}

static bool is_live(const Judgement *j) {
        for (size_t i = 0; i < j->facts->patches.n; i++)
                if (streq(j->facts->patches.patches[i].name, j->subject->name))
                        return true;
        return false;
}

/* There is one module of a name at a time (add_unformed_module() in kernel/module/main.c). */
int judge_name(Judgement *j) {
        static const FindingKind same = { FINDING_INFO, 0, "applied-already" };
        static const FindingKind another = { FINDING_BLOCKER, REFUSED_CONFLICT, "another-build-loaded" };
        const PreflightSubject *s = j->subject;

        if (!is_live(j) || s->is_loaded == TRISTATE_UNKNOWN)
                return 0;
        if (s->is_loaded == TRISTATE_YES)
                return judgement_add(j, &same, NULL, NULL, "This very build of '%s' is loaded already", s->name);
        return judgement_add(j, &another, NULL, NULL,
                             "Another build of '%s' is loaded already, and the kernel has only one module of a name. "
                             "Revert that one first, with 'livepatchctl revert %s'", s->name, s->name);
}

int judge_transition(Judgement *j) {
        static const FindingKind kind = { FINDING_WARNING, 0, "transition-in-progress" };

        for (size_t i = 0; i < j->facts->patches.n; i++)
                if (j->facts->patches.patches[i].transition)
                        return judgement_add(j, &kind, NULL, NULL,
                                             "The patch '%s' is in transition, and the kernel does one at a time: this "
                                             "one has to wait for it", j->facts->patches.patches[i].name);
        return 0;
}

/* Of the live patches those that are, or are not, somebody else's; NULL: none. */
static int list_replaced(const Judgement *j, bool external, char **ret) {
        const KlpPatchList *patches = &j->facts->patches;
        _cleanup_strv_free_ char **names = NULL;
        int r;

        *ret = NULL;
        for (size_t i = 0; i < patches->n; i++) {
                const char *name = patches->patches[i].name;

                if (streq(name, j->subject->name) || subject_is_external(j->subject, name) != external)
                        continue;
                r = strv_append(&names, name);
                if (r < 0)
                        return r;
        }
        if (!names)
                return 0;
        *ret = join_names(names);
        return *ret ? 0 : -ENOMEM;
}

/* __klp_enable_patch(), klp_unpatch_replaced_patches(): a cumulative patch takes the place of all others, whoever
 * loaded them. */
int judge_replace(Judgement *j) {
        static const FindingKind replaces = { FINDING_INFO, 0, "replaces" };
        static const FindingKind replaces_other = { FINDING_WARNING, 0, "replaces-other" };
        static const FindingKind unknown = { FINDING_INFO, 0, "replace-unknown" };
        static const FindingKind unknown_other = { FINDING_WARNING, 0, "replace-unknown" };
        _cleanup_free_ char *ours = NULL, *others = NULL;
        bool sure = j->subject->replace == TRISTATE_YES;
        const char *how = sure ? "The patch is cumulative and" :
                                 "The module does not say whether it is cumulative: if it is, it";
        int r = 0;

        if (j->subject->replace == TRISTATE_NO)
                return 0;
        if (list_replaced(j, false, &ours) < 0 || list_replaced(j, true, &others) < 0)
                return -ENOMEM;
        if (ours)
                r = judgement_add(j, sure ? &replaces : &unknown, NULL, NULL, "%s takes the place of: %s", how, ours);
        if (r >= 0 && others)
                r = judgement_add(j, sure ? &replaces_other : &unknown_other, NULL, NULL,
                                  "%s takes the place of what something other than livepatchd loaded: %s", how, others);
        return r;
}
