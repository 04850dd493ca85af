/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module image: immutable, bounded, decompressed, hashed once. */

#include <endian.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "kmod/decompress.h"
#include "kmod/module-image.h"
#include "test.h"

#define LIMIT MIB(4)

static void sha256_hex(const void *data, size_t size, char *ret) {
        uint8_t digest[SHA256_DIGEST_LENGTH];

        SHA256(data, size, digest);
        hex_encode(digest, sizeof(digest), ret);
}

static ModuleImage *from_memory(const void *data, size_t size) {
        ModuleImage *image = NULL;
        _cleanup_failure_ Failure f = {};

        if (module_image_new_from_memory(data, size, LIMIT, &image, &f) != 0)
                test_fail(__FILE__, __LINE__, "%s", failure_text(&f));
        return image;
}

static void assert_refused(const void *data, size_t size, uint64_t limit, int code, const char *text) {
        _cleanup_failure_ Failure f = {};
        ModuleImage *image = NULL;

        ASSERT_EQ(module_image_new_from_memory(data, size, limit, &image, &f), code);
        ASSERT_CONTAINS(f.text, text);
        ASSERT_NULL(image);
}

static void assert_fd_refused(int fd, uint64_t limit, int code, const char *text) {
        _cleanup_failure_ Failure f = {};
        ModuleImage *image = NULL;

        ASSERT_EQ(module_image_new_from_fd(fd, limit, NULL, &image, &f), code);
        ASSERT_CONTAINS(f.text, text);
        ASSERT_NULL(image);
}

/* Compresses with the tool that people use, from and to files of the temporary directory. */
static char *run_tool(const char *command, const void *data, size_t size, size_t *ret_size) {
        _cleanup_free_ char *line = NULL;
        char *out;

        test_write_bytes(test_tmpdir(), "in", data, size);
        /* meson's MALLOC_PERTURB_ would have the tools fill hundreds of megabytes. */
        ASSERT_TRUE(asprintf(&line, "unset MALLOC_PERTURB_; cd '%s' && %s < in > out", test_tmpdir_path(),
                             command) > 0);
        if (system(line) != 0)
                test_skip(command);
        ASSERT_OK(read_file_at(test_tmpdir(), "out", LIMIT, &out, ret_size));
        return out;
}

/* Neither constant nor random: both kinds of block occur in what compressors make of it. */
static char *sample(size_t size) {
        char *data = malloc(size);

        for (size_t i = 0; i < size; i++)
                data[i] = (char) ((i / 977) % 3 == 0 ? i : (i * 2654435761U) >> 13);
        return data;
}

TEST(plain_bytes) {
        ModuleImage *image = from_memory("some bytes", 10);
        char hex[65];
        uint8_t payload[SHA256_DIGEST_LENGTH];

        ASSERT_EQ(module_image_size(image), 10);
        ASSERT_TRUE(memcmp(module_image_data(image), "some bytes", 10) == 0);
        ASSERT_EQ(module_image_compression(image), MODULE_COMPRESSION_NONE);
        sha256_hex("some bytes", 10, hex);
        ASSERT_STREQ(module_image_sha256(image), hex);
        SHA256((const uint8_t *) "some bytes", 10, payload);
        ASSERT_TRUE(memcmp(module_image_payload_sha256(image), payload, sizeof(payload)) == 0);
        ASSERT_EQ(module_image_file_fd(image), -EBADF);
        module_image_unref(image);
}

TEST(payload_digest_ends_before_the_signature) {
        size_t size, payload_size;
        _cleanup_free_ char *module = test_read_data("build:test/unit/fixtures/signatures/plain.ko", &size);
        _cleanup_free_ char *payload = test_read_data("build:test/unit/fixtures/signatures/payload", &payload_size);
        ModuleImage *image = from_memory(module, size);
        uint8_t digest[SHA256_DIGEST_LENGTH];
        char hex[65];

        SHA256((const uint8_t *) payload, payload_size, digest);
        ASSERT_TRUE(memcmp(module_image_payload_sha256(image), digest, sizeof(digest)) == 0);
        sha256_hex(module, size, hex);
        ASSERT_STREQ(module_image_sha256(image), hex);
        module_image_unref(image);
}

