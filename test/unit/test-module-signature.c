/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The appended signature's trailer: what the kernel takes, and what it does not. */

#include <endian.h>

#include "common/macro.h"
#include "kmod/module-signature.h"
#include "test.h"

#define MARKER "~Module signature appended~\n"
#define PAYLOAD 100
#define SIGNATURE 20
#define TRAILER 12
#define TOTAL (PAYLOAD + SIGNATURE + TRAILER + STRLEN(MARKER))

/* Offsets within the trailer. */
enum {
        ALGO = 0,
        HASH = 1,
        ID_TYPE = 2,
        SIGNER_LEN = 3,
        KEY_ID_LEN = 4,
        PAD = 5,
        SIG_LEN = 8,
};

static uint8_t *make_module(void) {
        uint8_t *module = calloc(1, TOTAL + 16), *trailer = module + PAYLOAD + SIGNATURE;

        memset(module, 'x', PAYLOAD + SIGNATURE);
        trailer[ID_TYPE] = 2;
        trailer[SIG_LEN + 3] = SIGNATURE;
        memcpy(trailer + TRAILER, MARKER, STRLEN(MARKER));
        return module;
}

static void set_length(uint8_t *module, uint32_t length) {
        length = htobe32(length);
        memcpy(module + PAYLOAD + SIGNATURE + SIG_LEN, &length, sizeof(length));
}

static void assert_verdict(const uint8_t *module, size_t size, int expected, const char *text) {
        _cleanup_failure_ Failure f = {};
        ModuleSignature s = { 1, 2, 3 };

        ASSERT_EQ(module_signature_parse_untrusted(module, size, &s, &f), expected);
        ASSERT_EQ(f.code, expected);
        ASSERT_CONTAINS(f.text, text);
        /* Left alone when there is nothing to say. */
        ASSERT_EQ(s.payload_size, 1);
        ASSERT_EQ(s.pkcs7_size, 3);
}

TEST(well_formed) {
        _cleanup_free_ uint8_t *module = make_module();
        ModuleSignature s;

        ASSERT_EQ(module_signature_parse_untrusted(module, TOTAL, &s, NULL), 0);
        ASSERT_EQ(s.payload_size, PAYLOAD);
        ASSERT_EQ(s.pkcs7_offset, PAYLOAD);
        ASSERT_EQ(s.pkcs7_size, SIGNATURE);
}

TEST(largest_signature_leaves_one_byte) {
        _cleanup_free_ uint8_t *module = make_module();
        ModuleSignature s;

        set_length(module, PAYLOAD + SIGNATURE - 1);
        ASSERT_EQ(module_signature_parse_untrusted(module, TOTAL, &s, NULL), 0);
        ASSERT_EQ(s.payload_size, 1);
}

TEST(signature_too_long) {
        static const uint32_t lengths[] = {
                PAYLOAD + SIGNATURE, PAYLOAD + SIGNATURE + 1, TOTAL, INT32_MAX, UINT32_MAX,
        };
        _cleanup_free_ uint8_t *module = make_module();

        for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
                set_length(module, lengths[i]);
                assert_verdict(module, TOTAL, REFUSED_SIGNATURE_MALFORMED, "more bytes of signature than the file");
        }
}

TEST(signature_of_no_bytes) {
        _cleanup_free_ uint8_t *module = make_module();

        set_length(module, 0);
        assert_verdict(module, TOTAL, REFUSED_SIGNATURE_MALFORMED, "0 bytes of signature");
}

TEST(length_is_big_endian) {
        _cleanup_free_ uint8_t *module = make_module();
        uint32_t little = htole32(SIGNATURE);

        memcpy(module + PAYLOAD + SIGNATURE + SIG_LEN, &little, sizeof(little));
        assert_verdict(module, TOTAL, REFUSED_SIGNATURE_MALFORMED, "more bytes");
}

TEST(wrong_types) {
        static const uint8_t types[] = { 0, 1, 3, 255 };

        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                _cleanup_free_ uint8_t *module = make_module();

                module[PAYLOAD + SIGNATURE + ID_TYPE] = types[i];
                assert_verdict(module, TOTAL, REFUSED_SIGNATURE_MALFORMED, "something else than PKCS#7");
        }
}

TEST(fields_that_must_be_zero) {
        static const int offsets[] = { ALGO, HASH, SIGNER_LEN, KEY_ID_LEN };

        for (size_t i = 0; i < ELEMENTSOF(offsets); i++) {
                _cleanup_free_ uint8_t *module = make_module();

                module[PAYLOAD + SIGNATURE + offsets[i]] = 1;
                assert_verdict(module, TOTAL, REFUSED_SIGNATURE_MALFORMED, "leaves zero");
        }
}

TEST(padding_that_must_be_zero) {
        for (int i = 0; i < 3; i++) {
                _cleanup_free_ uint8_t *module = make_module();

                module[PAYLOAD + SIGNATURE + PAD + i] = 0x80;
                assert_verdict(module, TOTAL, REFUSED_SIGNATURE_MALFORMED, "padding");
        }
}

TEST(byte_behind_the_marker) {
        _cleanup_free_ uint8_t *module = make_module();

        module[TOTAL] = '\n';
        assert_verdict(module, TOTAL + 1, REFUSED_UNSIGNED, "1 bytes follow the end of its signature");
        assert_verdict(module, TOTAL + 16, REFUSED_UNSIGNED, "16 bytes follow");
}

TEST(marker_cut_short) {
        _cleanup_free_ uint8_t *module = make_module();

        for (size_t n = 1; n <= STRLEN(MARKER); n++)
                assert_verdict(module, TOTAL - n, REFUSED_UNSIGNED, "not signed");
}

TEST(marker_damaged) {
        _cleanup_free_ uint8_t *module = make_module();

        module[TOTAL - 1] = '\r';
        assert_verdict(module, TOTAL, REFUSED_UNSIGNED, "not signed");
}

TEST(marker_without_trailer) {
        char data[TRAILER + STRLEN(MARKER) + 1] = { 0 };

        memcpy(data + TRAILER, MARKER, STRLEN(MARKER));
        for (size_t n = 1; n <= TRAILER; n++)
                assert_verdict((uint8_t *) data + TRAILER - n, n + STRLEN(MARKER), REFUSED_SIGNATURE_MALFORMED,
                               "no room for a trailer");
        /* To the kernel, too, a marker with nothing before it is none. */
        assert_verdict((uint8_t *) data + TRAILER, STRLEN(MARKER), REFUSED_UNSIGNED, "signed");
}

TEST(no_marker) {
        assert_verdict((const uint8_t *) "", 0, REFUSED_UNSIGNED, "not signed");
        assert_verdict((const uint8_t *) "x", 1, REFUSED_UNSIGNED, "not signed");
        assert_verdict((const uint8_t *) MARKER MARKER " ", 2 * STRLEN(MARKER) + 1, REFUSED_UNSIGNED, "bytes follow");
}

TEST(only_the_outermost_counts) {
        _cleanup_free_ uint8_t *inner = make_module(), *outer = make_module(), *both = malloc(2 * TOTAL);
        ModuleSignature s;

        memcpy(both, inner, TOTAL);
        memcpy(both + TOTAL, outer, TOTAL);
        ASSERT_EQ(module_signature_parse_untrusted(both, 2 * TOTAL, &s, NULL), 0);
        ASSERT_EQ(s.payload_size, TOTAL + PAYLOAD);
        ASSERT_EQ(s.pkcs7_size, SIGNATURE);
}
