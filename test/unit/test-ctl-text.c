/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl's text: width of characters, styles, tables, progress. */

#include <jansson.h>
#include <locale.h>

#include "common/macro.h"
#include "ctl/progress.h"
#include "ctl/table.h"
#include "ctl/terminal.h"
#include "test.h"

static const char *const headers[] = { "NAME", "STATE" };

static void use_utf8(void) {
        if (!setlocale(LC_CTYPE, "C.UTF-8"))
                test_skip("there is no locale C.UTF-8");
}

static char *render(const Table *t, const TableLayout *layout) {
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);

        ASSERT_NOT_NULL(stream);
        ASSERT_EQ(table_print(t, stream, layout), 0);
        ASSERT_EQ(fclose(stream), 0);
        return text;
}

TEST(width_counts_columns_not_bytes) {
        use_utf8();
        ASSERT_EQ(text_width(""), 0);
        ASSERT_EQ(text_width("abc"), 3);
        ASSERT_EQ(text_width("\xc3\xa9"), 1);             /* e with an accent */
        ASSERT_EQ(text_width("e\xcc\x81"), 1);            /* the same, combined */
        ASSERT_EQ(text_width("\xe4\xbb\xb6\xe4\xbb\xb6"), 4); /* wide characters */
        ASSERT_EQ(text_width("\xff\xfe"), 2);             /* no characters */
        ASSERT_EQ(text_width("a\xe4\xbb"), 3);            /* cut in the middle of one */
}

TEST(cut_never_splits_a_character) {
        use_utf8();
        ASSERT_EQ(text_cut("abc", 2), 2);
        ASSERT_EQ(text_cut("abc", 9), 3);
        ASSERT_EQ(text_cut("abc", 0), 0);
        ASSERT_EQ(text_cut("\xe4\xbb\xb6x", 1), 0);
        ASSERT_EQ(text_cut("\xe4\xbb\xb6x", 2), 3);
        ASSERT_EQ(text_cut("\xe4\xbb\xb6x", 3), 4);
}

TEST(table_aligns_columns) {
        _cleanup_(table_freep) Table *t = table_new(headers, ELEMENTSOF(headers));
        _cleanup_free_ char *text = NULL;

        table_add(t, STYLE_NORMAL, "lp_cmdline");
        table_add(t, STYLE_GOOD, "applied");
        table_add(t, STYLE_NORMAL, "x");
        table_add(t, STYLE_NORMAL, "");
        ASSERT_EQ(table_n_rows(t), 2);
        text = render(t, &(TableLayout) { .header = true });
        ASSERT_STREQ(text, "NAME        STATE\nlp_cmdline  applied\nx           -\n");
}

TEST(table_without_rows_or_header) {
        _cleanup_(table_freep) Table *t = table_new(headers, ELEMENTSOF(headers));
        _cleanup_free_ char *text = render(t, &(TableLayout) { .header = false });

        ASSERT_STREQ(text, "");
}

TEST(table_keeps_rows_on_one_line) {
        _cleanup_(table_freep) Table *t = table_new(headers, ELEMENTSOF(headers));
        _cleanup_free_ char *text = NULL;

        table_add(t, STYLE_NORMAL, "a\nb");
        table_add(t, STYLE_NORMAL, NULL);
        text = render(t, &(TableLayout) { .indent = "  " });
        ASSERT_STREQ(text, "  a b  -\n");
}

TEST(table_shortens_the_widest_column) {
        _cleanup_(table_freep) Table *t = NULL;
        _cleanup_free_ char *text = NULL, *whole = NULL;

        use_utf8();
        t = table_new(headers, ELEMENTSOF(headers));
        table_add(t, STYLE_NORMAL, "applied");
        table_add(t, STYLE_NORMAL, "a reason that is far too long");
        text = render(t, &(TableLayout) { .columns = 20 });
        ASSERT_STREQ(text, "applied  a reason t\xe2\x80\xa6\n");
        whole = render(t, &(TableLayout) { .columns = 0 });
        ASSERT_STREQ(whole, "applied  a reason that is far too long\n");
}

