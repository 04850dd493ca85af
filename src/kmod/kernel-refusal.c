/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Turns an errno of the module loader or of livepatch sysfs into a cause that an administrator understands. */

#include <stdbool.h>
#include <stdlib.h>

#include "common/string-util.h"
#include "kmod/kernel-refusal.h"

/* Enough to see the reason and what it led to; the whole story is in the journal. */
#define QUOTED_LINES_MAX 5
#define QUOTED_TEXT_MAX 200

#define ANY_ERROR 0

typedef enum Certainty {
        CERTAIN, /* the log or a kernel fact says so */
        LIKELY,  /* all that is known is the errno */
} Certainty;

/* One row: applies if the errno is this one, some log line contains the pattern (NULL: whatever the log says), and
 * the condition holds (NULL: always). The first row that applies is taken, so the certain ones come first. */
typedef struct InsertCause {
        int error; /* positive errno, or ANY_ERROR */
        const char *pattern;
        bool (*condition)(const KernelInfo *info);
        int code;
        Certainty certainty;
        const char *cause; /* completes "The kernel refused module 'X': ..." or, if likely, "... (errno); likely ..." */
        const char *advice;
} InsertCause;

static bool modules_are_disabled(const KernelInfo *info) {
        return info && info->modules_disabled == TRISTATE_YES;
}

static bool ftrace_is_disabled(const KernelInfo *info) {
        return info && info->ftrace_enabled == TRISTATE_NO;
}

static bool is_locked_down(const KernelInfo *info) {
        return info && (info->lockdown == LOCKDOWN_INTEGRITY || info->lockdown == LOCKDOWN_CONFIDENTIALITY);
}

static bool has_module_blacklist(const KernelInfo *info) {
        return info && info->cmdline && strstr(info->cmdline, "module_blacklist=");
}

#define ADVICE_OTHER_BUILD "Get a build of the patch for exactly this kernel"
#define ADVICE_ENROL                                                                                                   \
        "Enrol the signer's certificate in the kernel's keyrings (with Secure Boot: mokutil --import, then reboot), "  \
        "or use a module signed with a key that the kernel trusts"
#define ADVICE_FTRACE "Find the other user in /sys/kernel/tracing/enabled_functions, stop it, and apply the patch again"

/* kernel.md, section 3. Texts and errnos: kernel/module/main.c, kernel/module/version.c, kernel/module/signing.c,
 * kernel/module_signature.c, kernel/livepatch/core.c, kernel/livepatch/patch.c, security/lockdown/lockdown.c. */
