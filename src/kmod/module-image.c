/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A kernel module held once as immutable bytes behind one descriptor. */

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "kmod/decompress.h"
#include "kmod/module-image.h"
#include "kmod/module-signature.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* include/uapi/linux/memfd.h, since 6.3 */
#endif

#define CHUNK_SIZE KIB(256)

#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

struct ModuleImage {
        atomic_uint n_ref;
        int fd;
        int file_fd;
        uint8_t *data;
        size_t size;
        ModuleCompression compression;
        char sha256[SHA256_HEX_LENGTH + 1];
        uint8_t payload_sha256[SHA256_DIGEST_LENGTH];
};

/* Takes chunks of a module and leaves them, decompressed, in a memfd. */
typedef struct ImageWriter {
        int fd;
        uint64_t max_size;
        const char *setting; /* what sets it; may be NULL */
        uint64_t n_read;
        uint64_t n_written;
        ModuleCompression compression;
        Decompressor *decompressor;
} ImageWriter;

static void image_writer_done(ImageWriter *w) {
        w->fd = safe_close(w->fd);
        w->decompressor = decompressor_free(w->decompressor);
}

static int create_memfd(void) {
        int fd = memfd_create("livepatch-module", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

        /* A kernel before 6.3 answers EINVAL to the flag; bytes of a module are no executable in either case. */
        if (fd < 0 && errno == EINVAL)
                fd = memfd_create("livepatch-module", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        return fd < 0 ? negative_errno() : fd;
}

static int image_writer_init(ImageWriter *w, uint64_t max_size, const char *setting, Failure *f) {
        int fd = create_memfd();

        if (fd < 0)
                return failure_set(f, fd, "Cannot create memory for the module: %s", strerror(-fd));
        *w = (ImageWriter) { .fd = fd, .max_size = max_size, .setting = setting };
        return 0;
}

static int image_writer_write(void *userdata, const uint8_t *data, size_t size) {
        ImageWriter *w = userdata;

        if (size > w->max_size - w->n_written)
                return -EFBIG;
        w->n_written += size;
        return write_all(w->fd, data, size);
}

/* "limit of 1024 bytes (ModuleSizeMax=1K)" */
static int image_writer_refuse(const ImageWriter *w, const char *when, Failure *f) {
        return failure_set(f, REFUSED_TOO_LARGE, "The module is larger than the limit of %llu bytes%s%s%s%s",
                           (unsigned long long) w->max_size, w->setting ? " (" : "", strempty(w->setting),
                           w->setting ? ")" : "", when);
}

static int image_writer_fail(const ImageWriter *w, int error, Failure *f) {
        const char *format = module_compression_to_string(w->compression);

        if (error == -EFBIG)
                return image_writer_refuse(w, w->decompressor ? " when decompressed" : "", f);
        if (error == -E2BIG)
                return failure_set(f, REFUSED_TOO_LARGE,
                                   "Decompressing the module takes a %s window of more than %u MiB. "
                                   "Compress it with a lower preset.", format, DECOMPRESS_WINDOW_MAX >> 20);
        if (error == -EBADMSG)
                return failure_set(f, REFUSED_MALFORMED_MODULE,
                                   "The module's %s data is damaged, truncated or followed by something else", format);
        if (error == -ENOMEM)
                return failure_oom(f);
        return failure_set(f, error, "Cannot copy the module: %s", strerror(-error));
}

/* The first chunk must hold at least the longest magic number, unless the module ends before. */
static int image_writer_feed(ImageWriter *w, const uint8_t *data, size_t size, Failure *f) {
        int r;

        if (size > w->max_size - w->n_read)
                return image_writer_refuse(w, "", f);
        if (w->n_read == 0) {
                w->compression = decompress_detect(data, size);
                if (w->compression != MODULE_COMPRESSION_NONE) {
                        r = decompressor_new(w->compression, image_writer_write, w, &w->decompressor);
                        if (r < 0)
                                return image_writer_fail(w, r, f);
                }
        }
        w->n_read += size;
        r = w->decompressor ? decompressor_push(w->decompressor, data, size) : image_writer_write(w, data, size);
        return r < 0 ? image_writer_fail(w, r, f) : 0;
}

/* Makes the bytes immutable, and the only descriptor of them one that cannot write. */
static int image_seal(ModuleImage *image, int fd) {
        char path[STRLEN("/proc/self/fd/") + 12];

        if (fcntl(fd, F_ADD_SEALS, ALL_SEALS) < 0)
                return negative_errno();
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        image->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        return image->fd < 0 ? negative_errno() : 0;
}

static int image_map(ModuleImage *image, size_t size) {
        void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, image->fd, 0);

        if (p == MAP_FAILED)
                return negative_errno();
        image->data = p;
        image->size = size;
        return 0;
}

/* One pass for both digests: the state at the end of the payload is finished in a copy. */
static int image_digest(ModuleImage *image) {
        EVP_MD_CTX *all = EVP_MD_CTX_new(), *payload = EVP_MD_CTX_new();
        uint8_t digest[SHA256_DIGEST_LENGTH];
        ModuleSignature signature;
        size_t payload_size = image->size;
        bool ok;

        if (module_signature_parse_untrusted(image->data, image->size, &signature, NULL) == 0)
                payload_size = signature.payload_size;
        ok = all && payload && EVP_DigestInit_ex(all, EVP_sha256(), NULL) == 1 &&
             EVP_DigestUpdate(all, image->data, payload_size) == 1 && EVP_MD_CTX_copy_ex(payload, all) == 1 &&
             EVP_DigestFinal_ex(payload, image->payload_sha256, NULL) == 1 &&
             EVP_DigestUpdate(all, image->data + payload_size, image->size - payload_size) == 1 &&
             EVP_DigestFinal_ex(all, digest, NULL) == 1;
        EVP_MD_CTX_free(all);
        EVP_MD_CTX_free(payload);
        if (!ok)
                return -ENOTRECOVERABLE;
        hex_encode(digest, sizeof(digest), image->sha256);
        return 0;
}

static int image_writer_finish(ImageWriter *w, ModuleImage **ret, Failure *f) {
        _cleanup_(module_image_unrefp) ModuleImage *image = NULL;
        int r;

        if (w->decompressor) {
                r = decompressor_finish(w->decompressor);
                if (r < 0)
                        return image_writer_fail(w, r, f);
        }
        if (w->n_written == 0)
                return failure_set(f, REFUSED_MALFORMED_MODULE, "The module is empty");
        image = calloc(1, sizeof(ModuleImage));
        if (!image)
                return failure_oom(f);
        atomic_init(&image->n_ref, 1);
        image->fd = image->file_fd = -EBADF;
        image->compression = w->compression;
        r = image_seal(image, w->fd);
        if (r >= 0)
                r = image_map(image, (size_t) w->n_written);
        if (r < 0)
                return failure_set(f, r, "Cannot seal the module in memory: %s", strerror(-r));
        r = image_digest(image);
        if (r < 0)
                return failure_set(f, r, "Cannot compute the SHA-256 digest of the module");
        *ret = TAKE_PTR(image);
        return 0;
}

/* Fills the buffer unless the end comes before; offset < 0 reads from the current position. */
static ssize_t read_chunk(int fd, uint8_t *buffer, off_t offset) {
        size_t n = 0;

        while (n < CHUNK_SIZE) {
                ssize_t k = offset < 0 ? read(fd, buffer + n, CHUNK_SIZE - n) :
                                         pread(fd, buffer + n, CHUNK_SIZE - n, offset + (off_t) n);

                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        return negative_errno();
                }
                if (k == 0)
                        break;
                n += (size_t) k;
        }
        return (ssize_t) n;
}

