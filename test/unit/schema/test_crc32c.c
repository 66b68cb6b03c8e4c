/* Goal: the CRC is Castagnoli's, however it is computed and cut. Method: RFC 3720's values; the
 * instruction against the table for every length and alignment around the strands, and random cuts. */
#include "schema/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void test_crc32c_known_values (void **state)
{
    (void)state;
    uint8_t bytes[32];
    assert_int_equal (crc32c (0, kv_slice_text ("123456789")), 0xe3069283);
    assert_int_equal (crc32c (0, kv_slice (NULL, 0)), 0);
    memset (bytes, 0, sizeof bytes);
    assert_int_equal (crc32c (0, kv_slice (bytes, 32)), 0x8a9136aa);
    memset (bytes, 0xff, sizeof bytes);
    assert_int_equal (crc32c (0, kv_slice (bytes, 32)), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal (crc32c (0, kv_slice (bytes, 32)), 0x46dd794e);
}

enum { MOST = 3 * 1024 * 3 + 100 };

static void test_crc32c_is_the_same_by_table (void **state)
{
    (void)state;
    static uint8_t bytes[MOST + 16];
    uint32_t random = 7;
    for (size_t i = 0; i < sizeof bytes; i++) {
        random = random * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(random >> 24);
    }
    for (size_t size = 0; size < MOST; size += size < 200 ? 1 : 61) {
        for (size_t from = 0; from < 9; from++) {
            kv_slice_t slice = kv_slice (bytes + from, size);
            assert_int_equal (crc32c (0, slice), crc32c_by_table (0, slice));
        }
        size_t cut = size / 3;
        uint32_t first = crc32c (0, kv_slice (bytes, cut));
        assert_int_equal (crc32c (first, kv_slice (bytes + cut, size - cut)),
                          crc32c (0, kv_slice (bytes, size)));
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_crc32c_known_values),
        cmocka_unit_test (test_crc32c_is_the_same_by_table),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
