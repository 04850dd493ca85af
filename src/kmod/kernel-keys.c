/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys by which the kernel itself judges module signatures, as far as it shows them. */

#include <openssl/cms.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "kmod/certificate.h"
#include "kmod/kernel-keys.h"
#include "kmod/module-signature.h"

/* A line is some 150 bytes; a user may have at most 1000000 keys, and as a rule has 200 (keys(7)). */
#define KEYS_SIZE_MAX MIB(4)

/* A subject key identifier as the kernel shows it; 20 bytes as a rule. */
#define KEY_ID_DIGITS_MIN 16

/* Serial, flags, usage, timeout, permissions, uid, gid, type (proc_keys_show() in security/keys/proc.c). */
#define FIELDS_BEFORE_DESCRIPTION 8
#define FIELD_TYPE 7

/* certs/system_keyring.c. The platform keyring counts for modules in kernels of some distributions only. */
static const char *const module_keyrings[] = {
        ".builtin_trusted_keys",
        ".secondary_trusted_keys",
        ".machine",
        ".platform",
};

void kernel_keys_done(KernelKeys *keys) {
        strv_free(keys->keyrings);
        strv_free(keys->ids);
        *keys = (KernelKeys) {};
}

static bool key_id_is_valid(const char *s) {
        size_t n = strlen(s);

        return n >= KEY_ID_DIGITS_MIN && n % 2 == 0 && hex_is_valid(s, n);
}

static size_t keyring_index(const char *name) {
        size_t i = 0;

        while (i < ELEMENTSOF(module_keyrings) && !streq(module_keyrings[i], name))
                i++;
        return i;
}

/* ".builtin_trusted_keys: 3" */
static int take_keyring(KernelKeys *keys, char *description) {
        description[strcspn(description, ":")] = '\0';
        return keyring_index(description) < ELEMENTSOF(module_keyrings) ? strv_append(&keys->keyrings, description) : 0;
}

/* "SUBJECT: IDENTIFIER: X509.rsa 371a5bb8 []" (asymmetric_key_describe(), x509_key_preparse() in crypto/
 * asymmetric_keys). The subject is anybody's text: the identifier is the last but one of the parts. */
static int take_key(KernelKeys *keys, char *description) {
        char *last = strstr(description, ": X509."), *next, *id;

        while (last && (next = strstr(last + 1, ": X509.")))
                last = next;
        if (!last)
                return 0;
        *last = '\0';
        id = strrchr(description, ' ');
        id = id ? id + 1 : description;
        return key_id_is_valid(id) ? strv_append(&keys->ids, id) : 0;
}

static int take_line(KernelKeys *keys, char *line) {
        const char *type = NULL;

        for (unsigned field = 0; field < FIELDS_BEFORE_DESCRIPTION; field++) {
                line += strspn(line, " ");
                if (field == FIELD_TYPE)
                        type = line;
                line += strcspn(line, " ");
                if (*line == '\0')
                        return 0;
                *line++ = '\0';
        }
        line += strspn(line, " ");
        /* Types are cut to nine characters. */
        if (streq(type, "keyring"))
                return take_keyring(keys, line);
        return streq(type, "asymmetri") ? take_key(keys, line) : 0;
}

/* The kernel lists them by their serial numbers, which are random. */
static int compare_keyrings(const void *a, const void *b) {
        size_t x = keyring_index(*(char *const *) a), y = keyring_index(*(char *const *) b);

        return x < y ? -1 : x > y;
}

int kernel_keys_read(int root_fd, KernelKeys *ret) {
        _cleanup_(kernel_keys_done) KernelKeys keys = {};
        _cleanup_free_ char *text = NULL;
        char *state = NULL;
        int r = read_file_at(root_fd, "proc/keys", KEYS_SIZE_MAX, &text, NULL);

        if (r == -ENOMEM)
                return r;
        if (r >= 0)
                for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                        r = take_line(&keys, line);
                        if (r < 0)
                                return r;
                }
        if (keys.keyrings)
                qsort(keys.keyrings, strv_length(keys.keyrings), sizeof(char *), compare_keyrings);
        /* Somebody without the permission to view the kernel's keys sees but his own. */
        for (char **keyring = keys.keyrings; keyring && *keyring; keyring++)
                keys.known = keys.known || streq(*keyring, module_keyrings[0]);
        *ret = keys;
        keys = (KernelKeys) {};
        return 0;
}

bool kernel_keys_contain(const KernelKeys *keys, const char *id) {
        for (char **i = keys->ids; i && *i; i++)
                if (streq(*i, id))
                        return true;
        return false;
}

/* ---- Which key a signature wants --------------------------------------------------------------------------- */

static CMS_ContentInfo *parse_cms(const ModuleImage *image) {
        const uint8_t *data = module_image_data(image);
        ModuleSignature signature;

        if (module_signature_parse_untrusted(data, module_image_size(image), &signature, NULL) != 0)
                return NULL;
        data += signature.pkcs7_offset;
        return d2i_CMS_ContentInfo(NULL, &data, (long) signature.pkcs7_size);
}

/* One signer, and nothing in the signature but that. */
static bool wants_one_key(CMS_ContentInfo *cms) {
        STACK_OF(X509) *embedded = CMS_get1_certs(cms);
        bool none_embedded = !embedded || sk_X509_num(embedded) == 0;

        sk_X509_pop_free(embedded, X509_free);
        return none_embedded && sk_CMS_SignerInfo_num(CMS_get0_SignerInfos(cms)) == 1;
}

static const char *skid_of_certificate(const TrustStore *store, const char *fingerprint) {
        for (size_t i = 0; fingerprint && i < trust_store_n_certificates(store); i++) {
                const TrustCertificate *c = trust_store_certificate(store, i);

                if (streq_ptr(c->fingerprint, fingerprint))
                        return c->skid;
        }
        return NULL;
}

int kernel_keys_wanted(const ModuleImage *image, const TrustStore *store, const SignatureReport *report, char **ret) {
        CMS_ContentInfo *cms = parse_cms(image);
        const char *skid = NULL;

        if (cms && wants_one_key(cms))
                skid = skid_of_certificate(store, report->signer_fingerprint);
        CMS_ContentInfo_free(cms);
        certificate_log_openssl_errors("reading a signature's key");
        *ret = NULL;
        if (!skid || !key_id_is_valid(skid))
                return 0;
        *ret = strdup(skid);
        return *ret ? 0 : -ENOMEM;
}