/* The rest of an uncompressed file, without a detour through our memory. Stops early where the kernel cannot do that
 * for this kind of file; reading then goes on from there. */
static int image_writer_send(ImageWriter *w, int fd, Failure *f) {
        while (w->n_written < w->max_size) {
                off_t offset = (off_t) w->n_written;
                ssize_t n = sendfile(w->fd, fd, &offset, MIN(w->max_size - w->n_written, (uint64_t) MIB(16)));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n == 0 || (n < 0 && (errno == EINVAL || errno == ENOSYS)))
                        break;
                if (n < 0)
                        return image_writer_fail(w, negative_errno(), f);
                w->n_written += (uint64_t) n;
                w->n_read = w->n_written;
        }
        return 0;
}

static int image_new_by_reading(int fd, bool stream, uint64_t max_size, const char *setting, ModuleImage **ret,
                                Failure *f) {
        _cleanup_(image_writer_done) ImageWriter w = { .fd = -EBADF };
        _cleanup_free_ uint8_t *buffer = malloc(CHUNK_SIZE);
        int r;

        if (!buffer)
                return failure_oom(f);
        r = image_writer_init(&w, max_size, setting, f);
        if (r != 0)
                return r;
        for (;;) {
                ssize_t n = read_chunk(fd, buffer, stream ? -1 : (off_t) w.n_read);

                /* Opened for writing only; a directory behind a stream. */
                if (n == -EBADF || n == -EISDIR)
                        return failure_set(f, REFUSED_INVALID_FILE, "The module's descriptor is not open for reading");
                if (n < 0)
                        return failure_set(f, (int) n, "Cannot read the module: %s", strerror((int) -n));
                if (n == 0)
                        break;
                r = image_writer_feed(&w, buffer, (size_t) n, f);
                if (r == 0 && !stream && !w.decompressor)
                        r = image_writer_send(&w, fd, f);
                if (r != 0)
                        return r;
        }
        return image_writer_finish(&w, ret, f);
}

