/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A manager over a fake kernel (test/mock/README.md) in the case's temporary directory. */
#pragma once

#include <sys/types.h>

#include "daemon/manager.h"

#define RELEASE "6.12.0-fake"
#define OTHER_RELEASE "6.12.9-other"
#define STATE "var/lib/livepatch"
#define RUN "run/livepatch"
#define UID ((uid_t) 1000)

#define PLAIN (&(OperationOptions) {})
#define RUNTIME(value) (&(OperationOptions) { .runtime = (value) })

/* What the observer was told of one patch, to be held against what is true. */
typedef struct Told {
        char *id;
        PatchState state;
        bool reapply;
        char *sha256;
        char *failure;
} Told;

typedef struct Rig {
        char *path;
        int root_fd;
        pid_t kernel;
        sd_event *event;
        Manager *manager;

        Told *told;
        size_t n_told;
        unsigned n_jobs_added;
        unsigned n_jobs_finished;
        unsigned n_states_announced;
} Rig;

/* What one operation answered. */
typedef struct Answer {
        unsigned calls;
        Failure failure;
        uint32_t job_id; /* 0: none */
        char *patch_id;  /* NULL: none */
} Answer;
void answer_done(Answer *answer);
#define _cleanup_answer_ _cleanup_(answer_done)
void on_answer(void *userdata, const Failure *failure, const Patch *patch, const Job *job);

/* A root with a kernel that has just booted and one trusted signer; no manager yet. */
void rig_prepare(Rig *rig);
/* The same machine once more, from files and kernel as they are in another one, which must not run. */
void rig_prepare_copy(Rig *rig, const Rig *from);
/* Only these of its files; no kernel, no manager. */
void rig_copy_files(Rig *rig, const Rig *from, const char *what);
/* The same with a running manager. */
void rig_start(Rig *rig);
/* Ends the manager wherever it is, and makes a new one: the daemon's next start. */
void rig_stop(Rig *rig);
void rig_go_on(Rig *rig);
/* A boot of the same machine in between: after a regular shutdown, or after a power cut. */
void rig_reboot(Rig *rig);
void rig_power_cut(Rig *rig);
/* Nothing happens in it any more. */
void rig_stop_kernel(Rig *rig);
/* Holds what the observer was told against the tables, then frees everything. */
void rig_done(Rig *rig);
#define _cleanup_rig_ _cleanup_(rig_done)

/* "transition-ms", "stall"; NULL removes the control file. */
void rig_control(Rig *rig, const char *name, const char *value);
void rig_configure(Rig *rig, const char *text);
/* One of make-modules' modules. */
int rig_open(const char *module);
/* As if somebody had called insmod(8), or written to `enabled`. */
void rig_insmod(Rig *rig, const char *module);
void rig_write_enabled(Rig *rig, const char *name, const char *value);
bool rig_exists(Rig *rig, const char *path);
char *rig_read(Rig *rig, const char *path);
/* Lines of ctl/inserted and ctl/removed that name the module. */
unsigned rig_count_calls(Rig *rig, const char *file, const char *name);

/* Runs the loop until the condition holds; the case fails after a while. */
#define RIG_WAIT(rig, condition)                                                                                \
        do {                                                                                                    \
                uint64_t _until = rig_deadline(rig);                                                            \
                while (!(condition))                                                                            \
                        if (!rig_iterate(rig, _until))                                                          \
                                test_fail(__FILE__, __LINE__, "waited in vain for %s", #condition);             \
        } while (0)
uint64_t rig_deadline(Rig *rig);
bool rig_iterate(Rig *rig, uint64_t until);
void rig_run_for(Rig *rig, uint64_t usec);

/* Operations that must be accepted; they wait for the answer, and return the job. */
uint32_t rig_apply(Rig *rig, const char *module, bool runtime);
uint32_t rig_apply_with(Rig *rig, const char *module, const OperationOptions *options);
uint32_t rig_apply_name(Rig *rig, const char *patch_id, bool runtime);
uint32_t rig_revert(Rig *rig, const char *patch_id, bool runtime);
uint32_t rig_revert_with(Rig *rig, const char *patch_id, const OperationOptions *options);
uint32_t rig_reapply(Rig *rig);
void rig_stage(Rig *rig, const char *module, bool reapply);
void rig_set_reapply(Rig *rig, const char *patch_id, bool reapply);
/* Waits for the answer to a remove; its code. */
int rig_remove(Rig *rig, const char *patch_id, Failure *f);
/* One that must be refused, at once or later: the code. */
int rig_apply_refused(Rig *rig, const char *module, bool runtime, Failure *f);

Job *rig_job(Rig *rig, uint32_t id);
JobResult rig_wait_job(Rig *rig, uint32_t id);
/* Waits, and the result must be this one. */
void rig_expect(Rig *rig, uint32_t id, JobResult result);
void rig_cancel(Rig *rig, uint32_t id);
/* The whole way. */
void rig_apply_done(Rig *rig, const char *module, bool runtime);
void rig_revert_done(Rig *rig, const char *patch_id, bool runtime);

/* Reads the kernel's side again first. NULL: there is no such patch. */
const Patch *rig_patch(Rig *rig, const char *id);
void rig_expect_state(Rig *rig, const char *id, PatchState state);
