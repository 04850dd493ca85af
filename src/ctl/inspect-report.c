/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be told about a module file without livepatchd: who signed it, what it patches, whether it would pass. */

#include <string.h>
#include <time.h>

#include "common/string-util.h"
#include "ctl/inspect-external.h"
#include "ctl/inspect-report.h"
#include "ctl/module-file.h"
#include "kmod/kernel-info.h"
#include "kmod/kernel-module.h"
#include "kmod/module-elf.h"
#include "kmod/module-image.h"
#include "kmod/module-verify.h"
#include "kmod/preflight.h"
#include "kmod/trust-store.h"

typedef struct Inspection {
        ModuleImage *image;
        ModuleInfo *info;
        KernelInfo *kernel;
        TrustStore *store;
        SignatureReport signature;
        PreflightFacts facts;
        FindingList findings;
} Inspection;

static void inspection_done(Inspection *i) {
        finding_list_done(&i->findings);
        preflight_facts_done(&i->facts);
        signature_report_done(&i->signature);
        module_info_free(i->info);
        kernel_info_free(i->kernel);
        trust_store_unref(i->store);
        module_image_unref(i->image);
}

static uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

static int inspection_read(Inspection *i, int root_fd, int module_fd, Failure *f) {
        ModuleElfContext context = {};
        int r;

        r = module_image_new_from_fd(module_fd, MODULE_FILE_MAX, NULL, &i->image, f);
        if (r != 0)
                return r;
        r = kernel_info_read(root_fd, &i->kernel);
        if (r < 0)
                return failure_set(f, r, "Failed to find out about the running kernel: %s", strerror(-r));
        r = trust_store_new(root_fd, &i->store, f);
        if (r != 0)
                return r;
        r = module_signature_check(i->image, i->store, now_usec(), false, &i->signature);
        if (r < 0)
                return failure_set(f, r, "Failed to check the signature: %s", strerror(-r));
        /* Without BTF the sizes are derived from the module itself. */
        (void) module_elf_context_from_btf(root_fd, &context);
        return module_elf_inspect_untrusted(module_image_data(i->image), module_image_size(i->image), &context,
                                            &i->info, f);
}

/* The checks that livepatchd makes, in its order; those that need its state or the kernel's cannot be made here. */
static int inspection_judge(const Inspection *i, Failure *f) {
        const ModuleInfo *info = i->info;
        int refusal = signature_status_to_refusal(i->signature.status);
        const Finding *blocker;

        if (refusal != 0)
                return failure_set(f, refusal, "%s", strempty(i->signature.text));
        if (!info->livepatch)
                return failure_set(f, REFUSED_NOT_A_LIVEPATCH, "It is a kernel module, but not a livepatch");
        if (info->machine != module_elf_machine_from_architecture(i->kernel->architecture))
                return failure_set(f, REFUSED_WRONG_ARCHITECTURE, "It was built for %s, and this machine is %s",
                                   module_elf_machine_to_string(info->machine), i->kernel->architecture);
        if (!streq_ptr(info->kernel_release, i->kernel->release))
                return failure_set(f, REFUSED_WRONG_KERNEL, "It was built for kernel %s, and %s is running",
                                   info->kernel_release ?: "(it does not say which)", i->kernel->release);
        if (!i->kernel->livepatch_supported)
                return failure_set(f, REFUSED_NOT_SUPPORTED, "The running kernel cannot be live-patched: it has no "
                                   "/sys/kernel/livepatch (CONFIG_LIVEPATCH)");
        blocker = finding_list_blocker(&i->findings);
        return blocker ? failure_set(f, blocker->refusal, "%s", blocker->text) : 0;
}

static Tristate is_loaded(int root_fd, const ModuleInfo *info) {
        _cleanup_(kernel_module_done) KernelModule module = {};

        if (kernel_module_read(root_fd, info->name, &module) < 0 || !module.present ||
            (!module.build_id && !info->build_id))
                return TRISTATE_UNKNOWN;
        return streq_ptr(module.build_id, info->build_id) ? TRISTATE_YES : TRISTATE_NO;
}

/* With what this user may see of the kernel. */
static int inspection_collect(Inspection *i, const Options *o, int root_fd) {
        const ModuleInfo *info = i->info;
        _cleanup_strv_free_ char **external = NULL;
        _cleanup_free_ char *key_id = NULL;
        PreflightSubject subject;
        int r;

        if (!info->livepatch || !streq_ptr(info->kernel_release, i->kernel->release))
                return 0;
        r = kernel_functions_add(&i->facts.functions, info->objects, info->n_objects);
        if (r >= 0)
                r = preflight_facts_collect(root_fd, &i->facts);
        if (r >= 0)
                r = kernel_keys_wanted(i->image, i->store, &i->signature, &key_id);
        if (r >= 0 && o && i->facts.patches.n > 0)
                r = inspect_list_external(o, i->kernel->release, &external);
        if (r < 0)
                return r;
        subject = preflight_subject_of_module(info, &i->signature, key_id);
        subject.is_loaded = is_loaded(root_fd, info);
        subject.external = external;
        return preflight_judge(&subject, &i->facts, i->kernel, &i->findings);
}

