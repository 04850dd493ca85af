/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a patch can take over the changes of the system that others have made: struct klp_state.
 *
 * klp_is_state_compatible() in kernel/livepatch/state.c: of each state of each live patch, a cumulative patch must have
 * the same or a newer version; another patch must only if it has that state at all. Otherwise klp_enable_patch() in
 * kernel/livepatch/core.c fails with EINVAL. See also Documentation/livepatch/system-state.rst. */

#include <inttypes.h>

#include "kmod/preflight-internal.h"

const ModuleState *module_state_find(const ModuleState *states, size_t n, uint64_t id) {
        for (size_t i = 0; i < n; i++)
                if (states[i].id == id)
                        return &states[i];
        return NULL;
}

bool module_state_accepts(const ModuleState *mine, Tristate replace, const ModuleState *installed) {
        return mine ? mine->version >= installed->version : replace != TRISTATE_YES;
}

static int judge_state(Judgement *j, const InstalledState *installed) {
        static const FindingKind kind = { FINDING_BLOCKER, REFUSED_CONFLICT, "state-incompatible" };
        const PreflightSubject *s = j->subject;
        const ModuleState *mine = module_state_find(s->states, s->n_states, installed->state.id);

        if (module_state_accepts(mine, s->replace, &installed->state))
                return 0;
        if (mine)
                return judgement_add(j, &kind, NULL, NULL,
                                     "The applied patch '%s' has changed the system state %" PRIu64 " in its version "
                                     "%u, and this one can only handle version %u. Apply a patch that handles version "
                                     "%u or later, or first revert that one, with 'livepatchctl revert %s'",
                                     installed->patch, installed->state.id, installed->state.version, mine->version,
                                     installed->state.version, installed->patch);
        return judgement_add(j, &kind, NULL, NULL,
                             "The applied patch '%s' has changed the system state %" PRIu64 " in its version %u, and "
                             "this one, which would take its place, cannot handle that state. Apply a patch that does, "
                             "or first revert that one, with 'livepatchctl revert %s'",
                             installed->patch, installed->state.id, installed->state.version, installed->patch);
}

int judge_states(Judgement *j) {
        const PreflightSubject *s = j->subject;

        /* In place already. */
        if (!s->states_known || s->is_loaded == TRISTATE_YES)
                return 0;
        for (size_t i = 0; i < s->n_installed; i++) {
                int r = judge_state(j, &s->installed[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}
