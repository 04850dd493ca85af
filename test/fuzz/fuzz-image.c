/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Decompression and sealing of hostile modules. */

#include "kmod/module-image.h"
#include "fuzz.h"

#define IMAGE_MAX MIB(1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(module_image_unrefp) ModuleImage *image = NULL;
        _cleanup_failure_ Failure f = {};
        int r = module_image_new_from_memory(data, size, IMAGE_MAX, &image, &f);

        /* Nothing but a refusal is an answer to bad input. */
        FUZZ_ASSERT(r >= 0 && (r == 0) == !!image);
        FUZZ_ASSERT(r == 0 || f.text);
        if (image) {
                volatile uint8_t sum = 0;

                FUZZ_ASSERT(module_image_size(image) > 0 && module_image_size(image) <= IMAGE_MAX);
                for (size_t i = 0; i < module_image_size(image); i += 512)
                        sum = (uint8_t) (sum + module_image_data(image)[i]);
        }
        return 0;
}
