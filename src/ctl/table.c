/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A table of text in aligned columns. */

#include <string.h>

#include "common/string-util.h"
#include "ctl/table.h"

#define COLUMN_GAP 2
/* Narrower than this a column says nothing any more: then a line may be too long. */
#define COLUMN_WIDTH_MIN 8

typedef struct Cell {
        char *text;
        Style style;
} Cell;

struct Table {
        const char *const *headers;
        size_t n_columns;
        Cell *cells;
        size_t n_cells, n_allocated;
        bool out_of_memory;
};

Table *table_new(const char *const *headers, size_t n_columns) {
        Table *t = calloc(1, sizeof(Table));

        if (t)
                *t = (Table) { .headers = headers, .n_columns = n_columns };
        return t;
}

Table *table_free(Table *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i].text);
        free(t->cells);
        free(t);
        return NULL;
}

void table_add(Table *t, Style style, const char *text) {
        char *copy;

        if (t->n_cells == t->n_allocated) {
                size_t want = MAX(t->n_allocated * 2, t->n_columns * 8);
                Cell *grown = reallocarray(t->cells, want, sizeof(Cell));

                if (!grown) {
                        t->out_of_memory = true;
                        return;
                }
                t->cells = grown;
                t->n_allocated = want;
        }
        copy = strdup(isempty(text) ? "-" : text);
        if (!copy) {
                t->out_of_memory = true;
                return;
        }
        /* A text of several lines would break the table. */
        for (char *p = copy; (p = strchr(p, '\n')); p++)
                *p = ' ';
        t->cells[t->n_cells++] = (Cell) { .text = copy, .style = isempty(text) ? STYLE_NORMAL : style };
}

size_t table_n_rows(const Table *t) {
        return t->n_cells / t->n_columns;
}

static void measure(const Table *t, bool header, size_t *widths) {
        for (size_t i = 0; i < t->n_columns; i++)
                widths[i] = header ? text_width(t->headers[i]) : 0;
        for (size_t i = 0; i < t->n_cells; i++)
                widths[i % t->n_columns] = MAX(widths[i % t->n_columns], text_width(t->cells[i].text));
}

/* Takes from the widest column, one by one, until the line fits or nothing more can be taken. */
static void shrink(const Table *t, size_t columns, size_t *widths) {
        for (;;) {
                size_t total = COLUMN_GAP * (t->n_columns - 1), widest = 0;

                for (size_t i = 0; i < t->n_columns; i++) {
                        total += widths[i];
                        if (widths[i] >= widths[widest])
                                widest = i;
                }
                if (total <= columns || widths[widest] <= COLUMN_WIDTH_MIN)
                        return;
                widths[widest]--;
        }
}

static void print_spaces(FILE *stream, size_t n) {
        while (n-- > 0)
                (void) fputc(' ', stream);
}

static void print_cell(FILE *stream, const char *text, Style style, bool color, size_t width, bool last) {
        static const char utf8_ellipsis[] = "\xe2\x80\xa6";
        const char *ellipsis = terminal_is_utf8() ? utf8_ellipsis : "...";
        size_t used = text_width(text);

        (void) fputs(style_begin(style, color), stream);
        if (used <= width)
                (void) fputs(text, stream);
        else {
                size_t room = width > text_width(ellipsis) ? width - text_width(ellipsis) : 0;
                size_t length = text_cut(text, room);

                (void) fprintf(stream, "%.*s%s", (int) length, text, ellipsis);
                used = width;
        }
        (void) fputs(style_end(style, color), stream);
        if (!last)
                print_spaces(stream, width - used + COLUMN_GAP);
}

int table_print(const Table *t, FILE *stream, const TableLayout *layout) {
        _cleanup_free_ size_t *widths = NULL;
        const char *indent = strempty(layout->indent);

        if (t->out_of_memory)
                return -ENOMEM;
        widths = calloc(t->n_columns, sizeof(size_t));
        if (!widths)
                return -ENOMEM;
        measure(t, layout->header, widths);
        if (layout->columns > strlen(indent))
                shrink(t, layout->columns - strlen(indent), widths);

        if (layout->header) {
                (void) fputs(indent, stream);
                for (size_t i = 0; i < t->n_columns; i++)
                        print_cell(stream, t->headers[i], STYLE_HEADER, layout->color, widths[i],
                                   i + 1 == t->n_columns);
                (void) fputc('\n', stream);
        }
        for (size_t i = 0; i < t->n_cells; i++) {
                size_t column = i % t->n_columns;

                if (column == 0)
                        (void) fputs(indent, stream);
                print_cell(stream, t->cells[i].text, t->cells[i].style, layout->color, widths[column],
                           column + 1 == t->n_columns);
                if (column + 1 == t->n_columns)
                        (void) fputc('\n', stream);
        }
        return ferror(stream) ? -EIO : 0;
}
