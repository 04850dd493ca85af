/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's own log lines (/dev/kmsg): a bounded reader and a parser of its record format. */

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "kmod/kernel-log.h"

#define KMSG_PATH "dev/kmsg"

/* No record is longer (CONSOLE_EXT_LOG_MAX in kernel/printk/, PRINTK_MESSAGE_MAX since 6.4); read(2) of a smaller
 * buffer would fail with EINVAL. */
#define RECORD_MAX KIB(8)

/* A line quotes symbols and module names, 512 bytes at most each; more is noise. */
#define TEXT_MAX 1024

/* Records of user space that one call skips, so that a flood of them cannot hold the caller. */
#define SKIP_MAX 4096

/* The lower bits of a record's prefix are the level, the rest is the facility: 0 is the kernel, and a writer of
 * /dev/kmsg cannot use it (kernel/printk/printk.c, devkmsg_write()). */
#define LEVEL_BITS 3
#define LEVEL_MASK 7

void kernel_log_line_done(KernelLogLine *line) {
        free(line->text);
        *line = (KernelLogLine) {};
}

int kernel_log_open_at_start(int root_fd) {
        int fd = openat(root_fd, KMSG_PATH, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

        return fd < 0 ? negative_errno() : fd;
}

int kernel_log_open_at_end(int root_fd) {
        _cleanup_close_ int fd = kernel_log_open_at_start(root_fd);

        if (fd < 0)
                return fd;
        if (lseek(fd, 0, SEEK_END) < 0)
                return negative_errno();
        return TAKE_FD(fd);
}

/* A decimal number and the separator behind it; moves *p past both. */
static int parse_field(const char **p, const char *end, const char *separators, uint64_t *ret, char *ret_separator) {
        const char *s = *p;
        uint64_t value = 0;

        if (s == end || !isdigit((unsigned char) *s))
                return -EBADMSG;
        for (; s < end && isdigit((unsigned char) *s); s++)
                if (__builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t) (*s - '0'), &value))
                        return -EBADMSG;
        if (s == end || *s == '\0' || !strchr(separators, *s))
                return -EBADMSG;
        *ret_separator = *s;
        *p = s + 1;
        *ret = value;
        return 0;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -EINVAL;
}

/* Undoes the "\xNN" of everything unprintable (Documentation/ABI/testing/dev-kmsg), up to the end of the first line. A
 * NUL becomes another control character, which is replaced later like the rest. */
static void unescape_line(const char *text, size_t size, char *out) {
        size_t n = 0;

        for (size_t i = 0; i < size && text[i] != '\n'; i++) {
                char c = text[i];

                if (c == '\\' && size - i >= 4 && text[i + 1] == 'x' && hex_digit(text[i + 2]) >= 0 &&
                    hex_digit(text[i + 3]) >= 0) {
                        c = (char) (hex_digit(text[i + 2]) << 4 | hex_digit(text[i + 3]));
                        i += 3;
                }
                if (c == '\n')
                        break;
                out[n++] = c == '\0' ? '\x01' : c;
        }
        out[n] = '\0';
}

static int parse_prefix(const char **p, const char *end, KernelLogLine *line, uint64_t *ret_prefix) {
        char separator;
        int r = parse_field(p, end, ",", ret_prefix, &separator);

        if (r < 0)
                return r;
        r = parse_field(p, end, ",", &line->sequence, &separator);
        if (r < 0)
                return r;
        r = parse_field(p, end, ",;", &line->timestamp, &separator);
        if (r < 0)
                return r;
        /* Flags, the caller, and what later kernels add. */
        if (separator == ',') {
                const char *semicolon = memchr(*p, ';', (size_t) (end - *p));

                if (!semicolon || memchr(*p, '\n', (size_t) (semicolon - *p)))
                        return -EBADMSG;
                *p = semicolon + 1;
        }
        return 0;
}

int kernel_log_parse(const char *record, size_t size, KernelLogLine *ret) {
        const char *p = record, *end = record + size;
        _cleanup_free_ char *raw = NULL;
        KernelLogLine line = {};
        uint64_t prefix;
        int r;

        if (size == 0)
                return -EBADMSG;
        r = parse_prefix(&p, end, &line, &prefix);
        if (r < 0)
                return r;
        if (prefix >> LEVEL_BITS != 0)
                return 0;
        raw = malloc((size_t) (end - p) + 1);
        if (!raw)
                return -ENOMEM;
        unescape_line(p, (size_t) (end - p), raw);
        line.priority = (unsigned) (prefix & LEVEL_MASK);
        line.text = sanitize_text(raw, TEXT_MAX);
        if (!line.text)
                return -ENOMEM;
        *ret = line;
        return 1;
}

