/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manifest file: a record, and the one that stands again after the next boot. For the store, tests, fuzzing. */
#pragma once

#include "daemon/record.h"

/* The kernel's KSYM_NAME_LEN is 512 with the NUL (include/linux/kallsyms.h; 128 before 6.1). */
#define RECORD_FUNCTION_NAME_MAX 511

/* A transient record (of this boot only) must not cost the persisted one that it takes the place of: both are in the
 * one file whose replacement is the commit point. */
typedef struct Manifest {
        PatchRecord *current;
        PatchRecord *next_boot; /* NULL: nothing; else current is transient, and this is not */
} Manifest;

void manifest_done(Manifest *manifest);
#define _cleanup_manifest_ _cleanup_(manifest_done)

int manifest_parse(const char *data, size_t size, Manifest *ret, Failure *f);

/* next_boot may be NULL. -EINVAL for a record that would not be accepted when read back, -EFBIG for too large a one. */
int manifest_format(const PatchRecord *current, const PatchRecord *next_boot, char **ret);

/* The first line of a manifest: what makes a damaged or foreign file recognisable whatever else it holds. */
#define MANIFEST_HEADER_FORMAT "{\n    \"checksum\": \"%08x\",\n"
#define MANIFEST_HEADER_LENGTH (STRLEN("{\n    \"checksum\": \"\",\n") + 8)

/* CRC-32 (ISO 3309) of what follows the header. */
uint32_t manifest_checksum(const char *data, size_t size) _pure_;

/* The header of a file that is written in the same way: verified (-EBADMSG with a text), and put before the members of
 * what record_json_dump() made. */
int record_check_header(const char *data, size_t size, Failure *f);
int record_add_header(const char *body, char **ret);

bool record_function_name_is_valid(const char *s);
