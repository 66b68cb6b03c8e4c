/* Goal: the cursor keeps D1..D4 whatever the bytes are.
 * Method: inputs stand in blocks of exactly their size, so that a sanitizer sees a reach beyond
 * (D1); every reading function is tried at every place of seeded random bytes, and one that fails
 * must leave the cursor alone (D4); depths and counts are tried at their bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/limits.h"
#include "test/unit/schema/golden.h"
#include "test/unit/schema/random.h"

#include <math.h>

typedef kv_status_t read_fn (reader_t *at);

static kv_status_t s_array (reader_t *at)
{
    uint32_t count = 0;
    kv_status_t status = reader_array (at, &count);
    if (status == KV_OK)
        assert_true (count <= reader_left (at)); // D2
    return status;
}

static kv_status_t s_map (reader_t *at)
{
    uint32_t count = 0;
    kv_status_t status = reader_map (at, &count);
    if (status == KV_OK)
        assert_true (2 * (uint64_t)count <= reader_left (at)); // D2
    return status;
}

static kv_status_t s_bool (reader_t *at)
{
    bool value;
    return reader_bool (at, &value);
}

static kv_status_t s_int (reader_t *at)
{
    int64_t value;
    return reader_int (at, &value);
}

static kv_status_t s_uint (reader_t *at)
{
    uint64_t value;
    return reader_uint (at, &value);
}

static kv_status_t s_double (reader_t *at)
{
    double value;
    return reader_double (at, &value);
}

/* Touches the bytes, so that a slice beyond the end is found. */
static kv_status_t s_strings (reader_t *at)
{
    kv_slice_t bytes;
    kv_status_t status = reader_bytes (at, &bytes);
    unsigned sum = 0;
    for (size_t i = 0; status == KV_OK && i < bytes.size; i++)
        sum += bytes.data[i];
    return sum > UINT32_MAX / 2 ? KV_INTERNAL : status;
}

static kv_status_t s_skip (reader_t *at)
{
    kv_slice_t element;
    const uint8_t *start = at->at;
    kv_status_t status = reader_skip (at, &element);
    if (status == KV_OK) {
        assert_ptr_equal (element.data, start);
        assert_int_equal (element.size, at->at - start);
    }
    return status;
}

static read_fn *const s_reads[] = {
    reader_nil, s_bool, s_int, s_uint, s_double, s_strings, s_array, s_map, s_skip,
};
enum { READ_COUNT = sizeof s_reads / sizeof s_reads[0] };

/* All functions at one place: those that fail must not move, the others stay within. */
static void s_try_all (reader_t at)
{
    reader_type_t type = reader_peek (&at);
    unsigned succeeded = 0;
    for (size_t i = 0; i < READ_COUNT; i++) {
        reader_t copy = at;
        if (s_reads[i](&copy) == KV_OK) {
            succeeded++;
            assert_true (copy.at > at.at);
            assert_true (copy.at <= copy.end);
        } else {
            assert_ptr_equal (copy.at, at.at); // D4
            assert_ptr_equal (copy.end, at.end);
        }
    }
    if (type == READER_INVALID)
        assert_int_equal (succeeded, 0);
    assert_true (succeeded <= 3); /* its own, reader_int beside reader_uint, reader_skip */
}

static void test_reader_random_bytes_stay_within (void **state)
{
    (void)state;
    random_t random = random_make ("random bytes");
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[64];
        size_t size = random_below (&random, sizeof bytes);
        /* Half of the rounds favour heads that carry a length or a count. */
        bool heads = random_below (&random, 2) == 0;
        for (size_t i = 0; i < size; i++)
            bytes[i] = heads && random_below (&random, 3) == 0
                           ? (uint8_t)(0xc0 + random_below (&random, 32))
                           : (uint8_t)random_next (&random);
        kv_slice_t exact = golden_exact (kv_slice (bytes, size));
        for (size_t i = 0; i <= size; i++)
            s_try_all (reader_make (kv_slice (exact.data + i, size - i)));
        free ((void *)(uintptr_t)exact.data);
    }
}

