/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A caller's module on its way to being judged: what Apply, Stage and Inspect have in common.
 *
 * Reading and verifying happens on a reader thread; judging, on the loop, against the state of that moment. */

#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/names.h"
#include "daemon/job-internal.h"
#include "daemon/policy.h"
#include "daemon/request.h"
#include "daemon/request-internal.h"

Request *request_free(Request *request) {
        if (!request)
                return NULL;
        safe_close(request->fd);
        preflight_done(&request->preflight);
        candidate_free(request->candidate);
        inspection_free(request->inspection);
        patch_record_free(request->record);
        failure_done(&request->failure);
        free(request->patch_id);
        free(request->staging_id);
        free(request->sha256);
        free(request->build_id);
        free(request->release);
        free(request);
        return NULL;
}

static void request_unlink(Request *request) {
        Manager *manager = request->manager;

        for (size_t i = 0; i < manager->n_requests; i++)
                if (manager->requests[i] == request) {
                        manager->requests[i] = manager->requests[--manager->n_requests];
                        return;
                }
}

void request_reply(Request *request, const Failure *failure, const Patch *patch, const Job *job) {
        request_unlink(request);
        if (request->kind == REQUEST_INSPECT)
                request->inspect_reply(request->inspect_userdata, failure, NULL);
        else
                reply_call(&request->reply, failure, patch, job);
        /* A reader that hangs in the kernel is left behind when the daemon stops, and its request with it. */
        if (!request->on_thread)
                request_free(request);
}

static const char *request_operation(const Request *request) {
        static const char *const words[] = {
                [REQUEST_APPLY] = "apply",
                [REQUEST_STAGE] = "stage",
                [REQUEST_INSPECT] = "inspect",
                [REQUEST_ADOPT] = "adopt",
        };

        return words[request->kind];
}

void request_refuse(Request *request) {
        const char *name = request->candidate ? request->candidate->info->name : request->patch_id;
        _cleanup_free_ char *uid = NULL;

        if (asprintf(&uid, "%u", request->uid) < 0)
                uid = NULL;
        if (request->failure.code != REFUSED_ALREADY_APPLIED)
                log_event(LOG_WARNING, LP_MESSAGE_REFUSED,
                          ((LogField[]){ { LP_FIELD_PATCH, name },
                                         { LP_FIELD_OPERATION, request_operation(request) },
                                         { LP_FIELD_KERNEL, request->manager->kernel->release },
                                         { LP_FIELD_ERROR, failure_dbus_name(request->failure.code) },
                                         { LP_FIELD_CALLER_UID, uid },
                                         {} }),
                          "Refused to %s %s%s%s: %s", request_operation(request), name ? "'" : "", name ?: "a module",
                          name ? "'" : "", failure_text(&request->failure));
        request_reply(request, &request->failure, NULL, NULL);
}

/* ---- Inspect ----------------------------------------------------------------------------------------------- */

static const char *compression_to_string(ModuleCompression compression) {
        static const char *const table[_MODULE_COMPRESSION_MAX] = {
                [MODULE_COMPRESSION_NONE] = "none",
                [MODULE_COMPRESSION_GZIP] = "gzip",
                [MODULE_COMPRESSION_XZ] = "xz",
                [MODULE_COMPRESSION_ZSTD] = "zstd",
        };

        return table[compression];
}

static void report_findings(Request *request, FindingList *ret) {
        const Preflight *preflight = &request->preflight;
        Failure *refusal = &request->inspection->refusal;

        if (!preflight->collected)
                return;
        if (preflight_findings(request->manager, &preflight->facts, &preflight->module, ret) < 0)
                return;
        if (refusal->code == 0)
                (void) preflight_refuse(ret, preflight->module.info->name, refusal);
}

static void report_inspection(Request *request) {
        _cleanup_(finding_list_done) FindingList findings = {};
        Manager *manager = request->manager;
        Inspection *inspection = request->inspection;
        Failure *refusal = &inspection->refusal;
        InspectReport report = {
                .info = inspection->info,
                .signature = &inspection->signature,
                .sha256 = module_image_sha256(inspection->image),
                .size = module_image_size(inspection->image),
                .compression = compression_to_string(module_image_compression(inspection->image)),
        };

        manager_refresh_kernel(manager);
        manager_refresh_patches(manager);
        if (refusal->code == 0 && inspection->info &&
            policy_check_module(manager->kernel, inspection->info, refusal) == 0)
                (void) policy_check_kernel(manager->kernel, refusal);
        if (refusal->code == 0 && inspection->info)
                (void) manager_check_quarantine(manager, inspection->info->name, report.sha256,
                                                inspection->info->build_id, refusal);
        report_findings(request, &findings);
        report.findings = &findings;
        report.refusal = refusal->code != 0 ? refusal : NULL;
        request_unlink(request);
        request->inspect_reply(request->inspect_userdata, NULL, &report);
        request_free(request);
}

