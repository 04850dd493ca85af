/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration that the running kernel was built with, from where distributions keep it. */

#include <zlib.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "kmod/kernel-config.h"

/* Distribution kernels have less than 300 KB, 70 KB compressed. */
#define CONFIG_SIZE_MAX MIB(2)
#define CONFIG_GZ_SIZE_MAX MIB(1)

/* 16: a gzip header is expected (zlib.h, inflateInit2()). */
#define GZIP_WINDOW_BITS (MAX_WBITS + 16)

/* Text of at most CONFIG_SIZE_MAX bytes; more, or anything but one whole stream, is -EBADMSG. */
static int gunzip(const char *data, size_t size, char **ret) {
        _cleanup_free_ char *text = malloc(CONFIG_SIZE_MAX + 1);
        z_stream stream = {};
        int r;

        if (!text)
                return -ENOMEM;
        if (inflateInit2(&stream, GZIP_WINDOW_BITS) != Z_OK)
                return -ENOMEM;
        stream.next_in = (Bytef *) data;
        stream.avail_in = (uInt) size;
        stream.next_out = (Bytef *) text;
        stream.avail_out = CONFIG_SIZE_MAX;
        r = inflate(&stream, Z_FINISH);
        text[CONFIG_SIZE_MAX - stream.avail_out] = '\0';
        (void) inflateEnd(&stream);
        if (r != Z_STREAM_END)
                return -EBADMSG;
        *ret = TAKE_PTR(text);
        return 0;
}

static int load_compressed(int root_fd, char **ret) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = read_file_at(root_fd, "proc/config.gz", CONFIG_GZ_SIZE_MAX, &data, &size);

        return r < 0 ? r : gunzip(data, size, ret);
}

int kernel_config_load(int root_fd, const char *release, char **ret) {
        static const char *const places[][2] = {
                { "boot/config-", "" },
                { "usr/lib/modules/", "/config" },
                { "usr/lib/modules/", "/build/.config" },
        };
        int r = load_compressed(root_fd, ret);

        if (r >= 0 || r == -ENOMEM || !kernel_release_is_valid(release))
                return r;
        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s%s%s", places[i][0], release, places[i][1]) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                r = read_file_at(root_fd, path, CONFIG_SIZE_MAX, ret, NULL);
                if (r >= 0 || r == -ENOMEM)
                        return r;
        }
        return -ENOENT;
}

Tristate kernel_config_get(const char *config, const char *option) {
        size_t n = strlen(option);

        /* A file that does not set anything is no configuration. */
        if (!config || !strstr(config, "CONFIG_"))
                return TRISTATE_UNKNOWN;
        /* Thousands of lines: looking for the option is much faster than looking at each. */
        for (const char *p = config; (p = strstr(p, option)); p += n)
                if ((p == config || p[-1] == '\n') && p[n] == '=')
                        return p[n + 1] == 'y' || p[n + 1] == 'm' ? TRISTATE_YES : TRISTATE_NO;
        return TRISTATE_NO;
}
