/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What livepatchctl prints: data on standard output (through a pager where it is long), messages. */

#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "common/string-util.h"
#include "ctl/output.h"
#include "ctl/pager.h"

#define JSON_PRETTY_INDENT 2

int output_begin(Output *out, const Options *o) {
        *out = (Output) { .options = o };
        out->stream = open_memstream(&out->buffer, &out->size);
        if (!out->stream) {
                output_error(o, "Out of memory");
                return CTL_EXIT_FAILED;
        }
        return 0;
}

void output_done(Output *out) {
        if (out->stream)
                (void) fclose(out->stream);
        free(out->buffer);
        *out = (Output) {};
}

static int write_standard_output(const Options *o, const char *text) {
        if (fputs(text, stdout) == EOF || fflush(stdout) == EOF) {
                _cleanup_free_ char *message = NULL;

                if (asprintf(&message, "Failed to write the output: %s", strerror(errno)) < 0)
                        message = NULL;
                output_error(o, message ?: "Failed to write the output");
                return CTL_EXIT_FAILED;
        }
        return 0;
}

static size_t count_lines(const char *text) {
        size_t n = 0;

        while ((text = strchr(text, '\n'))) {
                n++;
                text++;
        }
        return n;
}

int output_end(Output *out) {
        unsigned columns, rows;
        bool failed = fclose(out->stream) != 0;

        out->stream = NULL;
        if (failed) {
                output_error(out->options, "Out of memory");
                return CTL_EXIT_FAILED;
        }
        if (out->options->pager && terminal_size(STDOUT_FILENO, &columns, &rows) && count_lines(out->buffer) >= rows &&
            pager_show(out->buffer) >= 0)
                return 0;
        return write_standard_output(out->options, out->buffer);
}

void output_text(Output *out, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void) vfprintf(out->stream, format, ap);
        va_end(ap);
}

void output_field(Output *out, const char *label, Style style, const char *format, ...) {
        bool color = out->options->color;
        va_list ap;

        (void) fprintf(out->stream, "%*s%s %s", OUTPUT_LABEL_WIDTH, label, *label ? ":" : " ",
                       style_begin(style, color));
        va_start(ap, format);
        (void) vfprintf(out->stream, format, ap);
        va_end(ap);
        (void) fprintf(out->stream, "%s\n", style_end(style, color));
}

void output_table(Output *out, const Table *t, const char *indent) {
        const Options *o = out->options;
        unsigned columns = 0, rows;
        TableLayout layout;

        if (o->full || !terminal_size(STDOUT_FILENO, &columns, &rows))
                columns = 0;
        layout = (TableLayout) { .header = o->legend, .color = o->color, .columns = columns, .indent = indent };
        if (table_print(t, out->stream, &layout) == -ENOMEM)
                output_error(o, "Out of memory: the table is not complete");
}

int output_json(const Options *o, json_t *document) {
        size_t flags = o->json == JSON_MODE_PRETTY ? JSON_INDENT(JSON_PRETTY_INDENT) : JSON_COMPACT;
        _cleanup_free_ char *text = document ? json_dumps(document, flags) : NULL;
        _cleanup_free_ char *line = NULL;

        json_decref(document);
        if (!text || asprintf(&line, "%s\n", text) < 0) {
                line = NULL;
                output_error(o, "Out of memory");
                return CTL_EXIT_FAILED;
        }
        return write_standard_output(o, line);
}

void output_message(const Options *o, Style style, const char *format, ...) {
        va_list ap;

        if (o->quiet || o->json != JSON_MODE_OFF)
                return;
        (void) fputs(style_begin(style, o->color), stdout);
        va_start(ap, format);
        (void) vprintf(format, ap);
        va_end(ap);
        (void) printf("%s\n", style_end(style, o->color));
        (void) fflush(stdout);
}

void output_error(const Options *o, const char *text) {
        (void) fprintf(stderr, "livepatchctl: %s%s%s\n", style_begin(STYLE_BAD, o->color_error), text,
                       style_end(STYLE_BAD, o->color_error));
}

void output_warning(const Options *o, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        (void) fprintf(stderr, "livepatchctl: %swarning: %s%s\n", style_begin(STYLE_NOTICE, o->color_error),
                       text ?: "out of memory", style_end(STYLE_NOTICE, o->color_error));
}

int output_failure(const Options *o, const CtlError *e) {
        output_error(o, ctl_error_text(e));
        if (o->json != JSON_MODE_OFF)
                (void) output_json(o, json_document("error", json_error_object(e)));
        return e->exit_code;
}

const char *format_time(uint64_t usec, char *buffer, size_t size) {
        time_t t = (time_t) (usec / USEC_PER_SEC);
        struct tm tm;

        if (!localtime_r(&t, &tm) || strftime(buffer, size, "%a %Y-%m-%d %H:%M:%S %Z", &tm) == 0)
                return "?";
        return buffer;
}
