/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* D-Bus values as JSON. */
#pragma once

#include <jansson.h>
#include <systemd/sd-bus.h>

/* The next value of a message, whatever its type: dictionaries become objects, with the keys of --json; arrays and
 * structures become arrays; variants are what they hold. Strings are cleaned (clean_text()). 0 or negative errno. */
int client_read_json(sd_bus_message *m, json_t **ret);
