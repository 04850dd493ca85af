/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection to livepatchd: calls, and their failures as text and exit code.
 *
 * Functions that take a CtlError return 0, or the exit code after filling it in. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "ctl/error.h"
#include "ctl/options.h"

typedef struct Client Client;

/* Connects to the bus of this machine or of options->host; livepatchd is started by the first call. */
int client_new(const Options *o, Client **ret, CtlError *e);
Client *client_free(Client *c);
DEFINE_CLEANUP(Client *, client_free)

sd_bus *client_bus(Client *c);
const Options *client_options(const Client *c);

typedef struct ClientCall {
        const char *path;
        const char *interface;
        const char *member;
        bool action; /* changes something: may ask for a password, may take as long as it takes, is never repeated */
        bool silent; /* nobody is asked for a password: it is denied, then */
        char *const *strings; /* an array of strings that comes before the other arguments; NULL: there is none */
        int (*append)(sd_bus_message *m, const Options *o); /* what comes behind them; NULL: nothing */
} ClientCall;

/* types and the arguments behind it as of sd_bus_message_append(); NULL for none. A call that only reads is repeated
 * once when livepatchd goes away in the middle of it. ret_reply may be NULL. */
int client_call(Client *c, const ClientCall *call, sd_bus_message **ret_reply, CtlError *e, const char *types, ...);

/* Calls an action that replies with one object path or string. */
int client_call_for_string(Client *c, const ClientCall *call, char **ret, CtlError *e, const char *types, ...);

/* All properties of an object's interface, with the keys of --json. */
int client_get_properties(Client *c, const char *path, const char *interface, json_t **ret, CtlError *e);

/* An array with all properties of every patch, shaped for readers. */
int client_list_patches(Client *c, json_t **ret, CtlError *e);

/* An array with all properties of every job that has not ended, and its path. */
int client_list_jobs(Client *c, json_t **ret, CtlError *e);

/* The object path of a patch; a name that does not exist gets a suggestion. '-' may be written for '_', as with
 * modprobe(8). */
int client_get_patch(Client *c, const char *name, char **ret_path, CtlError *e);

/* The same, and all its properties. */
int client_get_patch_properties(Client *c, const char *name, json_t **ret, CtlError *e);

/* Explains that the bus cannot be reached (any more). */
int client_not_connected(const Client *c, CtlError *e, int r);

/* Explains a reply that makes no sense (or out of memory). */
int client_bad_reply(CtlError *e, int r);