TEST(image_is_immutable) {
        ModuleImage *image = from_memory("some bytes", 10);
        _cleanup_close_ int fd = -EBADF;
        char path[64];
        int image_fd = module_image_fd(image);

        ASSERT_EQ(fcntl(image_fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        ASSERT_EQ(fcntl(image_fd, F_GETFD), FD_CLOEXEC);
        ASSERT_EQ(fcntl(image_fd, F_GET_SEALS) & (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL),
                  F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
        ASSERT_EQ(write(image_fd, "x", 1), -1);
        /* Not through another descriptor either. */
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", image_fd);
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd >= 0) {
                ASSERT_EQ(pwrite(fd, "x", 1, 0), -1);
                ASSERT_EQ(ftruncate(fd, 1), -1);
                ASSERT_TRUE(mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
        }
        ASSERT_TRUE(memcmp(module_image_data(image), "some bytes", 10) == 0);
        module_image_unref(image);
}

TEST(file_changes_later_do_not_matter) {
        _cleanup_close_ int fd = -EBADF;
        ModuleImage *image;

        test_write_file(test_tmpdir(), "module", "some bytes");
        fd = openat(test_tmpdir(), "module", O_RDWR | O_CLOEXEC);
        ASSERT_EQ(module_image_new_from_fd(fd, LIMIT, NULL, &image, NULL), 0);
        ASSERT_EQ(pwrite(fd, "other", 5, 0), 5);
        ASSERT_TRUE(memcmp(module_image_data(image), "some bytes", 10) == 0);
        module_image_unref(image);
}

TEST(position_of_the_descriptor_does_not_matter) {
        _cleanup_close_ int fd = -EBADF;
        ModuleImage *image;

        test_write_file(test_tmpdir(), "module", "some bytes");
        fd = openat(test_tmpdir(), "module", O_RDONLY | O_CLOEXEC);
        ASSERT_EQ(lseek(fd, 5, SEEK_SET), 5);
        ASSERT_EQ(module_image_new_from_fd(fd, LIMIT, NULL, &image, NULL), 0);
        ASSERT_EQ(module_image_size(image), 10);
        ASSERT_EQ(lseek(fd, 0, SEEK_CUR), 5);
        module_image_unref(image);
}

TEST(large_file) {
        size_t size = 1000003;
        _cleanup_free_ char *data = sample(size);
        _cleanup_close_ int fd = -EBADF;
        ModuleImage *image;

        test_write_bytes(test_tmpdir(), "module", data, size);
        fd = openat(test_tmpdir(), "module", O_RDONLY | O_CLOEXEC);
        ASSERT_EQ(module_image_new_from_fd(fd, size, NULL, &image, NULL), 0);
        ASSERT_EQ(module_image_size(image), size);
        ASSERT_TRUE(memcmp(module_image_data(image), data, size) == 0);
        module_image_unref(image);
        assert_fd_refused(fd, size - 1, REFUSED_TOO_LARGE, "limit");
}

static void assert_digests(const char *data, size_t size, size_t payload_size) {
        ModuleImage *image = NULL;
        uint8_t payload[SHA256_DIGEST_LENGTH];
        _cleanup_close_ int fd = -EBADF;
        char hex[65];

        test_write_bytes(test_tmpdir(), "module", data, size);
        fd = openat(test_tmpdir(), "module", O_RDONLY | O_CLOEXEC);
        ASSERT_EQ(module_image_new_from_fd(fd, size, NULL, &image, NULL), 0);
        sha256_hex(data, size, hex);
        ASSERT_STREQ(module_image_sha256(image), hex);
        SHA256((const uint8_t *) data, payload_size, payload);
        ASSERT_TRUE(memcmp(module_image_payload_sha256(image), payload, sizeof(payload)) == 0);
        module_image_unref(image);
}

/* One pass for both digests, wherever the signature begins. */
TEST(digests_of_a_large_file) {
        static const char marker[] = "~Module signature appended~\n";
        static const uint32_t signatures[] = { 1, 1000, KIB(256), KIB(511), KIB(512), KIB(513), MIB(3), MIB(9) };
        size_t size = 10000003, length = STRLEN("~Module signature appended~\n");
        _cleanup_free_ char *data = sample(size);
        uint8_t trailer[12] = { 0, 0, 2 };

        assert_digests(data, size, size);
        memcpy(data + size - length, marker, length);
        for (size_t i = 0; i < ELEMENTSOF(signatures); i++) {
                uint32_t n = htobe32(signatures[i]);

                memcpy(trailer + 8, &n, sizeof(n));
                memcpy(data + size - length - sizeof(trailer), trailer, sizeof(trailer));
                assert_digests(data, size, size - length - sizeof(trailer) - signatures[i]);
        }
}

/* What /proc says about its size is 0, and sendfile(2) may not know it. */
TEST(file_without_a_size) {
        _cleanup_close_ int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
        ModuleImage *image;

        ASSERT_EQ(module_image_new_from_fd(fd, LIMIT, NULL, &image, NULL), 0);
        ASSERT_TRUE(module_image_size(image) > 10);
        module_image_unref(image);
        assert_fd_refused(fd, 10, REFUSED_TOO_LARGE, "limit of 10 bytes");
}

TEST(not_a_readable_regular_file) {
        _cleanup_close_ int dir = openat(test_tmpdir(), ".", O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int device = open("/dev/zero", O_RDONLY | O_CLOEXEC), write_only = -EBADF, path_only = -EBADF;
        int pipes[2], sockets[2];

        test_write_file(test_tmpdir(), "module", "some bytes");
        write_only = openat(test_tmpdir(), "module", O_WRONLY | O_CLOEXEC);
        path_only = openat(test_tmpdir(), "module", O_PATH | O_CLOEXEC);
        ASSERT_OK(pipe2(pipes, O_CLOEXEC));
        ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));

        assert_fd_refused(dir, LIMIT, REFUSED_INVALID_FILE, "a directory");
        assert_fd_refused(device, LIMIT, REFUSED_INVALID_FILE, "a device");
        assert_fd_refused(write_only, LIMIT, REFUSED_INVALID_FILE, "not open for reading");
        assert_fd_refused(path_only, LIMIT, REFUSED_INVALID_FILE, "not open for reading");
        assert_fd_refused(pipes[0], LIMIT, REFUSED_INVALID_FILE, "a pipe");
        assert_fd_refused(sockets[0], LIMIT, REFUSED_INVALID_FILE, "a socket");
        assert_fd_refused(-1, LIMIT, REFUSED_INVALID_FILE, "cannot be examined");
        for (int i = 0; i < 2; i++) {
                safe_close(pipes[i]);
                safe_close(sockets[i]);
        }
}

TEST(size_limit) {
        _cleanup_close_ int fd = -EBADF;
        ModuleImage *image;

        test_write_file(test_tmpdir(), "module", "0123456789");
        fd = openat(test_tmpdir(), "module", O_RDONLY | O_CLOEXEC);
        ASSERT_EQ(module_image_new_from_fd(fd, 10, NULL, &image, NULL), 0);
        module_image_unref(image);
        assert_fd_refused(fd, 9, REFUSED_TOO_LARGE, "has 10 bytes; the limit is 9");
        assert_refused("0123456789", 10, 9, REFUSED_TOO_LARGE, "the limit of 9 bytes");
        assert_refused("x", 1, 0, REFUSED_TOO_LARGE, "limit");
}

TEST(empty) {
        _cleanup_close_ int fd = -EBADF;

        test_write_file(test_tmpdir(), "module", "");
        fd = openat(test_tmpdir(), "module", O_RDONLY | O_CLOEXEC);
        assert_fd_refused(fd, LIMIT, REFUSED_MALFORMED_MODULE, "empty");
        assert_refused("", 0, LIMIT, REFUSED_MALFORMED_MODULE, "empty");
}

static void *write_slowly(void *userdata) {
        int fd = *(int *) userdata;

        for (int i = 0; i < 10; i++)
                (void) !write(fd, "0123456789", 10);
        safe_close(fd);
        return NULL;
}

TEST(stream) {
        int pipes[2];
        pthread_t thread;
        ModuleImage *image;

        ASSERT_OK(pipe2(pipes, O_CLOEXEC));
        ASSERT_EQ(pthread_create(&thread, NULL, write_slowly, &pipes[1]), 0);
        ASSERT_EQ(module_image_new_from_stream(pipes[0], LIMIT, &image, NULL), 0);
        ASSERT_EQ(pthread_join(thread, NULL), 0);
        ASSERT_EQ(module_image_size(image), 100);
        module_image_unref(image);
        safe_close(pipes[0]);
}

TEST(stream_is_bounded) {
        _cleanup_close_ int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        _cleanup_failure_ Failure f = {};
        ModuleImage *image = NULL;

        ASSERT_EQ(module_image_new_from_stream(fd, LIMIT, &image, &f), REFUSED_TOO_LARGE);
        ASSERT_CONTAINS(f.text, "limit of 4194304 bytes");
        ASSERT_EQ(module_image_new_from_stream(test_tmpdir(), LIMIT, &image, &f), REFUSED_INVALID_FILE);
}

static void assert_round_trip(const char *command, ModuleCompression compression) {
        size_t size = 700000, packed_size, half;
        _cleanup_free_ char *data = sample(size), *packed = run_tool(command, data, size, &packed_size), *twice = NULL;
        ModuleImage *image = from_memory(packed, packed_size);

        ASSERT_EQ(module_image_compression(image), compression);
        ASSERT_EQ(module_image_size(image), size);
        ASSERT_TRUE(memcmp(module_image_data(image), data, size) == 0);
        module_image_unref(image);

        /* Members one after the other, as cat(1) makes them. */
        twice = malloc(2 * packed_size);
        memcpy(twice, packed, packed_size);
        memcpy(twice + packed_size, packed, packed_size);
        image = from_memory(twice, 2 * packed_size);
        ASSERT_EQ(module_image_size(image), 2 * size);
        ASSERT_TRUE(memcmp(module_image_data(image) + size, data, size) == 0);
        module_image_unref(image);

        assert_refused(packed, packed_size, size - 1, REFUSED_TOO_LARGE, "when decompressed");
        assert_refused(packed, packed_size, packed_size - 1, REFUSED_TOO_LARGE, "limit");
        assert_refused(packed, packed_size - 1, LIMIT, REFUSED_MALFORMED_MODULE, "truncated");
        assert_refused(packed, packed_size / 2, LIMIT, REFUSED_MALFORMED_MODULE, "truncated");
        assert_refused(packed, 6, LIMIT, REFUSED_MALFORMED_MODULE, "truncated");
        assert_refused(twice, packed_size + 7, LIMIT, REFUSED_MALFORMED_MODULE, "truncated");
        memset(twice + packed_size, 'x', packed_size);
        assert_refused(twice, packed_size + 1, LIMIT, REFUSED_MALFORMED_MODULE, "followed by something else");
        assert_refused(twice, 2 * packed_size, LIMIT, REFUSED_MALFORMED_MODULE, "followed by something else");
        half = packed_size / 2;
        packed[half] = (char) (packed[half] ^ 0x55);
        assert_refused(packed, packed_size, LIMIT, REFUSED_MALFORMED_MODULE, "damaged");
}

TEST(gzip) {
        assert_round_trip("gzip -c", MODULE_COMPRESSION_GZIP);
}

TEST(xz) {
        assert_round_trip("xz -c --check=crc32", MODULE_COMPRESSION_XZ);
}

TEST(zstd) {
        assert_round_trip("zstd -c -q", MODULE_COMPRESSION_ZSTD);
}

TEST(highest_presets) {
        static const char *const commands[] = { "gzip -9 -c", "xz -9e -c", "zstd -19 -c -q", "zstd --ultra -22 -c -q" };
        _cleanup_free_ char *data = sample(5000);

        for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
                size_t size;
                _cleanup_free_ char *packed = run_tool(commands[i], data, 5000, &size);
                ModuleImage *image = from_memory(packed, size);

                ASSERT_EQ(module_image_size(image), 5000);
                module_image_unref(image);
        }
}

TEST(bombs) {
        static const char *const commands[] = { "gzip -9 -c", "xz -9 -c", "zstd -19 -c -q" };
        size_t size = MIB(3);
        _cleanup_free_ char *zeros = calloc(1, size);

        for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
                size_t packed_size;
                _cleanup_free_ char *packed = run_tool(commands[i], zeros, size, &packed_size);

                ASSERT_TRUE(packed_size < size / 100);
                assert_refused(packed, packed_size, KIB(64), REFUSED_TOO_LARGE, "when decompressed");
        }
}

