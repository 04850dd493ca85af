/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchd --reapply: puts the persisted patches back into the kernel, early in the boot and without a bus. */

#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/boot.h"
#include "daemon/guard-store.h"
#include "daemon/manager.h"

typedef struct Boot {
        sd_event *event;
        Manager *manager;
        bool have_job;
        uint32_t job_id;
        bool finished;
        bool expired;
        Failure failure; /* why the job could not begin, or what it ended with */
        uint64_t started_usec;
} Boot;

static void boot_done(Boot *boot) {
        if (boot->manager)
                manager_set_observer(boot->manager, NULL, NULL);
        (void) manager_free(boot->manager);
        failure_done(&boot->failure);
        sd_event_unref(boot->event);
}

static void finish(Boot *boot, const Failure *failure) {
        if (failure)
                (void) failure_copy(&boot->failure, failure);
        boot->finished = true;
        (void) sd_event_exit(boot->event, 0);
}

static void on_job_changed(void *userdata, const Job *job) {
        const Boot *boot = userdata;

        if (boot->have_job && job_id(job) == boot->job_id)
                (void) sd_notifyf(false, "STATUS=Reapplying live patches, %.0f%%", job_progress(job) * 100);
}

static void on_job_finished(void *userdata, const Job *job) {
        Boot *boot = userdata;

        if (job_type(job) == JOB_REAPPLY)
                finish(boot, job_failure(job));
}

static void on_begun(void *userdata, const Failure *failure, const Patch *patch _unused_, const Job *job) {
        Boot *boot = userdata;

        if (failure) {
                finish(boot, failure);
                return;
        }
        boot->have_job = true;
        boot->job_id = job_id(job);
        if (job_state(job) == JOB_FINISHED)
                finish(boot, job_failure(job));
}

static int on_expired(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Boot *boot = userdata;

        boot->expired = true;
        return sd_event_exit(boot->event, 0);
}

/* The kill switches, and a crash kernel: it has the same release as the kernel whose crash it is to save, possibly
 * because of one of these patches. Returns a reason not to reapply, or NULL. */
static const char *reason_to_skip(const KernelInfo *kernel) {
        if (kernel->kdump)
                return "this is a crash kernel (/proc/vmcore exists)";
        switch (kernel->mode) {
        case MODE_OFF:
                return "live patching is switched off (" LP_CMDLINE_OFF " on the kernel command line, or /"
                       LP_DISABLED_FILE ")";
        case MODE_NO_REAPPLY:
                return "reapplying is switched off (" LP_CMDLINE_NO_REAPPLY " on the kernel command line)";
        case MODE_ENABLED:
        case _MODE_MAX:
        case _MODE_INVALID:
                break;
        }
        return NULL;
}

static void ignore_patch(void *userdata _unused_, const Patch *patch _unused_) {
}

static void ignore_patch_change(void *userdata _unused_, const Patch *patch _unused_, PatchChange what _unused_) {
}

static void ignore_job(void *userdata _unused_, const Job *job _unused_) {
}

static void ignore_manager_change(void *userdata _unused_) {
}

/* An observer is told everything; here only the job matters. */
static void observe(Boot *boot) {
        static const ManagerObserver observer = {
                .patch_added = ignore_patch,
                .patch_changed = ignore_patch_change,
                .patch_removed = ignore_patch,
                .job_added = ignore_job,
                .job_changed = on_job_changed,
                .job_finished = on_job_finished,
                .job_removed = ignore_job,
                .manager_changed = ignore_manager_change,
        };

        manager_set_observer(boot->manager, &observer, boot);
}

static int prepare(Boot *boot, int root_fd, KernelInfo *kernel, Failure *f) {
        const Config *config;
        int r;

        r = manager_new(boot->event, root_fd, kernel, &boot->manager, f);
        if (r != 0)
                return r;
        manager_set_booting(boot->manager);
        config = manager_config(boot->manager);
        for (char **problem = config->problems; problem && *problem; problem++)
                log_warning("%s", *problem);
        if (config->boot_timeout_usec != USEC_INFINITY) {
                r = sd_event_add_time(boot->event, NULL, CLOCK_MONOTONIC,
                                      boot->started_usec + config->boot_timeout_usec, 0, on_expired, boot);
                if (r < 0)
                        return failure_set(f, r, "Failed to set the time budget");
        }
        r = manager_start(boot->manager, f);
        if (r != 0)
                return r;
        observe(boot);
        return manager_reapply(boot->manager, 0, on_begun, boot, f);
}

/* A patch of this kernel that was to be applied by now. */
static bool is_wanted(const Patch *patch) {
        return patch->this_kernel && patch->record && patch->record->reapply;
}

static int list_missing(const Boot *boot, size_t *ret_wanted, size_t *ret_missing, char **ret) {
        size_t size = 0;
        FILE *f = open_memstream(ret, &size);

        *ret_wanted = *ret_missing = 0;
        if (!f)
                return -ENOMEM;
        for (size_t i = 0; i < manager_n_patches(boot->manager); i++) {
                const Patch *patch = manager_patch(boot->manager, i);

                if (!is_wanted(patch))
                        continue;
                (*ret_wanted)++;
                if (patch->state == PATCH_APPLIED || patch->state == PATCH_SUPERSEDED)
                        continue;
                (void) fprintf(f, "%s%s (%s)", *ret_missing == 0 ? "" : ", ", patch->name,
                               patch_state_to_string(patch->state));
                (*ret_missing)++;
        }
        return fclose(f) == 0 ? 0 : -ENOMEM;
}

