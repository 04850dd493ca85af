/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The properties of org.livepatch.Patch, out of the record, this boot's record and the kernel's view. */

#include "common/log.h"
#include "common/string-util.h"
#include "daemon/bus-message.h"
#include "daemon/bus-patch-properties.h"

static const char *text_name(const Patch *p) {
        return p->name;
}

static const char *text_kernel_release(const Patch *p) {
        return p->kernel_release;
}

static const char *text_state(const Patch *p) {
        return patch_state_to_string(p->state);
}

static const char *text_drift(const Patch *p) {
        return p->drift;
}

static const char *text_sha256(const Patch *p) {
        return p->record ? p->record->sha256 : NULL;
}

/* Of the staged build; where nothing is staged, of the module that is loaded. */
static const char *text_build_id(const Patch *p) {
        return p->record ? p->record->build_id : p->module.build_id;
}

static const char *text_version(const Patch *p) {
        return p->record ? p->record->version : p->module.version;
}

static const char *text_description(const Patch *p) {
        return p->record ? p->record->description : NULL;
}

static const char *text_signature_status(const Patch *p) {
        return signature_status_to_string(p->record ? p->record->signature_status : SIGNATURE_UNCHECKED);
}

static const char *text_signer(const Patch *p) {
        return p->record ? p->record->signer : NULL;
}

static const char *text_kind(const Patch *p) {
        return livepatch_kind_to_string(p->record ? p->record->kind : LIVEPATCH_KIND_UNKNOWN);
}

/* The kernel knows best, where it tells (since 6.11). */
static const char *text_replace(const Patch *p) {
        if (p->klp && p->klp->replace != TRISTATE_UNKNOWN)
                return tristate_to_string(p->klp->replace);
        return tristate_to_string(p->record ? p->record->replace : TRISTATE_UNKNOWN);
}

/* One without a record is somebody else's, or was just handed over and waits for its first load. */
static const char *text_origin(const Patch *p) {
        if (p->record)
                return origin_to_string(p->record->origin);
        return origin_to_string(patch_is_loaded(p) || p->klp ? ORIGIN_EXTERNAL : ORIGIN_LOCAL);
}

static const char *text_superseded_by(const Patch *p) {
        return p->superseded_by;
}

/* Feeds are what could say something here. */
static const char *text_empty(const Patch *p _unused_) {
        return NULL;
}

static const struct {
        const char *property;
        const char *(*text)(const Patch *p);
} text_table[] = {
        { "Name", text_name },
        { "KernelRelease", text_kernel_release },
        { "State", text_state },
        { "Drift", text_drift },
        { "Sha256", text_sha256 },
        { "BuildId", text_build_id },
        { "ModuleVersion", text_version },
        { "Description", text_description },
        { "SignatureStatus", text_signature_status },
        { "Signer", text_signer },
        { "Kind", text_kind },
        { "Replace", text_replace },
        { "Severity", text_empty },
        { "Origin", text_origin },
        { "FailureReason", patch_failure_reason },
        { "QuarantineReason", patch_quarantine_reason },
        { "SupersededBy", text_superseded_by },
};

static int get_text(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                    const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        const BusPatch *found = userdata;

        for (size_t i = 0; i < ELEMENTSOF(text_table); i++)
                if (streq(text_table[i].property, property))
                        return bus_message_append_text(reply, text_table[i].text(found->patch));
        return -ENOENT;
}

static int get_reapply(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                       const char *property _unused_, sd_bus_message *reply, void *userdata,
                       sd_bus_error *error _unused_) {
        const Patch *p = ((const BusPatch *) userdata)->patch;

        return sd_bus_message_append(reply, "b", p->record && p->record->reapply);
}

/* Withdrawn: feeds say so. */
static int get_false(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                     const char *property _unused_, sd_bus_message *reply, void *userdata _unused_,
                     sd_bus_error *error _unused_) {
        return sd_bus_message_append(reply, "b", false);
}

