/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a record says of other patches and for other patches: those it has superseded, and the states it carries. */
#pragma once

#include "daemon/record-json.h"
#include "daemon/record.h"

void superseded_list_free(SupersededPatch *list, size_t n);
/* A copy of one more entry at the end. */
int superseded_list_append(SupersededPatch **list, size_t *n, const SupersededPatch *entry);

int record_copy_level(PatchRecord *to, const PatchRecord *from);
bool record_level_is_equal(const PatchRecord *a, const PatchRecord *b);
void record_clear_level(PatchRecord *record);

/* Keys that records of earlier versions do not have: missing is nothing superseded, and states unknown. */
void record_parse_level(RecordReader *reader, PatchRecord *record);
void record_format_level(RecordWriter *writer, const PatchRecord *record);
