/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The grammar and the keys of livepatch.conf. Which files are read, and in which order, is config-files.c. */

#include "common/fd-util.h"
#include "common/string-util.h"
#include "daemon/config-internal.h"

#define CONFIG_SECTION "Livepatch"
/* Longer than any sensible assignment; what is longer is a binary or a broken file. */
#define CONFIG_LINE_MAX KIB(4)
/* So that a binary file taken for a configuration does not flood the journal. */
#define CONFIG_PROBLEMS_MAX 64
/* What of a file's text is quoted in a problem. */
#define CONFIG_QUOTE_MAX 64

/* A module is copied into memory, compressed and decompressed: this bounds what one administrator's typing error can
 * make the daemon do. Real livepatches are below 100 MB. */
#define MODULE_SIZE_LIMIT (1024 * MIB(1))
#define BYTES_PER_USER_LIMIT (64 * 1024 * MIB(1))
#define COUNT_LIMIT 1024U
/* UNIT_NAME_MAX of systemd (src/basic/unit-name.h) less the longest module name, which may become its instance. */
#define UNIT_NAME_MAX (255 - MODULE_NAME_MAX)
#define DURATION_LIMIT (365 * 86400 * USEC_PER_SEC)

typedef struct ConfigKey ConfigKey;

/* 0, or what is wrong with the value. */
typedef const char *(*ConfigSetter)(Config *config, const ConfigKey *key, const char *value);

struct ConfigKey {
        const char *name;
        ConfigSetter set;
        size_t offset;
        uint64_t max;
        bool infinity;
};

static void config_set_defaults(Config *config) {
        config->signature_policy = SIGNATURE_POLICY_REQUIRE;
        config->module_size_max = MIB(256);
        config->stall_timeout_usec = 10 * 60 * USEC_PER_SEC;
        config->on_stall = ON_STALL_WAIT;
        config->boot_timeout_usec = 60 * USEC_PER_SEC;
        config->settle_time_usec = 120 * USEC_PER_SEC;
        config->exit_idle_usec = 30 * USEC_PER_SEC;
        config->jobs_per_user_max = 16;
        config->pending_authorizations_per_user_max = 8;
        config->bytes_per_user_max = MIB(512);
}

int config_new_default(Config **ret) {
        _cleanup_(config_freep) Config *config = calloc(1, sizeof(Config));

        if (!config)
                return -ENOMEM;
        config_set_defaults(config);
        config->problems = calloc(1, sizeof(char *));
        if (!config->problems)
                return -ENOMEM;
        *ret = TAKE_PTR(config);
        return 0;
}

Config *config_free(Config *config) {
        if (!config)
                return NULL;
        strv_free(config->problems);
        free(config->health_check_unit);
        free(config);
        return NULL;
}

int config_problem(Config *config, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        size_t n = strv_length(config->problems);
        va_list ap;
        int r;

        if (n > CONFIG_PROBLEMS_MAX)
                return 0;
        if (n == CONFIG_PROBLEMS_MAX)
                return strv_append(&config->problems, "Further problems of the configuration are not listed");
        va_start(ap, format);
        r = vasprintf(&text, format, ap);
        va_end(ap);
        if (r < 0) {
                text = NULL;
                return -ENOMEM;
        }
        return strv_append(&config->problems, text);
}

void config_pin_signature_policy(Config *config) {
        config->signature_policy = SIGNATURE_POLICY_REQUIRE;
        config->signature_policy_pinned = true;
}

static const char *set_signature_policy(Config *config, const ConfigKey *key _unused_, const char *value) {
        SignaturePolicy policy = signature_policy_from_string(value);

        if (policy < 0)
                return "must be require, warn or kernel; require is assumed";
        if (!config->signature_policy_pinned)
                config->signature_policy = policy;
        return NULL;
}

static const char *set_on_stall(Config *config, const ConfigKey *key _unused_, const char *value) {
        OnStall on_stall = on_stall_from_string(value);

        if (on_stall < 0)
                return "must be wait or revert";
        config->on_stall = on_stall;
        return NULL;
}

