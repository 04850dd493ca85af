/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes of the kernel's livepatch structures out of its type information, /sys/kernel/btf/vmlinux.
 *
 *     struct btf_header { magic, version, flags, hdr_len, type_off, type_len, str_off, str_len, ... }
 *     at hdr_len + type_off:  struct btf_type { name_off, info, size } and what its kind adds, again and again
 *     at hdr_len + str_off:   strings
 *
 * include/uapi/linux/btf.h, Documentation/bpf/btf.rst. The kernel writes it in its own byte order, so nothing has to
 * be swapped. Only the names and sizes of structures are looked at. */

#include <fcntl.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "kmod/module-elf.h"

#define BTF_PATH "sys/kernel/btf/vmlinux"
/* Distribution kernels have 5 to 15 MiB. */
#define BTF_SIZE_MAX ((size_t) MIB(128))

#define BTF_MAGIC 0xeb9fU
#define BTF_VERSION 1U

enum {
        BTF_KIND_INT = 1,
        BTF_KIND_PTR,
        BTF_KIND_ARRAY,
        BTF_KIND_STRUCT,
        BTF_KIND_UNION,
        BTF_KIND_ENUM,
        BTF_KIND_FWD,
        BTF_KIND_TYPEDEF,
        BTF_KIND_VOLATILE,
        BTF_KIND_CONST,
        BTF_KIND_RESTRICT,
        BTF_KIND_FUNC,
        BTF_KIND_FUNC_PROTO,
        BTF_KIND_VAR,
        BTF_KIND_DATASEC,
        BTF_KIND_FLOAT,
        BTF_KIND_DECL_TAG,
        BTF_KIND_TYPE_TAG,
        BTF_KIND_ENUM64,
        _BTF_KIND_MAX,
};

typedef struct BtfHeader {
        uint16_t magic;
        uint8_t version;
        uint8_t flags;
        uint32_t header_size;
        uint32_t types_offset;
        uint32_t types_size;
        uint32_t strings_offset;
        uint32_t strings_size;
} BtfHeader;

typedef struct BtfType {
        uint32_t name_offset;
        uint32_t info;
        uint32_t size;
} BtfType;

/* What follows a struct btf_type: bytes once, and bytes for each of its members. */
typedef struct BtfExtra {
        uint8_t once;
        uint8_t member;
} BtfExtra;

static const BtfExtra btf_extra_table[_BTF_KIND_MAX] = {
        [BTF_KIND_INT] = { .once = 4 },
        [BTF_KIND_ARRAY] = { .once = 12 },
        [BTF_KIND_STRUCT] = { .member = 12 },
        [BTF_KIND_UNION] = { .member = 12 },
        [BTF_KIND_ENUM] = { .member = 8 },
        [BTF_KIND_FUNC_PROTO] = { .member = 8 },
        [BTF_KIND_VAR] = { .once = 4 },
        [BTF_KIND_DATASEC] = { .member = 12 },
        [BTF_KIND_DECL_TAG] = { .once = 4 },
        [BTF_KIND_ENUM64] = { .member = 12 },
};

typedef struct Btf {
        const char *types;
        size_t types_size;
        const char *strings; /* ends with a NUL */
        size_t strings_size;
} Btf;

static int btf_open(const char *data, size_t size, Btf *ret) {
        const char *body;
        BtfHeader header;
        size_t left;

        if (size < sizeof(header))
                return -EBADMSG;
        memcpy(&header, data, sizeof(header));
        if (header.magic != BTF_MAGIC || header.version != BTF_VERSION || header.header_size < sizeof(header) ||
            header.header_size > size)
                return -EBADMSG;
        body = data + header.header_size;
        left = size - header.header_size;
        if (header.types_offset > left || header.types_size > left - header.types_offset ||
            header.strings_offset > left || header.strings_size > left - header.strings_offset)
                return -EBADMSG;
        *ret = (Btf) {
                .types = body + header.types_offset,
                .types_size = header.types_size,
                .strings = body + header.strings_offset,
                .strings_size = header.strings_size,
        };
        if (ret->strings_size == 0 || ret->strings[ret->strings_size - 1] != '\0')
                return -EBADMSG;
        return 0;
}

/* The type at an offset and the offset of the next one. The kind has seven bits and the number of members 24 in the
 * header of 7.2; before, it were five and 16, and the bits between were 0. */
static int btf_next(const Btf *btf, size_t *offset, BtfType *ret, unsigned *ret_kind) {
        uint64_t extra;
        unsigned kind;

        if (btf->types_size - *offset < sizeof(*ret))
                return -EBADMSG;
        memcpy(ret, btf->types + *offset, sizeof(*ret));
        *offset += sizeof(*ret);
        kind = ret->info >> 24 & 0x7f;
        if (kind == 0 || kind >= _BTF_KIND_MAX)
                return -EOPNOTSUPP;
        extra = btf_extra_table[kind].once + (uint64_t) btf_extra_table[kind].member * (ret->info & 0xffffff);
        if (extra > btf->types_size - *offset)
                return -EBADMSG;
        *offset += (size_t) extra;
        *ret_kind = kind;
        return 0;
}

/* Takes a size over, unless there are two structures of that name which differ. */
static void take_size(const Btf *btf, const BtfType *type, const char *name, unsigned *size, bool *ambiguous) {
        if (type->name_offset >= btf->strings_size || !streq(btf->strings + type->name_offset, name))
                return;
        *ambiguous |= *size != 0 && *size != type->size;
        *size = type->size;
}

static int read_sizes(const Btf *btf, ModuleElfContext *ret) {
        bool func_ambiguous = false, object_ambiguous = false;
        unsigned func = 0, object = 0;

        for (size_t offset = 0; offset < btf->types_size;) {
                unsigned kind;
                BtfType type;
                int r;

                r = btf_next(btf, &offset, &type, &kind);
                if (r < 0)
                        return r;
                if (kind != BTF_KIND_STRUCT)
                        continue;
                take_size(btf, &type, "klp_func", &func, &func_ambiguous);
                take_size(btf, &type, "klp_object", &object, &object_ambiguous);
        }
        *ret = (ModuleElfContext) {
                .klp_func_size = func_ambiguous ? 0 : func,
                .klp_object_size = object_ambiguous ? 0 : object,
        };
        return 0;
}

/**
 * module_elf_context_from_btf - sizes of the running kernel's livepatch structures
 *
 * Reads some megabytes: once, not for every module. A kernel without type information (CONFIG_DEBUG_INFO_BTF=n) is no
 * error, nor is one whose newer kinds of types are not known here: the sizes are then 0, unknown. -EBADMSG when the
 * file contradicts itself.
 */
int module_elf_context_from_btf(int root_fd, ModuleElfContext *ret) {
        _cleanup_free_ char *data = NULL;
        ModuleElfContext context = {};
        size_t size;
        Btf btf;
        int r;

        r = read_file_at(root_fd, BTF_PATH, BTF_SIZE_MAX, &data, &size);
        if (r == -ENOENT) {
                *ret = context;
                return 0;
        }
        if (r < 0)
                return r;
        r = btf_open(data, size, &btf);
        if (r < 0)
                return r;
        r = read_sizes(&btf, &context);
        if (r < 0 && r != -EOPNOTSUPP)
                return r;
        *ret = context;
        return 0;
}
