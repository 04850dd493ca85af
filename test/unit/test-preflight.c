/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Findings about a patch, out of facts: what blocks, what does not, and what must not. */

#include "common/string-util.h"
#include "kmod/preflight.h"
#include "test.h"

#define KEY "8963f707e289edc09df337a240938134371a5bb8"

static ModuleFunction subject_functions[1];
static ModuleObject subject_objects[1];

/* One function of the kernel that is just right, with everything known, and a kernel that has nothing against it. */
typedef struct Case {
        KernelFunction function;
        PreflightSubject subject;
        PreflightFacts facts;
        KernelInfo kernel;
        KlpFunction live_function;
        KlpObject live_object;
        KlpPatch live;
        FindingList findings;
} Case;

static void case_done(Case *c) {
        finding_list_done(&c->findings);
}

static void case_init(Case *c) {
        *c = (Case) {};
        subject_functions[0] = (ModuleFunction) { .name = (char *) "f", .sympos = 1 };
        subject_objects[0] = (ModuleObject) { .name = (char *) "vmlinux", .functions = subject_functions,
                                              .n_functions = 1 };
        c->function = (KernelFunction) { .object = (char *) "vmlinux", .name = (char *) "f", .object_loaded = true,
                                         .n_symbols = 1, .traceable = true };
        c->subject = (PreflightSubject) { .name = "lp", .objects = subject_objects, .n_objects = 1,
                                          .objects_known = true, .symbol_positions_known = true,
                                          .replace = TRISTATE_NO, .is_loaded = TRISTATE_UNKNOWN,
                                          .signature_status = SIGNATURE_TRUSTED,
                                          .signer = "CN=signer" };
        c->facts.functions = (KernelFunctions) { .functions = &c->function, .n = 1, .symbols_known = true,
                                                 .traceable_known = true, .users_known = true, .probes_known = true };
        c->facts.patches_known = true;
        c->kernel = (KernelInfo) { .ftrace_enabled = TRISTATE_YES, .modules_disabled = TRISTATE_NO,
                                   .sig_enforce = TRISTATE_NO, .reliable_stacktrace = TRISTATE_YES };
        c->live_function = (KlpFunction) { .name = (char *) "f", .sympos = 1 };
        c->live_object = (KlpObject) { .name = (char *) "vmlinux", .functions = &c->live_function, .n_functions = 1 };
        c->live = (KlpPatch) { .name = (char *) "other", .enabled = true, .objects = &c->live_object, .n_objects = 1 };
}

static void add_live(Case *c) {
        c->facts.patches = (KlpPatchList) { .patches = &c->live, .n = 1 };
}

static void judge(Case *c) {
        finding_list_done(&c->findings);
        ASSERT_OK(preflight_judge(&c->subject, &c->facts, &c->kernel, &c->findings));
}

/* Exactly one finding. */
static const Finding *only(Case *c, FindingSeverity severity, const char *code) {
        judge(c);
        ASSERT_EQ(c->findings.n, 1);
        ASSERT_STREQ(c->findings.findings[0].code, code);
        ASSERT_EQ(c->findings.findings[0].severity, severity);
        return &c->findings.findings[0];
}

static void none(Case *c) {
        judge(c);
        if (c->findings.n > 0)
                test_fail(__FILE__, __LINE__, "found %s", c->findings.findings[0].code);
}

static void blocked(Case *c, int refusal, const char *code) {
        const Finding *f = only(c, FINDING_BLOCKER, code);

        ASSERT_EQ(f->refusal, refusal);
        ASSERT_TRUE(finding_list_blocker(&c->findings) == f);
        ASSERT_TRUE(f->text[strlen(f->text) - 1] != '.');
}

static void warned(Case *c, const char *code) {
        ASSERT_EQ(only(c, FINDING_WARNING, code)->refusal, 0);
        ASSERT_NULL(finding_list_blocker(&c->findings));
}

static void told(Case *c, const char *code) {
        ASSERT_EQ(only(c, FINDING_INFO, code)->refusal, 0);
}

TEST(nothing_is_wrong) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        none(&c);
}

TEST(missing_function) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.function.n_symbols = 0;
        c.function.traceable = false;
        blocked(&c, REFUSED_KERNEL_REFUSED, "function-missing");
        ASSERT_STREQ(c.findings.findings[0].object, "vmlinux");
        ASSERT_STREQ(c.findings.findings[0].function, "f");
        c.function.symbols_unsure = true;
        none(&c);
}