static const InsertCause insert_table[] = {
        /* What livepatch says about the patch itself. */
        { ANY_ERROR, "is not compatible with the already installed livepatches", NULL, REFUSED_CONFLICT, CERTAIN,
          "it does not carry the system state that a patch already applied has changed",
          "Use a later cumulative patch, or revert the applied patch first" },
        { ANY_ERROR, "livepatch support is disabled", NULL, REFUSED_NOT_SUPPORTED, CERTAIN,
          "the kernel is built without live patching", "Boot a kernel with CONFIG_LIVEPATCH" },
        { ANY_ERROR, "is not marked as a livepatch module", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "it registers a livepatch, but is not marked as a livepatch module",
          "Rebuild it with MODULE_INFO(livepatch, \"Y\")" },
        { ANY_ERROR, "pre-patch callback failed", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "a check of the patch's own, which runs before patching, said no",
          "Ask the patch's author which condition it checks" },
        { ANY_ERROR, "not found in symbol table", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "a function that it patches does not exist in this kernel", ADVICE_OTHER_BUILD },
        { ANY_ERROR, "unresolvable ambiguity for symbol", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "several functions of this kernel have the name of one that it patches, and it does not say which it means",
          ADVICE_OTHER_BUILD },
        { ANY_ERROR, "livepatch: symbol position", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "this kernel has fewer functions of a name than the patch counts", ADVICE_OTHER_BUILD },
        { ANY_ERROR, "failed to find location for function", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "a function that it patches cannot be traced with ftrace, and so not be patched",
          "Get a build of the patch that replaces a caller of that function instead" },
        { EBUSY, NULL, ftrace_is_disabled, REFUSED_CONFLICT, CERTAIN,
          "function tracing is switched off (kernel.ftrace_enabled=0), and live patching needs it",
          "Run 'sysctl kernel.ftrace_enabled=1' and apply the patch again" },
        { ANY_ERROR, "failed to register ftrace handler", NULL, REFUSED_CONFLICT, CERTAIN,
          "ftrace did not hand over a function that it patches, as happens while a kprobe or another tracer diverts it",
          ADVICE_FTRACE },
        { ANY_ERROR, "Skipping invalid relocation target", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "a module that it patches was unloaded and loaded again, which this kernel cannot patch a second time",
          "Reboot; kernels from 6.3 on do not have this limit" },

        /* What the module loader says. */
        { ANY_ERROR, "version magic", NULL, REFUSED_KERNEL_REFUSED, CERTAIN, "it was built for another kernel",
          ADVICE_OTHER_BUILD },
        { ANY_ERROR, "disagrees about version of symbol", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "it was built against another configuration or build of this kernel", ADVICE_OTHER_BUILD },
        { ANY_ERROR, "Invalid relocation target", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "its relocations are not those of a module that was never loaded", ADVICE_OTHER_BUILD },
        { ANY_ERROR, "Unknown symbol", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "it uses a symbol that this kernel does not offer", "Load the module that offers it first, or get a build of "
          "the patch for exactly this kernel" },
        { ANY_ERROR, "unsigned module loading is restricted", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "the kernel is locked down and loads only modules signed with a key in its own keyrings", ADVICE_ENROL },
        { ANY_ERROR, "LoadPin: ", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "LoadPin allows modules from one trusted filesystem only",
          "Put the module on that filesystem, in /usr/lib/livepatch/patches" },
        { EPERM, "is blacklisted", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "its name is on the module_blacklist= of the kernel command line",
          "Take the name off the list and reboot" },
        { ANY_ERROR, "unsigned module is rejected", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "it is not signed, and the kernel loads only signed modules", ADVICE_ENROL },
        { ANY_ERROR, "module with unavailable key is rejected", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "the key that signed it is not in the kernel's keyrings", ADVICE_ENROL },
        { ANY_ERROR, "module with unsupported crypto is rejected", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "the kernel does not support the algorithm of its signature",
          "Sign the module with an algorithm that the kernel has (see its CONFIG_MODULE_SIG_HASH)" },
        { EINVAL, "failed to validate module", NULL, REFUSED_KERNEL_REFUSED, CERTAIN,
          "its type information (BTF) does not fit this kernel", ADVICE_OTHER_BUILD },

        /* Kernel facts that explain the errno by themselves. */
        { EPERM, NULL, modules_are_disabled, REFUSED_NOT_SUPPORTED, CERTAIN,
          "loading of modules is switched off until the next boot (kernel.modules_disabled=1)",
          "Reboot without that setting; it cannot be taken back on a running system" },
        { EEXIST, NULL, NULL, REFUSED_CONFLICT, CERTAIN,
          "a module of this name is loaded already, perhaps with its patch switched off",
          "Revert the patch first, or unload the module with 'rmmod'" },
        { ETXTBSY, NULL, NULL, REFUSED_BUSY, CERTAIN, "its file is open for writing elsewhere",
          "Try again when the writer is done" },
        { ENOMEM, NULL, NULL, REFUSED_KERNEL_REFUSED, CERTAIN, "the kernel has not enough memory for it",
          "Free memory and try again" },
        { ENOSYS, NULL, NULL, REFUSED_NOT_SUPPORTED, CERTAIN, "the kernel is built without loadable modules",
          "Boot a kernel with CONFIG_MODULES" },

        /* Only the errno is known: what usually causes it. */
        { EPERM, NULL, is_locked_down, REFUSED_KERNEL_REFUSED, LIKELY,
          "kernel lockdown, which allows only modules signed with a key in the kernel's own keyrings", ADVICE_ENROL },
        { EPERM, NULL, has_module_blacklist, REFUSED_KERNEL_REFUSED, LIKELY,
          "module_blacklist= on the kernel command line, or a missing CAP_SYS_MODULE", "Check both" },
        { EPERM, NULL, NULL, REFUSED_KERNEL_REFUSED, LIKELY, "a missing CAP_SYS_MODULE or a security module's policy",
          "Check the service's capabilities and the audit log" },
        { EACCES, NULL, NULL, REFUSED_KERNEL_REFUSED, LIKELY,
          "a security module's policy (SELinux, IMA appraisal), or a module file that is not readable",
          "Check the audit log; IMA wants an appended signature that the kernel's keyrings know" },
        { EKEYREJECTED, NULL, NULL, REFUSED_KERNEL_REFUSED, LIKELY,
          "a signature by a key that the kernel knows which does not match the module, a revoked hash or key, or "
          "signed attributes in the signature",
          "Get the module again from its source, or have it signed anew" },
        { ENOKEY, NULL, NULL, REFUSED_KERNEL_REFUSED, LIKELY, "a missing signature, or a key that is not in the "
          "kernel's keyrings", ADVICE_ENROL },
        { ENOPKG, NULL, NULL, REFUSED_KERNEL_REFUSED, LIKELY, "an algorithm of its signature that the kernel lacks",
          "Sign the module with an algorithm that the kernel has" },
        { EBADMSG, NULL, NULL, REFUSED_KERNEL_REFUSED, LIKELY, "a damaged signature at its end",
          "Get the module again from its source, or have it signed anew" },
        { EMSGSIZE, NULL, NULL, REFUSED_KERNEL_REFUSED, LIKELY, "a damaged signature at its end",
          "Get the module again from its source, or have it signed anew" },
        { ENOEXEC, NULL, NULL, REFUSED_KERNEL_REFUSED, LIKELY,
          "a module for another kernel or architecture, or a damaged one", ADVICE_OTHER_BUILD },
        { EINVAL, NULL, NULL, REFUSED_KERNEL_REFUSED, LIKELY,
          "a patch that does not fit this kernel, or that registers itself in a wrong way", ADVICE_OTHER_BUILD },
        { ENOENT, NULL, NULL, REFUSED_KERNEL_REFUSED, LIKELY, "a symbol that this kernel does not have",
          ADVICE_OTHER_BUILD },
        { EBUSY, NULL, NULL, REFUSED_BUSY, LIKELY,
          "another livepatch that is in transition, a module of the same name that is being loaded or unloaded, or a "
          "tracer that diverts one of the functions",
          "Try again when the transition is over" },
        { ANY_ERROR, NULL, NULL, REFUSED_KERNEL_REFUSED, LIKELY, "an initialisation of the patch's own that failed",
          "Ask the patch's author what the error means" },
};

