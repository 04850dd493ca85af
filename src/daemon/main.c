/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchd: options, start-up order, event loop. */

#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "common/log.h"
#include "daemon/boot.h"
#include "daemon/bus.h"
#include "daemon/manager.h"

typedef struct Arguments {
        const char *root;
        int (*task)(int root_fd);
} Arguments;

static void help(void) {
        (void) printf("livepatchd [OPTIONS...]\n\n"
                      "Manages live patches of the Linux kernel: serves org.livepatch on the system bus.\n\n"
                      "  -h --help       Show this help\n"
                      "     --version    Show the version\n"
                      "     --reapply    Reapply the persisted patches of this kernel, without a bus, and exit\n"
                      "     --mark-clean-shutdown  Note that this boot ends cleanly, and exit\n"
                      "     --mark-running         Take that note back, and exit\n"
                      "     --root=DIR   Use the files below DIR instead of /\n\n"
                      "See livepatchd(8).\n");
}

/* 1: go on; 0: done; < 0: wrong usage. */
static int parse_arguments(int argc, char *argv[], Arguments *args) {
        enum {
                OPT_VERSION = 0x100,
                OPT_REAPPLY,
                OPT_MARK_CLEAN_SHUTDOWN,
                OPT_MARK_RUNNING,
                OPT_ROOT,
        };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, OPT_VERSION },
                { "reapply", no_argument, NULL, OPT_REAPPLY },
                { "mark-clean-shutdown", no_argument, NULL, OPT_MARK_CLEAN_SHUTDOWN },
                { "mark-running", no_argument, NULL, OPT_MARK_RUNNING },
                { "root", required_argument, NULL, OPT_ROOT },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        help();
                        return 0;
                case OPT_VERSION:
                        (void) printf("livepatchd %s\n", PROJECT_VERSION);
                        return 0;
                case OPT_REAPPLY:
                        args->task = boot_reapply;
                        break;
                case OPT_MARK_CLEAN_SHUTDOWN:
                        args->task = boot_mark_clean_shutdown;
                        break;
                case OPT_MARK_RUNNING:
                        args->task = boot_mark_running;
                        break;
                case OPT_ROOT:
                        args->root = optarg;
                        break;
                default:
                        return -EINVAL;
                }
        if (optind < argc) {
                log_error("livepatchd takes no arguments, only options: see --help");
                return -EINVAL;
        }
        return 1;
}

/* The threads take turns rather than compete, and most of what they hold is short-lived. glibc would give each a heap
 * of its own, and keep what a large module once needed: unless it is set, its threshold for mappings of their own
 * rises (mallopt(3)). */
static void configure_malloc(void) {
        (void) mallopt(M_ARENA_MAX, 1);
        (void) mallopt(M_MMAP_THRESHOLD, KIB(64));
}

/* Workers inherit the mask, so it is set before the first thread is made. */
static int block_signals(void) {
        sigset_t set;

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGTERM);
        (void) sigaddset(&set, SIGINT);
        return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? negative_errno() : 0;
}

static int new_event(sd_event **ret) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        int r;

        r = sd_event_default(&event);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
        if (r < 0)
                return r;
        r = sd_event_set_watchdog(event, true);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(event);
        return 0;
}

static int new_manager(sd_event *event, int root_fd, Manager **ret) {
        _cleanup_(manager_freep) Manager *manager = NULL;
        _cleanup_failure_ Failure failure = {};
        int r;

        r = manager_new(event, root_fd, NULL, &manager, &failure);
        if (r == 0) {
                char **problems = manager_config(manager)->problems;

                for (; problems && *problems; problems++)
                        log_warning("%s", *problems);
                r = manager_start(manager, &failure);
        }
        if (r != 0) {
                log_error("Failed to start: %s", failure_text(&failure));
                return -EIO;
        }
        *ret = TAKE_PTR(manager);
        return 0;
}

static int serve(int root_fd) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(bus_freep) Bus *bus = NULL;
        _cleanup_(manager_freep) Manager *manager = NULL;
        _cleanup_failure_ Failure failure = {};
        int r;

        r = new_event(&event);
        if (r < 0)
                return log_error_errno(r, "Failed to set up the event loop: %m");
        r = new_manager(event, root_fd, &manager);
        if (r < 0)
                return r;
        r = bus_new(event, manager, root_fd, &bus, &failure);
        if (r != 0) {
                log_error("%s", failure_text(&failure));
                return -EIO;
        }
        (void) sd_notify(false, "READY=1\nSTATUS=Waiting for calls");
        r = sd_event_loop(event);
        (void) sd_notify(false, "STOPPING=1");
        bus_stop(bus);
        return r < 0 ? log_error_errno(r, "The event loop failed: %m") : r;
}

int main(int argc, char *argv[]) {
        Arguments args = { .root = "/" };
        _cleanup_close_ int root_fd = -EBADF;
        int r;

        configure_malloc();
        log_open("livepatchd");
        r = parse_arguments(argc, argv, &args);
        if (r <= 0)
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        root_fd = open(args.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0) {
                (void) log_error_errno(negative_errno(), "Failed to open the root directory '%s': %m", args.root);
                return EXIT_FAILURE;
        }
        r = block_signals();
        if (r < 0) {
                (void) log_error_errno(r, "Failed to block signals: %m");
                return EXIT_FAILURE;
        }
        r = args.task ? args.task(root_fd) : serve(root_fd);
        return r < 0 ? EXIT_FAILURE : r;
}
