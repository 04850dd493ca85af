/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Notices what others do to the kernel's modules and patches, and has the manager look.
 *
 * No single source tells everything (kernel/livepatch/ has no sysfs_notify(), and its kobjects send no uevents):
 *
 *     kernel log    transitions that begin and end, patches refused to loading modules
 *     uevents       modules that come and go, patches and what they patch alike
 *     inotify       somebody writes to `enabled`
 *
 * Each is a hint only: sysfs is the truth. A hint mostly comes before what it speaks of is in place, so a short series
 * of looks follows it. A timer is what is left where one of the sources is missing. */

#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "common/fd-util.h"
#include "common/log.h"
#include "daemon/health-internal.h"
#include "daemon/job-internal.h"
#include "daemon/operation.h"
#include "daemon/reapply.h"
#include "daemon/rollback.h"
#include "daemon/refused-module.h"
#include "daemon/watch.h"
#include "kmod/kernel-log.h"
#include "kmod/uevent.h"

/* After a hint: at once, then 10, 40, 160, 640 ms later. The directory of a patch that was switched off goes within
 * that (a work item, klp_free_patch_work_fn() in kernel/livepatch/core.c). */
#define LOOK_FIRST_USEC (10 * USEC_PER_MSEC)
#define LOOK_FACTOR 4
/* Then as long as somebody else's transition goes on; the kernel itself tries once a second. */
#define LOOK_LAST_USEC USEC_PER_SEC
/* Where a source is missing. */
#define FALLBACK_USEC (2 * USEC_PER_SEC)

struct Watch {
        Manager *manager;
        int kmsg_fd;
        int uevent_fd;
        int inotify_fd;
        sd_event_source *kmsg;
        sd_event_source *uevent;
        sd_event_source *inotify;
        sd_event_source *look;
        uint64_t interval_usec;
};

static void look_in(Watch *watch, uint64_t usec) {
        (void) sd_event_source_set_time_relative(watch->look, usec);
        (void) sd_event_source_set_enabled(watch->look, SD_EVENT_ONESHOT);
}

static void wake(Watch *watch) {
        const Job *running = watch->manager->running;

        if (running && running->operation)
                operation_wake(running->operation);
        else if (running && running->reapply)
                reapply_wake(running->reapply);
        else if (running && running->rollback)
                rollback_wake(running->rollback);
        watch->interval_usec = LOOK_FIRST_USEC;
        look_in(watch, 0);
}

/* A transition that no job of ours follows. */
static bool somebody_else_is_at_work(const Manager *manager) {
        for (size_t i = 0; i < manager->n_patches; i++) {
                const Patch *patch = manager->patches[i];

                if (patch->klp && !patch->job && (patch->klp->transition || !patch->klp->enabled))
                        return true;
        }
        return false;
}

static int on_look(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Watch *watch = userdata;

        manager_refresh_patches(watch->manager);
        if (watch->interval_usec < LOOK_LAST_USEC) {
                look_in(watch, watch->interval_usec);
                watch->interval_usec *= LOOK_FACTOR;
        } else if (somebody_else_is_at_work(watch->manager))
                look_in(watch, LOOK_LAST_USEC);
        else if (!watch->kmsg || !watch->uevent || !watch->inotify)
                look_in(watch, FALLBACK_USEC);
        return 0;
}

/* ---- The sources ------------------------------------------------------------------------------------------- */

static int on_kernel_log(sd_event_source *source _unused_, int fd, uint32_t revents _unused_, void *userdata) {
        Watch *watch = userdata;
        KernelLogLine line = {};
        bool lost = false, news = false;

        while (kernel_log_read(fd, &line, &lost) > 0) {
                news |= startswith(line.text, "livepatch:") != NULL;
                manager_feed_health(watch->manager, line.text);
                refused_module_feed(watch->manager, line.text);
                kernel_log_line_done(&line);
        }
        if (news || lost)
                wake(watch);
        return 0;
}

static int on_uevent(sd_event_source *source _unused_, int fd, uint32_t revents _unused_, void *userdata) {
        bool lost = false, news = false;
        Uevent event;

        while (uevent_read(fd, &event, &lost) > 0)
                news = true;
        if (news || lost)
                wake(userdata);
        return 0;
}

static int on_inotify(sd_event_source *source _unused_, int fd, uint32_t revents _unused_, void *userdata) {
        _Alignas(struct inotify_event) char buffer[KIB(4)];
        bool news = false;

        while (read(fd, buffer, sizeof(buffer)) > 0)
                news = true;
        if (news)
                wake(userdata);
        return 0;
}

static void add_source(Watch *watch, const char *what, int fd, sd_event_io_handler_t handler, sd_event_source **ret) {
        int r = fd < 0 ? fd : sd_event_add_io(watch->manager->event, ret, fd, EPOLLIN, handler, watch);

        if (r < 0)
                log_debug_errno(r, "Cannot follow %s, looking at intervals instead: %m", what);
}

static int inotify_open(void) {
        int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

        return fd < 0 ? negative_errno() : fd;
}

/* The kernel sends IN_MODIFY for a write by a process, and nothing for what it changes itself, removal included
 * (observed on 6.1 and 6.12): so the watch of a file that has gone is taken back here. */
void watch_follow(Watch *watch, Patch *patch) {
        char path[sizeof("/proc/self/fd/") + sizeof(int) * 3 + sizeof("/sys/kernel/livepatch//enabled") +
                  MODULE_NAME_MAX];

        if (!watch || watch->inotify_fd < 0 || (patch->klp != NULL) == (patch->enabled_watch >= 0))
                return;
        if (!patch->klp) {
                (void) inotify_rm_watch(watch->inotify_fd, patch->enabled_watch);
                patch->enabled_watch = -1;
                return;
        }
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d/sys/kernel/livepatch/%s/enabled",
                        watch->manager->root_fd, patch->name);
        patch->enabled_watch = inotify_add_watch(watch->inotify_fd, path, IN_MODIFY);
}

int watch_new(Manager *manager, Watch **ret) {
        _cleanup_(watch_freep) Watch *watch = malloc(sizeof(Watch));
        int r;

        if (!watch)
                return -ENOMEM;
        *watch = (Watch) {
                .manager = manager,
                .kmsg_fd = kernel_log_open_at_end(manager->root_fd),
                .uevent_fd = uevent_open(),
                .inotify_fd = inotify_open(),
                .interval_usec = LOOK_LAST_USEC,
        };
        add_source(watch, "the kernel's log", watch->kmsg_fd, on_kernel_log, &watch->kmsg);
        add_source(watch, "the kernel's uevents", watch->uevent_fd, on_uevent, &watch->uevent);
        add_source(watch, "writes by others", watch->inotify_fd, on_inotify, &watch->inotify);
        r = sd_event_add_time_relative(manager->event, &watch->look, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_look,
                                       watch);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(watch);
        return 0;
}

Watch *watch_free(Watch *watch) {
        if (!watch)
                return NULL;
        (void) sd_event_source_disable_unref(watch->kmsg);
        (void) sd_event_source_disable_unref(watch->uevent);
        (void) sd_event_source_disable_unref(watch->inotify);
        (void) sd_event_source_disable_unref(watch->look);
        safe_close(watch->kmsg_fd);
        safe_close(watch->uevent_fd);
        safe_close(watch->inotify_fd);
        free(watch);
        return NULL;
}