TEST(table_too_narrow_keeps_something_of_every_column) {
        _cleanup_(table_freep) Table *t = NULL;
        _cleanup_free_ char *text = NULL;

        use_utf8();
        t = table_new(headers, ELEMENTSOF(headers));
        table_add(t, STYLE_NORMAL, "0123456789");
        table_add(t, STYLE_NORMAL, "0123456789");
        text = render(t, &(TableLayout) { .columns = 3 });
        ASSERT_STREQ(text, "0123456\xe2\x80\xa6  0123456\xe2\x80\xa6\n");
}

TEST(colour_only_where_asked_for) {
        _cleanup_(table_freep) Table *t = table_new(headers, ELEMENTSOF(headers));
        _cleanup_free_ char *with = NULL, *without = NULL;

        table_add(t, STYLE_NORMAL, "x");
        table_add(t, STYLE_BAD, "failed");
        with = render(t, &(TableLayout) { .color = true });
        ASSERT_STREQ(with, "x  \033[0;1;31mfailed\033[0m\n");
        without = render(t, &(TableLayout) { .color = false });
        ASSERT_STREQ(without, "x  failed\n");
}

TEST(styles_of_words) {
        ASSERT_EQ(patch_state_style("applied"), STYLE_GOOD);
        ASSERT_EQ(patch_state_style("failed"), STYLE_BAD);
        ASSERT_EQ(patch_state_style("quarantined"), STYLE_BAD);
        ASSERT_EQ(patch_state_style("of another version"), STYLE_NORMAL);
        ASSERT_EQ(patch_state_style(""), STYLE_NORMAL);
        ASSERT_EQ(signature_status_style("trusted"), STYLE_GOOD);
        ASSERT_EQ(signature_status_style("unsigned"), STYLE_BAD);
        /* What is not known is never shown as good. */
        ASSERT_EQ(signature_status_style("unchecked"), STYLE_NOTICE);
        ASSERT_EQ(signature_status_style("of another version"), STYLE_NOTICE);
}

static char *progress(const char *job) {
        json_auto_t *object = json_loads(job, 0, NULL);

        ASSERT_NOT_NULL(object);
        return progress_text(object, 3 * USEC_PER_SEC + 1);
}

TEST(progress_of_a_transition) {
        _cleanup_free_ char *text = progress("{\"patch\": \"lp\", \"type\": \"apply\", \"state\": \"running\","
                                             " \"tasks_total\": 134, \"tasks_pending\": 14}");

        ASSERT_STREQ(text, "lp: applying, 120 of 134 tasks switched, 3 s");
}

TEST(progress_of_a_stall) {
        _cleanup_free_ char *text = progress("{\"patch\": \"lp\", \"type\": \"revert\", \"state\": \"running\","
                                             " \"tasks_total\": 134, \"tasks_pending\": 2, \"stalled\": true,"
                                             " \"waiting_for\": \"lp_busy (12), nginx.service\"}");

        ASSERT_STREQ(text, "lp: reverting, 132 of 134 tasks switched, stalled, waiting for lp_busy (12), "
                           "nginx.service, 3 s");
}

TEST(progress_without_numbers) {
        _cleanup_free_ char *queued = progress("{\"patch\": \"lp\", \"type\": \"revert\", \"state\": \"queued\"}");
        _cleanup_free_ char *all = progress("{\"patch\": \"\", \"type\": \"reapply\", \"state\": \"running\"}");
        _cleanup_free_ char *unknown = progress("{}");

        ASSERT_STREQ(queued, "lp: waiting for its turn, 3 s");
        ASSERT_STREQ(all, "patches: reapplying, 3 s");
        ASSERT_STREQ(unknown, "patches: running, 3 s");
}

TEST(progress_that_contradicts_itself) {
        _cleanup_free_ char *text = progress("{\"patch\": \"lp\", \"type\": \"apply\", \"state\": \"canceling\","
                                             " \"tasks_total\": 1, \"tasks_pending\": 9}");

        ASSERT_STREQ(text, "lp: being canceled, 0 of 1 tasks switched, 3 s");
}
