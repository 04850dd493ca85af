/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Manager's methods about trusted certificates. */

#include <ctype.h>

#include "common/string-util.h"
#include "daemon/bus-error.h"
#include "daemon/bus-message.h"
#include "daemon/bus-request.h"

/* SHA-256 as openssl(1) prints it: 64 digits and 31 colons. */
#define FINGERPRINT_LENGTH_MAX 95

static int append_fingerprint(sd_bus_message *m, const void *userdata) {
        return bus_message_append_text(m, userdata);
}

static void reply_fingerprint(void *userdata, const Failure *failure, const char *fingerprint) {
        bus_request_reply(userdata, failure, append_fingerprint, fingerprint);
}

static void reply_removed(void *userdata, const Failure *failure, const char *fingerprint _unused_) {
        bus_request_reply_empty(userdata, failure, NULL, NULL);
}

int bus_method_add_trust(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(bus_request_freep) BusRequest *request = NULL;
        _cleanup_failure_ Failure failure = {};
        _cleanup_close_ int copy = -EBADF;
        Bus *bus = userdata;
        uid_t uid;
        int r, fd;

        r = bus_message_read_fd(m, &fd, error);
        if (r < 0)
                return r;
        r = bus_request_begin_fd(bus, m, fd, &copy, &uid, &request, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_add_trust_fd(bus->manager, TAKE_FD(copy), uid, reply_fingerprint, request, &failure);
        return bus_request_begun(&request, r, &failure, error);
}

/* It goes into polkit's dialog as a detail: nothing but what fingerprints are made of. */
static bool fingerprint_is_plausible(const char *s) {
        size_t n = strlen(s);

        for (const char *p = s; *p; p++)
                if (!isxdigit((unsigned char) *p) && *p != ':')
                        return false;
        return n > 0 && n <= FINGERPRINT_LENGTH_MAX;
}

int bus_method_remove_trust(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(bus_request_freep) BusRequest *request = NULL;
        _cleanup_failure_ Failure failure = {};
        const char *fingerprint;
        Bus *bus = userdata;
        uid_t uid;
        int r;

        r = sd_bus_message_read_basic(m, 's', &fingerprint);
        if (r < 0)
                return r;
        if (!fingerprint_is_plausible(fingerprint))
                return bus_error_set_invalid_args(error, "That is not a certificate's SHA-256 fingerprint: "
                                                  "hexadecimal digits, with colons or without. Nothing was changed.");
        r = bus_request_begin(bus, m, (PolkitDetail) { "fingerprint", fingerprint }, &uid, &request, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_remove_trust(bus->manager, fingerprint, uid, reply_removed, request, &failure);
        return bus_request_begun(&request, r, &failure, error);
}

static int append_certificate(sd_bus_message *m, const TrustCertificate *c) {
        const BusText texts[] = {
                { "subject", c->subject },
                { "issuer", c->issuer },
                { "fingerprint", c->fingerprint },
                { "key", c->key },
                { "skid", c->skid },
                { "origin", c->origin == TRUST_ORIGIN_VENDOR ? "vendor" : "admin" },
                { "file", c->file },
                {},
        };
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r < 0)
                return r;
        r = bus_message_append_text_entries(m, texts);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}",
                                  "not-before", "t", c->not_before,
                                  "not-after", "t", c->not_after,
                                  "ca", "b", c->is_ca,
                                  "revoked", "b", c->revoked);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_store(sd_bus_message *m, const TrustStore *store) {
        int r;

        r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "a{sv}");
        if (r < 0)
                return r;
        for (size_t i = 0; i < trust_store_n_certificates(store); i++) {
                r = append_certificate(m, trust_store_certificate(store, i));
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

int bus_method_list_trust(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(trust_store_unrefp) TrustStore *store = NULL;
        _cleanup_failure_ Failure failure = {};
        Bus *bus = userdata;
        int r;

        r = manager_list_trust(bus->manager, &store, &failure);
        if (r != 0)
                return bus_error_set_failure(error, &failure);
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = append_store(reply, store);
        if (r < 0)
                return bus_error_set_errno(error, r);
        return sd_bus_send(NULL, reply, NULL) < 0 ? -EIO : 1;
}
