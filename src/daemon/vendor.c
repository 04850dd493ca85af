/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The patches that packages bring, in /usr/lib/livepatch/patches. */

#include "common/string-util.h"
#include "daemon/policy.h"
#include "daemon/record-level.h"
#include "daemon/vendor.h"

/* One file, from being opened until it is a patch's. */
typedef struct Vendor {
        Manager *manager;
        char *name;
        int fd;
        IngestRequest ingest;
        Candidate *candidate;
        Failure failure;
        VendorRevealed done;
        void *userdata;
} Vendor;

static Vendor *vendor_free(Vendor *vendor) {
        if (!vendor)
                return NULL;
        safe_close(vendor->fd);
        candidate_free(vendor->candidate);
        failure_done(&vendor->failure);
        free(vendor->name);
        free(vendor);
        return NULL;
}
DEFINE_CLEANUP(Vendor *, vendor_free)

static int vendor_new(Manager *manager, const char *name, Vendor **ret) {
        _cleanup_(vendor_freep) Vendor *vendor = calloc(1, sizeof(Vendor));

        if (!vendor)
                return -ENOMEM;
        vendor->fd = -EBADF;
        vendor->manager = manager;
        vendor->name = strdup(name);
        if (!vendor->name)
                return -ENOMEM;
        vendor->fd = store_open_vendor(manager->store, manager->kernel->release, name, &vendor->failure);
        if (vendor->fd < 0)
                vendor->failure.code = vendor->failure.code ?: vendor->fd;
        vendor->ingest = manager_ingest_request(manager, vendor->fd);
        vendor->ingest.skip_validity = true; /* installed with a package: judged by trust and revocation */
        *ret = TAKE_PTR(vendor);
        return 0;
}

static void vendor_run(void *context) {
        Vendor *vendor = context;

        if (vendor->failure.code == 0)
                vendor->failure.code = ingest(&vendor->ingest, &vendor->candidate, &vendor->failure);
}

static int judge(const Vendor *vendor, Failure *f) {
        const ModuleInfo *info = vendor->candidate->info;
        int r = policy_check_module(vendor->manager->kernel, info, f);

        if (r == 0 && !streq(info->name, vendor->name))
                r = failure_set(f, REFUSED_MALFORMED_MODULE, "The file holds the module '%s'", info->name);
        return r;
}

/* Of another build, it no longer says anything. */
static int take_over_level(const PatchRecord *ours, PatchRecord *record) {
        int r;

        if (!ours || !streq(ours->sha256, record->sha256))
                return 0;
        r = record_copy_level(record, ours);
        return r < 0 ? r : free_and_strdup(&record->transient_boot_id, ours->transient_boot_id);
}

/* The vendor's file decides what the patch is; a manifest of ours, only whether it is reapplied and when. */
static int make_record(const Vendor *vendor, const PatchRecord *ours, PatchRecord **ret) {
        const Candidate *candidate = vendor->candidate;
        _cleanup_(patch_record_freep) PatchRecord *record = NULL;
        int r = patch_record_new(candidate->info, verified_module_signature(candidate->verified),
                                 module_image_sha256(candidate->image), &record);

        if (r < 0)
                return r;
        record->origin = ORIGIN_VENDOR;
        record->reapply = ours ? ours->reapply : true;
        record->order = ours ? ours->order : 0; /* before what the administrator added */
        record->staged_by = UID_UNKNOWN;
        r = take_over_level(ours, record);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(record);
        return 0;
}

static int vendor_take(Vendor *vendor) {
        Manager *manager = vendor->manager;
        PatchRecord *record;
        Patch *patch;
        int r;

        if (vendor->failure.code == 0)
                vendor->failure.code = judge(vendor, &vendor->failure);
        if (vendor->failure.code != 0)
                return manager_add_problem(manager, "/usr/lib/livepatch/patches/%s/%s.ko is left out: %s",
                                           manager->kernel->release, vendor->name, failure_text(&vendor->failure));
        r = manager_make_patch(manager, vendor->name, manager->kernel->release, &patch);
        if (r < 0)
                return r;
        r = make_record(vendor, patch->record, &record);
        if (r < 0)
                return r;
        manager_set_record(manager, vendor->name, record);
        return 0;
}

/* The administrator's own build of the name comes first. */
static bool is_hidden(const Manager *manager, const char *name) {
        const Patch *patch = manager_patch_by_id(manager, name);

        return patch && patch->record && patch->record->origin != ORIGIN_VENDOR;
}

static bool is_among(char *const *names, const char *name) {
        for (; names && *names; names++)
                if (streq(*names, name))
                        return true;
        return false;
}

/* ---- At the start ------------------------------------------------------------------------------------------ */

/* The package is gone: what was decided about its patch stays on the disk, for when it comes back, but there is nothing
 * to apply. */
static void leave_out_missing(Manager *manager, char *const *names) {
        for (size_t i = 0; i < manager->n_patches; i++) {
                Patch *patch = manager->patches[i];

                if (patch->this_kernel && patch->record && patch->record->origin == ORIGIN_VENDOR &&
                    !patch->module.present && !is_among(names, patch->name))
                        patch->record = patch_record_free(patch->record);
        }
}

int manager_take_vendor_patches(Manager *manager) {
        _cleanup_strv_free_ char **names = NULL;
        int r = store_list_vendor(manager->store, manager->kernel->release, &names);

        if (r < 0 && r != -ENOENT)
                return r;
        for (char **name = names; name && *name; name++) {
                _cleanup_(vendor_freep) Vendor *vendor = NULL;

                if (is_hidden(manager, *name))
                        continue;
                r = vendor_new(manager, *name, &vendor);
                if (r < 0)
                        return r;
                vendor_run(vendor);
                r = vendor_take(vendor);
                if (r < 0)
                        return r;
        }
        leave_out_missing(manager, names);
        return 0;
}

/* ---- Later ------------------------------------------------------------------------------------------------- */

static void on_read(void *context, bool canceled) {
        _cleanup_(vendor_freep) Vendor *vendor = context;

        if (canceled || vendor->manager->stopping)
                return;
        if (!is_hidden(vendor->manager, vendor->name))
                (void) vendor_take(vendor); /* out of memory: the next start lists it */
        vendor->done(vendor->userdata);
}

int manager_reveal_vendor(Manager *manager, const char *name, VendorRevealed done, void *userdata) {
        _cleanup_(vendor_freep) Vendor *vendor = NULL;
        _cleanup_strv_free_ char **names = NULL;
        int r = store_list_vendor(manager->store, manager->kernel->release, &names);

        if (r < 0 || !is_among(names, name))
                return r == -ENOENT ? 0 : MIN(r, 0);
        r = vendor_new(manager, name, &vendor);
        if (r < 0)
                return r;
        vendor->done = done;
        vendor->userdata = userdata;
        r = worker_submit(manager->reader, vendor_run, on_read, vendor);
        if (r < 0)
                return r;
        TAKE_PTR(vendor);
        return 1;
}
