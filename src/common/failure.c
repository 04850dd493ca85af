/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one table that maps refusals to D-Bus error names and exit codes. */

#include <string.h>

#include "common/failure.h"
#include "common/names.h"

enum {
        EXIT_FAILED = 1,
        EXIT_NO_SUCH_PATCH = 4,
        EXIT_REFUSED = 5,
        EXIT_STALLED = 6,
        EXIT_NOT_SUPPORTED = 7,
};

typedef struct RefusalEntry {
        const char *name;
        int exit_code;
        const char *text;
} RefusalEntry;

static const RefusalEntry refusal_table[_REFUSED_MAX] = {
        [REFUSED_UNSIGNED] = { "Unsigned", EXIT_REFUSED, "The module is not signed" },
        [REFUSED_UNTRUSTED_SIGNER] = { "UntrustedSigner", EXIT_REFUSED, "The module's signer is not trusted" },
        [REFUSED_SIGNATURE_MISMATCH] = { "SignatureMismatch", EXIT_REFUSED, "The signature does not match the module" },
        [REFUSED_SIGNATURE_MALFORMED] = { "SignatureMalformed", EXIT_REFUSED, "The signature cannot be read" },
        [REFUSED_SIGNER_EXPIRED] = { "SignerExpired", EXIT_REFUSED, "The signer's certificate has expired" },
        [REFUSED_SIGNER_NOT_YET_VALID] = { "SignerNotYetValid", EXIT_REFUSED,
                                           "The signer's certificate is not valid yet" },
        [REFUSED_WRONG_KEY_USAGE] = { "WrongKeyUsage", EXIT_REFUSED,
                                      "The signer's certificate is not meant for signing code" },
        [REFUSED_REVOKED] = { "Revoked", EXIT_REFUSED, "The module or its signer is revoked" },
        [REFUSED_WEAK_ALGORITHM] = { "WeakAlgorithm", EXIT_REFUSED, "The signature uses a weak algorithm" },
        [REFUSED_NOT_A_LIVEPATCH] = { "NotALivepatch", EXIT_REFUSED, "The file is not a livepatch module" },
        [REFUSED_WRONG_KERNEL] = { "WrongKernel", EXIT_REFUSED, "The module was built for another kernel" },
        [REFUSED_WRONG_ARCHITECTURE] = { "WrongArchitecture", EXIT_REFUSED,
                                         "The module was built for another architecture" },
        [REFUSED_MALFORMED_MODULE] = { "MalformedModule", EXIT_REFUSED, "The module is damaged" },
        [REFUSED_INVALID_FILE] = { "InvalidFile", EXIT_REFUSED, "The descriptor is not a readable regular file" },
        [REFUSED_TOO_LARGE] = { "TooLarge", EXIT_REFUSED, "The module is too large" },
        [REFUSED_CONFLICT] = { "Conflict", EXIT_REFUSED, "Something on this system conflicts with the patch" },
        [REFUSED_BUSY] = { "Busy", EXIT_FAILED, "Another operation is in the way" },
        [REFUSED_STALLED] = { "Stalled", EXIT_STALLED, "The transition has stalled" },
        [REFUSED_QUARANTINED] = { "Quarantined", EXIT_REFUSED, "The patch is quarantined" },
        [REFUSED_NO_SUCH_PATCH] = { "NoSuchPatch", EXIT_NO_SUCH_PATCH, "There is no such patch" },
        [REFUSED_NO_SUCH_JOB] = { "NoSuchJob", EXIT_FAILED, "There is no such job" },
        [REFUSED_NO_SUCH_CERTIFICATE] = { "NoSuchCertificate", EXIT_FAILED, "There is no such certificate" },
        [REFUSED_INVALID_CERTIFICATE] = { "InvalidCertificate", EXIT_REFUSED, "The certificate cannot be used" },
        [REFUSED_ALREADY_APPLIED] = { "AlreadyApplied", EXIT_FAILED, "The patch is applied already" },
        [REFUSED_NOT_APPLIED] = { "NotApplied", EXIT_FAILED, "The patch is not applied" },
        [REFUSED_WITHDRAWN] = { "Withdrawn", EXIT_REFUSED, "The patch has been withdrawn" },
        [REFUSED_SWITCHED_OFF] = { "SwitchedOff", EXIT_REFUSED, "Live patching is switched off on this system" },
        [REFUSED_KERNEL_REFUSED] = { "KernelRefused", EXIT_FAILED, "The kernel refused the module" },
        [REFUSED_NOT_SUPPORTED] = { "NotSupported", EXIT_NOT_SUPPORTED, "This kernel cannot be live-patched" },
        [REFUSED_LIMITS_EXCEEDED] = { "LimitsExceeded", EXIT_FAILED, "Too many requests are pending" },
        [REFUSED_STORE_FAILED] = { "StoreFailed", EXIT_FAILED, "The state directory cannot be written" },
        [REFUSED_CANCELED] = { "Canceled", EXIT_FAILED, "The job was canceled" },
        [REFUSED_NOT_IN_TRANSITION] = { "NotInTransition", EXIT_FAILED, "The patch is not in transition" },
        [REFUSED_READ_ONLY] = { "ReadOnly", EXIT_FAILED, "The file belongs to the vendor and cannot be changed here" },
        [REFUSED_NOT_CONFIRMED] = { "NotConfirmed", EXIT_FAILED, "The patch was not confirmed in time" },
};