static void test_reader_every_pair_of_first_bytes (void **state)
{
    (void)state;
    uint8_t *bytes = malloc (3);
    for (unsigned pair = 0; pair < 65536; pair++) {
        for (uint8_t third = 0; third < 2; third++) {
            bytes[0] = (uint8_t)(pair >> 8);
            bytes[1] = (uint8_t)pair;
            bytes[2] = third;
            for (size_t size = 1; size <= 3; size++)
                s_try_all ((reader_t){bytes + 3 - size, bytes + 3});
        }
    }
    free (bytes);
}

static void test_reader_of_nothing_reads_nothing (void **state)
{
    (void)state;
    s_try_all (reader_make (kv_slice (NULL, 0)));
    s_try_all (reader_make (kv_slice ("", 0)));
}

static kv_slice_t s_nested (uint8_t head, unsigned depth, uint8_t *bytes)
{
    size_t size = 0;
    for (unsigned i = 0; i < depth; i++) {
        bytes[size++] = head;
        if (head == 0x81)
            bytes[size++] = 0xc0;
    }
    bytes[size++] = 0xc0;
    return kv_slice (bytes, size);
}

static void test_reader_depth_is_bounded (void **state)
{
    (void)state;
    uint8_t bytes[64];
    const uint8_t heads[] = {0x91, 0x81};
    for (size_t i = 0; i < sizeof heads; i++) {
        for (unsigned depth = 0; depth <= KV_DEPTH_MAX + 2; depth++) {
            reader_t at = reader_make (s_nested (heads[i], depth, bytes));
            kv_status_t status = reader_skip (&at, NULL);
            assert_int_equal (status, depth <= KV_DEPTH_MAX ? KV_OK : KV_BAD_REQUEST); // D3
        }
    }
}

static void test_reader_depth_counts_empty_and_last_containers (void **state)
{
    (void)state;
    /* [nil, [nil, [ ... []]]]: each array is the last element of the one around it. */
    uint8_t bytes[64];
    for (unsigned depth = 1; depth <= KV_DEPTH_MAX + 1; depth++) {
        size_t size = 0;
        for (unsigned i = 1; i < depth; i++) {
            bytes[size++] = 0x92;
            bytes[size++] = 0xc0;
        }
        bytes[size++] = 0x90;
        reader_t at = reader_make (kv_slice (bytes, size));
        kv_status_t status = reader_skip (&at, NULL);
        assert_int_equal (status, depth <= KV_DEPTH_MAX ? KV_OK : KV_BAD_REQUEST); // D3
    }
}

static void test_reader_skip_passes_one_element_only (void **state)
{
    (void)state;
    const uint8_t bytes[] = {0x92, 0xa1, 'a', 0x82, 0x01, 0x90, 0x02, 0x91, 0xc0, 0x07};
    reader_t at = reader_make (kv_slice (bytes, sizeof bytes));
    kv_slice_t element;
    assert_int_equal (reader_skip (&at, &element), KV_OK);
    assert_int_equal (element.size, sizeof bytes - 1);
    uint64_t value;
    assert_int_equal (reader_uint (&at, &value), KV_OK);
    assert_int_equal (value, 7);
    assert_int_equal (reader_left (&at), 0);
}

static void test_reader_counts_are_bounded_by_what_is_left (void **state)
{
    (void)state;
    /* Two elements announced, room for one: refused before anything is allocated for them. */
    const uint8_t array[] = {0x92, 0xc0};
    const uint8_t map[] = {0x81, 0xc0};
    const uint8_t huge[] = {0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0};
    const uint8_t doubled[] = {0xdf, 0x80, 0, 0, 0, 0xc0, 0xc0};
    uint32_t count;
    reader_t at = reader_make (kv_slice (array, sizeof array));
    assert_int_equal (reader_array (&at, &count), KV_BAD_REQUEST);
    at = reader_make (kv_slice (map, sizeof map));
    assert_int_equal (reader_map (&at, &count), KV_BAD_REQUEST);
    at = reader_make (kv_slice (huge, sizeof huge));
    assert_int_equal (reader_array (&at, &count), KV_BAD_REQUEST);
    at = reader_make (kv_slice (doubled, sizeof doubled));
    assert_int_equal (reader_map (&at, &count), KV_BAD_REQUEST);
}

