/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands in the way of a patch in the running kernel. */

#include <stdarg.h>
#include <stdlib.h>

#include "common/string-util.h"
#include "kmod/preflight-internal.h"

static const char *const severity_table[_FINDING_SEVERITY_MAX] = {
        [FINDING_BLOCKER] = "blocker",
        [FINDING_WARNING] = "warning",
        [FINDING_INFO] = "info",
};

const char *finding_severity_to_string(FindingSeverity severity) {
        return severity >= 0 && severity < _FINDING_SEVERITY_MAX ? severity_table[severity] : NULL;
}

static void finding_done(Finding *f) {
        free(f->object);
        free(f->function);
        free(f->text);
}

void finding_list_done(FindingList *list) {
        for (size_t i = 0; i < list->n; i++)
                finding_done(&list->findings[i]);
        free(list->findings);
        *list = (FindingList) {};
}

const Finding *finding_list_blocker(const FindingList *list) {
        for (size_t i = 0; i < list->n; i++)
                if (list->findings[i].severity == FINDING_BLOCKER)
                        return &list->findings[i];
        return NULL;
}

void preflight_facts_done(PreflightFacts *facts) {
        kernel_functions_done(&facts->functions);
        kernel_keys_done(&facts->keys);
        klp_patch_list_done(&facts->patches);
        *facts = (PreflightFacts) {};
}

int preflight_facts_collect(int root_fd, PreflightFacts *facts) {
        int r = klp_sysfs_list(root_fd, true, &facts->patches);

        if (r == -ENOMEM)
                return r;
        facts->patches_known = r >= 0;
        r = kernel_keys_read(root_fd, &facts->keys);
        return r < 0 ? r : kernel_functions_collect(root_fd, &facts->functions);
}

/* ---- Judgement --------------------------------------------------------------------------------------------- */

static _printf_(4, 0) int finding_fill(Finding *f, const char *object, const char *function, const char *format,
                                       va_list ap) {
        if (vasprintf(&f->text, format, ap) < 0) {
                f->text = NULL;
                return -ENOMEM;
        }
        f->object = object ? strdup(object) : NULL;
        f->function = function ? strdup(function) : NULL;
        return (object && !f->object) || (function && !f->function) ? -ENOMEM : 0;
}

/* Behind those of its severity. */
static int list_insert(FindingList *list, Finding finding) {
        Finding *grown = reallocarray(list->findings, list->n + 1, sizeof(Finding));
        size_t at = list->n;

        if (!grown)
                return -ENOMEM;
        list->findings = grown;
        while (at > 0 && list->findings[at - 1].severity > finding.severity)
                at--;
        memmove(list->findings + at + 1, list->findings + at, (list->n - at) * sizeof(Finding));
        list->findings[at] = finding;
        list->n++;
        return 0;
}

int judgement_add(Judgement *j, const FindingKind *kind, const char *object, const char *function, const char *format,
                  ...) {
        Finding finding = { .severity = kind->severity, .refusal = kind->refusal, .code = kind->code };
        va_list ap;
        int r;

        va_start(ap, format);
        r = finding_fill(&finding, object, function, format, ap);
        va_end(ap);
        if (r >= 0)
                r = list_insert(&j->list, finding);
        if (r < 0)
                finding_done(&finding);
        return r;
}

static bool replaces_something_now(const Judgement *j) {
        const KernelFunctions *functions = &j->facts->functions;
        size_t n = 0;

        for (size_t i = 0; i < j->subject->n_objects; i++)
                for (size_t k = 0; k < j->subject->objects[i].n_functions; k++)
                        if (functions->functions[j->subject->first + n++].object_loaded)
                                return true;
        return false;
}

static int judge_switches(Judgement *j) {
        static const FindingKind disabled = { FINDING_BLOCKER, REFUSED_NOT_SUPPORTED, "modules-disabled" };
        static const FindingKind untraced = { FINDING_BLOCKER, REFUSED_CONFLICT, "ftrace-disabled" };
        static const FindingKind maybe_untraced = { FINDING_WARNING, 0, "ftrace-disabled" };
        static const FindingKind unreliable = { FINDING_WARNING, 0, "stacks-unreliable" };
        int r = 0;

        if (j->kernel->modules_disabled == TRISTATE_YES)
                r = judgement_add(j, &disabled, NULL, NULL,
                                  "Loading of modules is switched off until the next boot (kernel.modules_disabled=1). "
                                  "Reboot without that setting; it cannot be taken back on a running system");
        if (r >= 0 && j->kernel->ftrace_enabled == TRISTATE_NO)
                r = judgement_add(j, replaces_something_now(j) ? &untraced : &maybe_untraced, NULL, NULL,
                                  "Function tracing is switched off (kernel.ftrace_enabled=0), and live patching needs "
                                  "it. Run 'sysctl kernel.ftrace_enabled=1'");
        if (r >= 0 && j->kernel->reliable_stacktrace == TRISTATE_NO)
                r = judgement_add(j, &unreliable, NULL, NULL,
                                  "This kernel has no reliable stack traces: it can switch a task only when the task "
                                  "leaves the kernel, so that the transition may take long or never end");
        return r;
}

char *join_names(char *const *list) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        for (char *const *i = list; i && *i; i++)
                (void) fprintf(f, "%s%s", i == list ? "" : ", ", *i);
        if (fclose(f) == 0)
                return text;
        free(text);
        return NULL;
}

