/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The X.509 trust anchors and the revocations of this system. */

#include <ctype.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <sys/sysmacros.h>

#include "common/fd-util.h"
#include "common/names.h"
#include "common/string-util.h"
#include "kmod/certificate.h"
#include "kmod/trust-store-internal.h"

/* A directory of more is a mistake, or an attempt to keep the daemon busy. */
#define DIRECTORY_FILES_MAX 256

#define FILE_NAME_SHOWN_MAX 128

typedef struct Digest {
        char hex[SHA256_HEX_LENGTH + 1];
} Digest;

struct TrustStore {
        atomic_uint n_ref;
        STACK_OF(X509) *anchors;
        TrustCertificate *certificates; /* one an anchor, in the same order */
        X509_STORE *chain_store;
        STACK_OF(X509) *revoked;
        Digest *revoked_digests; /* sorted once loaded */
        size_t n_revoked_digests;
        char **problems;
        bool revocation_broken;
};

/* One of the four directories. */
typedef struct Source {
        const char *path;
        TrustOrigin origin;
        bool revocations;
} Source;

static const Source sources[] = {
        { LP_VENDOR_DIR "/" LP_TRUSTED_DIR_NAME, TRUST_ORIGIN_VENDOR, false },
        { LP_CONFIG_DIR "/" LP_TRUSTED_DIR_NAME, TRUST_ORIGIN_ADMIN, false },
        { LP_VENDOR_DIR "/" LP_REVOKED_DIR_NAME, TRUST_ORIGIN_VENDOR, true },
        { LP_CONFIG_DIR "/" LP_REVOKED_DIR_NAME, TRUST_ORIGIN_ADMIN, true },
};

/* Where the admin's files that hide a vendor's are. */
static const char *source_override(const Source *source) {
        if (source->origin == TRUST_ORIGIN_ADMIN)
                return NULL;
        return source->revocations ? LP_CONFIG_DIR "/" LP_REVOKED_DIR_NAME : LP_CONFIG_DIR "/" LP_TRUSTED_DIR_NAME;
}

static int store_problem(TrustStore *store, const Source *source, const char *name, bool fatal, const char *reason) {
        _cleanup_free_ char *shown = sanitize_text(name, FILE_NAME_SHOWN_MAX), *line = NULL;

        if (fatal && source->revocations)
                store->revocation_broken = true;
        if (!shown || asprintf(&line, "/%s%s%s: %s", source->path, *name ? "/" : "", shown, reason) < 0) {
                line = NULL;
                return -ENOMEM;
        }
        return strv_append(&store->problems, line);
}

static int store_add_anchor(TrustStore *store, X509 *x, const Source *source, const char *name) {
        size_t n = trust_store_n_certificates(store);
        TrustCertificate *grown = realloc(store->certificates, (n + 1) * sizeof(TrustCertificate));
        TrustCertificate *c;
        int r;

        if (!grown)
                return -ENOMEM;
        store->certificates = grown;
        c = &grown[n];
        *c = (TrustCertificate) { .origin = source->origin };
        r = certificate_describe(x, c);
        if (r >= 0)
                r = free_and_strdup(&c->file, name);
        if (r >= 0 && X509_STORE_add_cert(store->chain_store, x) != 1)
                r = -ENOMEM;
        if (r >= 0 && (X509_up_ref(x) != 1 || sk_X509_push(store->anchors, x) <= 0))
                r = -ENOMEM;
        if (r < 0)
                trust_certificate_done(c);
        return r;
}

static int store_add_certificates(TrustStore *store, const Source *source, const char *name, const char *data,
                                  size_t size) {
        STACK_OF(X509) *list;
        const char *reason;
        int r = certificate_list_parse_untrusted(data, size, &list, &reason);

        if (r == -EBADMSG)
                return store_problem(store, source, name, true, reason);
        if (r < 0)
                return r;
        for (int i = 0; r >= 0 && i < sk_X509_num(list); i++) {
                X509 *x = sk_X509_value(list, i);

                if (!source->revocations)
                        r = store_add_anchor(store, x, source, name);
                else if (X509_up_ref(x) != 1 || sk_X509_push(store->revoked, x) <= 0)
                        r = -ENOMEM;
        }
        certificate_list_free(list);
        return r;
}

