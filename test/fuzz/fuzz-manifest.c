/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzes the records on disk: manifests and guard records, with their checksum and without, and runtime records. */

#include <string.h>

#include "common/string-util.h"
#include "daemon/guard.h"
#include "daemon/record-manifest.h"
#include "fuzz.h"

/* What was accepted must be written again, unless the indentation makes it too large. */
static void check_manifest(const Manifest *manifest) {
        _cleanup_manifest_ Manifest again = {};
        _cleanup_free_ char *text = NULL;
        int r = manifest_format(manifest->current, manifest->next_boot, &text);

        if (r == -EFBIG)
                return;
        FUZZ_ASSERT(r == 0);
        FUZZ_ASSERT(manifest_parse(text, strlen(text), &again, NULL) == 0);
        FUZZ_ASSERT(streq(again.current->name, manifest->current->name));
        FUZZ_ASSERT(!again.next_boot == !manifest->next_boot);
}

static void parse_manifest(const char *data, size_t size) {
        _cleanup_failure_ Failure failure = {};
        _cleanup_manifest_ Manifest manifest = {};
        int r = manifest_parse(data, size, &manifest, &failure);

        if (r == 0)
                check_manifest(&manifest);
        else
                FUZZ_ASSERT(failure.code == r && failure.text && !manifest.current && !manifest.next_boot);
}

static void check_guard(const GuardRecord *record) {
        _cleanup_(guard_record_freep) GuardRecord *again = NULL;
        _cleanup_free_ char *text = NULL;
        int r = guard_record_format(record, &text);

        if (r == -EFBIG)
                return;
        FUZZ_ASSERT(r == 0);
        FUZZ_ASSERT(guard_record_parse(text, strlen(text), &again, NULL) == 0);
        FUZZ_ASSERT(guard_record_n_quarantined(again) == guard_record_n_quarantined(record));
        (void) guard_record_lift(&again, "");
        FUZZ_ASSERT(guard_record_n_quarantined(again) == 0);
}

static void parse_guard(const char *data, size_t size) {
        _cleanup_(guard_record_freep) GuardRecord *record = NULL;
        _cleanup_failure_ Failure failure = {};
        int r = guard_record_parse(data, size, &record, &failure);

        if (r == 0)
                check_guard(record);
        else
                FUZZ_ASSERT(failure.code == r && failure.text && !record);
}

/* No fuzzer finds a checksum: the input's header, if any, is replaced by the right one. */
static void parse_with_checksum(const char *data, size_t size) {
        bool has_header = size >= MANIFEST_HEADER_LENGTH && startswith(data, "{\n    \"checksum\": \"");
        const char *body = has_header ? data + MANIFEST_HEADER_LENGTH : data;
        size_t body_size = has_header ? size - MANIFEST_HEADER_LENGTH : size;
        _cleanup_free_ char *text = malloc(MANIFEST_HEADER_LENGTH + body_size + 1);

        FUZZ_ASSERT(text);
        (void) snprintf(text, MANIFEST_HEADER_LENGTH + 1, MANIFEST_HEADER_FORMAT, manifest_checksum(body, body_size));
        memcpy(text + MANIFEST_HEADER_LENGTH, body, body_size);
        parse_manifest(text, MANIFEST_HEADER_LENGTH + body_size);
        parse_guard(text, MANIFEST_HEADER_LENGTH + body_size);
}

static void parse_runtime(const char *data, size_t size) {
        _cleanup_(runtime_record_freep) RuntimeRecord *record = NULL, *again = NULL;
        _cleanup_failure_ Failure failure = {};
        _cleanup_free_ char *text = NULL;
        int r = runtime_record_parse(data, size, &record, &failure);

        if (r < 0) {
                FUZZ_ASSERT(failure.code == r && failure.text && !record);
                return;
        }
        r = runtime_record_format(record, &text);
        FUZZ_ASSERT(r == 0);
        FUZZ_ASSERT(runtime_record_parse(text, strlen(text), &again, NULL) == 0);
        FUZZ_ASSERT(again->pending == record->pending && !again->failure_error == !record->failure_error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = malloc(size + 1);

        FUZZ_ASSERT(text);
        memcpy(text, data, size);
        text[size] = '\0';
        parse_manifest(text, size);
        parse_guard(text, size);
        parse_with_checksum(text, size);
        parse_runtime(text, size);
        return 0;
}
