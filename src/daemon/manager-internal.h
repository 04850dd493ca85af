/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager's insides, shared by the files of the core that act on them; not for the bus layer. */
#pragma once

#include "daemon/guard-log.h"
#include "daemon/ingest.h"
#include "daemon/manager.h"
#include "daemon/store.h"
#include "daemon/worker.h"

typedef struct Plan Plan;
typedef struct Request Request;
typedef struct Transaction Transaction;
typedef struct Watch Watch;

struct Manager {
        sd_event *event;
        int root_fd;
        Config *config;
        KernelInfo *kernel;
        Store *store;

        Patch **patches;
        size_t n_patches;

        Job **jobs; /* in the order of their ids: queued, running, and finished ones in retention */
        size_t n_jobs;
        uint32_t last_job_id;
        uint64_t n_finished; /* jobs, ever */
        Job *running;
        sd_event_source *run_next;

        Request **requests; /* modules being read and judged */
        size_t n_requests;
        Plan *plans; /* being made */

        Worker *disk;    /* one thread: store writes and kernel calls, in order */
        Worker *reader;  /* reads and verifies what callers hand in; a slow file system blocks only its own request */
        Worker *counter; /* counts tasks in transition */

        Watch *watch;
        GuardLog guard_log;
        sd_event_source *guard_timer;
        const HealthRunner *health_runner; /* NULL: nobody is there to run checks */
        void *health_userdata;
        sd_event_source *confirm_timer;

        char **problems;
        size_t n_lost_records;
        const ManagerObserver *observer;
        void *observer_userdata;
        bool started; /* all that was known before is in the tables */
        bool stopping;
        bool failed_to_write;
        bool reapplying_at_boot;
};

/* At most this many modules are read at a time, whoever asks. */
#define READER_THREADS_MAX 4

/* manager.c */
void manager_notify_patch(Manager *manager, const Patch *patch, int what);
int manager_add_problem(Manager *manager, const char *format, ...) _printf_(2, 3);
void manager_drop_problem(Manager *manager, const char *line);
/* The patch of this identity, made if there is none. */
int manager_make_patch(Manager *manager, const char *name, const char *release, Patch **ret);
/* By nothing but the id, which manager_find_patch() also takes for a name. */
Patch *manager_patch_by_id(const Manager *manager, const char *id);
/* Reads the kernel's view of one patch again, notifies, and drops the patch when nothing is left of it (no record, not
 * loaded). The pointer may be dead afterwards. */
void manager_refresh_patch(Manager *manager, Patch *patch);
/* Puts a record in place (takes it over; NULL: forget) and notifies. The pointer may be dead afterwards. */
void manager_set_record(Manager *manager, const char *patch_id, PatchRecord *record);
void manager_set_runtime(Manager *manager, const char *patch_id, RuntimeRecord *runtime);
uint64_t manager_next_order(const Manager *manager);
bool manager_is_this_kernel(const Manager *manager, const char *release);
uint64_t now_realtime_usec(void);

/* manager-ingest.c: the descriptor and the digest are borrowed. */
IngestRequest manager_ingest_request(const Manager *manager, int fd);
/* Of a module in the store. It was accepted when it was staged: a clock that is wrong early in the boot, or a
 * certificate that has expired since, must not cost the machine its fixes. Revocation is checked all the same. */
IngestRequest manager_ingest_stored(const Manager *manager, const PatchRecord *record, int fd, const char *sha256);

/* manager-operations.c */
/* The record of a patch that is applied and is to last; *ret is NULL when that is what is on record. */
int manager_lasting_record(const Manager *manager, const Patch *patch, PatchRecord **ret);
int manager_no_such_patch(const char *patch_id, Failure *f);

/* guard-boot.c: reads the guard's records, and judges those of earlier boots; before anything is loaded. */
int manager_load_guard(Manager *manager, Failure *f);

/* manager-guard.c */
int manager_init_guard(Manager *manager);
/* Takes the record over. */
void manager_set_guard(Manager *manager, Patch *patch, GuardRecord *guard);
/* Whether this very build may be loaded into the running kernel, whatever is on record of the name. */
int manager_check_quarantine(const Manager *manager, const char *name, const char *sha256, const char *build_id,
                             Failure *f);
/* What a transaction left on the disk. */
void manager_take_guard(Manager *manager, Transaction *transaction);
/* Looks again when the next settle time is over. */
void manager_schedule_guard(Manager *manager);
/* Notes it on the disk, in the order of the calls. */
void manager_submit_guard_step(Manager *manager, Patch *patch, GuardStep step, const char *reason);
/* Armed in this boot. */
bool manager_patch_is_settling(const Manager *manager, const Patch *patch);
/* Tells systemd whether somebody has to come back (livepatch-settle.path). */
void manager_flag_watching(Manager *manager);

/* converge.c */
int manager_load_patches(Manager *manager, Failure *f);
int manager_converge(Manager *manager, Failure *f);

/* Replies: the failure's text and code travel, the object pointers are only valid during the call. */
typedef struct Reply {
        ManagerReply function;
        void *userdata;
} Reply;
static inline void reply_call(const Reply *reply, const Failure *failure, const Patch *patch, const Job *job) {
        if (reply->function)
                reply->function(reply->userdata, failure, patch, job);
}