/* "<64 digits>", "<64 digits>  name", "# comment" or nothing; 1 when *ret was filled in. */
static int parse_digest_line(const char *line, size_t size, Digest *ret) {
        while (size > 0 && isspace((unsigned char) line[size - 1]))
                size--;
        while (size > 0 && isspace((unsigned char) *line)) {
                line++;
                size--;
        }
        if (size == 0 || *line == '#')
                return 0;
        if (size < SHA256_HEX_LENGTH || (size > SHA256_HEX_LENGTH && !isspace((unsigned char) line[SHA256_HEX_LENGTH])))
                return -EBADMSG;
        for (size_t i = 0; i < SHA256_HEX_LENGTH; i++)
                ret->hex[i] = (char) tolower((unsigned char) line[i]);
        ret->hex[SHA256_HEX_LENGTH] = '\0';
        return sha256_is_valid(ret->hex) ? 1 : -EBADMSG;
}

static int store_add_digests(TrustStore *store, const Source *source, const char *name, const char *data,
                             size_t size) {
        for (const char *p = data, *end = data + size; p < end;) {
                const char *newline = memchr(p, '\n', (size_t) (end - p));
                const char *line_end = newline ?: end;
                Digest digest, *grown;
                int r = parse_digest_line(p, (size_t) (line_end - p), &digest);

                if (r < 0)
                        return store_problem(store, source, name, true, "a line in it is no SHA-256 digest");
                if (r > 0) {
                        grown = realloc(store->revoked_digests, (store->n_revoked_digests + 1) * sizeof(Digest));
                        if (!grown)
                                return -ENOMEM;
                        store->revoked_digests = grown;
                        grown[store->n_revoked_digests++] = digest;
                }
                p = newline ? newline + 1 : end;
        }
        return 0;
}

/* Empty, or a link to /dev/null: hides the vendor's file of the same name and says nothing itself. */
static bool file_is_mask(int root_fd, const char *path) {
        struct stat st;

        if (fstatat(root_fd, path, &st, 0) < 0)
                return false;
        return S_ISCHR(st.st_mode) ? st.st_rdev == makedev(1, 3) : S_ISREG(st.st_mode) && st.st_size == 0;
}

static bool name_is_certificate(const char *name) {
        return endswith(name, ".pem") || endswith(name, ".der") || endswith(name, ".crt") || endswith(name, ".cer");
}

/* What editors and our own atomic writes leave behind, and documentation. */
static bool name_is_harmless(const char *name) {
        return endswith(name, "~") || streq(name, "README") || startswith(name, "README.");
}