static int get_unconfirmed(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                           const char *property _unused_, sd_bus_message *reply, void *userdata,
                           sd_bus_error *error _unused_) {
        return sd_bus_message_append(reply, "b", patch_is_unconfirmed(((const BusPatch *) userdata)->patch));
}

static int get_confirm_before(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                              const char *property _unused_, sd_bus_message *reply, void *userdata,
                              sd_bus_error *error _unused_) {
        return sd_bus_message_append(reply, "t", manager_confirm_before(((const BusPatch *) userdata)->patch));
}

static int get_quarantined_builds(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                                  const char *property _unused_, sd_bus_message *reply, void *userdata,
                                  sd_bus_error *error _unused_) {
        const Patch *p = ((const BusPatch *) userdata)->patch;

        return sd_bus_message_append(reply, "u", guard_record_n_quarantined(p->guard));
}

static int get_stack_order(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                           const char *property _unused_, sd_bus_message *reply, void *userdata,
                           sd_bus_error *error _unused_) {
        const Patch *p = ((const BusPatch *) userdata)->patch;

        return sd_bus_message_append(reply, "u", p->klp ? (uint32_t) p->klp->stack_order : 0u);
}

/* While a patch has its directory in sysfs, that shows what it patches; otherwise the record says what it would. */
static bool objects_from_kernel(const Patch *p) {
        return p->klp && p->klp->n_objects > 0;
}

static int get_objects_known(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                             const char *property _unused_, sd_bus_message *reply, void *userdata,
                             sd_bus_error *error _unused_) {
        const Patch *p = ((const BusPatch *) userdata)->patch;

        return sd_bus_message_append(reply, "b", objects_from_kernel(p) || (p->record && p->record->objects_known));
}

static int append_function(sd_bus_message *m, const char *name, unsigned sympos, bool patched) {
        return sd_bus_message_append(m, "(sub)", name, (uint32_t) sympos, patched);
}

static int open_object(sd_bus_message *m, const char *name, bool loaded) {
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_STRUCT, "sba(sub)");
        if (r < 0)
                return r;
        r = bus_message_append_text(m, name);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "b", loaded);
        return r < 0 ? r : sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "(sub)");
}