static bool any_line_contains(char *const *lines, const char *pattern) {
        for (char *const *line = lines; line && *line; line++)
                if (strstr(*line, pattern))
                        return true;
        return false;
}

static const InsertCause *insert_cause(int error, const KernelInfo *info, char *const *lines) {
        const InsertCause *c = insert_table;

        /* Ends at the latest at the last row, which applies to everything. */
        while ((c->error != ANY_ERROR && c->error != error) || (c->pattern && !any_line_contains(lines, c->pattern)) ||
               (c->condition && !c->condition(info)))
                c++;
        return c;
}

/* Lines that the kernel prints on the way into every attempt and out of every failed one; they explain nothing. */
static bool is_routine(const char *line) {
        static const char *const parts[] = {
                "loading out-of-tree module taints kernel",
                "module verification failed: signature and/or required key missing",
                "tainting kernel with TAINT_LIVEPATCH",
                "module license",
                "livepatch: enabling patch",
                "starting patching transition",
                "unpatching complete",
        };

        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                if (strstr(line, parts[i]))
                        return true;
        return false;
}

/* " (kernel log: "...", "...")", or the empty string. Lines of the decisive pattern come first. */
static int quote_lines(char *const *lines, const char *pattern, char **ret) {
        _cleanup_free_ char *text = NULL;
        unsigned n = 0;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        if (!out)
                return -ENOMEM;
        for (int decisive = 1; decisive >= 0; decisive--)
                for (char *const *line = lines; line && *line && n < QUOTED_LINES_MAX; line++) {
                        _cleanup_free_ char *cut = NULL;

                        if (is_routine(*line) || (pattern && strstr(*line, pattern)) != decisive)
                                continue;
                        cut = sanitize_text(*line, QUOTED_TEXT_MAX);
                        (void) fprintf(out, "%s\"%s\"", n++ == 0 ? " (kernel log: " : ", ", strempty(cut));
                }
        if (n > 0)
                (void) fputc(')', out);
        if (fclose(out) != 0)
                return -ENOMEM;
        *ret = TAKE_PTR(text);
        return 0;
}

