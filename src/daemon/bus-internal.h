/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the bus layer share: the connection's state, and one register function an interface. */
#pragma once

#include <systemd/sd-bus.h>

#include "daemon/bus-changes.h"
#include "daemon/bus-health.h"
#include "daemon/bus-idle.h"
#include "daemon/bus-polkit.h"
#include "daemon/bus-queue.h"
#include "daemon/bus.h"

/* What a find function hands to handlers and getters: valid until the next look-up, so a handler copies what it needs
 * before it does anything that may announce a change. */
typedef struct BusPatch {
        Bus *bus;
        const Patch *patch;
} BusPatch;

typedef struct BusJob {
        Bus *bus;
        Job *job;
} BusJob;

typedef struct BusRequest BusRequest;
typedef struct BusSubscriber BusSubscriber;

struct Bus {
        sd_event *event;
        sd_bus *bus;
        Manager *manager; /* borrowed; NULL once stopped */
        int root_fd;      /* borrowed */
        sd_bus_slot *left;
        BusQueue *queue;
        BusPolkit *polkit;
        BusIdle *idle;
        BusHealth *health; /* NULL unless HealthCheckUnit= is set */
        BusChanges changes;
        BusSubscriber *subscribers; /* list */
        BusRequest *requests; /* list: calls that wait for the core's answer */

        uint64_t began_usec; /* CLOCK_MONOTONIC */
        uint64_t patches_refreshed_at; /* iterations of the event loop */
        uint64_t kernel_refreshed_at;

        BusPatch found_patch;
        BusJob found_job;
        const Patch *leaving_patch; /* just being removed from the core's tables */
        const Job *leaving_job;
};

int bus_manager_register(Bus *bus);
int bus_patch_register(Bus *bus);
int bus_job_register(Bus *bus);
int bus_log_control_register(Bus *bus);

/* The kernel's view read again, at most once a dispatched message, and never while the core is announcing something. */
void bus_refresh_patches(Bus *bus);
void bus_refresh_kernel(Bus *bus);

int bus_patch_path(const Patch *patch, char **ret);
int bus_job_path(uint32_t id, char **ret);

/* Every property of org.livepatch.Patch as the entries of an open a{sv}. */
int bus_patch_append_properties(Bus *bus, const Patch *patch, sd_bus_message *m);

/* The entry "findings" of an open a{sv}; in bus-plan.c. */
int bus_append_findings(sd_bus_message *m, const FindingList *findings);

/* Callers that the daemon stays for; in bus-subscribe.c. */
int bus_method_subscribe(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_method_unsubscribe(sd_bus_message *m, void *userdata, sd_bus_error *error);
/* A connection has left the bus. */
void bus_subscribers_leave(Bus *bus, const char *sender);
void bus_subscribers_done(Bus *bus);

/* Handlers of methods that do no more than ask the core; in bus-blockers.c, bus-inspect.c, bus-plan.c and
 * bus-trust.c. */
int bus_method_list_blockers(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_method_inspect(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_method_plan(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_method_add_trust(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_method_remove_trust(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_method_list_trust(sd_bus_message *m, void *userdata, sd_bus_error *error);
