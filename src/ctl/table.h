/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A table of text in aligned columns. */
#pragma once

#include "common/macro.h"
#include "ctl/terminal.h"

typedef struct Table Table;

typedef struct TableLayout {
        bool header;
        bool color;
        unsigned columns; /* shorten the widest columns until a line fits; 0: never */
        const char *indent;
} TableLayout;

/* headers: n_columns static strings. NULL when out of memory. */
Table *table_new(const char *const *headers, size_t n_columns);
Table *table_free(Table *t);
DEFINE_CLEANUP(Table *, table_free)

/* The next cell, row by row; an empty one is shown as "-". Out of memory is remembered until table_print(). */
void table_add(Table *t, Style style, const char *text);

size_t table_n_rows(const Table *t);

/* 0, -ENOMEM or the stream's -EIO. */
int table_print(const Table *t, FILE *stream, const TableLayout *layout);