/* Length of the first record in data: its line and the dictionary lines, which start with a space. 0: incomplete. */
static size_t record_length(const char *data, size_t size) {
        const char *end = data + size, *p = data;

        do {
                p = memchr(p, '\n', (size_t) (end - p));
                if (!p)
                        return 0;
                p++;
        } while (p < end && *p == ' ');
        return (size_t) (p - data);
}

/* The device hands out one record a read(2). A regular file, which stands in for it in tests, hands out all, so that
 * the position is set back to the end of the first. Size of the record, 0: no more for now. */
static ssize_t read_record(int fd, bool regular, char *buffer, size_t size) {
        ssize_t n = read(fd, buffer, size);
        size_t length;

        if (n < 0)
                return errno == EAGAIN ? 0 : negative_errno();
        if (n == 0 || !regular)
                return n;
        length = record_length(buffer, (size_t) n);
        /* What is too long for a record would be found again and again: pass over it. */
        if (length == 0 && (size_t) n == size)
                return n;
        if (lseek(fd, (off_t) length - (off_t) n, SEEK_CUR) < 0)
                return negative_errno();
        return (ssize_t) length;
}

int kernel_log_read(int fd, KernelLogLine *ret, bool *ret_lost) {
        char buffer[RECORD_MAX];
        struct stat st;

        if (fstat(fd, &st) < 0)
                return negative_errno();
        for (unsigned skipped = 0; skipped < SKIP_MAX; skipped++) {
                ssize_t n = read_record(fd, S_ISREG(st.st_mode), buffer, sizeof(buffer));
                int r;

                if (n == 0)
                        return 0;
                if (n == -EINTR)
                        continue;
                if (n == -EPIPE) {
                        /* Records were overwritten before they were read; the next read continues with the oldest that
                         * is left. */
                        if (ret_lost)
                                *ret_lost = true;
                        continue;
                }
                if (n < 0)
                        return (int) n;
                r = kernel_log_parse(buffer, (size_t) n, ret);
                if (r > 0 || r == -ENOMEM)
                        return r;
        }
        return 0;
}

/* What the module loader, its signature check and the security modules say without naming the module. Texts of
 * kernel/module/, security/lockdown/, security/loadpin/, security/integrity/ and crypto/asymmetric_keys/. */
static const char *const relevant_prefixes[] = {
        "livepatch: ", "Lockdown: ", "LoadPin: ", "ima: ", "integrity: ", "module: ", "PKCS7: ", "PKEY: ", "X.509: ",
};
static const char *const relevant_parts[] = {
        " is rejected", "relocation target", "failed to validate module",
};

static bool is_name_character(char c) {
        return isalnum((unsigned char) c) || c == '_';
}

/* Whether name occurs as a word of its own: "a" is not in "taints". */
static bool contains_word(const char *text, const char *name) {
        size_t n = strlen(name);

        for (const char *p = text; (p = strstr(p, name)); p++)
                if ((p == text || !is_name_character(p[-1])) && !is_name_character(p[n]))
                        return true;
        return false;
}

bool kernel_log_line_is_relevant(const char *text, const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(relevant_prefixes); i++)
                if (startswith(text, relevant_prefixes[i]))
                        return true;
        for (size_t i = 0; i < ELEMENTSOF(relevant_parts); i++)
                if (strstr(text, relevant_parts[i]))
                        return true;
        return *name && contains_word(text, name);
}

int kernel_log_collect(int fd, const char *name, size_t max, char ***ret) {
        _cleanup_strv_free_ char **lines = NULL;
        size_t n = 0;

        for (;;) {
                _cleanup_(kernel_log_line_done) KernelLogLine line = {};
                int r = kernel_log_read(fd, &line, NULL);

                if (r < 0)
                        return r;
                if (r == 0 || n >= max)
                        break;
                if (!kernel_log_line_is_relevant(line.text, name))
                        continue;
                r = strv_append(&lines, line.text);
                if (r < 0)
                        return r;
                n++;
        }
        *ret = TAKE_PTR(lines);
        return 0;
}