static const char *file_type(mode_t mode) {
        switch (mode & S_IFMT) {
        case S_IFDIR:
                return "a directory";
        case S_IFIFO:
                return "a pipe";
        case S_IFSOCK:
                return "a socket";
        case S_IFCHR:
        case S_IFBLK:
                return "a device";
        case S_IFLNK:
                return "a symbolic link";
        default:
                return "something else";
        }
}

int module_image_new_from_fd(int fd, uint64_t max_size, const char *setting, ModuleImage **ret, Failure *f) {
        struct stat st;
        int flags;

        if (fstat(fd, &st) < 0)
                return failure_set(f, errno == EBADF ? REFUSED_INVALID_FILE : negative_errno(),
                                   "The module's descriptor cannot be examined: %m");
        if (!S_ISREG(st.st_mode))
                return failure_set(f, REFUSED_INVALID_FILE, "The module must be a regular file, but is %s",
                                   file_type(st.st_mode));
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY)
                return failure_set(f, REFUSED_INVALID_FILE, "The module's descriptor is not open for reading");
        /* Only saves work: the size may change while the file is read. */
        if (st.st_size > 0 && (uint64_t) st.st_size > max_size)
                return failure_set(f, REFUSED_TOO_LARGE, "The module has %llu bytes; the limit is %llu%s%s%s",
                                   (unsigned long long) st.st_size, (unsigned long long) max_size,
                                   setting ? " (" : "", strempty(setting), setting ? ")" : "");
        return image_new_by_reading(fd, false, max_size, setting, ret, f);
}

int module_image_new_from_stream(int fd, uint64_t max_size, ModuleImage **ret, Failure *f) {
        return image_new_by_reading(fd, true, max_size, NULL, ret, f);
}

int module_image_new_from_memory(const void *data, size_t size, uint64_t max_size, ModuleImage **ret, Failure *f) {
        _cleanup_(image_writer_done) ImageWriter w = { .fd = -EBADF };
        int r = image_writer_init(&w, max_size, NULL, f);

        if (r == 0 && size > 0)
                r = image_writer_feed(&w, data, size, f);
        return r != 0 ? r : image_writer_finish(&w, ret, f);
}

ModuleImage *module_image_ref(ModuleImage *image) {
        if (image)
                (void) atomic_fetch_add_explicit(&image->n_ref, 1, memory_order_relaxed);
        return image;
}

ModuleImage *module_image_unref(ModuleImage *image) {
        if (!image || atomic_fetch_sub_explicit(&image->n_ref, 1, memory_order_acq_rel) > 1)
                return NULL;
        if (image->data)
                (void) munmap(image->data, image->size);
        safe_close(image->fd);
        safe_close(image->file_fd);
        free(image);
        return NULL;
}

const uint8_t *module_image_data(const ModuleImage *image) {
        return image->data;
}

size_t module_image_size(const ModuleImage *image) {
        return image->size;
}

ModuleCompression module_image_compression(const ModuleImage *image) {
        return image->compression;
}

int module_image_fd(const ModuleImage *image) {
        return image->fd;
}

const char *module_image_sha256(const ModuleImage *image) {
        return image->sha256;
}

const uint8_t *module_image_payload_sha256(const ModuleImage *image) {
        return image->payload_sha256;
}

void module_image_set_file(ModuleImage *image, int fd) {
        safe_close(image->file_fd);
        image->file_fd = fd;
}

int module_image_file_fd(const ModuleImage *image) {
        return image->file_fd;
}