TEST(fewer_functions_of_the_name) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.function.n_symbols = 2;
        subject_functions[0] = (ModuleFunction) { .name = (char *) "f", .sympos = 3, .sympos_given = true };
        blocked(&c, REFUSED_KERNEL_REFUSED, "function-missing");
        subject_functions[0].sympos = 2;
        none(&c);
}

TEST(ambiguous_function) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.function.n_symbols = 2;
        blocked(&c, REFUSED_KERNEL_REFUSED, "function-ambiguous");
        c.subject.symbol_positions_known = false;
        warned(&c, "function-ambiguous");
        subject_functions[0].sympos_given = true;
        none(&c);
}

TEST(function_that_cannot_be_traced) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.function.traceable = false;
        blocked(&c, REFUSED_KERNEL_REFUSED, "function-not-traceable");
        ASSERT_CONTAINS(c.findings.findings[0].text, "caller");
}

TEST(what_is_not_known_blocks_nothing) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.function = (KernelFunction) { .object = (char *) "vmlinux", .name = (char *) "f", .object_loaded = true };
        c.facts.functions.symbols_known = c.facts.functions.traceable_known = false;
        c.facts.functions.users_known = c.facts.functions.probes_known = false;
        c.kernel = (KernelInfo) {};
        told(&c, "not-checked");
        ASSERT_CONTAINS(c.findings.findings[0].text, "kallsyms");
        ASSERT_CONTAINS(c.findings.findings[0].text, "kprobes");
}

TEST(traceability_without_symbols) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.facts.functions.symbols_known = false;
        c.function.n_symbols = 0;
        told(&c, "not-checked");
        c.function.traceable = false;
        judge(&c);
        ASSERT_STREQ(finding_list_blocker(&c.findings)->code, "function-not-traceable");
}

TEST(another_user_diverts_it) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.function.diverted = c.function.probed = true;
        c.function.user = (char *) "kprobe_ftrace_handler";
        blocked(&c, REFUSED_CONFLICT, "function-diverted");
        ASSERT_CONTAINS(c.findings.findings[0].text, "a kprobe with a post handler");
        c.function.user = (char *) "some_handler";
        blocked(&c, REFUSED_CONFLICT, "function-diverted");
        ASSERT_CONTAINS(c.findings.findings[0].text, "some_handler");
}

TEST(another_function_of_the_name_may_be_diverted) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.function.diverted = true;
        c.function.n_symbols = 2;
        subject_functions[0].sympos_given = true;
        warned(&c, "function-diverted");
        c.function.n_symbols = 1;
        c.facts.patches_known = false;
        warned(&c, "function-diverted");
}

TEST(livepatch_does_not_stand_in_its_own_way) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.function.diverted = c.function.diverted_by_klp = true;
        none(&c);
        c.function.diverted_by_klp = false;
        add_live(&c);
        told(&c, "function-patched");
}

TEST(probes_and_trampolines) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.function.probed = true;
        warned(&c, "function-probed");
        c.function.probed = false;
        c.function.has_trampoline = true;
        told(&c, "function-traced-directly");
        ASSERT_CONTAINS(c.findings.findings[0].text, "or another direct caller is attached to the function 'f'");
        c.function.direct_user = (char *) "bpf_trampoline_1";
        told(&c, "function-traced-directly");
        ASSERT_CONTAINS(c.findings.findings[0].text, "A BPF program (fentry, fexit; bpf_trampoline_1) is attached");
        c.function.direct_user = (char *) "my_tramp [direct]";
        told(&c, "function-traced-directly");
        ASSERT_CONTAINS(c.findings.findings[0].text, "The direct caller 'my_tramp [direct]' is attached");
}

TEST(patches_of_the_same_function) {
        char *external[] = { (char *) "other", NULL };
        _cleanup_(case_done) Case c;

        case_init(&c);
        add_live(&c);
        told(&c, "function-patched");
        c.subject.external = external;
        warned(&c, "function-patched-by-other");
        c.subject.name = "other";
        none(&c);
        c.subject.name = "lp";
        c.live_object.name = (char *) "module";
        none(&c);
}

TEST(switches) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.kernel.modules_disabled = TRISTATE_YES;
        blocked(&c, REFUSED_NOT_SUPPORTED, "modules-disabled");
        c.kernel.modules_disabled = TRISTATE_UNKNOWN;
        c.kernel.ftrace_enabled = TRISTATE_NO;
        blocked(&c, REFUSED_CONFLICT, "ftrace-disabled");
        c.kernel.ftrace_enabled = TRISTATE_UNKNOWN;
        none(&c);
        c.kernel.reliable_stacktrace = TRISTATE_NO;
        warned(&c, "stacks-unreliable");
}

