/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.freedesktop.LogControl1 (org.freedesktop.LogControl1(5)): the log's level and target, changed at run time. */

#include "common/log.h"
#include "daemon/bus-error.h"
#include "daemon/bus-internal.h"

#define LOG_CONTROL_PATH "/org/freedesktop/LogControl1"
#define LOG_CONTROL_INTERFACE "org.freedesktop.LogControl1"

static int get_level(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                     const char *property _unused_, sd_bus_message *reply, void *userdata _unused_,
                     sd_bus_error *error _unused_) {
        return sd_bus_message_append_basic(reply, 's', log_level_to_string(log_get_max_level()) ?: "");
}

static int set_level(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                     const char *property _unused_, sd_bus_message *value, void *userdata _unused_,
                     sd_bus_error *error) {
        const char *s;
        int r, level;

        r = sd_bus_message_read_basic(value, 's', &s);
        if (r < 0)
                return r;
        level = log_level_from_string(s);
        if (level < 0)
                return bus_error_set_invalid_args(error, "Unknown log level '%s': known are emerg, alert, crit, err, "
                                                  "warning, notice, info, debug. Nothing was changed.", s);
        log_set_max_level(level);
        return 0;
}

static int get_target(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                      const char *property _unused_, sd_bus_message *reply, void *userdata _unused_,
                      sd_bus_error *error _unused_) {
        return sd_bus_message_append_basic(reply, 's', log_target_to_string(log_get_target()) ?: "");
}

static int set_target(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                      const char *property _unused_, sd_bus_message *value, void *userdata _unused_,
                      sd_bus_error *error) {
        LogTarget target;
        const char *s;
        int r;

        r = sd_bus_message_read_basic(value, 's', &s);
        if (r < 0)
                return r;
        target = log_target_from_string(s);
        if ((int) target < 0)
                return bus_error_set_invalid_args(error, "Unknown log target '%s': known are auto, journal, console, "
                                                  "kmsg, null. Nothing was changed.", s);
        log_set_target(target);
        return 0;
}

static int get_identifier(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                          const char *property _unused_, sd_bus_message *reply, void *userdata _unused_,
                          sd_bus_error *error _unused_) {
        return sd_bus_message_append_basic(reply, 's', "livepatchd");
}

/* Writing is for root: without SD_BUS_VTABLE_UNPRIVILEGED sd-bus lets nobody else. */
static const sd_bus_vtable log_control_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", get_level, set_level, 0, 0),
        SD_BUS_WRITABLE_PROPERTY("LogTarget", "s", get_target, set_target, 0, 0),
        SD_BUS_PROPERTY("SyslogIdentifier", "s", get_identifier, 0, 0),
        SD_BUS_VTABLE_END,
};

int bus_log_control_register(Bus *bus) {
        return sd_bus_add_object_vtable(bus->bus, NULL, LOG_CONTROL_PATH, LOG_CONTROL_INTERFACE, log_control_vtable,
                                        bus);
}
