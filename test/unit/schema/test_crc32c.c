/* Goal: the CRC is Castagnoli's, however it is computed and cut. Method: RFC 3720's values; the
 * tables against a division bit by bit, for each byte at each place (the map is linear, so that is all);
 * the instruction against the tables for every length and alignment around the strands, and cuts. */
#include "schema/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "test/unit/schema/random.h"

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

/* The CRC by its definition. */
static uint32_t s_slow (const uint8_t *bytes, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ UINT32_C (0x82f63b78) : crc >> 1;
    }
    return ~crc;
}

static void test_crc32c_every_byte_at_every_place (void **state)
{
    (void)state;
    enum { LENGTH_MAX = 26 };
    for (size_t size = 1; size <= LENGTH_MAX; size++) {
        uint8_t bytes[LENGTH_MAX] = {0};
        for (size_t at = 0; at < size; at++) {
            for (unsigned value = 0; value < 256; value++) {
                bytes[at] = (uint8_t)value;
                uint32_t crc = s_slow (bytes, size);
                assert_int_equal (crc32c_by_table (0, kv_slice (bytes, size)), crc);
                assert_int_equal (crc32c (0, kv_slice (bytes, size)), crc);
            }
            bytes[at] = 0;
        }
    }
}

enum { MOST = 3 * 1024 * 3 + 100 };

static void test_crc32c_is_the_same_by_table (void **state)
{
    (void)state;
    static uint8_t bytes[MOST + 16];
    random_t random = random_make ("bytes");
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)random_next (&random);
    for (size_t size = 0; size < MOST; size += size < 200 ? 1 : 61) {
        for (size_t from = 0; from < 9; from++) {
            kv_slice_t slice = kv_slice (bytes + from, size);
            assert_int_equal (crc32c (0, slice), crc32c_by_table (0, slice));
        }
        size_t cut = random_below (&random, (uint32_t)size + 1);
        uint32_t first = crc32c (0, kv_slice (bytes, cut));
        assert_int_equal (crc32c (first, kv_slice (bytes + cut, size - cut)),
                          crc32c (0, kv_slice (bytes, size)));
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_crc32c_known_values),
        cmocka_unit_test (test_crc32c_every_byte_at_every_place),
        cmocka_unit_test (test_crc32c_is_the_same_by_table),
    };
    return cmocka_run_group_tests_name ("schema.crc32c", tests, NULL, NULL);
}