#define DBUS_NAME(n) LP_ERROR_PREFIX n
#define DBUS_NAME_MAX 64

void failure_done(Failure *f) {
        if (!f)
                return;
        free(f->text);
        *f = (Failure) {};
}

int failure_setv(Failure *f, int code, const char *format, va_list ap) {
        char *text = NULL;
        int saved = errno;

        if (!f)
                return code;
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        free(f->text);
        *f = (Failure) { .code = code, .text = text };
        errno = saved;
        return code;
}

int failure_set(Failure *f, int code, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void) failure_setv(f, code, format, ap);
        va_end(ap);
        return code;
}

int failure_oom(Failure *f) {
        if (f) {
                free(f->text);
                *f = (Failure) { .code = -ENOMEM };
        }
        return -ENOMEM;
}

int failure_move(Failure *to, Failure *from) {
        int code = from->code;

        if (to) {
                free(to->text);
                *to = *from;
                *from = (Failure) {};
        } else
                failure_done(from);
        return code;
}

int failure_copy(Failure *to, const Failure *from) {
        if (!to || to == from)
                return from->code;
        free(to->text);
        *to = (Failure) { .code = from->code, .text = from->text ? strdup(from->text) : NULL };
        return from->code;
}

const char *failure_text(const Failure *f) {
        if (f->text)
                return f->text;
        if (f->code > 0 && f->code < _REFUSED_MAX)
                return refusal_table[f->code].text;
        if (f->code == -ENOMEM)
                return "Out of memory";
        return f->code < 0 ? strerror(-f->code) : "Success";
}

const char *failure_dbus_name(int code) {
        static __thread char name[DBUS_NAME_MAX];

        if (code <= 0 || code >= _REFUSED_MAX)
                return code == 0 ? NULL : DBUS_NAME("Failed");
        (void) snprintf(name, sizeof(name), DBUS_NAME("%s"), refusal_table[code].name);
        return name;
}

int refusal_from_dbus_name(const char *name) {
        if (!name || strncmp(name, LP_ERROR_PREFIX, STRLEN(LP_ERROR_PREFIX)) != 0)
                return 0;
        for (int i = 1; i < _REFUSED_MAX; i++)
                if (strcmp(name + STRLEN(LP_ERROR_PREFIX), refusal_table[i].name) == 0)
                        return i;
        return 0;
}

int failure_exit_code(int code) {
        if (code > 0 && code < _REFUSED_MAX)
                return refusal_table[code].exit_code;
        return code == 0 ? 0 : EXIT_FAILED;
}
