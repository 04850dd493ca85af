/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which module a kernel's BUG, Oops, WARNING or panic happened in.
 *
 *     BUG: kernel NULL pointer dereference, address: 0000000000000000      begins the report
 *     RIP: 0010:oops_on_show+0xb/0x20 [lp_oops]                            the module that the code is in
 *     Call Trace:
 *      seq_read_iter+0x124/0x4b0
 *      ? notifier+0x1/0x10 [other]                                         "?": left on the stack, perhaps long ago
 *      lp_caller+0x5/0x10 [lp_other 0123abcd]                              a build-id may follow (5.14)
 *     Modules linked in: lp_oops(OEK) ...                                  names everybody, and so nobody
 *     ---[ end trace 0000000000000000 ]---                                 ends it
 *
 * (arch/x86/kernel/dumpstack.c, kernel/panic.c, kernel/kallsyms.c: __sprint_symbol().) */

#include <ctype.h>

#include "daemon/guard-log.h"

/* A register dump and a call trace; reports that panic() writes have no end marker. */
#define REPORT_LINES_MAX 160U

static bool begins_report(const char *text) {
        /* "watchdog: BUG: soft lockup", "list_add corruption" and the like come with "kernel BUG at". */
        static const char *const marks[] = { "BUG: ",    "kernel BUG at ", "Oops: ",     "Oops#",
                                             "WARNING: ", "Kernel panic - not syncing", "general protection fault",
                                             "Internal error: ", "Unable to handle kernel " };

        for (size_t i = 0; i < ELEMENTSOF(marks); i++)
                if (strstr(text, marks[i]))
                        return true;
        return false;
}

/* The word between a pair of delimiters, as a module's name. */
static bool take_name(const char *begin, size_t length, GuardLogName *ret) {
        if (length == 0 || length > MODULE_NAME_MAX)
                return false;
        memcpy(ret->name, begin, length);
        ret->name[length] = '\0';
        return module_name_is_valid(ret->name);
}

/* "symbol+0x1/0x2 [module]" */
static bool names_module(const char *text, GuardLogName *ret) {
        const char *symbol, *bracket;

        while (*text == ' ')
                text++;
        if (startswith(text, "? ") || startswith(text, "Modules linked in"))
                return false;
        symbol = strstr(text, "+0x");
        if (!symbol)
                return false;
        bracket = symbol + STRLEN("+0x");
        while (isxdigit((unsigned char) *bracket))
                bracket++;
        if (!startswith(bracket, "/0x"))
                return false;
        bracket += STRLEN("/0x");
        while (isxdigit((unsigned char) *bracket))
                bracket++;
        if (!startswith(bracket, " ["))
                return false;
        bracket += STRLEN(" [");
        return take_name(bracket, strcspn(bracket, " ]("), ret);
}

static bool names_loaded(const char *text, GuardLogName *ret) {
        const char *name = startswith(text, "livepatch: enabling patch '");

        return name && take_name(name, strcspn(name, "'"), ret);
}

GuardLogEvent guard_log_feed(GuardLog *log, const char *text, GuardLogName *ret) {
        if (names_loaded(text, ret))
                return GUARD_LOG_LOADED;
        if (begins_report(text))
                log->lines_left = REPORT_LINES_MAX;
        if (log->lines_left == 0)
                return GUARD_LOG_NOTHING;
        log->lines_left--;
        if (strstr(text, "---[ end ")) {
                log->lines_left = 0;
                return GUARD_LOG_NOTHING;
        }
        return names_module(text, ret) ? GUARD_LOG_BLAMED : GUARD_LOG_NOTHING;
}