static double seconds_since(const Boot *boot) {
        uint64_t now = boot->started_usec;

        (void) sd_event_now(boot->event, CLOCK_MONOTONIC, &now);
        return (double) (now - boot->started_usec) / (double) USEC_PER_SEC;
}

/* "; 2 records could not be read": what was to be applied by them is not among the missing. */
static int describe_lost(const Boot *boot, char **ret) {
        size_t n = manager_n_lost_records(boot->manager);

        *ret = NULL;
        if (n > 0 && asprintf(ret, "; %zu record%s could not be read", n, n == 1 ? "" : "s") < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int summarize(const Boot *boot) {
        const KernelInfo *kernel = manager_kernel(boot->manager);
        _cleanup_free_ char *missing = NULL, *lost = NULL;
        size_t n_wanted, n_missing;
        bool good;

        manager_refresh_patches(boot->manager);
        if (list_missing(boot, &n_wanted, &n_missing, &missing) < 0 || describe_lost(boot, &lost) < 0)
                return log_error_errno(-ENOMEM, "Failed to sum up: %m");
        good = n_missing == 0 && !lost && boot->failure.code == 0;
        log_event(good ? LOG_NOTICE : LOG_WARNING, LP_MESSAGE_REAPPLY_DONE,
                  ((LogField[]) { { LP_FIELD_OPERATION, "reapply" },
                                  { LP_FIELD_KERNEL, kernel->release },
                                  { LP_FIELD_ERROR, boot->failure.code == 0 ? NULL :
                                                    failure_dbus_name(boot->failure.code) },
                                  {} }),
                  "%zu of %zu live patches for kernel %s are applied after %.1f s%s%s%s%s%s%s",
                  n_wanted - n_missing, n_wanted, kernel->release, seconds_since(boot),
                  n_missing == 0 ? "" : "; not applied: ", strempty(missing), strempty(lost),
                  boot->expired ? "; the time budget is used up, a transition in progress goes on without supervision" :
                                  "",
                  boot->failure.code == 0 ? "" : "; ", boot->failure.code == 0 ? "" : failure_text(&boot->failure));
        (void) sd_notifyf(false, "STATUS=%zu of %zu live patches applied", n_wanted - n_missing, n_wanted);
        return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Takes the kernel's facts over. */
static int run(Boot *boot, int root_fd, KernelInfo *kernel) {
        _cleanup_(kernel_info_freep) KernelInfo *facts = kernel;
        _cleanup_failure_ Failure failure = {};
        int r;

        r = sd_event_new(&boot->event);
        if (r < 0)
                return log_error_errno(r, "Failed to make an event loop: %m");
        (void) sd_event_now(boot->event, CLOCK_MONOTONIC, &boot->started_usec);
        (void) sd_event_add_signal(boot->event, NULL, SIGTERM, NULL, NULL);
        (void) sd_event_add_signal(boot->event, NULL, SIGINT, NULL, NULL);
        r = prepare(boot, root_fd, TAKE_PTR(facts), &failure);
        if (r != 0) {
                log_error("No live patch is reapplied: %s", failure_text(&failure));
                return -EIO;
        }
        if (!boot->finished) {
                r = sd_event_loop(boot->event);
                if (r < 0)
                        return log_error_errno(r, "The event loop failed: %m");
        }
        return summarize(boot);
}

int boot_reapply(int root_fd) {
        _cleanup_(kernel_info_freep) KernelInfo *kernel = NULL;
        _cleanup_(boot_done) Boot boot = {};
        const char *reason;
        int r;

        r = kernel_info_read(root_fd, &kernel);
        if (r < 0) {
                (void) log_error_errno(r, "Failed to read the facts about this kernel, no live patch is reapplied: %m");
                return EXIT_FAILURE;
        }
        reason = reason_to_skip(kernel);
        if (reason) {
                log_event(LOG_NOTICE, LP_MESSAGE_REAPPLY_SKIPPED,
                          ((LogField[]) { { LP_FIELD_OPERATION, "reapply" },
                                          { LP_FIELD_KERNEL, kernel->release },
                                          {} }),
                          "No live patch is reapplied: %s", reason);
                return EXIT_SUCCESS;
        }
        r = run(&boot, root_fd, TAKE_PTR(kernel));
        return r < 0 ? EXIT_FAILURE : r;
}

static int mark_shutdown(int root_fd, bool clean) {
        _cleanup_failure_ Failure failure = {};

        if (guard_mark_shutdown(root_fd, clean, &failure) == 0)
                return EXIT_SUCCESS;
        log_error("%s", failure_text(&failure));
        return EXIT_FAILURE;
}

int boot_mark_clean_shutdown(int root_fd) {
        return mark_shutdown(root_fd, true);
}

int boot_mark_running(int root_fd) {
        return mark_shutdown(root_fd, false);
}
