/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One CMS signature over a module against the trust store; internal to src/kmod. */
#pragma once

#include "kmod/module-signature.h"
#include "kmod/module-verify.h"

/* Fills in the report, which the caller has initialised, whatever comes out; 0 or a negative errno. */
int signature_check(const ModuleImage *image, const ModuleSignature *signature, const TrustStore *store,
                    uint64_t now_usec, bool skip_validity, SignatureReport *report);

/* Sets status and text of a report, leaving the rest. */
int signature_report_set(SignatureReport *report, SignatureStatus status, const char *format, ...) _printf_(3, 4);