/* Why the kernel insists on signatures. */
static const char *enforcement(const KernelInfo *kernel) {
        if (kernel->lockdown == LOCKDOWN_INTEGRITY)
                return "is locked down (integrity), and so ";
        return kernel->lockdown == LOCKDOWN_CONFIDENTIALITY ? "is locked down (confidentiality), and so " : "";
}

/* module_sig_check() in kernel/module/signing.c. */
static int judge_signature(Judgement *j) {
        static const FindingKind unsigned_module = { FINDING_BLOCKER, REFUSED_KERNEL_REFUSED, "unsigned" };
        static const FindingKind no_key = { FINDING_BLOCKER, REFUSED_KERNEL_REFUSED, "key-unknown" };
        static const FindingKind not_checked = { FINDING_INFO, 0, "key-not-checked" };
        const PreflightSubject *s = j->subject;
        const char *why = enforcement(j->kernel);
        _cleanup_free_ char *keyrings = NULL;

        if (j->kernel->sig_enforce != TRISTATE_YES)
                return 0;
        if (s->signature_status == SIGNATURE_UNSIGNED)
                return judgement_add(j, &unsigned_module, NULL, NULL,
                                     "The module is not signed, and this kernel %sloads only modules that are signed "
                                     "with a key of its own keyrings. Have the module signed with one of those", why);
        if (!j->facts->keys.known || !s->key_id)
                return judgement_add(j, &not_checked, NULL, NULL,
                                     "This kernel %sloads only modules that are signed with a key of its own keyrings, "
                                     "and it could not be found out whether that of '%s' is among them",
                                     why, s->signer ?: "the signer");
        if (kernel_keys_contain(&j->facts->keys, s->key_id))
                return 0;
        keyrings = join_names(j->facts->keys.keyrings);
        if (!keyrings)
                return -ENOMEM;
        return judgement_add(j, &no_key, NULL, NULL,
                             "This kernel %sloads only modules that are signed with a key of its own keyrings, and "
                             "that of '%s' (key identifier %s) is in none of %s. Enrol the signer's certificate (with "
                             "Secure Boot: mokutil --import, then reboot)", why, s->signer ?: "the signer", s->key_id,
                             keyrings);
}

/* ---- All of it --------------------------------------------------------------------------------------------- */

static int judge_object(Judgement *j, const ModuleObject *object, const KernelFunction *facts) {
        static const FindingKind not_loaded = { FINDING_INFO, 0, "object-not-loaded" };

        if (object->n_functions > 0 && !facts->object_loaded)
                return judgement_add(j, &not_loaded, object->name, NULL,
                                     "The module '%s' is not loaded: its functions are patched when it is, and could "
                                     "not be checked", object->name);
        for (size_t i = 0; i < object->n_functions; i++) {
                int r = judge_function(j, &facts[i], &object->functions[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int judge_functions(Judgement *j) {
        static const FindingKind unknown = { FINDING_INFO, 0, "functions-unknown" };
        const PreflightSubject *s = j->subject;
        size_t at = s->first;

        if (!s->objects_known)
                return judgement_add(j, &unknown, NULL, NULL,
                                     "The module sets its list of functions up only when it is loaded, so that they "
                                     "could not be checked");
        for (size_t i = 0; i < s->n_objects; i++) {
                int r = judge_object(j, &s->objects[i], &j->facts->functions.functions[at]);

                if (r < 0)
                        return r;
                at += s->objects[i].n_functions;
        }
        return 0;
}

static int judge_unknowns(Judgement *j) {
        static const FindingKind kind = { FINDING_INFO, 0, "not-checked" };
        const KernelFunctions *f = &j->facts->functions;
        char *unknown[] = { NULL, NULL, NULL, NULL, NULL };
        _cleanup_free_ char *text = NULL;
        size_t n = 0;

        if (!replaces_something_now(j))
                return 0;
        if (!f->symbols_known)
                unknown[n++] = (char *) "whether the functions exist (/proc/kallsyms)";
        if (!f->traceable_known)
                unknown[n++] = (char *) "whether they can be traced (tracefs)";
        if (!f->users_known)
                unknown[n++] = (char *) "who else diverts them (tracefs)";
        if (!f->probes_known)
                unknown[n++] = (char *) "whether there are kprobes on them (debugfs)";
        if (n == 0)
                return 0;
        text = join_names(unknown);
        if (!text)
                return -ENOMEM;
        return judgement_add(j, &kind, NULL, NULL, "Could not be found out, for want of privileges or of a mounted "
                             "file system: %s", text);
}

PreflightSubject preflight_subject_of_module(const ModuleInfo *info, const SignatureReport *signature,
                                             const char *key_id) {
        return (PreflightSubject) {
                .name = info->name,
                .objects = info->objects,
                .n_objects = info->n_objects,
                .objects_known = info->objects_known,
                .symbol_positions_known = true,
                .replace = info->replace,
                .signature_status = signature->status,
                .signer = signature->signer,
                .key_id = key_id,
                .states_known = info->states_known,
                .states = info->states,
                .n_states = info->n_states,
        };
}

int preflight_judge(const PreflightSubject *subject, const PreflightFacts *facts, const KernelInfo *kernel,
                    FindingList *ret) {
        static int (*const parts[])(Judgement *) = {
                judge_switches,   judge_signature, judge_name,   judge_functions,
                judge_transition, judge_replace,   judge_states, judge_unknowns,
        };
        Judgement j = { .subject = subject, .facts = facts, .kernel = kernel };

        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                int r = parts[i](&j);

                if (r < 0) {
                        finding_list_done(&j.list);
                        return r;
                }
        }
        *ret = j.list;
        return 0;
}
