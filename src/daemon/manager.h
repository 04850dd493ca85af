/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The core: owns patches, jobs and the store; its operations are plain C, its news go to one observer.
 *
 * Runs on one thread and one sd-event loop; whatever blocks runs on workers. No bus types here or below. */
#pragma once

#include <systemd/sd-event.h>

#include "daemon/config.h"
#include "daemon/health.h"
#include "daemon/job.h"
#include "daemon/operation-options.h"
#include "daemon/patch.h"
#include "kmod/kernel-info.h"
#include "kmod/klp-blockers.h"
#include "kmod/preflight.h"
#include "kmod/trust-store.h"

/* Called on the loop's thread. Objects are valid during the call only; in *_removed just before they are freed. */
typedef struct ManagerObserver {
        void (*patch_added)(void *userdata, const Patch *patch);
        void (*patch_changed)(void *userdata, const Patch *patch, PatchChange what);
        void (*patch_removed)(void *userdata, const Patch *patch);
        void (*job_added)(void *userdata, const Job *job);
        void (*job_changed)(void *userdata, const Job *job);
        void (*job_finished)(void *userdata, const Job *job); /* result set; the object stays JOB_RETENTION_USEC */
        void (*job_removed)(void *userdata, const Job *job);
        void (*manager_changed)(void *userdata); /* Summary or Problems */
} ManagerObserver;

/* root_fd: borrowed, must outlive the manager. kernel: taken over in any case; NULL: they are read. Takes the store's
 * lock (waiting for a reapply in progress). */
int manager_new(sd_event *event, int root_fd, KernelInfo *kernel, Manager **ret, Failure *f);

/* Ends workers, answers what is pending with REFUSED_CANCELED. Leaves the kernel and the disk as they are. */
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager *, manager_free)

void manager_set_observer(Manager *manager, const ManagerObserver *observer, void *userdata);

/* This process reapplies at boot: told in the log. */
void manager_set_booting(Manager *manager);

/* Loads the store and the kernel's state and converges what an earlier process left half done. */
int manager_start(Manager *manager, Failure *f);

const Config *manager_config(const Manager *manager);
const KernelInfo *manager_kernel(const Manager *manager);
/* The volatile kernel facts read again (mode, lockdown, taint...); before answering about them. */
void manager_refresh_kernel(Manager *manager);
/* The kernel's view of all patches read again; call before answering about patches. Notifies the observer. */
void manager_refresh_patches(Manager *manager);
/* NULL-terminated lines, valid until the next call into the manager. */
char *const *manager_problems(const Manager *manager);
/* Records that this start could not read, or set aside as damaged: nobody knows what they asked for. */
size_t manager_n_lost_records(const Manager *manager);

size_t manager_n_patches(const Manager *manager);
const Patch *manager_patch(const Manager *manager, size_t i); /* sorted: this kernel first, then by order and name */
/* By id, or by a bare name: this kernel's first, else the only one of another kernel. NULL: none, or ambiguous. */
Patch *manager_find_patch(const Manager *manager, const char *id_or_name);

size_t manager_n_jobs(const Manager *manager);
Job *manager_job(const Manager *manager, size_t i);
Job *manager_find_job(const Manager *manager, uint32_t id);

/* Nothing queued, running, or being read: the process may exit without a loss. */
bool manager_is_idle(const Manager *manager);
/* The state directory was read-only when this process began, and only the next one may see that it is not any more. */
bool manager_began_read_only(const Manager *manager);
/* Something could not be written that was to be. */
bool manager_has_failed_to_write(const Manager *manager);
/* A patch was loaded and its settle time is not over, or it has to be reverted: somebody has to stay, or come back. */
bool manager_is_settling(const Manager *manager);
/* One settles, or waits for its confirmation: somebody has to stay and watch, or come back. */
bool manager_is_watching(const Manager *manager);
/* When an unconfirmed patch is reverted: CLOCK_REALTIME, microseconds; 0 as long as its transition is not complete. */
uint64_t manager_confirm_before(const Patch *patch);

/* ---- Operations ----------------------------------------------------------------------------------------------
 * All are asynchronous: they return 0 and call the reply exactly once, later, from the loop; or they return non-zero
 * with *f filled in, and the reply is never called. fd arguments are taken over in every case. uid is the caller's,
 * for limits and records. The reply's failure is NULL on success. */

