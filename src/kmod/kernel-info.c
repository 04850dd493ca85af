/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Facts about the running kernel that decide whether and how it can be live-patched. */

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "common/fd-util.h"
#include "common/names.h"
#include "common/string-util.h"
#include "kmod/kernel-cmdline.h"
#include "kmod/kernel-config.h"
#include "kmod/kernel-info.h"

#define BOOT_ID_DIGITS 32

/* COMMAND_LINE_SIZE is 2048 on most architectures; a boot configuration may extend it (Documentation/admin-guide/
 * bootconfig.rst: 32 KiB). */
#define CMDLINE_MAX KIB(64)

/* The global variables GUID of the UEFI specification, and a file of four bytes of attributes before the value
 * (Documentation/filesystems/efivarfs.rst). */
#define EFI_DIR "sys/firmware/efi"
#define EFIVARS_DIR EFI_DIR "/efivars"
#define SECURE_BOOT_FILE EFIVARS_DIR "/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define SECURE_BOOT_FILE_SIZE 5

#define SECURITY_DIR "sys/kernel/security"

KernelInfo *kernel_info_free(KernelInfo *info) {
        if (info) {
                free(info->release);
                free(info->version);
                free(info->architecture);
                free(info->boot_id);
                free(info->cmdline);
                free(info);
        }
        return NULL;
}

