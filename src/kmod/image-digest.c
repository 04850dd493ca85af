/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SHA-256 of a module while it is still being copied.
 *
 * A large module takes about as long to copy as to hash, so a thread hashes what has arrived. It reads the memfd and not
 * the source: only this process has the memfd, and only appends to it, so that what was hashed is what gets sealed.
 *
 * Where the payload ends is known only when its last bytes are there. The thread therefore stays behind by more than
 * the largest signature that is accepted, and the rest is hashed at the end, the digest of the payload in a copy of the
 * state. So every byte is hashed once. */

#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "kmod/image-digest.h"
#include "kmod/module-signature.h"

#define CHUNK_SIZE KIB(256)
#define BEHIND (2 * SIGNATURE_SIZE_MAX)

/* Less is hashed in the time that it takes to start a thread, give or take. */
#define WORTH_A_THREAD MIB(4)

struct ImageDigest {
        int fd;
        EVP_MD_CTX *ctx; /* the thread's while there is one */
        uint64_t n_hashed;
        bool has_thread;
        bool no_thread; /* could not be started; not tried again */
        pthread_t thread;
        pthread_mutex_t lock; /* protects the two below */
        pthread_cond_t changed;
        uint64_t n_written;
        bool stop;
};

int image_digest_new(int fd, ImageDigest **ret) {
        _cleanup_free_ ImageDigest *d = calloc(1, sizeof(ImageDigest));

        if (!d)
                return -ENOMEM;
        d->fd = fd;
        d->ctx = EVP_MD_CTX_new();
        if (!d->ctx || EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1) {
                EVP_MD_CTX_free(d->ctx);
                return -ENOMEM;
        }
        (void) pthread_mutex_init(&d->lock, NULL);
        (void) pthread_cond_init(&d->changed, NULL);
        *ret = TAKE_PTR(d);
        return 0;
}

/* Waits for a chunk to hash; false when there will be none. What had arrived before the stop is hashed. */
static bool wait_for_chunk(ImageDigest *d) {
        bool go;

        (void) pthread_mutex_lock(&d->lock);
        for (;;) {
                go = d->n_written >= d->n_hashed + CHUNK_SIZE + BEHIND;
                if (go || d->stop)
                        break;
                (void) pthread_cond_wait(&d->changed, &d->lock);
        }
        (void) pthread_mutex_unlock(&d->lock);
        return go;
}

/* Whatever goes wrong ends the thread before its time, and image_digest_finish() goes on from there. */
static void *hash_what_arrives(void *userdata) {
        _cleanup_free_ uint8_t *buffer = malloc(CHUNK_SIZE);
        ImageDigest *d = userdata;

        while (buffer && wait_for_chunk(d)) {
                ssize_t n = pread(d->fd, buffer, CHUNK_SIZE, (off_t) d->n_hashed);

                if (n <= 0 || EVP_DigestUpdate(d->ctx, buffer, (size_t) n) != 1)
                        break;
                d->n_hashed += (uint64_t) n;
        }
        return NULL;
}

static void thread_start(ImageDigest *d) {
        sigset_t all, before;

        /* Signals are for the event loop. */
        (void) sigfillset(&all);
        if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
                return;
        d->has_thread = pthread_create(&d->thread, NULL, hash_what_arrives, d) == 0;
        d->no_thread = !d->has_thread;
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void thread_stop(ImageDigest *d) {
        if (!d->has_thread)
                return;
        (void) pthread_mutex_lock(&d->lock);
        d->stop = true;
        (void) pthread_cond_signal(&d->changed);
        (void) pthread_mutex_unlock(&d->lock);
        (void) pthread_join(d->thread, NULL);
        d->has_thread = false;
}

void image_digest_advance(ImageDigest *d, uint64_t n_written) {
        (void) pthread_mutex_lock(&d->lock);
        d->n_written = n_written;
        (void) pthread_cond_signal(&d->changed);
        (void) pthread_mutex_unlock(&d->lock);
        if (n_written >= WORTH_A_THREAD && !d->has_thread && !d->no_thread)
                thread_start(d);
}

int image_digest_finish(ImageDigest *d, const uint8_t *data, size_t size, size_t payload_size,
                        uint8_t ret_all[static IMAGE_DIGEST_SIZE], uint8_t ret_payload[static IMAGE_DIGEST_SIZE]) {
        EVP_MD_CTX *payload = EVP_MD_CTX_new();
        bool ok = payload;

        thread_stop(d);
        /* A signature larger than any that is accepted: refused later, but its payload has a digest, too. */
        if (d->n_hashed > payload_size) {
                ok = ok && EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) == 1;
                d->n_hashed = 0;
        }
        ok = ok && EVP_DigestUpdate(d->ctx, data + d->n_hashed, payload_size - d->n_hashed) == 1 &&
             EVP_MD_CTX_copy_ex(payload, d->ctx) == 1 && EVP_DigestFinal_ex(payload, ret_payload, NULL) == 1 &&
             EVP_DigestUpdate(d->ctx, data + payload_size, size - payload_size) == 1 &&
             EVP_DigestFinal_ex(d->ctx, ret_all, NULL) == 1;
        EVP_MD_CTX_free(payload);
        return ok ? 0 : -ENOTRECOVERABLE;
}

ImageDigest *image_digest_free(ImageDigest *d) {
        if (!d)
                return NULL;
        thread_stop(d);
        (void) pthread_mutex_destroy(&d->lock);
        (void) pthread_cond_destroy(&d->changed);
        EVP_MD_CTX_free(d->ctx);
        free(d);
        return NULL;
}