typedef void (*ManagerReply)(void *userdata, const Failure *failure, const Patch *patch, const Job *job);

/* Reads, verifies, inspects and judges the module, and queues a job: replies with that job. */
int manager_apply_fd(Manager *manager, int fd, const OperationOptions *options, uid_t uid, ManagerReply reply,
                     void *userdata, Failure *f);
int manager_apply(Manager *manager, const char *patch_id, const OperationOptions *options, uid_t uid,
                  ManagerReply reply, void *userdata, Failure *f);
/* Replies with the patch. */
int manager_stage_fd(Manager *manager, int fd, bool reapply, uid_t uid, ManagerReply reply, void *userdata, Failure *f);
/* Replies with the patch that something else has loaded, and that is livepatchd's from then on. */
int manager_adopt(Manager *manager, const char *patch_id, uid_t uid, ManagerReply reply, void *userdata, Failure *f);
/* Replies with the queued job. */
int manager_revert(Manager *manager, const char *patch_id, const OperationOptions *options, uid_t uid,
                   ManagerReply reply, void *userdata, Failure *f);
/* To the level before a cumulative patch. Replies with the queued job. */
int manager_rollback(Manager *manager, const char *patch_id, const OperationOptions *options, uid_t uid,
                     ManagerReply reply, void *userdata, Failure *f);
/* Replies when the patch is gone: no patch, no job. */
int manager_remove(Manager *manager, const char *patch_id, uid_t uid, ManagerReply reply, void *userdata, Failure *f);
int manager_set_reapply(Manager *manager, const char *patch_id, bool reapply, uid_t uid, ManagerReply reply,
                        void *userdata, Failure *f);
/* Makes what was applied on condition (confirm_within_usec) stay, as if it had been applied without. Replies with the
 * patch. */
int manager_confirm(Manager *manager, const char *patch_id, uid_t uid, ManagerReply reply, void *userdata, Failure *f);
/* Lets a quarantined build be loaded again. */
int manager_clear_quarantine(Manager *manager, const char *patch_id, uid_t uid, ManagerReply reply, void *userdata,
                             Failure *f);
/* Ends the transition that the patch is in, although tasks still use the code of before. Replies when the kernel was
 * told; the end comes within a second or so. */
int manager_force(Manager *manager, const char *patch_id, uid_t uid, ManagerReply reply, void *userdata, Failure *f);
/* All patches of this kernel that are to be reapplied and are not applied, in order, one after the other; the job fails
 * if any of them does, but goes on. */
int manager_reapply(Manager *manager, uid_t uid, ManagerReply reply, void *userdata, Failure *f);

typedef struct InspectReport {
        const ModuleInfo *info; /* NULL when the bytes could not be (or, unverified, must not be) parsed */
        const SignatureReport *signature;
        const char *sha256;
        uint64_t size;
        const char *compression; /* "none", "gzip", "xz", "zstd" */
        const Failure *refusal;  /* why it would not be applied, or NULL */
        const FindingList *findings; /* what the running kernel has against it, and more */
} InspectReport;
typedef void (*ManagerInspectReply)(void *userdata, const Failure *failure, const InspectReport *report);
int manager_inspect_fd(Manager *manager, int fd, uid_t uid, ManagerInspectReply reply, void *userdata, Failure *f);

typedef void (*ManagerTrustReply)(void *userdata, const Failure *failure, const char *fingerprint);
int manager_add_trust_fd(Manager *manager, int fd, uid_t uid, ManagerTrustReply reply, void *userdata, Failure *f);
int manager_remove_trust(Manager *manager, const char *fingerprint, uid_t uid, ManagerTrustReply reply, void *userdata,
                         Failure *f);
/* Synchronous: reads a few small local files. */
int manager_list_trust(Manager *manager, TrustStore **ret, Failure *f);

/* The tasks that hold up the transition of a patch; none when it is not in transition. Reads all of /proc, on a worker;
 * lists at most MANAGER_BLOCKERS_MAX. */
#define MANAGER_BLOCKERS_MAX 1000
typedef void (*ManagerBlockersReply)(void *userdata, const Failure *failure, const KlpBlockerList *blockers);
int manager_list_blockers(Manager *manager, const char *patch_id, ManagerBlockersReply reply, void *userdata,
                          Failure *f);
