/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /sys/module/<name>: whether a module is loaded, and which build of it. */

#include <elf.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "kmod/kernel-module.h"

#define MODULE_DIR "sys/module"
#define BUILD_ID_NOTE "notes/.note.gnu.build-id"

/* One note; a build-id is 20 bytes by default, and whatever --build-id=0x... says. */
#define NOTE_FILE_MAX KIB(4)
#define BUILD_ID_MAX 64

/* MODULE_VERSION() is free text of the module's author. */
#define MODULE_TEXT_MAX 256

void kernel_module_done(KernelModule *m) {
        free(m->build_id);
        free(m->srcversion);
        free(m->version);
        free(m->taint);
        *m = (KernelModule) {};
}

/* Notes are padded to four bytes, also in 64-bit files (include/linux/elfnote.h). */
static size_t note_align(uint32_t size) {
        return ((size_t) size + 3) & ~(size_t) 3;
}

/* Finds the build-id among the notes of one section: header in native byte order, name, descriptor (elf(5)).
 * NULL in *ret when there is none. */
static int notes_find_build_id(const uint8_t *data, size_t size, char **ret) {
        while (size >= sizeof(Elf64_Nhdr)) {
                const uint8_t *name, *description;
                size_t name_size, description_size;
                Elf64_Nhdr header;

                memcpy(&header, data, sizeof(header));
                name_size = note_align(header.n_namesz);
                description_size = note_align(header.n_descsz);
                size -= sizeof(header);
                if (name_size > size || header.n_descsz > size - name_size)
                        break;
                name = data + sizeof(header);
                description = name + name_size;
                if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == sizeof(ELF_NOTE_GNU) &&
                    memcmp(name, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) == 0 && header.n_descsz > 0 &&
                    header.n_descsz <= BUILD_ID_MAX) {
                        *ret = malloc(2 * (size_t) header.n_descsz + 1);
                        if (!*ret)
                                return -ENOMEM;
                        hex_encode(description, header.n_descsz, *ret);
                        return 0;
                }
                /* The padding of the last descriptor may be missing. */
                description_size = MIN(description_size, size - name_size);
                data = description + description_size;
                size -= name_size + description_size;
        }
        *ret = NULL;
        return 0;
}

static int read_build_id(int module_fd, char **ret) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = read_file_at(module_fd, BUILD_ID_NOTE, NOTE_FILE_MAX, &data, &size);

        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                *ret = NULL;
                return 0;
        }
        return notes_find_build_id((const uint8_t *) data, size, ret);
}

/* An attribute that not every module has: NULL in *ret then. */
static int read_optional_text(int module_fd, const char *attribute, char **ret) {
        _cleanup_free_ char *line = NULL;
        int r = read_line_at(module_fd, attribute, &line);

        if (r == -ENOMEM)
                return r;
        *ret = r < 0 ? NULL : sanitize_text(line, MODULE_TEXT_MAX);
        return r < 0 || *ret ? 0 : -ENOMEM;
}

static int read_attributes(int module_fd, KernelModule *m) {
        int r;

        if (read_int_at(module_fd, "refcnt", &m->refcnt) < 0)
                m->refcnt = -1;
        r = read_optional_text(module_fd, "srcversion", &m->srcversion);
        if (r < 0)
                return r;
        r = read_optional_text(module_fd, "version", &m->version);
        if (r < 0)
                return r;
        r = read_optional_text(module_fd, "taint", &m->taint);
        if (r < 0)
                return r;
        return read_build_id(module_fd, &m->build_id);
}

static bool is_gone(int r) {
        return r == -ENOENT || r == -ENODEV || r == -ENOTDIR;
}

int kernel_module_read(int root_fd, const char *name, KernelModule *ret) {
        _cleanup_(kernel_module_done) KernelModule m = {};
        char path[sizeof(MODULE_DIR) + 1 + MODULE_NAME_MAX];
        _cleanup_free_ char *state = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!module_name_is_valid(name))
                return -EINVAL;
        (void) snprintf(path, sizeof(path), MODULE_DIR "/%s", name);
        fd = open_dir_at(root_fd, path);
        if (is_gone(fd)) {
                *ret = (KernelModule) { .refcnt = -1 };
                return 0;
        }
        if (fd < 0)
                return fd;
        r = read_attributes(fd, &m);
        if (r < 0)
                return r;
        /* Last, so that what was read before belongs to a module that was there all the time. Built-in modules have a
         * directory, but no initstate (kernel/module/sysfs.c, kernel/params.c). */
        r = read_line_at(fd, "initstate", &state);
        if (is_gone(r)) {
                *ret = (KernelModule) { .refcnt = -1 };
                return 0;
        }
        if (r < 0)
                return r;
        m.present = true;
        m.live = streq(state, "live");
        *ret = m;
        m = (KernelModule) {};
        return 0;
}