TEST(a_module_that_is_not_loaded) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.function = (KernelFunction) { .object = (char *) "m", .name = (char *) "f" };
        subject_objects[0].name = (char *) "m";
        told(&c, "object-not-loaded");
        ASSERT_STREQ(c.findings.findings[0].object, "m");
        ASSERT_NULL(c.findings.findings[0].function);
        c.kernel.ftrace_enabled = TRISTATE_NO;
        judge(&c);
        ASSERT_EQ(c.findings.n, 2);
        ASSERT_EQ(c.findings.findings[0].severity, FINDING_WARNING);
}

TEST(functions_that_nobody_knows) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.subject.objects = NULL;
        c.subject.n_objects = 0;
        c.subject.objects_known = false;
        c.facts.functions.n = 0;
        told(&c, "functions-unknown");
}

TEST(signatures_that_the_kernel_enforces) {
        char *ids[] = { (char *) KEY, NULL }, *keyrings[] = { (char *) ".builtin_trusted_keys", NULL };
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.subject.signature_status = SIGNATURE_UNSIGNED;
        none(&c);
        c.kernel.sig_enforce = TRISTATE_YES;
        blocked(&c, REFUSED_KERNEL_REFUSED, "unsigned");
        c.subject.signature_status = SIGNATURE_TRUSTED;
        told(&c, "key-not-checked");
        c.facts.keys = (KernelKeys) { .known = true, .ids = ids, .keyrings = keyrings };
        told(&c, "key-not-checked");
        c.subject.key_id = KEY;
        none(&c);
        ids[0] = (char *) "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        blocked(&c, REFUSED_KERNEL_REFUSED, "key-unknown");
        ASSERT_CONTAINS(c.findings.findings[0].text, "CN=signer");
        ASSERT_CONTAINS(c.findings.findings[0].text, ".builtin_trusted_keys");
        c.facts.keys.known = false;
        told(&c, "key-not-checked");
        c.kernel.sig_enforce = TRISTATE_UNKNOWN;
        none(&c);
}

TEST(transition_of_another) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        add_live(&c);
        c.live.n_objects = 0;
        c.live.transition = true;
        warned(&c, "transition-in-progress");
}

TEST(what_is_replaced) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.subject.replace = TRISTATE_YES;
        none(&c);
        add_live(&c);
        c.live.n_objects = 0;
        told(&c, "replaces");
        ASSERT_CONTAINS(c.findings.findings[0].text, "other");
        c.subject.replace = TRISTATE_UNKNOWN;
        told(&c, "replace-unknown");
        c.subject.replace = TRISTATE_NO;
        none(&c);
        c.subject.replace = TRISTATE_YES;
        c.subject.name = "other";
        none(&c);
}

TEST(what_is_replaced_of_others) {
        char *external[] = { (char *) "theirs", NULL };
        KlpPatch live[2];
        _cleanup_(case_done) Case c;

        case_init(&c);
        live[0] = live[1] = (KlpPatch) { .name = (char *) "ours", .enabled = true };
        live[1].name = (char *) "theirs";
        c.facts.patches = (KlpPatchList) { .patches = live, .n = 2 };
        c.subject.external = external;
        none(&c);
        c.subject.replace = TRISTATE_YES;
        judge(&c);
        ASSERT_EQ(c.findings.n, 2);
        ASSERT_STREQ(c.findings.findings[0].code, "replaces-other");
        ASSERT_EQ(c.findings.findings[0].severity, FINDING_WARNING);
        ASSERT_CONTAINS(c.findings.findings[0].text, "something other than livepatchd loaded: theirs");
        ASSERT_STREQ(c.findings.findings[1].code, "replaces");
        ASSERT_CONTAINS(c.findings.findings[1].text, "takes the place of: ours");
        c.facts.patches = (KlpPatchList) { .patches = live + 1, .n = 1 };
        c.subject.replace = TRISTATE_UNKNOWN;
        warned(&c, "replace-unknown");
}

TEST(somebody_elses_among_ours) {
        char *external[] = { (char *) "theirs", NULL };
        _cleanup_(case_done) Case c;
        KlpPatch live[3];

        case_init(&c);
        live[0] = live[1] = live[2] = c.live;
        live[1].name = (char *) "theirs";
        c.facts.patches = (KlpPatchList) { .patches = live, .n = 3 };
        c.subject.external = external;
        warned(&c, "function-patched-by-other");
        ASSERT_CONTAINS(c.findings.findings[0].text, "the patch 'theirs'");
}