static int close_object(sd_bus_message *m) {
        int r = sd_bus_message_close_container(m);

        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* `patched` of an object exists since Linux 6.1 (Documentation/ABI/testing/sysfs-kernel-livepatch). Before, an enabled
 * patch with no transition in progress has patched all its objects that are loaded. */
static bool object_is_patched(const KlpPatch *klp, const KlpObject *object) {
        if (object->patched != TRISTATE_UNKNOWN)
                return object->patched == TRISTATE_YES;
        return klp->enabled && !klp->transition && object->loaded;
}

static int append_kernel_objects(sd_bus_message *m, const KlpPatch *klp) {
        int r;

        for (size_t i = 0; i < klp->n_objects; i++) {
                const KlpObject *object = &klp->objects[i];
                bool patched = object_is_patched(klp, object);

                r = open_object(m, object->name, object->loaded);
                for (size_t j = 0; r >= 0 && j < object->n_functions; j++)
                        r = append_function(m, object->functions[j].name, object->functions[j].sympos, patched);
                if (r >= 0)
                        r = close_object(m);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool object_is_loaded(const Bus *bus, const Patch *p, const char *name) {
        _cleanup_(kernel_module_done) KernelModule module = {};

        if (!p->this_kernel)
                return false;
        if (streq(name, "vmlinux"))
                return true;
        return kernel_module_read(bus->root_fd, name, &module) >= 0 && module.live;
}

static int append_recorded_objects(const Bus *bus, const Patch *p, sd_bus_message *m) {
        int r;

        for (size_t i = 0; p->record && i < p->record->n_objects; i++) {
                const ModuleObject *object = &p->record->objects[i];

                r = open_object(m, object->name, object_is_loaded(bus, p, object->name));
                for (size_t j = 0; r >= 0 && j < object->n_functions; j++)
                        r = append_function(m, object->functions[j].name, object->functions[j].sympos, false);
                if (r >= 0)
                        r = close_object(m);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int get_objects(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                       const char *property _unused_, sd_bus_message *reply, void *userdata,
                       sd_bus_error *error _unused_) {
        const BusPatch *found = userdata;
        const Patch *p = found->patch;
        int r;

        r = sd_bus_message_open_container(reply, SD_BUS_TYPE_ARRAY, "(sba(sub))");
        if (r < 0)
                return r;
        r = objects_from_kernel(p) ? append_kernel_objects(reply, p->klp) :
                                     append_recorded_objects(found->bus, p, reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_cves(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                    const char *property _unused_, sd_bus_message *reply, void *userdata _unused_,
                    sd_bus_error *error _unused_) {
        return sd_bus_message_append(reply, "as", 0);
}

static int get_supersedes(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                          const char *property _unused_, sd_bus_message *reply, void *userdata,
                          sd_bus_error *error _unused_) {
        const Patch *p = ((const BusPatch *) userdata)->patch;
        int r = sd_bus_message_open_container(reply, SD_BUS_TYPE_ARRAY, "s");

        for (size_t i = 0; r >= 0 && p->record && i < p->record->n_supersedes; i++)
                r = sd_bus_message_append_basic(reply, 's', p->record->supersedes[i].name);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_applied_at(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                          const char *property _unused_, sd_bus_message *reply, void *userdata,
                          sd_bus_error *error _unused_) {
        return sd_bus_message_append(reply, "t", patch_applied_at(((const BusPatch *) userdata)->patch));
}

static int get_applied_by(sd_bus *b _unused_, const char *path _unused_, const char *interface _unused_,
                          const char *property _unused_, sd_bus_message *reply, void *userdata,
                          sd_bus_error *error _unused_) {
        return sd_bus_message_append(reply, "u", (uint32_t) patch_applied_by(((const BusPatch *) userdata)->patch));
}

const sd_bus_vtable bus_patch_properties_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("KernelRelease", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Reapply", "b", get_reapply, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Drift", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Withdrawn", "b", get_false, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Unconfirmed", "b", get_unconfirmed, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ConfirmBefore", "t", get_confirm_before, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Sha256", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("BuildId", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ModuleVersion", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Description", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("SignatureStatus", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Signer", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Kind", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Replace", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("StackOrder", "u", get_stack_order, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ObjectsKnown", "b", get_objects_known, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Objects", "a(sba(sub))", get_objects, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("CVEs", "as", get_cves, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Severity", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Origin", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("AppliedAt", "t", get_applied_at, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("AppliedBy", "u", get_applied_by, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("FailureReason", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("QuarantineReason", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("QuarantinedBuilds", "u", get_quarantined_builds, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Supersedes", "as", get_supersedes, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("SupersededBy", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

static int append_entry(BusPatch *found, const sd_bus_vtable *v, sd_bus_message *m) {
        const char *member = v->x.property.member, *signature = v->x.property.signature;
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_DICT_ENTRY, "sv");
        if (r < 0)
                return r;
        r = sd_bus_message_append_basic(m, 's', member);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, SD_BUS_TYPE_VARIANT, signature);
        if (r < 0)
                return r;
        r = v->x.property.get(found->bus->bus, NULL, NULL, member, m, found, NULL);
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* Walks the vtable, so that the list and the objects cannot tell different things. */
int bus_patch_append_properties(Bus *bus, const Patch *patch, sd_bus_message *m) {
        BusPatch found = { .bus = bus, .patch = patch };
        int r;

        for (const sd_bus_vtable *v = bus_patch_properties_vtable; v->type != _SD_BUS_VTABLE_END; v++) {
                if (v->type != _SD_BUS_VTABLE_PROPERTY)
                        continue;
                r = append_entry(&found, v, m);
                if (r < 0)
                        return r;
        }
        return 0;
}