/* ---- All of them ------------------------------------------------------------------------------------------- */

static uint64_t bytes_in_flight(const Manager *manager, uid_t uid) {
        uint64_t bytes = 0;

        for (size_t i = 0; i < manager->n_requests; i++)
                if (manager->requests[i]->uid == uid)
                        bytes += manager->requests[i]->bytes;
        for (size_t i = 0; i < manager->n_jobs; i++)
                if (manager->jobs[i]->uid == uid)
                        bytes += job_bytes(manager->jobs[i]);
        return bytes;
}

static int check_bytes(const Request *request, uint64_t more, Failure *f) {
        const Config *config = request->manager->config;

        if (bytes_in_flight(request->manager, request->uid) + more <= config->bytes_per_user_max)
                return 0;
        return failure_set(f, REFUSED_LIMITS_EXCEEDED,
                           "Modules of yours that are in work exceed the limit (BytesPerUserMax=). Nothing was "
                           "changed. Wait for some to end");
}

/* Each holds a descriptor and perhaps a thread, however small it is. */
static int check_requests(const Request *request, Failure *f) {
        const Manager *manager = request->manager;
        unsigned n = 0;

        for (size_t i = 0; i < manager->n_requests; i++)
                n += manager->requests[i]->uid == request->uid;
        if (n < manager->config->jobs_per_user_max)
                return 0;
        return failure_set(f, REFUSED_LIMITS_EXCEEDED,
                           "%u modules of yours are being read already, which is the limit (JobsPerUserMax=). Nothing "
                           "was changed. Wait for some to end", n);
}

/* For staging they do not matter: what is staged is for later. */
static int collect_facts(Request *request) {
        const Candidate *candidate = request->candidate;
        const Inspection *inspection = request->inspection;
        int root_fd = request->ingest.root_fd;

        if (request->kind == REQUEST_APPLY)
                return preflight_collect(root_fd, request->release, candidate->info, candidate->image,
                                         verified_module_signature(candidate->verified), &request->preflight);
        if (request->kind == REQUEST_INSPECT && inspection->info)
                return preflight_collect(root_fd, request->release, inspection->info, inspection->image,
                                         &inspection->signature, &request->preflight);
        return 0;
}

static void request_run(void *context) {
        Request *request = context;

        if (request->kind == REQUEST_INSPECT)
                request->failure.code = ingest_inspect(&request->ingest, &request->inspection, &request->failure);
        else if (request->kind == REQUEST_ADOPT)
                request->failure.code = request_find_adopted(request);
        else
                request->failure.code = ingest(&request->ingest, &request->candidate, &request->failure);
        if (request->failure.code == 0 && collect_facts(request) < 0)
                (void) failure_oom(&request->failure);
}

static int judge(Request *request) {
        switch (request->kind) {
        case REQUEST_APPLY:
                return request_judge_apply(request);
        case REQUEST_STAGE:
                return request_judge_stage(request);
        case REQUEST_ADOPT:
                return request_judge_adopt(request);
        case REQUEST_INSPECT:
                break; /* has its own answer */
        }
        return -EINVAL;
}

static void request_done(void *context, bool canceled) {
        Request *request = context;
        int r = 0;

        request->on_thread = false;
        if (canceled || request->manager->stopping)
                return; /* requests_cancel() answers */
        request->fd = safe_close(request->fd);
        if (request->failure.code != 0)
                return request_refuse(request);
        if (request->kind == REQUEST_INSPECT)
                return report_inspection(request);
        /* A compressed module may be larger than it looked. */
        request->bytes = 0;
        r = check_bytes(request, module_image_size(request->candidate->image), &request->failure);
        request->bytes = module_image_size(request->candidate->image);
        if (r == 0)
                r = judge(request);
        if (r != 1) {
                request->failure.code = r;
                request_refuse(request);
        }
}

int request_submit(Request *request, Failure *f) {
        Manager *manager = request->manager;
        struct stat st = {};
        Request **grown;
        int r;

        if (request->kind != REQUEST_ADOPT && fstat(request->fd, &st) < 0)
                return failure_set(f, REFUSED_INVALID_FILE, "The descriptor cannot be used: %m");
        request->bytes = S_ISREG(st.st_mode) && st.st_size > 0 ? (uint64_t) st.st_size : 0;
        request->release = strdup(manager->kernel->release);
        if (!request->release)
                return failure_oom(f);
        /* Too large is not a matter of the caller's other modules: the reader says so. */
        r = check_requests(request, f);
        if (r == 0)
                r = check_bytes(request, MIN(request->bytes, manager->config->module_size_max), f);
        if (r != 0)
                return r;
        grown = realloc(manager->requests, (manager->n_requests + 1) * sizeof(Request *));
        if (!grown)
                return failure_oom(f);
        manager->requests = grown;
        if (worker_submit(manager->reader, request_run, request_done, request) < 0)
                return failure_oom(f);
        request->on_thread = true;
        manager->requests[manager->n_requests++] = request;
        return 0;
}

