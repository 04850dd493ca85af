/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why something was refused or failed: one code that a program can use, one text that a person can use.
 *
 * Fallible functions return int: 0 done, < 0 "could not do or determine it" (a negative errno), > 0 one of the
 * refusals below ("determined, and the answer is no"). Those that can say more take a Failure as their last
 * argument, which may be NULL, is filled in whenever the result is not 0, and belongs to the caller. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

#include "common/macro.h"

/* Each has exactly one D-Bus error name (failure.c) and one exit code of livepatchctl. Never renumbered: records on
 * disk hold the names, not the numbers. */
typedef enum Refusal {
        REFUSED_UNSIGNED = 1,
        REFUSED_UNTRUSTED_SIGNER,
        REFUSED_SIGNATURE_MISMATCH,
        REFUSED_SIGNATURE_MALFORMED,
        REFUSED_SIGNER_EXPIRED,
        REFUSED_SIGNER_NOT_YET_VALID,
        REFUSED_WRONG_KEY_USAGE,
        REFUSED_REVOKED,
        REFUSED_WEAK_ALGORITHM,
        REFUSED_NOT_A_LIVEPATCH,
        REFUSED_WRONG_KERNEL,
        REFUSED_WRONG_ARCHITECTURE,
        REFUSED_MALFORMED_MODULE,
        REFUSED_INVALID_FILE, /* the descriptor is not a readable regular file */
        REFUSED_TOO_LARGE,
        REFUSED_CONFLICT, /* another build of the name is loaded, an ftrace/kprobe user is in the way, ... */
        REFUSED_BUSY,     /* another transition or job is in the way; try again later */
        REFUSED_STALLED,
        REFUSED_QUARANTINED,
        REFUSED_NO_SUCH_PATCH,
        REFUSED_NO_SUCH_JOB,
        REFUSED_NO_SUCH_CERTIFICATE,
        REFUSED_INVALID_CERTIFICATE,
        REFUSED_ALREADY_APPLIED,
        REFUSED_NOT_APPLIED,
        REFUSED_WITHDRAWN,
        REFUSED_SWITCHED_OFF,
        REFUSED_KERNEL_REFUSED, /* the kernel said no; the text quotes its log */
        REFUSED_NOT_SUPPORTED,  /* this kernel cannot be live-patched */
        REFUSED_LIMITS_EXCEEDED,
        REFUSED_STORE_FAILED, /* the disk: full, read-only, I/O error */
        REFUSED_CANCELED,
        REFUSED_READ_ONLY, /* a vendor's file or certificate, which only the vendor's package can remove */
        REFUSED_NOT_CONFIRMED, /* in the time that the caller of Apply set */
        REFUSED_NOT_IN_TRANSITION, /* nothing to force */
        _REFUSED_MAX,
} Refusal;

typedef struct Failure {
        int code;   /* 0 none, < 0 negative errno, > 0 Refusal */
        char *text; /* what happened, what state things are in, what to do next; NULL when out of memory */
} Failure;

void failure_done(Failure *f);
#define _cleanup_failure_ _cleanup_(failure_done)

/* Fills in *f (replacing what was there), and returns code. Does not touch errno; %m works. */
int failure_set(Failure *f, int code, const char *format, ...) _printf_(3, 4);
int failure_setv(Failure *f, int code, const char *format, va_list ap) _printf_(3, 0);

/* -ENOMEM with a fixed text. */
int failure_oom(Failure *f);

/* Moves *from to *to and leaves *from empty; to may be NULL. Returns the code. */
int failure_move(Failure *to, Failure *from);
int failure_copy(Failure *to, const Failure *from);

/* The text, or a generic one for the code: never NULL. */
const char *failure_text(const Failure *f);

/* The full D-Bus error name of a code (negative errnos become org.livepatch.Error.Failed). Never NULL for a
 * non-zero code. */
const char *failure_dbus_name(int code);

/* The refusal behind a full D-Bus error name, or 0. */
int refusal_from_dbus_name(const char *name);

/* The documented exit code of livepatchctl: 1 for negative codes. */
int failure_exit_code(int code);
