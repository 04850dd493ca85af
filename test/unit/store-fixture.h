/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small patches for the tests of the store, in the case's temporary directory. */
#pragma once

#include "daemon/store.h"
#include "kmod/module-image.h"

#define RELEASE "6.1.0-56-amd64"
#define STATE "var/lib/livepatch"

ModuleImage *fixture_image(const char *bytes);

/* The record of a module that consists of these bytes; boot_id: transient, or NULL. */
PatchRecord *fixture_record(const char *name, const char *bytes, const char *boot_id);

/* The same, put into the store. Modes and owners as the store makes them. */
PatchRecord *fixture_put(Store *store, const char *name, const char *bytes, const char *boot_id);

/* The module file of a record, behind the store's back. */
void fixture_write_module(const PatchRecord *record, const char *bytes);
void fixture_unlink_module(const PatchRecord *record);
void fixture_link_module(const PatchRecord *record, const char *target);

void fixture_assert_module(Store *store, const PatchRecord *record, const char *bytes);