int kernel_refusal_explain_insert(int error, const char *name, const KernelInfo *info, char *const *log_lines,
                                  Failure *f) {
        const InsertCause *c = insert_cause(abs(error), info, log_lines);
        _cleanup_free_ char *quoted = NULL;
        int r = quote_lines(log_lines, c->pattern, &quoted);

        if (r < 0)
                return failure_oom(f);
        if (c->certainty == CERTAIN)
                return failure_set(f, c->code,
                                   "The kernel refused module '%s': %s%s. It is not loaded and nothing was patched. "
                                   "%s.",
                                   name, c->cause, quoted, c->advice);
        return failure_set(f, c->code,
                           "The kernel refused module '%s' with '%s'%s, and does not say why; the usual cause is %s. "
                           "It is not loaded and nothing was patched. %s.",
                           name, strerror(abs(error)), quoted, c->cause, c->advice);
}

int kernel_refusal_explain_remove(int error, const char *name, Failure *f) {
        switch (abs(error)) {
        case EAGAIN:
        case EBUSY:
                return failure_set(f, REFUSED_BUSY,
                                   "Module '%s' is still in use and stays loaded: its patch is enabled or was forced, "
                                   "or something else depends on it. Try again in a moment; a patch that was forced "
                                   "stays loaded until the next reboot.",
                                   name);
        case ENOENT:
                return failure_set(f, -ENOENT, "Module '%s' is not loaded", name);
        case EPERM:
                return failure_set(f, REFUSED_KERNEL_REFUSED,
                                   "The kernel does not allow unloading module '%s', which stays loaded: "
                                   "CAP_SYS_MODULE is missing, or kernel.modules_disabled=1 forbids it until the next "
                                   "reboot.",
                                   name);
        case ENOSYS:
                return failure_set(f, REFUSED_NOT_SUPPORTED,
                                   "The kernel is built without unloading of modules, so '%s' stays loaded, with its "
                                   "patch switched off, until the next reboot.",
                                   name);
        default:
                return failure_set(f, REFUSED_KERNEL_REFUSED,
                                   "The kernel did not unload module '%s', which stays loaded: %s. Look at the "
                                   "kernel's log before you try again.",
                                   name, strerror(abs(error)));
        }
}

/* kernel/livepatch/core.c, enabled_store(). */
int kernel_refusal_explain_enabled(int error, const char *name, bool enabling, Failure *f) {
        const char *verb = enabling ? "enable" : "disable";

        switch (abs(error)) {
        case EINVAL:
                return failure_set(f, -EINVAL,
                                   "The kernel did not %s patch '%s': it is %s already. Nothing was changed.", verb,
                                   name, enabling ? "enabled" : "disabled");
        case EBUSY:
                return failure_set(f, REFUSED_BUSY,
                                   "The kernel did not %s patch '%s', because another patch is in transition. Nothing "
                                   "was changed; try again when that transition is over.",
                                   verb, name);
        case ENOENT:
        case ENODEV:
                return failure_set(f, -ENOENT,
                                   "Patch '%s' is not active in the kernel any more: it was disabled or replaced. A "
                                   "disabled patch is enabled again by unloading its module and loading it anew.",
                                   name);
        default:
                return failure_set(f, -abs(error), "Failed to %s patch '%s': %s. Nothing was changed.", verb, name,
                                   strerror(abs(error)));
        }
}

/* kernel/livepatch/core.c, force_store(): EINVAL when another patch is in transition, or none. */
int kernel_refusal_explain_force(int error, const char *name, Failure *f) {
        switch (abs(error)) {
        case EINVAL:
        case ENOENT:
        case ENODEV:
                return failure_set(f, REFUSED_NOT_IN_TRANSITION,
                                   "'%s' is not in transition, or not any more, so there is nothing to force. Nothing "
                                   "was changed. 'livepatchctl status' shows what state it is in", name);
        default:
                return failure_set(f, -abs(error), "Failed to force the transition of '%s': %s. It goes on as before",
                                   name, strerror(abs(error)));
        }
}
