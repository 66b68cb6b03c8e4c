/* Goal: what was written is read back, and nothing else is taken for a record. Method: one of each
 * effect; every cut, and every bit flipped; fields that break D1-D3 under a good CRC. */
#include "schema/crc32c.h"
#include "schema/limits.h"
#include "schema/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static const effect_t s_effects[] = {
    {.kind = EFFECT_PUT, .key = {(const uint8_t *)"key", 3}, .value = {(const uint8_t *)"v", 1}},
    {.kind = EFFECT_PUT, .key = {(const uint8_t *)"k", 1}, .expires_ms = 1700000000000},
    {.kind = EFFECT_WRITE,
     .key = {(const uint8_t *)"k", 1},
     .value = {(const uint8_t *)"abc", 3},
     .offset = 70000},
    {.kind = EFFECT_EXPIRE, .key = {(const uint8_t *)"k", 1}, .expires_ms = 1},
    {.kind = EFFECT_EXPIRE, .key = {(const uint8_t *)"k", 1}},
    {.kind = EFFECT_DELETE, .key = {(const uint8_t *)"k", 1}},
    {.kind = EFFECT_CLEAR},
    {.kind = EFFECT_OPEN},
};

enum { EFFECTS = sizeof s_effects / sizeof s_effects[0] };

static writer_t s_write_all (void)
{
    writer_t out = writer_make (SIZE_MAX);
    writer_uint (&out, 5); /* it need not begin at 0 */
    size_t start = record_begin (&out, 63, UINT64_C (1) << 40 | 7, UINT64_C (1) << 40 | 8);
    for (size_t i = 0; i < EFFECTS; i++)
        record_effect (&out, &s_effects[i]);
    record_end (&out, start, EFFECTS);
    return out;
}

static void test_record_is_read_back (void **state)
{
    (void)state;
    writer_t out = s_write_all ();
    record_t record;
    effect_t effect;
    assert_int_equal (record_decode (kv_slice (out.data + 1, out.size - 1), &record), KV_OK);
    assert_int_equal (record.bytes, out.size - 1);
    assert_int_equal (record.shard, 63);
    assert_int_equal (position_epoch (record.position), 1);
    assert_int_equal (position_n (record.position), 8);
    assert_int_equal (position_n (record.previous), 7);
    assert_false (record.has_completion);
    assert_int_equal (record.effect_count, EFFECTS);
    kv_slice_t at = record.effects;
    for (size_t i = 0; i < EFFECTS; i++) {
        assert_int_equal (effect_next (&at, &effect), KV_OK);
        assert_int_equal (effect.kind, s_effects[i].kind);
        assert_true (kv_slice_equal (effect.key, s_effects[i].key));
        assert_true (kv_slice_equal (effect.value, s_effects[i].value));
        assert_int_equal (effect.offset, s_effects[i].offset);
        assert_int_equal (effect.expires_ms, s_effects[i].expires_ms);
    }
    assert_int_equal (effect_next (&at, &effect), KV_END);
    writer_free (&out);
}

static void test_record_cut_anywhere_is_not_all_there (void **state)
{
    (void)state;
    writer_t out = s_write_all ();
    record_t record;
    for (size_t size = 0; size < out.size - 1; size++) {
        uint8_t *copy = malloc (size + 1); /* its end is the allocation's, for the sanitizer */
        memcpy (copy + 1, out.data + 1, size);
        assert_int_equal (record_decode (kv_slice (copy + 1, size), &record), KV_END);
        assert_int_equal (record.bytes, size < 8 ? 0 : out.size - 1);
        free (copy);
    }
    writer_free (&out);
}

static void test_record_with_any_bit_flipped_is_refused (void **state)
{
    (void)state;
    writer_t out = s_write_all ();
    record_t record;
    for (size_t bit = 0; bit < 8 * (out.size - 1); bit++) {
        out.data[1 + bit / 8] ^= (uint8_t)(1 << bit % 8);
        kv_status_t status = record_decode (kv_slice (out.data + 1, out.size - 1), &record);
        /* A length that has grown asks for more; everything else shows. */
        assert_true (status == KV_CORRUPT || (status == KV_END && record.bytes > out.size - 1));
        out.data[1 + bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    writer_free (&out);
}

/* A record whose bytes at `offset` are replaced, its CRC made good again. */
static kv_status_t s_decode_with (size_t offset, kv_slice_t bytes)
{
    writer_t out = writer_make (SIZE_MAX);
    record_t record;
    size_t start = record_begin (&out, 1, 10, 11);
    record_effect (&out, &s_effects[0]);
    record_end (&out, start, 1);
    memcpy (out.data + offset, bytes.data, bytes.size);
    uint32_t crc = crc32c (0, kv_slice (out.data + 4, out.size - 4));
    for (int i = 0; i < 4; i++)
        out.data[i] = (uint8_t)(crc >> 8 * i);
    kv_status_t status = record_decode (kv_slice (out.data, out.size), &record);
    writer_free (&out);
    return status;
}

static void test_record_that_breaks_its_rules_is_refused (void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        const char *bytes;
        size_t size;
    } bad[] = {
        {8, "\xff\xff", 2},  /* no such shard */
        {10, "\x02", 1},     /* an unknown flag */
        {10, "\x01", 1},     /* a completion, for which there is no room */
        {11, "\x01", 1},     /* not 0 */
        {12, "\x00", 1},     /* fewer effects than there are bytes of (D2) */
        {12, "\x02", 1},     /* more */
        {16, "\x0b", 1},     /* position = previous (D1) */
        {32, "\x00", 1},     /* no such kind */
        {32, "\x07", 1},     /* nor this */
        {32, "\x06", 1},     /* OPEN has no key */
        {32, "\x04", 1},     /* DELETE has no value */
        {33, "\x02", 1},     /* an unknown flag of an effect */
        {34, "\xff\xff", 2}, /* a key that goes beyond the record */
        {36, "\xff", 1},     /* so does a value */
    };
    assert_int_equal (s_decode_with (16, kv_slice ("\x0a", 1)), KV_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal (s_decode_with (bad[i].offset, kv_slice (bad[i].bytes, bad[i].size)),
                          KV_CORRUPT);
}

static void test_record_offset_stays_within_a_value (void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        writer_t out = writer_make (SIZE_MAX);
        record_t record;
        effect_t effect = s_effects[2];
        effect.offset = (size_t)KV_VALUE_BYTES_MAX - effect.value.size + (size_t)over;
        size_t start = record_begin (&out, 1, 10, 11);
        record_effect (&out, &effect);
        record_end (&out, start, 1);
        assert_int_equal (record_decode (kv_slice (out.data, out.size), &record),
                          over ? KV_CORRUPT : KV_OK);
        writer_free (&out);
    }
}

static void test_record_that_does_not_fit_is_not_begun (void **state)
{
    (void)state;
    writer_t out = writer_make (RECORD_HEADER_BYTES + 10);
    size_t start = record_begin (&out, 1, 10, 11);
    record_effect (&out, &s_effects[0]);
    record_end (&out, start, 1);
    assert_true (out.overflow);
    writer_free (&out);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_record_is_read_back),
        cmocka_unit_test (test_record_cut_anywhere_is_not_all_there),
        cmocka_unit_test (test_record_with_any_bit_flipped_is_refused),
        cmocka_unit_test (test_record_that_breaks_its_rules_is_refused),
        cmocka_unit_test (test_record_offset_stays_within_a_value),
        cmocka_unit_test (test_record_that_does_not_fit_is_not_begun),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
