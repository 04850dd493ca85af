/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Patch records in memory: made from what a module says, copied, freed. */

#include "common/string-util.h"
#include "daemon/record-json.h"
#include "daemon/record-level.h"
#include "daemon/record-manifest.h"

#define ELLIPSIS_LENGTH STRLEN("...")

static void objects_free(ModuleObject *objects, size_t n_objects) {
        for (size_t i = 0; i < n_objects; i++) {
                for (size_t j = 0; j < objects[i].n_functions; j++)
                        free(objects[i].functions[j].name);
                free(objects[i].functions);
                free(objects[i].name);
        }
        free(objects);
}

PatchRecord *patch_record_free(PatchRecord *record) {
        if (!record)
                return NULL;
        free(record->name);
        free(record->kernel_release);
        free(record->sha256);
        free(record->build_id);
        free(record->srcversion);
        free(record->version);
        free(record->description);
        free(record->signer);
        free(record->signer_fingerprint);
        free(record->transient_boot_id);
        objects_free(record->objects, record->n_objects);
        free(record->states);
        record_clear_level(record);
        free(record);
        return NULL;
}

/* A record must always be readable again, so text is brought into the shape that reading demands. */
static int copy_text(char **ret, const char *text) {
        char *copy;

        if (!text)
                return 0;
        copy = sanitize_text(text, RECORD_TEXT_MAX - ELLIPSIS_LENGTH);
        if (!copy)
                return -ENOMEM;
        free(*ret);
        *ret = copy;
        return 0;
}

bool record_function_name_is_valid(const char *s) {
        /* It names a directory in sysfs (Documentation/ABI/testing/sysfs-kernel-livepatch). */
        return *s && strlen(s) <= RECORD_FUNCTION_NAME_MAX && !strchr(s, '/') && record_text_is_valid(s);
}

static bool objects_are_valid(const ModuleObject *objects, size_t n_objects) {
        for (size_t i = 0; i < n_objects; i++) {
                if (!module_name_is_valid(objects[i].name))
                        return false;
                for (size_t j = 0; j < objects[i].n_functions; j++)
                        if (!record_function_name_is_valid(objects[i].functions[j].name))
                                return false;
        }
        return true;
}

static int copy_functions(ModuleObject *to, const ModuleObject *from) {
        if (from->n_functions == 0)
                return 0;
        to->functions = calloc(from->n_functions, sizeof(ModuleFunction));
        if (!to->functions)
                return -ENOMEM;
        for (; to->n_functions < from->n_functions; to->n_functions++) {
                const ModuleFunction *function = &from->functions[to->n_functions];
                char *name = strdup(function->name);

                if (!name)
                        return -ENOMEM;
                to->functions[to->n_functions] = (ModuleFunction) { .name = name, .sympos = function->sympos };
        }
        return 0;
}

static int copy_objects(PatchRecord *record, const ModuleObject *objects, size_t n_objects) {
        if (n_objects == 0)
                return 0;
        record->objects = calloc(n_objects, sizeof(ModuleObject));
        if (!record->objects)
                return -ENOMEM;
        for (size_t i = 0; i < n_objects; i++) {
                ModuleObject *object = &record->objects[i];
                int r;

                record->n_objects++;
                object->name = strdup(objects[i].name);
                if (!object->name)
                        return -ENOMEM;
                r = copy_functions(object, &objects[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int copy_states(PatchRecord *record, const ModuleState *states, size_t n_states) {
        if (n_states == 0)
                return 0;
        record->states = calloc(n_states, sizeof(ModuleState));
        if (!record->states)
                return -ENOMEM;
        memcpy(record->states, states, n_states * sizeof(ModuleState));
        record->n_states = n_states;
        return 0;
}

/* No kernel developer numbers them so high; JSON would not hold them. */
static bool states_are_valid(const ModuleState *states, size_t n_states) {
        for (size_t i = 0; i < n_states; i++)
                if (states[i].id > INT64_MAX)
                        return false;
        return true;
}

static int copy_info(PatchRecord *record, const ModuleInfo *info) {
        int r = free_and_strdup(&record->name, info->name);

        if (r >= 0)
                r = free_and_strdup(&record->kernel_release, info->kernel_release);
        if (r >= 0)
                r = copy_text(&record->build_id, info->build_id);
        if (r >= 0)
                r = copy_text(&record->srcversion, info->srcversion);
        if (r >= 0)
                r = copy_text(&record->version, info->version);
        if (r >= 0)
                r = copy_text(&record->description, info->description);
        /* Names that no kernel could have: what this module patches is not known, then. */
        record->objects_known = info->objects_known && objects_are_valid(info->objects, info->n_objects);
        if (r >= 0 && record->objects_known)
                r = copy_objects(record, info->objects, info->n_objects);
        if (r >= 0 && states_are_valid(info->states, info->n_states))
                r = copy_states(record, info->states, info->n_states);
        return r;
}

/**
 * patch_record_new() - the record of a module that was just verified and inspected
 *
 * A module for no kernel in particular (no vermagic) cannot be recorded: -EINVAL.
 */
int patch_record_new(const ModuleInfo *info, const SignatureReport *signature, const char *sha256, PatchRecord **ret) {
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;
        int r;

        if (!module_name_is_valid(info->name) || !kernel_release_is_valid(info->kernel_release) ||
            !sha256_is_valid(sha256))
                return -EINVAL;
        record = calloc(1, sizeof(PatchRecord));
        if (!record)
                return -ENOMEM;
        record->signature_status = signature->status;
        record->kind = info->kind;
        record->replace = info->replace;
        record->origin = ORIGIN_LOCAL;
        record->staged_by = UID_UNKNOWN;
        r = copy_info(record, info);
        if (r >= 0)
                r = free_and_strdup(&record->sha256, sha256);
        if (r >= 0)
                r = copy_text(&record->signer, signature->signer);
        if (r >= 0)
                r = copy_text(&record->signer_fingerprint, signature->signer_fingerprint);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(record);
        return 0;
}

static int copy_strings(PatchRecord *to, const PatchRecord *from) {
        const struct {
                char **to;
                const char *from;
        } strings[] = {
                { &to->name, from->name },
                { &to->kernel_release, from->kernel_release },
                { &to->sha256, from->sha256 },
                { &to->build_id, from->build_id },
                { &to->srcversion, from->srcversion },
                { &to->version, from->version },
                { &to->description, from->description },
                { &to->signer, from->signer },
                { &to->signer_fingerprint, from->signer_fingerprint },
                { &to->transient_boot_id, from->transient_boot_id },
        };

        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                int r;

                *strings[i].to = NULL;
                r = free_and_strdup(strings[i].to, strings[i].from);
                if (r < 0)
                        return r;
        }
        return 0;
}

int patch_record_copy(const PatchRecord *record, PatchRecord **ret) {
        _cleanup_(patch_record_freep) PatchRecord *copy = calloc(1, sizeof(PatchRecord));
        int r;

        if (!copy)
                return -ENOMEM;
        copy->size = record->size;
        copy->signature_status = record->signature_status;
        copy->kind = record->kind;
        copy->replace = record->replace;
        copy->objects_known = record->objects_known;
        copy->origin = record->origin;
        copy->reapply = record->reapply;
        copy->order = record->order;
        copy->staged_at = record->staged_at;
        copy->staged_by = record->staged_by;
        r = copy_strings(copy, record);
        if (r >= 0)
                r = copy_objects(copy, record->objects, record->n_objects);
        if (r >= 0)
                r = copy_states(copy, record->states, record->n_states);
        if (r >= 0)
                r = record_copy_level(copy, record);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(copy);
        return 0;
}