int request_new(Manager *manager, RequestKind kind, int fd, uid_t uid, Request **ret) {
        Request *request = calloc(1, sizeof(Request));

        if (!request) {
                safe_close(fd);
                return -ENOMEM;
        }
        *request = (Request) {
                .manager = manager,
                .kind = kind,
                .fd = fd,
                .uid = uid,
                .ingest = manager_ingest_request(manager, fd),
        };
        *ret = request;
        return 0;
}

int manager_apply_fd(Manager *manager, int fd, const OperationOptions *options, uid_t uid, ManagerReply reply,
                     void *userdata, Failure *f) {
        _cleanup_(request_freep) Request *request = NULL;
        int r;

        if (request_new(manager, REQUEST_APPLY, fd, uid, &request) < 0)
                return failure_oom(f);
        request->options = *options;
        request->reply = (Reply) { reply, userdata };
        r = request_submit(request, f);
        if (r == 0)
                TAKE_PTR(request);
        return r;
}

int manager_stage_fd(Manager *manager, int fd, bool reapply, uid_t uid, ManagerReply reply, void *userdata,
                     Failure *f) {
        _cleanup_(request_freep) Request *request = NULL;
        int r;

        if (request_new(manager, REQUEST_STAGE, fd, uid, &request) < 0)
                return failure_oom(f);
        request->reapply = reapply;
        request->reply = (Reply) { reply, userdata };
        r = request_submit(request, f);
        if (r == 0)
                TAKE_PTR(request);
        return r;
}

int manager_inspect_fd(Manager *manager, int fd, uid_t uid, ManagerInspectReply reply, void *userdata, Failure *f) {
        _cleanup_(request_freep) Request *request = NULL;
        int r;

        if (request_new(manager, REQUEST_INSPECT, fd, uid, &request) < 0)
                return failure_oom(f);
        request->inspect_reply = reply;
        request->inspect_userdata = userdata;
        r = request_submit(request, f);
        if (r == 0)
                TAKE_PTR(request);
        return r;
}

int manager_apply(Manager *manager, const char *patch_id, const OperationOptions *options, uid_t uid,
                  ManagerReply reply, void *userdata, Failure *f) {
        _cleanup_(request_freep) Request *request = NULL;
        const Patch *patch = manager_find_patch(manager, patch_id);
        int fd, r;

        if (!patch)
                return manager_no_such_patch(patch_id, f);
        if (!patch->this_kernel)
                return failure_set(f, REFUSED_WRONG_KERNEL,
                                   "'%s' is staged for kernel %s, and the running kernel is %s. It was not loaded. It "
                                   "can be applied when that kernel runs", patch->name, patch->kernel_release,
                                   manager->kernel->release);
        if (!patch->record)
                return failure_set(f, REFUSED_ALREADY_APPLIED,
                                   "'%s' was loaded by something other than livepatchd, which has no file of it",
                                   patch->name);
        fd = store_open_module(manager->store, patch->record, f);
        if (fd < 0)
                return f->code;
        if (request_new(manager, REQUEST_APPLY, fd, uid, &request) < 0)
                return failure_oom(f);
        request->options = *options;
        request->reply = (Reply) { reply, userdata };
        request->patch_id = strdup(patch->name);
        request->sha256 = strdup(patch->record->sha256);
        if (!request->patch_id || !request->sha256)
                return failure_oom(f);
        request->ingest = manager_ingest_stored(manager, patch->record, fd, request->sha256);
        r = request_submit(request, f);
        if (r == 0)
                TAKE_PTR(request);
        return r;
}

bool requests_stage(const Manager *manager, const char *patch_id) {
        for (size_t i = 0; i < manager->n_requests; i++)
                if (streq_ptr(manager->requests[i]->staging_id, patch_id))
                        return true;
        return false;
}

void requests_cancel(Manager *manager) {
        while (manager->n_requests > 0) {
                _cleanup_failure_ Failure failure = {};

                (void) failure_set(&failure, REFUSED_CANCELED,
                                   "livepatchd is stopping. Nothing was changed. Try again");
                request_reply(manager->requests[0], &failure, NULL, NULL);
        }
        free(manager->requests);
        manager->requests = NULL;
}
