/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Error numbers in control files: by name ("EBUSY") or number. */
#pragma once

/* EIO for what cannot be understood, so that a mistake in a test shows. */
int fake_errno_from_string(const char *s);
