/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a patch can take over the changes of the system that others have made: struct klp_state.
 *
 * klp_is_state_compatible() in kernel/livepatch/state.c: of each state of each live patch, a cumulative patch must have
 * the same or a newer version; another patch must only if it has that state at all. Otherwise klp_enable_patch() in
 * kernel/livepatch/core.c fails with EINVAL. See also Documentation/livepatch/system-state.rst. */

#include <inttypes.h>

#include "kmod/preflight-internal.h"

/* klp_get_state(): the first one of the id. */
static const ModuleState *find_state(const PreflightSubject *s, uint64_t id) {
        for (size_t i = 0; i < s->n_states; i++)
                if (s->states[i].id == id)
                        return &s->states[i];
        return NULL;
}

static int judge_state(Judgement *j, const InstalledState *installed) {
        static const FindingKind kind = { FINDING_BLOCKER, REFUSED_CONFLICT, "state-incompatible" };
        const PreflightSubject *s = j->subject;
        const ModuleState *mine = find_state(s, installed->state.id);

        if (mine && mine->version >= installed->state.version)
                return 0;
        if (mine)
                return judgement_add(j, &kind, NULL, NULL,
                                     "The applied patch '%s' has changed the system state %" PRIu64 " in its version "
                                     "%u, and this one can only handle version %u. Apply a patch that handles version "
                                     "%u or later, or first revert that one, with 'livepatchctl revert %s'",
                                     installed->patch, installed->state.id, installed->state.version, mine->version,
                                     installed->state.version, installed->patch);
        if (s->replace != TRISTATE_YES)
                return 0;
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
