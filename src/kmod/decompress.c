/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streaming decompression of untrusted data, bounded in memory. */

#include <limits.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "kmod/decompress.h"

#define OUTPUT_SIZE KIB(64)

/* What liblzma needs beside the dictionary. */
#define XZ_MEMORY_MAX (DECOMPRESS_WINDOW_MAX + MIB(8))

/* One call of a format's decoder: both sides are advanced by what was consumed and produced. */
typedef struct Step {
        const uint8_t *in;
        size_t in_size;
        uint8_t *out;
        size_t out_size;
        bool last; /* no more input will come */
} Step;

typedef struct Format {
        int (*open)(Decompressor *d);
        int (*step)(Decompressor *d, Step *s); /* 1 at the end of a member, 0 within one, negative errno */
        void (*close)(Decompressor *d);
} Format;

struct Decompressor {
        const Format *format;
        DecompressSink sink;
        void *userdata;
        bool complete; /* what was pushed so far ends with the end of a member */
        union {
                z_stream gzip;
                lzma_stream xz;
                ZSTD_DStream *zstd;
        };
        uint8_t out[OUTPUT_SIZE];
};

/* 16 more than the window's logarithm: the gzip format and nothing else (zlib.h, inflateInit2()). */
static int gzip_open(Decompressor *d) {
        return inflateInit2(&d->gzip, 16 + MAX_WBITS) == Z_OK ? 0 : -ENOMEM;
}

static int gzip_step(Decompressor *d, Step *s) {
        z_stream *z = &d->gzip;
        uInt in_size = (uInt) MIN(s->in_size, (size_t) INT_MAX), out_size = (uInt) s->out_size;
        int r;

        /* gzip(1) accepts members one after the other, and so do we. */
        if (d->complete && inflateReset(z) != Z_OK)
                return -EBADMSG;
        z->next_in = (z_const Bytef *) s->in;
        z->avail_in = in_size;
        z->next_out = s->out;
        z->avail_out = out_size;
        r = inflate(z, Z_NO_FLUSH);
        s->in += in_size - z->avail_in;
        s->in_size -= in_size - z->avail_in;
        s->out_size = z->avail_out;
        if (r == Z_STREAM_END)
                return 1;
        /* Z_BUF_ERROR: neither input nor room for output; not an error in itself. */
        if (r == Z_OK || r == Z_BUF_ERROR)
                return 0;
        return r == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

static void gzip_close(Decompressor *d) {
        (void) inflateEnd(&d->gzip);
}

static int xz_open(Decompressor *d) {
        d->xz = (lzma_stream) LZMA_STREAM_INIT;
        return lzma_stream_decoder(&d->xz, XZ_MEMORY_MAX, LZMA_CONCATENATED) == LZMA_OK ? 0 : -ENOMEM;
}

static int xz_step(Decompressor *d, Step *s) {
        lzma_stream *x = &d->xz;
        lzma_ret r;

        x->next_in = s->in;
        x->avail_in = s->in_size;
        x->next_out = s->out;
        x->avail_out = s->out_size;
        r = lzma_code(x, s->last ? LZMA_FINISH : LZMA_RUN);
        s->in = x->next_in;
        s->in_size = x->avail_in;
        s->out_size = x->avail_out;
        if (r == LZMA_STREAM_END)
                return 1;
        if (r == LZMA_OK || (r == LZMA_BUF_ERROR && !s->last))
                return 0;
        if (r == LZMA_MEMLIMIT_ERROR)
                return -E2BIG;
        return r == LZMA_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

static void xz_close(Decompressor *d) {
        lzma_end(&d->xz);
}

static int zstd_open(Decompressor *d) {
        d->zstd = ZSTD_createDStream();
        if (!d->zstd)
                return -ENOMEM;
        if (ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, DECOMPRESS_WINDOW_LOG))) {
                (void) ZSTD_freeDStream(d->zstd);
                return -EINVAL;
        }
        return 0;
}

