/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager's trust methods. A certificate is read on a reader thread, since the file may be on anything, and kept on
 * the disk worker, so that two changes do not meet. */

#include <string.h>
#include <sys/stat.h>

#include "common/fd-util.h"
#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/manager-internal.h"

#define CERTIFICATE_FILE_MAX KIB(64)

typedef struct TrustRequest {
        Manager *manager;
        int fd;
        char *wanted; /* REMOVE: the fingerprint; NULL: ADD */
        char *data; /* ADD: what was read */
        size_t size;
        char *fingerprint;
        uid_t uid;
        Failure failure;
        ManagerTrustReply reply;
        void *userdata;
} TrustRequest;

static void trust_request_free(TrustRequest *request) {
        safe_close(request->fd);
        failure_done(&request->failure);
        free(request->wanted);
        free(request->data);
        free(request->fingerprint);
        free(request);
}

static int read_certificate(int fd, char **ret, size_t *ret_size, Failure *f) {
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return failure_set(f, REFUSED_INVALID_FILE,
                                   "The certificate is not a regular file. Nothing was changed");
        if (lseek(fd, 0, SEEK_SET) < 0)
                return failure_set(f, REFUSED_INVALID_FILE, "The certificate cannot be read: %m. Nothing was changed");
        r = read_fd(fd, CERTIFICATE_FILE_MAX, ret, ret_size);
        if (r == -EFBIG)
                return failure_set(f, REFUSED_TOO_LARGE,
                                   "The certificate file is larger than 64 KiB. Nothing was changed");
        if (r < 0)
                return failure_set(f, REFUSED_INVALID_FILE, "The certificate cannot be read: %s. Nothing was changed",
                                   strerror(-r));
        return 0;
}

static void trust_run(void *context) {
        TrustRequest *request = context;
        int root_fd = request->manager->root_fd;

        if (request->wanted)
                request->failure.code = trust_store_remove(root_fd, request->wanted, &request->fingerprint,
                                                           &request->failure);
        else
                request->failure.code = trust_store_add(root_fd, request->data, request->size, &request->fingerprint,
                                                        &request->failure);
}

static void trust_done(void *context, bool canceled) {
        TrustRequest *request = context;
        _cleanup_free_ char *uid = NULL;
        bool failed;

        if (asprintf(&uid, "%u", request->uid) < 0)
                uid = NULL;

        if (canceled)
                (void) failure_set(&request->failure, REFUSED_CANCELED, "livepatchd is stopping. Nothing was changed");
        failed = request->failure.code != 0;
        if (!failed)
                log_event(LOG_NOTICE, LP_MESSAGE_TRUST_CHANGED,
                          ((LogField[]){ { LP_FIELD_SIGNER, request->fingerprint },
                                         { LP_FIELD_OPERATION, request->wanted ? "trust-remove" : "trust-add" },
                                         { LP_FIELD_CALLER_UID, uid },
                                         {} }),
                          "%s the certificate %s", request->wanted ? "No longer trusting" : "Trusting",
                          request->fingerprint);
        request->reply(request->userdata, failed ? &request->failure : NULL, request->fingerprint);
        trust_request_free(request);
}

static void read_run(void *context) {
        TrustRequest *request = context;

        request->failure.code = read_certificate(request->fd, &request->data, &request->size, &request->failure);
}

static void read_done(void *context, bool canceled) {
        TrustRequest *request = context;

        request->fd = safe_close(request->fd);
        if (request->failure.code != 0)
                return trust_done(request, false);
        if (canceled || request->manager->stopping)
                return trust_done(request, true);
        if (worker_submit(request->manager->disk, trust_run, trust_done, request) < 0) {
                (void) failure_oom(&request->failure);
                trust_done(request, false);
        }
}

static int trust_submit(Manager *manager, int fd, const char *wanted, uid_t uid, ManagerTrustReply reply,
                        void *userdata, Failure *f) {
        TrustRequest *request = calloc(1, sizeof(TrustRequest));
        int r;

        if (!request) {
                safe_close(fd);
                return failure_oom(f);
        }
        *request = (TrustRequest) {
                .manager = manager,
                .fd = fd,
                .wanted = wanted ? strdup(wanted) : NULL,
                .uid = uid,
                .reply = reply,
                .userdata = userdata,
        };
        if (wanted)
                r = request->wanted ? worker_submit(manager->disk, trust_run, trust_done, request) : -ENOMEM;
        else
                r = worker_submit(manager->reader, read_run, read_done, request);
        if (r < 0) {
                trust_request_free(request);
                return failure_oom(f);
        }
        return 0;
}

int manager_add_trust_fd(Manager *manager, int fd, uid_t uid, ManagerTrustReply reply, void *userdata, Failure *f) {
        return trust_submit(manager, fd, NULL, uid, reply, userdata, f);
}

int manager_remove_trust(Manager *manager, const char *fingerprint, uid_t uid, ManagerTrustReply reply, void *userdata,
                         Failure *f) {
        return trust_submit(manager, -EBADF, fingerprint, uid, reply, userdata, f);
}

int manager_list_trust(Manager *manager, TrustStore **ret, Failure *f) {
        return trust_store_new(manager->root_fd, ret, f);
}