TEST(windows_are_bounded) {
        static const char *const commands[] = {
                "xz -c --lzma2=preset=1,dict=256MiB",
                /* From a pipe of unknown length, so that the window is not cut down to the content. */
                "cat | zstd -c -q --ultra -22 --long=28",
        };

        for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
                size_t size;
                _cleanup_free_ char *packed = run_tool(commands[i], "some bytes", 10, &size);

                assert_refused(packed, size, LIMIT, REFUSED_TOO_LARGE, "window of more than 128 MiB");
        }
}

TEST(compressed_nothing) {
        size_t size;
        _cleanup_free_ char *packed = run_tool("gzip -c", "", 0, &size);

        assert_refused(packed, size, LIMIT, REFUSED_MALFORMED_MODULE, "empty");
}

TEST(magic_numbers) {
        ASSERT_EQ(decompress_detect((const uint8_t *) "\x1f\x8b", 2), MODULE_COMPRESSION_GZIP);
        ASSERT_EQ(decompress_detect((const uint8_t *) "\x1f", 1), MODULE_COMPRESSION_NONE);
        ASSERT_EQ(decompress_detect((const uint8_t *) "\xfd" "7zXZ", 5), MODULE_COMPRESSION_NONE);
        ASSERT_EQ(decompress_detect((const uint8_t *) "\xfd" "7zXZ", 6), MODULE_COMPRESSION_XZ);
        ASSERT_EQ(decompress_detect((const uint8_t *) "\x28\xb5\x2f\xfc", 4), MODULE_COMPRESSION_NONE);
        ASSERT_EQ(decompress_detect((const uint8_t *) "\177ELF", 4), MODULE_COMPRESSION_NONE);
        ASSERT_EQ(decompress_detect(NULL, 0), MODULE_COMPRESSION_NONE);
}

TEST(file_of_the_image) {
        ModuleImage *image = from_memory("some bytes", 10);
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        module_image_set_file(image, fd);
        ASSERT_EQ(module_image_file_fd(image), fd);
        ASSERT_NOT_NULL(module_image_ref(image));
        module_image_unref(image);
        ASSERT_OK(fcntl(fd, F_GETFD));
        module_image_unref(image);
        ASSERT_EQ(fcntl(fd, F_GETFD), -1);
}