TEST(a_module_of_its_name) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.subject.name = "other";
        c.subject.is_loaded = TRISTATE_NO;
        none(&c); /* loaded, but switched off: it is unloaded first */
        add_live(&c);
        blocked(&c, REFUSED_CONFLICT, "another-build-loaded");
        c.subject.is_loaded = TRISTATE_YES;
        told(&c, "applied-already");
        c.subject.is_loaded = TRISTATE_UNKNOWN;
        none(&c);
}

TEST(the_worst_comes_first) {
        _cleanup_(case_done) Case c;

        case_init(&c);
        add_live(&c);
        c.live.transition = true;
        c.subject.replace = TRISTATE_YES;
        c.function.n_symbols = 0;
        judge(&c);
        ASSERT_EQ(c.findings.n, 3);
        ASSERT_EQ(c.findings.findings[0].severity, FINDING_BLOCKER);
        ASSERT_EQ(c.findings.findings[1].severity, FINDING_WARNING);
        ASSERT_EQ(c.findings.findings[2].severity, FINDING_INFO);
        ASSERT_STREQ(finding_severity_to_string(c.findings.findings[2].severity), "info");
}

/* ---- States of the system ---------------------------------------------------------------------------------- */

#define NO_STATE UINT32_MAX

TEST(states_are_compatible_as_the_kernel_says) {
        static const struct {
                Tristate replace;
                unsigned version; /* of the state that other has in version 5 */
                bool blocked;
        } table[] = {
                { TRISTATE_YES, 5, false },         { TRISTATE_YES, 6, false },     { TRISTATE_YES, 4, true },
                { TRISTATE_YES, NO_STATE, true },   { TRISTATE_YES, 0, true },      { TRISTATE_NO, 5, false },
                { TRISTATE_NO, 6, false },          { TRISTATE_NO, 4, true },       { TRISTATE_NO, NO_STATE, false },
                { TRISTATE_UNKNOWN, 4, true },      { TRISTATE_UNKNOWN, 5, false }, { TRISTATE_NO, 0, true },
                { TRISTATE_UNKNOWN, NO_STATE, false },
        };
        static const InstalledState installed = { "other", { .id = 7, .version = 5 } };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                ModuleState states[] = { { .id = 1, .version = 9 }, { .id = 7, .version = table[i].version } };
                _cleanup_(case_done) Case c;

                case_init(&c);
                c.subject.replace = table[i].replace;
                c.subject.states_known = true;
                c.subject.states = states;
                c.subject.n_states = table[i].version == NO_STATE ? 1 : 2;
                none(&c);
                c.subject.installed = &installed;
                c.subject.n_installed = 1;
                if (table[i].blocked) {
                        blocked(&c, REFUSED_CONFLICT, "state-incompatible");
                        ASSERT_CONTAINS(c.findings.findings[0].text, "'other' has changed the system state 7 in its "
                                                                     "version 5");
                } else
                        none(&c);
                c.subject.is_loaded = TRISTATE_YES;
                none(&c);
                c.subject.is_loaded = TRISTATE_NO;
                c.subject.states_known = false;
                none(&c);
        }
}

TEST(each_state_that_stands_in_the_way_is_named) {
        static const InstalledState installed[] = {
                { "one", { .id = 1, .version = 1 } },
                { "two", { .id = 2, .version = 3 } },
                { "two", { .id = UINT64_MAX, .version = UINT32_MAX } },
        };
        static const ModuleState states[] = { { .id = 1, .version = 1 }, { .id = 2, .version = 2 } };
        _cleanup_(case_done) Case c;

        case_init(&c);
        c.subject.replace = TRISTATE_YES;
        c.subject.states_known = true;
        c.subject.states = states;
        c.subject.n_states = ELEMENTSOF(states);
        c.subject.installed = installed;
        c.subject.n_installed = ELEMENTSOF(installed);
        judge(&c);
        ASSERT_EQ(c.findings.n, 2);
        ASSERT_CONTAINS(c.findings.findings[0].text, "system state 2 in its version 3");
        ASSERT_CONTAINS(c.findings.findings[0].text, "livepatchctl revert two");
        ASSERT_CONTAINS(c.findings.findings[1].text, "system state 18446744073709551615 in its version 4294967295");
}
