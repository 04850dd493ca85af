/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl trust */

#include "common/names.h"
#include "common/string-util.h"
#include "ctl/action.h"
#include "ctl/client-json.h"
#include "ctl/module-file.h"
#include "ctl/remote.h"
#include "ctl/verbs.h"

/* livepatchd takes no more for a certificate. */
#define CERTIFICATE_FILE_MAX KIB(64)

static int print_certificates(const Options *o, const json_t *certificates) {
        static const char *const headers[] = { "FINGERPRINT", "ORIGIN", "KEY", "VALID UNTIL", "SUBJECT" };
        _cleanup_(table_freep) Table *t = table_new(headers, ELEMENTSOF(headers));
        _cleanup_output_ Output out = {};
        const json_t *c;
        size_t i;
        int r = output_begin(&out, o);

        if (r != 0)
                return r;
        if (!t) {
                output_error(o, "Out of memory");
                return CTL_EXIT_FAILED;
        }
        json_array_foreach(certificates, i, c) {
                char until[FORMAT_TIME_MAX];
                bool revoked = json_flag(c, "revoked");

                table_add(t, STYLE_NORMAL, json_text(c, "fingerprint"));
                table_add(t, STYLE_NORMAL, json_text(c, "origin"));
                table_add(t, STYLE_NORMAL, json_text(c, "key"));
                table_add(t, revoked ? STYLE_BAD : STYLE_NORMAL,
                          revoked ? "revoked" : format_time(json_number(c, "not_after"), until, sizeof(until)));
                table_add(t, STYLE_NORMAL, json_text(c, "subject"));
        }
        if (table_n_rows(t) > 0)
                output_table(&out, t, NULL);
        else if (o->legend)
                output_text(&out,
                            "No certificate is trusted, so no module is; 'livepatchctl trust add FILE' adds one.\n");
        return output_end(&out);
}

static int run_list(const Options *o) {
        static const ClientCall call = { LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "ListTrust", .action = false };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_ctl_error_ CtlError e = {};
        json_auto_t *certificates = NULL;
        int r;

        r = client_new(o, &client, &e);
        if (r == 0)
                r = client_call(client, &call, &reply, &e, NULL);
        if (r == 0) {
                r = client_read_json(reply, &certificates);
                if (r < 0)
                        r = client_bad_reply(&e, r);
        }
        if (r != 0)
                return output_failure(o, &e);
        if (o->json != JSON_MODE_OFF)
                return output_json(o, json_document("certificates", TAKE_PTR(certificates)));
        return print_certificates(o, certificates);
}

static int open_certificate(const char *argument, int *ret_fd, CtlError *e) {
        return input_file_open(argument, CERTIFICATE_FILE_MAX, ret_fd, e);
}

static void add_one(Action *a, const char *path _unused_, ActionResult *result) {
        static const ClientCall call = { LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "AddTrust", .action = true };
        _cleanup_free_ char *fingerprint = NULL;

        if (client_call_for_string(a->client, &call, &fingerprint, &result->error, "h", a->fd) == 0)
                action_succeed(result, "done", STYLE_GOOD, "Certificate %s is trusted: modules that it signed can be "
                               "applied.", fingerprint);
}

static void remove_one(Action *a, const char *fingerprint, ActionResult *result) {
        static const ClientCall call = { LP_OBJECT_MANAGER, LP_IFACE_MANAGER, "RemoveTrust", .action = true };

        if (client_call(a->client, &call, NULL, &result->error, "s", fingerprint) == 0)
                action_succeed(result, "done", STYLE_GOOD,
                               "Certificate %s is no longer trusted; patches that are applied stay so.", fingerprint);
}

static int usage(const char *text) {
        (void) fprintf(stderr, "livepatchctl: %s; 'livepatchctl trust --help' shows its use\n", text);
        return CTL_EXIT_USAGE;
}

static int run_trust(const Options *o, char **arguments) {
        const char *what = arguments[0] ?: "list";
        char trust[] = "trust", add[] = "add";
        char *words[] = { trust, add, NULL };

        if (streq(what, "list"))
                return arguments[0] && arguments[1] ? usage("'trust list' takes no argument") : run_list(o);
        if (!streq(what, "add") && !streq(what, "remove"))
                return usage("'trust' is followed by list, add or remove");
        if (!arguments[1])
                return usage(streq(what, "add") ? "'trust add' needs a file" : "'trust remove' needs a fingerprint");
        if (streq(what, "remove"))
                return action_run(o, "trust-remove", arguments + 1, remove_one);
        if (o->host)
                return remote_run_with_file(o, words, arguments + 1);
        return action_run_with_files(o, "trust-add", arguments + 1, open_certificate, add_one);
}

const Verb verb_trust = {
        .name = "trust",
        .arguments = "[list|add|remove]...",
        .summary = "List, add or remove certificates that may sign patches",
        .description = "  trust list              the certificates; the default\n"
                       "  trust add FILE|-...     trust a certificate (X.509, PEM or DER)\n"
                       "  trust remove FINGERPRINT...\n"
                       "                          trust it no longer; the first 8 digits are enough if\n"
                       "                          there is only one that begins with them\n",
        .max_arguments = VERB_ANY_NUMBER,
        .run = run_trust,
};
