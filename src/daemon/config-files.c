/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds and reads livepatch.conf and its drop-ins. */

#include <fcntl.h>
#include <sys/sysmacros.h>

#include "common/fd-util.h"
#include "common/names.h"
#include "common/string-util.h"
#include "daemon/config-internal.h"

#define CONFIG_FILE_MAX KIB(64)
#define CONFIG_DROPINS_MAX 256
#define DROPIN_DIR_NAME "livepatch.conf.d"
#define DROPIN_SUFFIX ".conf"

/* Highest precedence first: a file hides one of the same name in a later directory. */
static const char *const dropin_dirs[] = {
        LP_CONFIG_DIR "/" DROPIN_DIR_NAME,
        LP_VENDOR_DIR "/" DROPIN_DIR_NAME,
};

typedef struct DropIn {
        char *name;
        const char *dir;
} DropIn;

typedef struct DropIns {
        DropIn *items;
        size_t n;
} DropIns;

static void dropins_done(DropIns *dropins) {
        for (size_t i = 0; i < dropins->n; i++)
                free(dropins->items[i].name);
        free(dropins->items);
}

typedef struct Reader {
        int root_fd;
        Config *config;
} Reader;

static int unreadable(Reader *reader, const char *path, const char *why) {
        config_pin_signature_policy(reader->config);
        return config_problem(reader->config, "/%s: %s; it is ignored, and SignaturePolicy=require is assumed", path,
                              why);
}

static bool is_null_device(const struct stat *st) {
        return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3); /* Documentation/admin-guide/devices.txt */
}

static int read_config(Reader *reader, const char *path) {
        /* O_NONBLOCK: a FIFO must not hold up the start. */
        _cleanup_close_ int fd = openat(reader->root_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        _cleanup_free_ char *text = NULL, *name = NULL;
        struct stat st;
        size_t size;
        int r;

        if (fd < 0 && errno == ENOENT)
                return exists_at(reader->root_fd, path) ? unreadable(reader, path, "a broken symbolic link") : 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return unreadable(reader, path, strerror(errno));
        if (is_null_device(&st))
                return 0;
        if (!S_ISREG(st.st_mode))
                return unreadable(reader, path, "not a regular file");
        r = read_fd(fd, CONFIG_FILE_MAX, &text, &size);
        if (r == -ENOMEM)
                return r;
        if (r == -EFBIG)
                return unreadable(reader, path, "larger than 64 KiB");
        if (r < 0)
                return unreadable(reader, path, strerror(-r));
        if (asprintf(&name, "/%s", path) < 0) {
                name = NULL;
                return -ENOMEM;
        }
        return config_parse(reader->config, name, text, size);
}

static bool dropins_contain(const DropIns *dropins, const char *name) {
        for (size_t i = 0; i < dropins->n; i++)
                if (streq(dropins->items[i].name, name))
                        return true;
        return false;
}

static int dropins_add(DropIns *dropins, const char *dir, const char *name) {
        char *copy = strdup(name);

        if (!copy)
                return -ENOMEM;
        dropins->items[dropins->n++] = (DropIn) { .name = copy, .dir = dir };
        return 0;
}

static int collect_dir(Reader *reader, const char *dir, DropIns *dropins) {
        _cleanup_strv_free_ char **names = NULL;
        int r = list_dir_at(reader->root_fd, dir, &names);

        if (r == -ENOENT || r == -ENOMEM)
                return r == -ENOENT ? 0 : r;
        if (r < 0)
                return unreadable(reader, dir, strerror(-r));
        for (char **name = names; *name; name++) {
                if (!endswith(*name, DROPIN_SUFFIX) || (*name)[0] == '.' || dropins_contain(dropins, *name))
                        continue;
                if (dropins->n >= CONFIG_DROPINS_MAX)
                        return unreadable(reader, dir, "more than 256 drop-ins; not all are read");
                r = dropins_add(dropins, dir, *name);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compare_dropins(const void *a, const void *b) {
        return strcmp(((const DropIn *) a)->name, ((const DropIn *) b)->name);
}

static int read_dropins(Reader *reader) {
        _cleanup_(dropins_done) DropIns dropins = { .items = calloc(CONFIG_DROPINS_MAX, sizeof(DropIn)) };
        int r;

        if (!dropins.items)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(dropin_dirs); i++) {
                r = collect_dir(reader, dropin_dirs[i], &dropins);
                if (r < 0)
                        return r;
        }
        qsort(dropins.items, dropins.n, sizeof(DropIn), compare_dropins);
        for (size_t i = 0; i < dropins.n; i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s/%s", dropins.items[i].dir, dropins.items[i].name) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                r = read_config(reader, path);
                if (r < 0)
                        return r;
        }
        return 0;
}

int config_load(int root_fd, Config **ret) {
        _cleanup_(config_freep) Config *config = NULL;
        Reader reader = { .root_fd = root_fd };
        int r = config_new_default(&config);

        if (r < 0)
                return r;
        reader.config = config;
        r = read_config(&reader, LP_CONFIG_FILE);
        if (r >= 0)
                r = read_dropins(&reader);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(config);
        return 0;
}
