/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words of the kernel command line: quoting as the kernel does it. */

#include "common/string-util.h"
#include "kmod/kernel-cmdline.h"
#include "test.h"

#define STOP 7

typedef struct Words {
        char text[256];
} Words;

/* "[key=value]" or "[key]" for each. */
static int collect(const char *key, const char *value, void *userdata) {
        Words *words = userdata;
        size_t n = strlen(words->text);

        (void) snprintf(words->text + n, sizeof(words->text) - n, "[%s%s%s]", key, value ? "=" : "", strempty(value));
        return streq(key, "stop") ? STOP : 0;
}

static void assert_words(const char *cmdline, const char *expected) {
        Words words = {};

        ASSERT_EQ(kernel_cmdline_foreach(cmdline, collect, &words), 0);
        ASSERT_STREQ(words.text, expected);
}

TEST(plain_words) {
        assert_words("", "");
        assert_words("  \t\n ", "");
        assert_words("ro quiet\n", "[ro][quiet]");
        assert_words(" root=/dev/vda1  x= =y a=b=c ", "[root=/dev/vda1][x=][=y][a=b=c]");
}

TEST(quotes) {
        assert_words("a=\"b c\" d", "[a=b c][d]");
        assert_words("\"a=b c\" d", "[a=b c][d]");
        assert_words("\"a b\" d", "[a b][d]");
        assert_words("a=\"b c", "[a=b c]");
        assert_words("\"", "[]");
        assert_words("a=\"", "[a=]");
        assert_words("a=b\"c d\"e", "[a=b\"c d\"e]");
}

TEST(what_follows_two_dashes_is_inits) {
        assert_words("a -- livepatch=off", "[a]");
        assert_words("a --b c", "[a][--b][c]");
        assert_words("--=x c", "[--=x][c]");
}

TEST(the_callback_can_stop) {
        Words words = {};

        ASSERT_EQ(kernel_cmdline_foreach("a stop b", collect, &words), STOP);
        ASSERT_STREQ(words.text, "[a][stop]");
}
