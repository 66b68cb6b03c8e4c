/* Goal: the writer stays within its limit (W1) and says so when something did not fit (W2).
 * Method: the same calls under every limit from nothing to more than enough; encodings themselves
 * are pinned by the golden vectors, here each call is read back by the cursor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/reader.h"
#include "schema/writer.h"
#include "test/unit/schema/random.h"

static void s_check_bounds (const writer_t *writer)
{
    assert_true (writer->size <= writer->capacity);  // W1
    assert_true (writer->capacity <= writer->limit); // W1
}

enum { CALL_COUNT = 11 };

static void s_call (writer_t *out, unsigned which)
{
    switch (which) {
    case 0: writer_nil (out); break;
    case 1: writer_bool (out, true); break;
    case 2: writer_int (out, INT64_MIN); break;
    case 3: writer_uint (out, UINT64_MAX); break;
    case 4: writer_double (out, 0.5); break;
    case 5: writer_array (out, 70000); break;
    case 6: writer_map (out, 300); break;
    case 7:
        writer_text (out, kv_slice_text ("some text that is longer than thirty-one bytes"));
        break;
    case 8: writer_bin (out, kv_slice ("\0\1\2", 3)); break;
    case 9: writer_cstr (out, ""); break;
    default: writer_raw (out, kv_slice_text ("raw")); break;
    }
}

static void test_writer_keeps_every_limit (void **state)
{
    (void)state;
    writer_t whole = writer_make (SIZE_MAX);
    for (unsigned i = 0; i < CALL_COUNT; i++)
        s_call (&whole, i);
    assert_false (whole.overflow);
    for (size_t limit = 0; limit <= whole.size + 2; limit++) {
        writer_t out = writer_make (limit);
        bool over = false;
        for (unsigned i = 0; i < CALL_COUNT; i++) {
            size_t before = out.size;
            s_call (&out, i);
            s_check_bounds (&out);
            if (over) {
                assert_true (out.overflow); // W2
                assert_int_equal (out.size, before);
            }
            over = out.overflow;
        }
        assert_int_equal (over, limit < whole.size);
        if (out.size)
            assert_memory_equal (out.data, whole.data, out.size);
        writer_free (&out);
    }
    writer_free (&whole);
}

static void test_writer_cut_undoes_what_did_not_fit (void **state)
{
    (void)state;
    writer_t out = writer_make (8);
    writer_cstr (&out, "abc");
    size_t size = out.size;
    writer_bin (&out, kv_slice_text ("too long for it"));
    assert_true (out.overflow);
    writer_nil (&out);
    assert_true (out.overflow);
    writer_cut (&out, size);
    assert_false (out.overflow);
    assert_int_equal (out.size, size);
    writer_nil (&out);
    assert_false (out.overflow);
    assert_memory_equal (out.data,
                         "\xa3"
                         "abc\xc0",
                         5);
    writer_reset (&out);
    assert_int_equal (out.size, 0);
    writer_free (&out);
}

static void test_writer_take_hands_over_and_starts_anew (void **state)
{
    (void)state;
    writer_t out = writer_make (100);
    writer_int (&out, 5);
    size_t size;
    uint8_t *data = writer_take (&out, &size);
    assert_int_equal (size, 1);
    assert_int_equal (data[0], 5);
    free (data);
    assert_null (out.data);
    assert_int_equal (out.limit, 100);
    writer_nil (&out);
    assert_int_equal (out.size, 1);
    writer_free (&out);
    data = writer_take (&out, &size);
    assert_null (data);
    assert_int_equal (size, 0);
}

static void test_writer_claim_gives_room_or_null (void **state)
{
    (void)state;
    writer_t out = writer_make (300);
    uint8_t *at = writer_claim (&out, 300);
    assert_non_null (at);
    memset (at, 1, 300);
    assert_null (writer_claim (&out, 1));
    assert_true (out.overflow);
    writer_cut (&out, 300);
    assert_null (writer_claim (&out, SIZE_MAX));
    assert_int_equal (out.size, 300);
    writer_free (&out);
}

static void test_writer_array_count_is_set_later (void **state)
{
    (void)state;
    writer_t out = writer_make (SIZE_MAX);
    writer_nil (&out);
    size_t offset = writer_array32 (&out);
    for (int i = 0; i < 300; i++)
        writer_int (&out, i);
    writer_patch_array32 (&out, offset, 300);
    reader_t at = reader_make (kv_slice (out.data, out.size));
    uint32_t count;
    assert_int_equal (reader_nil (&at), KV_OK);
    assert_int_equal (reader_array (&at, &count), KV_OK);
    assert_int_equal (count, 300);
    writer_free (&out);
    out = writer_make (3);
    offset = writer_array32 (&out);
    assert_true (out.overflow);
    writer_patch_array32 (&out, offset, 1); /* without effect */
    assert_int_equal (out.size, 0);
    writer_free (&out);
}

static void test_writer_grows_to_any_size (void **state)
{
    (void)state;
    random_t random = random_make ("growth");
    writer_t out = writer_make (3 * 1000 * 1000);
    uint8_t bytes[5000];
    memset (bytes, 7, sizeof bytes);
    while (!out.overflow) {
        writer_bin (&out, kv_slice (bytes, random_below (&random, sizeof bytes)));
        s_check_bounds (&out);
    }
    assert_true (out.size > out.limit - sizeof bytes - 5);
    writer_free (&out);
}

static void test_writer_integers_read_back (void **state)
{
    (void)state;
    random_t random = random_make ("integers");
    writer_t out = writer_make (SIZE_MAX);
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = random_next (&random) >> random_below (&random, 64);
        int64_t value = (int64_t)(random_below (&random, 2) ? bits : 0 - bits);
        writer_reset (&out);
        writer_int (&out, value);
        reader_t at = reader_make (kv_slice (out.data, out.size));
        int64_t back;
        assert_int_equal (reader_int (&at, &back), KV_OK);
        assert_true (back == value);
        assert_int_equal (reader_left (&at), 0);
    }
    writer_free (&out);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_writer_keeps_every_limit),
        cmocka_unit_test (test_writer_cut_undoes_what_did_not_fit),
        cmocka_unit_test (test_writer_take_hands_over_and_starts_anew),
        cmocka_unit_test (test_writer_claim_gives_room_or_null),
        cmocka_unit_test (test_writer_array_count_is_set_later),
        cmocka_unit_test (test_writer_grows_to_any_size),
        cmocka_unit_test (test_writer_integers_read_back),
    };
    return cmocka_run_group_tests_name ("schema.writer", tests, NULL, NULL);
}