/* "NAME.service", or a template's "NAME@.service" (systemd.unit(5)). */
static bool service_name_is_valid(const char *s) {
        size_t length = strlen(s);
        const char *at = strchr(s, '@');

        if (length > UNIT_NAME_MAX || !endswith(s, ".service") || *s == '.' || *s == '@' || *s == '-')
                return false;
        if (strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@") < length)
                return false;
        return !at || !strchr(at + 1, '@');
}

static const char *set_health_check_unit(Config *config, const ConfigKey *key _unused_, const char *value) {
        char *copy;

        if (!service_name_is_valid(value))
                return "must be the name of a service, such as app-check.service or app-check@.service";
        copy = strdup(value);
        if (!copy)
                return "could not be kept for want of memory";
        free(config->health_check_unit);
        config->health_check_unit = copy;
        return NULL;
}

static const char *set_size(Config *config, const ConfigKey *key, const char *value) {
        uint64_t *field = (uint64_t *) ((char *) config + key->offset);
        uint64_t size;

        if (parse_size(value, &size) < 0 || size == 0)
                return "is not a size such as 64M or 1G";
        *field = MIN(size, key->max);
        return size > key->max ? "is more than allowed; the largest allowed size is used" : NULL;
}

static const char *set_duration(Config *config, const ConfigKey *key, const char *value) {
        uint64_t *field = (uint64_t *) ((char *) config + key->offset);
        uint64_t usec;

        if (parse_duration(value, &usec) < 0 || usec == 0)
                return "is not a duration such as 30s or 10min";
        if (usec == USEC_INFINITY && !key->infinity)
                return "must not be infinity";
        /* Bounded, so that adding it to a point in time cannot overflow. */
        if (usec != USEC_INFINITY && usec > key->max)
                return "is longer than a year";
        *field = usec;
        return NULL;
}

static const char *set_count(Config *config, const ConfigKey *key, const char *value) {
        unsigned *field = (unsigned *) ((char *) config + key->offset);
        unsigned count;

        if (parse_uint(value, &count) < 0 || count == 0 || count > key->max)
                return "is not a number from 1 to 1024";
        *field = count;
        return NULL;
}

static const ConfigKey config_keys[] = {
        { .name = "SignaturePolicy", .set = set_signature_policy, .offset = offsetof(Config, signature_policy) },
        { .name = "ModuleSizeMax",
          .set = set_size,
          .offset = offsetof(Config, module_size_max),
          .max = MODULE_SIZE_LIMIT },
        { .name = "StallTimeoutSec",
          .set = set_duration,
          .offset = offsetof(Config, stall_timeout_usec),
          .max = DURATION_LIMIT,
          .infinity = true },
        { .name = "OnStall", .set = set_on_stall, .offset = offsetof(Config, on_stall) },
        { .name = "BootTimeoutSec",
          .set = set_duration,
          .offset = offsetof(Config, boot_timeout_usec),
          .max = DURATION_LIMIT },
        { .name = "SettleTimeSec",
          .set = set_duration,
          .offset = offsetof(Config, settle_time_usec),
          .max = DURATION_LIMIT },
        { .name = "HealthCheckUnit", .set = set_health_check_unit },
        { .name = "ExitIdleSec",
          .set = set_duration,
          .offset = offsetof(Config, exit_idle_usec),
          .max = DURATION_LIMIT,
          .infinity = true },
        { .name = "JobsPerUserMax",
          .set = set_count,
          .offset = offsetof(Config, jobs_per_user_max),
          .max = COUNT_LIMIT },
        { .name = "PendingAuthorizationsPerUserMax",
          .set = set_count,
          .offset = offsetof(Config, pending_authorizations_per_user_max),
          .max = COUNT_LIMIT },
        { .name = "BytesPerUserMax",
          .set = set_size,
          .offset = offsetof(Config, bytes_per_user_max),
          .max = BYTES_PER_USER_LIMIT },
};

static const ConfigKey *find_key(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(config_keys); i++)
                if (streq(config_keys[i].name, name))
                        return &config_keys[i];
        return NULL;
}

