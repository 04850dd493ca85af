/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Error numbers in control files: by name ("EBUSY") or number. */

#include <string.h>

#include "common/string-util.h"
#include "fake-errno.h"

#define ERRNO_MAX 4095

int fake_errno_from_string(const char *s) {
        unsigned number;

        if (parse_uint(s, &number) >= 0)
                return number > 0 && number <= ERRNO_MAX ? (int) number : EIO;
        for (int e = 1; e <= ERRNO_MAX; e++) {
                const char *name = strerrorname_np(e);

                if (name && streq(name, s))
                        return e;
        }
        return EIO;
}