static int zstd_step(Decompressor *d, Step *s) {
        ZSTD_inBuffer in = { .src = s->in, .size = s->in_size };
        ZSTD_outBuffer out = { .dst = s->out, .size = s->out_size };
        size_t r = ZSTD_decompressStream(d->zstd, &out, &in);

        if (ZSTD_isError(r)) {
                switch ((int) ZSTD_getErrorCode(r)) {
                case ZSTD_error_frameParameter_windowTooLarge:
                        return -E2BIG;
                case ZSTD_error_memory_allocation:
                        return -ENOMEM;
                default:
                        return -EBADMSG;
                }
        }
        s->in += in.pos;
        s->in_size -= in.pos;
        s->out_size -= out.pos;
        return r == 0 ? 1 : 0;
}

static void zstd_close(Decompressor *d) {
        (void) ZSTD_freeDStream(d->zstd);
}

static const Format formats[_MODULE_COMPRESSION_MAX] = {
        [MODULE_COMPRESSION_GZIP] = { gzip_open, gzip_step, gzip_close },
        [MODULE_COMPRESSION_XZ] = { xz_open, xz_step, xz_close },
        [MODULE_COMPRESSION_ZSTD] = { zstd_open, zstd_step, zstd_close },
};

ModuleCompression decompress_detect(const uint8_t *data, size_t size) {
        static const struct {
                ModuleCompression compression;
                size_t size;
                uint8_t bytes[6];
        } magics[] = {
                { MODULE_COMPRESSION_GZIP, 2, { 0x1f, 0x8b } },
                { MODULE_COMPRESSION_XZ, 6, { 0xfd, '7', 'z', 'X', 'Z', 0 } },
                { MODULE_COMPRESSION_ZSTD, 4, { 0x28, 0xb5, 0x2f, 0xfd } },
        };

        for (size_t i = 0; i < ELEMENTSOF(magics); i++)
                if (size >= magics[i].size && memcmp(data, magics[i].bytes, magics[i].size) == 0)
                        return magics[i].compression;
        return MODULE_COMPRESSION_NONE;
}

const char *module_compression_to_string(ModuleCompression compression) {
        static const char *const compression_table[_MODULE_COMPRESSION_MAX] = {
                [MODULE_COMPRESSION_NONE] = "none",
                [MODULE_COMPRESSION_GZIP] = "gzip",
                [MODULE_COMPRESSION_XZ] = "xz",
                [MODULE_COMPRESSION_ZSTD] = "zstd",
        };

        return (unsigned) compression < _MODULE_COMPRESSION_MAX ? compression_table[compression] : NULL;
}

int decompressor_new(ModuleCompression compression, DecompressSink sink, void *userdata, Decompressor **ret) {
        _cleanup_free_ Decompressor *d = calloc(1, sizeof(Decompressor));
        int r;

        if (!d)
                return -ENOMEM;
        d->format = &formats[compression];
        d->sink = sink;
        d->userdata = userdata;
        r = d->format->open(d);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

Decompressor *decompressor_free(Decompressor *d) {
        if (!d)
                return NULL;
        d->format->close(d);
        free(d);
        return NULL;
}

/* Runs the decoder until it has eaten its input and has nothing more to say. */
static int decompressor_run(Decompressor *d, const uint8_t *data, size_t size, bool last) {
        for (;;) {
                Step s = { .in = data, .in_size = size, .out = d->out, .out_size = sizeof(d->out), .last = last };
                size_t produced;
                int r = d->format->step(d, &s);

                if (r < 0)
                        return r;
                d->complete = r > 0;
                produced = sizeof(d->out) - s.out_size;
                if (produced > 0) {
                        r = d->sink(d->userdata, d->out, produced);
                        if (r < 0)
                                return r;
                }
                if (produced == 0 && s.in_size == size && size > 0)
                        return -EBADMSG; /* no progress: a decoder that would spin */
                data = s.in;
                size = s.in_size;
                /* A full output buffer may mean that there is more to come out of what was eaten already. */
                if (size == 0 && (d->complete || s.out_size > 0))
                        return 0;
        }
}

int decompressor_push(Decompressor *d, const uint8_t *data, size_t size) {
        return size > 0 ? decompressor_run(d, data, size, false) : 0;
}

int decompressor_finish(Decompressor *d) {
        /* liblzma says where a stream ends only once it knows that no padding and no further stream follows. */
        if (!d->complete) {
                int r = decompressor_run(d, d->out, 0, true);

                if (r < 0)
                        return r;
        }
        return d->complete ? 0 : -EBADMSG;
}