/* "KEY=" gives a setting its default back, as in systemd's files. */
static void reset_key(Config *config, const ConfigKey *key) {
        Config defaults = {};

        config_set_defaults(&defaults);
        if (key->set == set_signature_policy)
                config->signature_policy = defaults.signature_policy;
        else if (key->set == set_on_stall)
                config->on_stall = defaults.on_stall;
        else if (key->set == set_health_check_unit) {
                free(config->health_check_unit);
                config->health_check_unit = NULL;
        } else {
                size_t size = key->set == set_count ? sizeof(unsigned) : sizeof(uint64_t);

                memcpy((char *) config + key->offset, (const char *) &defaults + key->offset, size);
        }
}

typedef struct Parser {
        Config *config;
        const char *name;
        unsigned line;
        bool in_section;
} Parser;

/* Reports a line that is not followed. */
static int ignore_line(Parser *parser, const char *line, const char *why) {
        _cleanup_free_ char *quote = sanitize_text(line, CONFIG_QUOTE_MAX);

        if (!quote)
                return -ENOMEM;
        if (strncasecmp(line, "SignaturePolicy", STRLEN("SignaturePolicy")) == 0)
                config_pin_signature_policy(parser->config);
        return config_problem(parser->config, "%s:%u: '%s' %s", parser->name, parser->line, quote, why);
}

static char *strip(char *s) {
        static const char blanks[] = " \t\r";
        size_t n;

        s += strspn(s, blanks);
        n = strlen(s);
        while (n > 0 && strchr(blanks, s[n - 1]))
                n--;
        s[n] = '\0';
        return s;
}

static int parse_section(Parser *parser, char *line) {
        size_t n = strlen(line);

        parser->in_section = false;
        if (line[n - 1] != ']')
                return ignore_line(parser, line, "is not a section header; what follows it is ignored");
        if (n != STRLEN("[" CONFIG_SECTION "]") || !startswith(line, "[" CONFIG_SECTION "]"))
                return ignore_line(parser, line, "is an unknown section; it is ignored");
        parser->in_section = true;
        return 0;
}

static int parse_assignment(Parser *parser, char *line) {
        char *equals = strchr(line, '=');
        _cleanup_free_ char *name = NULL;
        const ConfigKey *key;
        const char *why, *value;

        if (!equals)
                return ignore_line(parser, line, "is not an assignment; ignored");
        if (!parser->in_section)
                return ignore_line(parser, line, "is not in section [" CONFIG_SECTION "]; ignored");
        name = strndup(line, (size_t) (equals - line));
        if (!name)
                return -ENOMEM;
        key = find_key(strip(name));
        if (!key)
                return ignore_line(parser, line, "is an unknown setting; ignored");
        value = strip(equals + 1);
        if (isempty(value)) {
                reset_key(parser->config, key);
                return 0;
        }
        why = key->set(parser->config, key, value);
        return why ? ignore_line(parser, line, why) : 0;
}

static int parse_line(Parser *parser, const char *text, size_t size) {
        _cleanup_free_ char *copy = malloc(size + 1);
        char *line;

        if (!copy)
                return -ENOMEM;
        memcpy(copy, text, size); /* the text need not end with a NUL */
        copy[size] = '\0';
        line = strip(copy);
        if (size > CONFIG_LINE_MAX)
                return ignore_line(parser, line, "is a line of more than 4096 bytes; ignored");
        if (memchr(text, '\0', size))
                return ignore_line(parser, line, "is a line with a NUL byte; ignored");
        if (isempty(line) || *line == '#' || *line == ';')
                return 0;
        return *line == '[' ? parse_section(parser, line) : parse_assignment(parser, line);
}

int config_parse(Config *config, const char *name, const char *text, size_t size) {
        Parser parser = { .config = config, .name = name };

        for (size_t offset = 0; offset < size;) {
                const char *start = text + offset;
                const char *newline = memchr(start, '\n', size - offset);
                size_t length = newline ? (size_t) (newline - start) : size - offset;
                int r;

                parser.line++;
                r = parse_line(&parser, start, length);
                if (r < 0)
                        return r;
                offset += length + 1;
        }
        return 0;
}
