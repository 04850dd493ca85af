/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What livepatchctl prints: data on standard output (through a pager where it is long), messages. */
#pragma once

#include "ctl/error.h"
#include "ctl/json-util.h"
#include "ctl/options.h"
#include "ctl/table.h"

/* Text that is collected first, so that its length decides about a pager. */
typedef struct Output {
        const Options *options;
        FILE *stream;
        char *buffer;
        size_t size;
} Output;

int output_begin(Output *out, const Options *o);
/* Shows what was collected. Returns an exit code; failures are explained on standard error. */
int output_end(Output *out);
void output_done(Output *out);
#define _cleanup_output_ _cleanup_(output_done)

#define OUTPUT_LABEL_WIDTH 14
void output_text(Output *out, const char *format, ...) _printf_(2, 3);
/* "       Kernel: 6.1.0"; without a label it continues the line above. */
void output_field(Output *out, const char *label, Style style, const char *format, ...) _printf_(4, 5);
void output_table(Output *out, const Table *t, const char *indent);

/* Prints a document and drops the caller's reference; NULL means out of memory. Returns an exit code. */
int output_json(const Options *o, json_t *document);

/* The result of an action, for a person: on standard output; not with --quiet or --json. */
void output_message(const Options *o, Style style, const char *format, ...) _printf_(3, 4);

/* On standard error. output_failure() also prints the document {"schema": 1, "error": ...} with --json, and returns
 * the exit code. */
void output_error(const Options *o, const char *text);
void output_warning(const Options *o, const char *format, ...) _printf_(2, 3);
int output_failure(const Options *o, const CtlError *e);

/* "Wed 2025-01-08 14:20:11 CET"; the buffer is the caller's. */
const char *format_time(uint64_t usec, char *buffer, size_t size);
#define FORMAT_TIME_MAX 64
