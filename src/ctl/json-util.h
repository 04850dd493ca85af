/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Documents of --json, and reading values out of them: text output is made from the same data. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctl/error.h"

/* The version of every document; raised when a key changes its meaning or goes (docs/json-schema.md). */
#define JSON_SCHEMA 1

/* {"schema": 1, key: value}; takes value over. NULL when out of memory. */
json_t *json_document(const char *key, json_t *value);

/* {"name": ..., "text": ...} */
json_t *json_error_object(const CtlError *e);

/* A member's value, or "", 0, false where it is missing or of another type. */
const char *json_text(const json_t *object, const char *key);
uint64_t json_number(const json_t *object, const char *key);
bool json_flag(const json_t *object, const char *key);

/* "KernelRelease" -> "kernel_release", "CVEs" -> "cves", "build-id" -> "build_id". NULL when out of memory. */
char *json_key_from_dbus(const char *name);

/* Arranges the properties of a patch for readers: objects and functions become objects with named members, what is
 * not known becomes null. */
int json_shape_patch(json_t *patch);
