/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stands in for libFuzzer: feeds the files of the corpus directories given as arguments to the target once. */

#include <fcntl.h>
#include <string.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "fuzz.h"

#define INPUT_MAX MIB(16)

__attribute__((__weak__)) int LLVMFuzzerInitialize(int *argc _unused_, char ***argv _unused_) {
        return 0;
}

static int run_file(int dir_fd, const char *name) {
        _cleanup_free_ char *data = NULL;
        _cleanup_free_ uint8_t *exact = NULL;
        size_t size;
        int r = read_file_at(dir_fd, name, INPUT_MAX, &data, &size);

        if (r < 0) {
                fprintf(stderr, "Failed to read '%s': %s\n", name, strerror(-r));
                return r;
        }
        /* Without the terminating NUL, so that a sanitizer notices the first byte read beyond the end. */
        exact = malloc(size);
        if (!exact && size > 0)
                return -ENOMEM;
        if (size > 0)
                memcpy(exact, data, size);
        (void) LLVMFuzzerTestOneInput(exact, size);
        return 0;
}

static int run_directory(const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_strv_free_ char **names = NULL;
        int n = fd < 0 ? negative_errno() : list_dir_at(fd, ".", &names);

        if (n < 0) {
                fprintf(stderr, "Failed to read '%s': %s\n", path, strerror(-n));
                return n;
        }
        for (char **name = names; *name; name++) {
                int r = run_file(fd, *name);

                if (r < 0)
                        return r;
        }
        return n;
}

int main(int argc, char *argv[]) {
        int total = 0;

        if (LLVMFuzzerInitialize(&argc, &argv) != 0)
                return EXIT_FAILURE;
        for (int i = 1; i < argc; i++) {
                int n = run_directory(argv[i]);

                if (n < 0)
                        return EXIT_FAILURE;
                total += n;
        }
        printf("%d inputs\n", total);
        /* An empty corpus is a test that cannot fail. */
        return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
