/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Logging through the journal's native protocol (systemd, docs/JOURNAL_NATIVE_PROTOCOL.md) or to standard error. */

#include <endian.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/log.h"
#include "common/string-util.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static struct {
        const char *identifier;
        int max_level;
        LogTarget target;
        int journal_fd;
        int kmsg_fd;
} log_state = { .identifier = "livepatchd", .max_level = LOG_INFO, .journal_fd = -EBADF, .kmsg_fd = -EBADF };

static const char *const level_table[] = {
        [LOG_EMERG] = "emerg",     [LOG_ALERT] = "alert",   [LOG_CRIT] = "crit", [LOG_ERR] = "err",
        [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

static const char *const target_table[_LOG_TARGET_MAX] = {
        [LOG_TARGET_AUTO] = "auto", [LOG_TARGET_JOURNAL] = "journal", [LOG_TARGET_CONSOLE] = "console",
        [LOG_TARGET_KMSG] = "kmsg", [LOG_TARGET_NULL] = "null",
};

const char *log_level_to_string(int level) {
        return level >= 0 && (size_t) level < ELEMENTSOF(level_table) ? level_table[level] : NULL;
}

int log_level_from_string(const char *s) {
        for (size_t i = 0; i < ELEMENTSOF(level_table); i++)
                if (streq(level_table[i], s))
                        return (int) i;
        return -EINVAL;
}

const char *log_target_to_string(LogTarget target) {
        return (int) target >= 0 && target < _LOG_TARGET_MAX ? target_table[target] : NULL;
}

LogTarget log_target_from_string(const char *s) {
        for (int i = 0; i < _LOG_TARGET_MAX; i++)
                if (streq(target_table[i], s))
                        return (LogTarget) i;
        return _LOG_TARGET_INVALID;
}

/* Whether standard error is the journal's stream: $JOURNAL_STREAM holds its device and inode (systemd.exec(5)). */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) >= 0 &&
               (unsigned long long) st.st_dev == device && (unsigned long long) st.st_ino == inode;
}

static int journal_connect(void) {
        static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return negative_errno();
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0) {
                int r = negative_errno();

                safe_close(fd);
                return r;
        }
        return fd;
}

void log_open(const char *identifier) {
        log_state.identifier = identifier;
        if (log_state.target == LOG_TARGET_AUTO)
                log_set_target(stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_CONSOLE);
}

void log_set_target(LogTarget target) {
        if (target == LOG_TARGET_AUTO)
                target = stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_CONSOLE;
        if (target == LOG_TARGET_JOURNAL && log_state.journal_fd < 0) {
                log_state.journal_fd = journal_connect();
                if (log_state.journal_fd < 0)
                        target = LOG_TARGET_CONSOLE;
        }
        if (target == LOG_TARGET_KMSG && log_state.kmsg_fd < 0) {
                log_state.kmsg_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
                if (log_state.kmsg_fd < 0)
                        target = LOG_TARGET_CONSOLE;
        }
        log_state.target = target;
}

LogTarget log_get_target(void) {
        return log_state.target;
}

void log_set_max_level(int level) {
        log_state.max_level = level;
}

int log_get_max_level(void) {
        return log_state.max_level;
}

/* One field of a datagram: "NAME=value\n", or with a length where the value has a newline. */
static void field_write(FILE *f, const char *name, const char *value) {
        if (isempty(value))
                return;
        if (strchr(value, '\n')) {
                uint64_t size = htole64(strlen(value));

                (void) fprintf(f, "%s\n", name);
                (void) fwrite(&size, sizeof(size), 1, f);
                (void) fprintf(f, "%s\n", value);
        } else
                (void) fprintf(f, "%s=%s\n", name, value);
}

static int journal_write(int level, int error, const LogField *fields, const char *text) {
        _cleanup_free_ char *datagram = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&datagram, &size);

        if (!f)
                return -ENOMEM;
        field_write(f, "MESSAGE", text);
        (void) fprintf(f, "PRIORITY=%d\nSYSLOG_FACILITY=3\n", level);
        field_write(f, "SYSLOG_IDENTIFIER", log_state.identifier);
        if (error < 0)
                (void) fprintf(f, "ERRNO=%d\n", -error);
        for (; fields && fields->name; fields++)
                field_write(f, fields->name, fields->value);
        if (fclose(f) != 0)
                return -ENOMEM;
        return send(log_state.journal_fd, datagram, size, MSG_NOSIGNAL) < 0 ? negative_errno() : 0;
}

static void text_write(int level, int error, const LogField *fields, const char *text) {
        switch (log_state.target) {
        case LOG_TARGET_NULL:
                return;
        case LOG_TARGET_JOURNAL:
                if (journal_write(level, error, fields, text) >= 0)
                        return;
                break;
        case LOG_TARGET_KMSG:
                if (dprintf(log_state.kmsg_fd, "<%d>%s[%d]: %s\n", LOG_DAEMON | level, log_state.identifier,
                            (int) getpid(), text) >= 0)
                        return;
                break;
        case LOG_TARGET_AUTO:
        case LOG_TARGET_CONSOLE:
        case _LOG_TARGET_MAX:
        case _LOG_TARGET_INVALID:
                break;
        }
        (void) dprintf(STDERR_FILENO, "%s: %s\n", log_state.identifier, text);
}

static _printf_(4, 0) void log_va(int level, int error, const LogField *fields, const char *format, va_list ap) {
        _cleanup_free_ char *text = NULL;

        if (error < 0)
                errno = -error;
        if (vasprintf(&text, format, ap) < 0) {
                text = NULL;
                return;
        }
        text_write(level, error, fields, text);
}

int log_full(int level, int error, const LogField *fields, const char *format, ...) {
        int saved = errno;
        va_list ap;

        if (level <= log_state.max_level) {
                va_start(ap, format);
                log_va(level, error, fields, format, ap);
                va_end(ap);
        }
        errno = saved;
        return error;
}

#define EVENT_FIELDS_MAX 16

void log_event_full(int level, const char *message_id, const LogField *fields, const char *format, ...) {
        LogField all[EVENT_FIELDS_MAX + 2];
        size_t n = 0;
        int saved = errno;
        va_list ap;

        if (level > log_state.max_level)
                return;
        all[n++] = (LogField) { "MESSAGE_ID", message_id };
        for (; fields && fields->name && n <= EVENT_FIELDS_MAX; fields++)
                all[n++] = *fields;
        all[n] = (LogField) {};
        va_start(ap, format);
        log_va(level, 0, all, format, ap);
        va_end(ap);
        errno = saved;
}