static json_t *findings_to_json(const FindingList *list) {
        json_t *findings = json_array();

        for (size_t i = 0; i < list->n; i++) {
                const Finding *f = &list->findings[i];

                (void) json_array_append_new(findings, json_pack("{s:s, s:s, s:s, s:s, s:s}",
                                                                 "severity", finding_severity_to_string(f->severity),
                                                                 "code", f->code, "object", strempty(f->object),
                                                                 "function", strempty(f->function), "text", f->text));
        }
        return findings;
}

static json_t *functions_to_json(const ModuleObject *object) {
        json_t *functions = json_array();

        for (size_t i = 0; i < object->n_functions; i++)
                (void) json_array_append_new(functions, json_pack("{s:s, s:i}", "name", object->functions[i].name,
                                                                  "sympos", (int) object->functions[i].sympos));
        return functions;
}

static json_t *objects_to_json(const ModuleInfo *info) {
        json_t *objects = json_array();

        for (size_t i = 0; i < info->n_objects; i++)
                (void) json_array_append_new(objects, json_pack("{s:s, s:o}", "name", info->objects[i].name,
                                                                "functions", functions_to_json(info->objects + i)));
        return objects;
}

static json_t *module_to_json(const ModuleInfo *info) {
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:b, s:o}",
                         "name", strempty(info->name),
                         "kernel_release", strempty(info->kernel_release),
                         "vermagic", strempty(info->vermagic),
                         "version", strempty(info->version),
                         "description", strempty(info->description),
                         "license", strempty(info->license),
                         "srcversion", strempty(info->srcversion),
                         "build_id", strempty(info->build_id),
                         "architecture", module_elf_machine_to_string(info->machine),
                         "livepatch", info->livepatch,
                         "kind", livepatch_kind_to_string(info->kind),
                         "replace", tristate_to_string(info->replace),
                         "objects_known", info->objects_known,
                         "objects", objects_to_json(info));
}

static const char *compression_name(ModuleCompression compression) {
        static const char *const names[_MODULE_COMPRESSION_MAX] = {
                [MODULE_COMPRESSION_NONE] = "none",
                [MODULE_COMPRESSION_GZIP] = "gzip",
                [MODULE_COMPRESSION_XZ] = "xz",
                [MODULE_COMPRESSION_ZSTD] = "zstd",
        };

        return names[compression];
}

static int inspection_to_json(const Inspection *i, const Failure *verdict, json_t **ret) {
        const SignatureReport *s = &i->signature;
        json_auto_t *report = module_to_json(i->info), *rest = NULL;

        rest = json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:b, s:s, s:s}",
                         "sha256", module_image_sha256(i->image),
                         "size", (json_int_t) module_image_size(i->image),
                         "compression", compression_name(module_image_compression(i->image)),
                         "signature_status", signature_status_to_string(s->status),
                         "signer", strempty(s->signer),
                         "signer_fingerprint", strempty(s->signer_fingerprint),
                         "digest", strempty(s->digest),
                         "signature_text", strempty(s->text),
                         "running_kernel_release", i->kernel->release,
                         "findings", findings_to_json(&i->findings),
                         "would_apply", verdict->code == 0,
                         "refusal", verdict->code == 0 ? "" : failure_dbus_name(verdict->code),
                         "refusal_text", verdict->code == 0 ? "" : failure_text(verdict));
        if (!rest || !report || json_object_update(report, rest) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(report);
        return 0;
}

int inspect_report_new(const Options *o, int root_fd, int module_fd, json_t **ret, CtlError *e) {
        _cleanup_(inspection_done) Inspection i = {};
        _cleanup_failure_ Failure f = {}, verdict = {};
        int r;

        r = inspection_read(&i, root_fd, module_fd, &f);
        if (r != 0)
                return ctl_error_from_failure(e, &f);
        r = inspection_collect(&i, o, root_fd);
        if (r >= 0)
                r = inspection_judge(&i, &verdict);
        if (r >= 0)
                r = inspection_to_json(&i, &verdict, ret);
        return r < 0 ? ctl_error_oom(e) : 0;
}