static bool is_real_root(int root_fd) {
        struct stat a, b;

        return fstat(root_fd, &a) >= 0 && stat("/", &b) >= 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Of a test's root its own file counts, as far as it has one. */
static int read_name(int root_fd, bool real, const char *path, const char *fallback, char **ret) {
        int r = real ? -ENOENT : read_line_at(root_fd, path, ret);

        if (r >= 0 || r == -ENOMEM)
                return r;
        *ret = strdup(fallback);
        return *ret ? 0 : -ENOMEM;
}

static int read_names(int root_fd, KernelInfo *info) {
        bool real = is_real_root(root_fd);
        struct utsname name;
        int r;

        if (uname(&name) < 0)
                return negative_errno();
        r = read_name(root_fd, real, "proc/sys/kernel/osrelease", name.release, &info->release);
        if (r < 0)
                return r;
        if (!kernel_release_is_valid(info->release))
                return -EBADMSG;
        r = read_name(root_fd, real, "proc/sys/kernel/version", name.version, &info->version);
        if (r < 0)
                return r;
        return read_name(root_fd, real, "proc/sys/kernel/arch", name.machine, &info->architecture);
}

/* NULL when the file is missing or holds no UUID. */
static int read_boot_id(int root_fd, char **ret) {
        _cleanup_free_ char *id = NULL;
        int r = read_line_at(root_fd, "proc/sys/kernel/random/boot_id", &id);
        size_t n = 0;

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return 0;
        for (const char *p = id; *p; p++)
                if (*p != '-')
                        id[n++] = *p;
        id[n] = '\0';
        if (hex_is_valid(id, BOOT_ID_DIGITS))
                *ret = TAKE_PTR(id);
        return 0;
}

static int read_cmdline(int root_fd, char **ret) {
        int r = read_file_at(root_fd, "proc/cmdline", CMDLINE_MAX, ret, NULL);

        if (r == -ENOMEM)
                return r;
        if (r >= 0)
                (*ret)[strcspn(*ret, "\n")] = '\0';
        return 0;
}

static Tristate read_switch(int root_fd, const char *path) {
        int value;

        if (read_int_at(root_fd, path, &value) < 0)
                return TRISTATE_UNKNOWN;
        return value != 0 ? TRISTATE_YES : TRISTATE_NO;
}

static uint64_t read_taint(int root_fd) {
        _cleanup_free_ char *line = NULL;

        return read_line_at(root_fd, "proc/sys/kernel/tainted", &line) < 0 ? 0 : strtoull(line, NULL, 10);
}

/* The active level is the one in brackets: "none [integrity] confidentiality" (security/lockdown/lockdown.c). */
static Lockdown read_lockdown(int root_fd) {
        _cleanup_free_ char *line = NULL;
        char *word, *end;
        Lockdown level;

        /* "lsm" is there whenever securityfs is: then lockdown is not built in. */
        if (read_line_at(root_fd, SECURITY_DIR "/lockdown", &line) < 0)
                return exists_at(root_fd, SECURITY_DIR "/lsm") ? LOCKDOWN_UNSUPPORTED : LOCKDOWN_UNKNOWN;
        word = strchr(line, '[');
        end = word ? strchr(word, ']') : NULL;
        if (!end)
                return LOCKDOWN_UNKNOWN;
        *end = '\0';
        level = lockdown_from_string(word + 1);
        return level == LOCKDOWN_NONE || level == LOCKDOWN_INTEGRITY || level == LOCKDOWN_CONFIDENTIALITY
                       ? level
                       : LOCKDOWN_UNKNOWN;
}

static SecureBoot read_secure_boot(int root_fd) {
        _cleanup_free_ char *data = NULL;
        _cleanup_strv_free_ char **variables = NULL;
        size_t size;
        int r;

        if (!exists_at(root_fd, EFI_DIR))
                return SECURE_BOOT_UNSUPPORTED;
        r = read_file_at(root_fd, SECURE_BOOT_FILE, SECURE_BOOT_FILE_SIZE, &data, &size);
        if (r >= 0 && size == SECURE_BOOT_FILE_SIZE) {
                uint8_t value = (uint8_t) data[SECURE_BOOT_FILE_SIZE - 1];

                return value == 1 ? SECURE_BOOT_ENABLED : value == 0 ? SECURE_BOOT_DISABLED : SECURE_BOOT_UNKNOWN;
        }
        /* Other variables are there: the firmware does not know Secure Boot. None: efivarfs is not mounted. */
        if (r == -ENOENT && list_dir_at(root_fd, EFIVARS_DIR, &variables) > 0)
                return SECURE_BOOT_UNSUPPORTED;
        return SECURE_BOOT_UNKNOWN;
}

/* The parameter exists with CONFIG_MODULE_SIG only. Lockdown demands signatures by itself (kernel/module/signing.c,
 * module_sig_check(): LOCKDOWN_MODULE_SIGNATURE). */
static Tristate read_sig_enforce(int root_fd, Lockdown lockdown) {
        _cleanup_free_ char *line = NULL;
        int enforced;

        if (lockdown == LOCKDOWN_INTEGRITY || lockdown == LOCKDOWN_CONFIDENTIALITY)
                return TRISTATE_YES;
        if (read_line_at(root_fd, "sys/module/module/parameters/sig_enforce", &line) < 0)
                return exists_at(root_fd, "sys/module") ? TRISTATE_NO : TRISTATE_UNKNOWN;
        enforced = parse_boolean(line);
        return enforced < 0 ? TRISTATE_UNKNOWN : enforced > 0 ? TRISTATE_YES : TRISTATE_NO;
}

/* The last word that means something wins; "livepatch=on" takes back what a boot loader's default says. */
static int mode_word(const char *key, const char *value, void *userdata) {
        static const struct {
                const char *word;
                Mode mode;
        } words[] = {
                { "off", MODE_OFF },
                { "no-reapply", MODE_NO_REAPPLY },
                { "on", MODE_ENABLED },
        };
        Mode *mode = userdata;

        if (!value || !streq(key, LP_CMDLINE_KEY))
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (streq(value, words[i].word))
                        *mode = words[i].mode;
        return 0;
}

static int read_mode(int root_fd, const char *cmdline, Mode *ret) {
        Mode mode = MODE_ENABLED;
        int r;

        if (cmdline) {
                r = kernel_cmdline_foreach(cmdline, mode_word, &mode);
                if (r < 0)
                        return r;
        }
        *ret = exists_at(root_fd, LP_DISABLED_FILE) ? MODE_OFF : mode;
        return 0;
}

/* klp_have_reliable_stack(), include/linux/livepatch.h. */
static Tristate reliable_stacktrace(const char *config) {
        Tristate stacktrace = kernel_config_get(config, "CONFIG_STACKTRACE");

        return stacktrace == TRISTATE_YES ? kernel_config_get(config, "CONFIG_HAVE_RELIABLE_STACKTRACE") : stacktrace;
}

static int read_config(int root_fd, KernelInfo *info) {
        _cleanup_free_ char *config = NULL;
        int r = kernel_config_load(root_fd, info->release, &config);

        if (r == -ENOMEM)
                return r;
        info->config_livepatch = kernel_config_get(config, "CONFIG_LIVEPATCH");
        info->reliable_stacktrace = reliable_stacktrace(config);
        return 0;
}

int kernel_info_refresh(int root_fd, KernelInfo *info) {
        info->livepatch_supported = exists_at(root_fd, "sys/kernel/livepatch");
        info->lockdown = read_lockdown(root_fd);
        info->sig_enforce = read_sig_enforce(root_fd, info->lockdown);
        info->modules_disabled = read_switch(root_fd, "proc/sys/kernel/modules_disabled");
        info->ftrace_enabled = read_switch(root_fd, "proc/sys/kernel/ftrace_enabled");
        info->taint = read_taint(root_fd);
        return read_mode(root_fd, info->cmdline, &info->mode);
}

int kernel_info_read(int root_fd, KernelInfo **ret) {
        _cleanup_(kernel_info_freep) KernelInfo *info = calloc(1, sizeof(KernelInfo));
        int r;

        if (!info)
                return -ENOMEM;
        r = read_names(root_fd, info);
        if (r < 0)
                return r;
        r = read_boot_id(root_fd, &info->boot_id);
        if (r < 0)
                return r;
        r = read_cmdline(root_fd, &info->cmdline);
        if (r < 0)
                return r;
        r = read_config(root_fd, info);
        if (r < 0)
                return r;
        info->secure_boot = read_secure_boot(root_fd);
        info->kdump = exists_at(root_fd, "proc/vmcore");
        r = kernel_info_refresh(root_fd, info);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(info);
        return 0;
}

/* Letters and meanings: Documentation/admin-guide/tainted-kernels.rst. */
static const struct {
        char letter;
        const char *meaning;
} taint_table[] = {
        { 'P', "proprietary module" },
        { 'F', "module loaded by force" },
        { 'S', "hardware outside its specification" },
        { 'R', "module unloaded by force" },
        { 'M', "machine check" },
        { 'B', "corrupted memory page" },
        { 'U', "set from user space" },
        { 'D', "kernel oops or BUG" },
        { 'A', "ACPI table overridden" },
        { 'W', "kernel warning" },
        { 'C', "staging driver" },
        { 'I', "firmware bug worked around" },
        { 'O', "out-of-tree module" },
        { 'E', "unsigned module" },
        { 'L', "soft lockup" },
        { 'K', "live-patched" },
        { 'X', "set by the distribution" },
        { 'T', "randomised structure layout" },
        { 'N', "in-kernel test" },
        { 'J', "debugging operation on firmware" },
};

int kernel_taint_describe(uint64_t taint, char **ret) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        const char *separator = "";

        if (!out)
                return -ENOMEM;
        for (unsigned bit = 0; bit < 64; bit++) {
                if (!(taint >> bit & 1))
                        continue;
                if (bit < ELEMENTSOF(taint_table))
                        (void) fprintf(out, "%s%c (%s)", separator, taint_table[bit].letter, taint_table[bit].meaning);
                else
                        (void) fprintf(out, "%sbit %u", separator, bit);
                separator = ", ";
        }
        if (fclose(out) != 0)
                return -ENOMEM;
        *ret = TAKE_PTR(text);
        return 0;
}
