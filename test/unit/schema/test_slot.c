/* Goal: keys land where the Redis Cluster specification puts them.
 * Method: the published check value; the fast remainder against a division bit by bit, for every
 * length up to a few words and for each single byte at each place (the map is linear, so these
 * determine all); hash tags are in the golden vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/limits.h"
#include "schema/slot.h"
#include "test/unit/schema/random.h"

enum { LENGTH_MAX = 40 };

/* CRC-16/XMODEM by its definition. */
static uint16_t s_slow (const uint8_t *bytes, size_t size)
{
    unsigned crc = 0;
    for (size_t i = 0; i < size; i++) {
        crc ^= (unsigned)bytes[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
        crc &= 0xffff;
    }
    return (uint16_t)crc;
}

static void test_slot_check_value_is_the_published_one (void **state)
{
    (void)state;
    assert_int_equal (kv_crc16 (kv_slice_text ("123456789")), 0x31c3);
    assert_int_equal (kv_crc16 (kv_slice (NULL, 0)), 0);
    assert_int_equal (kv_slot (kv_slice (NULL, 0)), 0);
}

static void test_slot_every_byte_at_every_place (void **state)
{
    (void)state;
    for (size_t size = 1; size <= LENGTH_MAX; size++) {
        uint8_t bytes[LENGTH_MAX] = {0};
        for (size_t at = 0; at < size; at++) {
            for (unsigned value = 0; value < 256; value++) {
                bytes[at] = (uint8_t)value;
                assert_int_equal (kv_crc16 (kv_slice (bytes, size)), s_slow (bytes, size));
            }
            bytes[at] = 0;
        }
    }
}

static void test_slot_random_keys (void **state)
{
    (void)state;
    random_t random = random_make ("keys");
    uint8_t bytes[300];
    for (int round = 0; round < 20000; round++) {
        size_t size = random_below (&random, sizeof bytes);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)random_next (&random);
        assert_int_equal (kv_crc16 (kv_slice (bytes, size)), s_slow (bytes, size));
        assert_true (kv_slot (kv_slice (bytes, size)) < KV_SLOTS);
    }
}

static void test_slot_keys_spread_over_the_shards (void **state)
{
    (void)state;
    uint32_t counts[KV_SHARDS_DEFAULT] = {0};
    enum { KEYS = 64000 };
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        int size = snprintf (key, sizeof key, "key:%012d", i);
        counts[kv_shard_of (kv_slice (key, (size_t)size), KV_SHARDS_DEFAULT)]++;
    }
    for (uint32_t shard = 0; shard < KV_SHARDS_DEFAULT; shard++) {
        assert_true (counts[shard] > KEYS / KV_SHARDS_DEFAULT / 2);
        assert_true (counts[shard] < KEYS / KV_SHARDS_DEFAULT * 2);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_slot_check_value_is_the_published_one),
        cmocka_unit_test (test_slot_every_byte_at_every_place),
        cmocka_unit_test (test_slot_random_keys),
        cmocka_unit_test (test_slot_keys_spread_over_the_shards),
    };
    return cmocka_run_group_tests_name ("schema.slot", tests, NULL, NULL);
}