static int store_load_file(TrustStore *store, int root_fd, const Source *source, const char *name) {
        bool certificate = name_is_certificate(name), digests = source->revocations && endswith(name, ".sha256");
        _cleanup_free_ char *path = NULL, *data = NULL;
        size_t size;
        int r;

        if (*name == '.')
                return 0;
        if (!certificate && !digests)
                return name_is_harmless(name) ? 0 :
                        store_problem(store, source, name, false, "ignored because of the end of its name");
        if (asprintf(&path, "%s/%s", source->path, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (file_is_mask(root_fd, path))
                return 0;
        r = read_file_at(root_fd, path, CERTIFICATE_FILE_MAX, &data, &size);
        if (r == -ENOMEM)
                return r;
        if (r == -EFBIG)
                return store_problem(store, source, name, true, "it is larger than 64 KiB");
        if (r < 0)
                return store_problem(store, source, name, true, r == -EBADFD ? "it is no regular file" : strerror(-r));
        return digests ? store_add_digests(store, source, name, data, size) :
                         store_add_certificates(store, source, name, data, size);
}

static int store_load_source(TrustStore *store, int root_fd, const Source *source) {
        _cleanup_strv_free_ char **names = NULL;
        const char *override = source_override(source);
        int n = list_dir_at(root_fd, source->path, &names), r;

        if (n == -ENOMEM)
                return n;
        if (n == -ENOENT)
                return 0;
        if (n < 0)
                return store_problem(store, source, "", true, strerror(-n));
        if (n > DIRECTORY_FILES_MAX)
                return store_problem(store, source, "", true, "it holds more than 256 files; none was read");
        for (char **name = names; *name; name++) {
                if (override) {
                        _cleanup_free_ char *path = NULL;

                        if (asprintf(&path, "%s/%s", override, *name) < 0) {
                                path = NULL;
                                return -ENOMEM;
                        }
                        if (exists_at(root_fd, path))
                                continue;
                }
                r = store_load_file(store, root_fd, source, *name);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compare_digests(const void *a, const void *b) {
        return strcmp(((const Digest *) a)->hex, ((const Digest *) b)->hex);
}

static TrustStore *store_allocate(void) {
        TrustStore *store = calloc(1, sizeof(TrustStore));

        if (!store)
                return NULL;
        atomic_init(&store->n_ref, 1);
        store->anchors = sk_X509_new_null();
        store->revoked = sk_X509_new_null();
        store->chain_store = X509_STORE_new();
        store->problems = calloc(1, sizeof(char *));
        if (!store->anchors || !store->revoked || !store->chain_store || !store->problems)
                return trust_store_unref(store);
        return store;
}

int trust_store_new(int root_fd, TrustStore **ret, Failure *f) {
        _cleanup_(trust_store_unrefp) TrustStore *store = store_allocate();

        if (!store)
                return failure_oom(f);
        for (size_t i = 0; i < ELEMENTSOF(sources); i++) {
                int r = store_load_source(store, root_fd, &sources[i]);

                if (r < 0)
                        return failure_set(f, r, "Cannot read the trusted certificates: %s", strerror(-r));
        }
        if (store->n_revoked_digests > 0)
                qsort(store->revoked_digests, store->n_revoked_digests, sizeof(Digest), compare_digests);
        for (size_t i = 0; i < trust_store_n_certificates(store); i++)
                store->certificates[i].revoked =
                                trust_store_certificate_revoked(store, sk_X509_value(store->anchors, (int) i));
        certificate_log_openssl_errors("Trust store loaded");
        *ret = TAKE_PTR(store);
        return 0;
}

TrustStore *trust_store_ref(TrustStore *store) {
        if (store)
                (void) atomic_fetch_add_explicit(&store->n_ref, 1, memory_order_relaxed);
        return store;
}

TrustStore *trust_store_unref(TrustStore *store) {
        if (!store || atomic_fetch_sub_explicit(&store->n_ref, 1, memory_order_acq_rel) > 1)
                return NULL;
        for (size_t i = 0; i < trust_store_n_certificates(store); i++)
                trust_certificate_done(&store->certificates[i]);
        free(store->certificates);
        certificate_list_free(store->anchors);
        certificate_list_free(store->revoked);
        X509_STORE_free(store->chain_store);
        free(store->revoked_digests);
        strv_free(store->problems);
        free(store);
        return NULL;
}

size_t trust_store_n_certificates(const TrustStore *store) {
        return (size_t) MAX(sk_X509_num(store->anchors), 0);
}

const TrustCertificate *trust_store_certificate(const TrustStore *store, size_t i) {
        return &store->certificates[i];
}

char *const *trust_store_problems(const TrustStore *store) {
        return store->problems;
}

bool trust_store_revocation_broken(const TrustStore *store) {
        return store->revocation_broken;
}

bool trust_store_module_revoked(const TrustStore *store, const char *sha256) {
        Digest key;

        if (store->n_revoked_digests == 0 || !sha256_is_valid(sha256))
                return false;
        memcpy(key.hex, sha256, sizeof(key.hex));
        return bsearch(&key, store->revoked_digests, store->n_revoked_digests, sizeof(Digest), compare_digests);
}

bool trust_store_certificate_revoked(const TrustStore *store, X509 *x) {
        for (int i = 0; i < sk_X509_num(store->revoked); i++)
                if (certificate_is_revoked_by(x, sk_X509_value(store->revoked, i)))
                        return true;
        return false;
}

const struct stack_st_X509 *trust_store_anchors(const TrustStore *store) {
        return store->anchors;
}

X509_STORE *trust_store_chain_store(const TrustStore *store) {
        return store->chain_store;
}