static void test_reader_integers_keep_their_range (void **state)
{
    (void)state;
    const uint8_t above[] = {0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0};
    const uint8_t below[] = {0xff};
    int64_t integer;
    uint64_t large;
    reader_t at = reader_make (kv_slice (above, sizeof above));
    assert_int_equal (reader_int (&at, &integer), KV_BAD_REQUEST);
    assert_int_equal (reader_uint (&at, &large), KV_OK);
    assert_true (large == UINT64_C (1) << 63);
    at = reader_make (kv_slice (below, sizeof below));
    assert_int_equal (reader_uint (&at, &large), KV_BAD_REQUEST);
    assert_int_equal (reader_int (&at, &integer), KV_OK);
    assert_int_equal (integer, -1);
}

static void test_reader_nan_is_a_double (void **state)
{
    (void)state;
    const uint8_t narrow[] = {0xca, 0x7f, 0xc0, 0, 0};
    reader_t at = reader_make (kv_slice (narrow, sizeof narrow));
    double value;
    assert_int_equal (reader_double (&at, &value), KV_OK);
    assert_true (isnan (value));
}

static void test_reader_peek_knows_every_type_byte (void **state)
{
    (void)state;
    uint8_t bytes[16] = {0};
    for (unsigned byte = 0; byte < 256; byte++) {
        reader_type_t wanted;
        if (byte < 0x80 || byte >= 0xe0 || (byte >= 0xcc && byte <= 0xd3))
            wanted = READER_INT;
        else if (byte < 0x90 || byte == 0xde || byte == 0xdf)
            wanted = READER_MAP;
        else if (byte < 0xa0 || byte == 0xdc || byte == 0xdd)
            wanted = READER_ARRAY;
        else if (byte < 0xc0 || (byte >= 0xd9 && byte <= 0xdb))
            wanted = READER_TEXT;
        else if (byte >= 0xc4 && byte <= 0xc6)
            wanted = READER_BIN;
        else if (byte == 0xc0)
            wanted = READER_NIL;
        else if (byte == 0xc1)
            wanted = READER_INVALID;
        else if (byte == 0xc2 || byte == 0xc3)
            wanted = READER_BOOL;
        else if (byte == 0xca || byte == 0xcb)
            wanted = READER_DOUBLE;
        else
            wanted = READER_EXT;
        bytes[0] = (uint8_t)byte;
        reader_t at = reader_make (kv_slice (bytes, sizeof bytes));
        assert_int_equal (reader_peek (&at), wanted);
    }
}

static void test_reader_skips_ext (void **state)
{
    (void)state;
    uint8_t bytes[32] = {0};
    const struct {
        uint8_t head;
        size_t size;
    } fixed[] = {{0xd4, 3}, {0xd5, 4}, {0xd6, 6}, {0xd7, 10}, {0xd8, 18}};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        bytes[0] = fixed[i].head;
        reader_t at = reader_make (kv_slice (bytes, fixed[i].size));
        assert_int_equal (reader_skip (&at, NULL), KV_OK);
        assert_int_equal (reader_left (&at), 0);
        at = reader_make (kv_slice (bytes, fixed[i].size - 1));
        assert_int_equal (reader_skip (&at, NULL), KV_BAD_REQUEST);
    }
    bytes[0] = 0xc7;
    bytes[1] = 5;
    reader_t at = reader_make (kv_slice (bytes, 8));
    assert_int_equal (reader_skip (&at, NULL), KV_OK);
    assert_int_equal (reader_left (&at), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_reader_random_bytes_stay_within),
        cmocka_unit_test (test_reader_every_pair_of_first_bytes),
        cmocka_unit_test (test_reader_of_nothing_reads_nothing),
        cmocka_unit_test (test_reader_depth_is_bounded),
        cmocka_unit_test (test_reader_depth_counts_empty_and_last_containers),
        cmocka_unit_test (test_reader_skip_passes_one_element_only),
        cmocka_unit_test (test_reader_counts_are_bounded_by_what_is_left),
        cmocka_unit_test (test_reader_integers_keep_their_range),
        cmocka_unit_test (test_reader_nan_is_a_double),
        cmocka_unit_test (test_reader_peek_knows_every_type_byte),
        cmocka_unit_test (test_reader_skips_ext),
    };
    return cmocka_run_group_tests_name ("schema.reader", tests, NULL, NULL);
}
