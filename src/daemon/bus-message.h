/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading options out of calls and writing strings and dictionaries into replies. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "common/macro.h"
#include "daemon/operation-options.h"

/* One known key of an a{sv}, and where its value goes, which decides its type; the list ends with a NULL key. */
typedef struct BusOption {
        const char *key;
        bool *flag;        /* b */
        uint64_t *number;  /* t */
        const char **text; /* s; as long as the message lives */
        bool *given;       /* whether it was; may be NULL */
} BusOption;

/* Reads the a{sv}. An unknown key, a key given twice or a value of another type is InvalidArgs. */
int bus_message_read_options(sd_bus_message *m, const BusOption *options, sd_bus_error *error);

/* Those of Apply and Revert (bus-job-options.c). */
int bus_message_read_operation_options(sd_bus_message *m, JobType type, OperationOptions *ret, sd_bus_error *error);

/* The descriptor stays the message's. */
int bus_message_read_fd(sd_bus_message *m, int *ret_fd, sd_bus_error *error);

/* A private copy of a received descriptor, which belongs to its message. */
int bus_message_copy_fd(int fd, int *ret, sd_bus_error *error);

/* NULL becomes "". Text that is not ours is made valid UTF-8 first, or the whole reply could not be sent. */
int bus_message_append_text(sd_bus_message *m, const char *s);

int bus_message_append_text_array(sd_bus_message *m, char *const *l);

/* One entry of an a{sv} whose value is text; a list of them ends with a NULL key. */
typedef struct BusText {
        const char *key;
        const char *value;
} BusText;

/* Writes what userdata is. */
typedef int (*BusAppend)(sd_bus_message *m, const void *userdata);

/* Entries of an open a{sv}; the value of the latter is one complete type, which append writes. */
int bus_message_append_text_entries(sd_bus_message *m, const BusText *texts);
int bus_message_append_entry(sd_bus_message *m, const char *key, const char *type, BusAppend append,
                             const void *userdata);
