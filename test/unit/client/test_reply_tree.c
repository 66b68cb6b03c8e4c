/* Goal: a reply becomes the values it holds; whatever else the bytes are, it is refused safely.
 * Method: replies are written with request.h, read back through kvdb.h, then damaged: every prefix,
 * and every byte in turn replaced, must be refused or give a tree that can be walked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "client/reply_tree.h"
#include "schema/limits.h"
#include "test/unit/client/fake_server.h"

static kv_slice_t s_bytes (const writer_t *writer)
{
    return kv_slice (writer->data, writer->size);
}

static void s_build (writer_t *out)
{
    reply_begin (out, 5, 3);
    fake_kinds (out);
    result_retry (out, KV_BUSY, "BUSY wait", 50);
    result_nil (out);
}

static void test_reply_kinds_are_read (void **state)
{
    (void)state;
    writer_t body = writer_make (SIZE_MAX);
    s_build (&body);
    kv_reply_t *root;
    assert_int_equal (reply_tree_batch (s_bytes (&body), 3, &root), KV_OK);
    writer_free (&body); // T3
    assert_int_equal (kv_reply_count (root), 3);
    const kv_reply_t *all = kv_reply_item (root, 0);
    static const kv_reply_kind_t kinds[] = {KV_REPLY_NIL,   KV_REPLY_INT,  KV_REPLY_DOUBLE,
                                            KV_REPLY_BOOL,  KV_REPLY_TEXT, KV_REPLY_BYTES,
                                            KV_REPLY_ARRAY, KV_REPLY_MAP};
    assert_int_equal (kv_reply_count (all), 8);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal (kv_reply_kind (kv_reply_item (all, i)), kinds[i]);
    assert_int_equal (kv_reply_int (kv_reply_item (all, 1)), -7);
    assert_true (kv_reply_double (kv_reply_item (all, 2)) == 2.5);
    assert_int_equal (kv_reply_int (kv_reply_item (all, 3)), 1);
    size_t size;
    assert_string_equal (kv_reply_data (kv_reply_item (all, 4), &size), "text");
    assert_int_equal (size, 4);
    assert_memory_equal (kv_reply_data (kv_reply_item (all, 5), &size), "a\0\xff", 4);
    assert_int_equal (size, 3);
    assert_int_equal (kv_reply_count (kv_reply_item (all, 6)), 0);
    const kv_reply_t *map = kv_reply_item (all, 7);
    assert_int_equal (kv_reply_int (kv_reply_find (map, "one")), 1);
    assert_int_equal (kv_reply_count (kv_reply_find (map, "two")), 1);
    assert_null (kv_reply_find (map, "three"));
    assert_string_equal (kv_reply_data (kv_reply_key (map, 1), NULL), "two");
    assert_null (kv_reply_key (map, 2));
    assert_null (kv_reply_item (map, 2));
    kv_reply_destroy (&root);
    assert_null (root);
}

static void test_reply_errors_have_code_text_and_details (void **state)
{
    (void)state;
    writer_t body = writer_make (SIZE_MAX);
    s_build (&body);
    kv_reply_t *root;
    assert_int_equal (reply_tree_batch (s_bytes (&body), 3, &root), KV_OK);
    const kv_reply_t *error = kv_reply_item (root, 1);
    assert_int_equal (kv_reply_kind (error), KV_REPLY_ERROR);
    assert_int_equal (kv_reply_code (error), KV_BUSY);
    assert_string_equal (kv_reply_data (error, NULL), "BUSY wait");
    assert_int_equal (kv_reply_int (kv_reply_find (kv_reply_details (error), "retry_ms")), 50);
    assert_int_equal (kv_reply_code (kv_reply_item (root, 2)), KV_OK);
    assert_null (kv_reply_details (kv_reply_item (root, 2)));
    kv_reply_destroy (&root);
    writer_free (&body);
}

static void test_reply_refusal_stands_for_each_command (void **state)
{
    (void)state;
    writer_t body = writer_make (SIZE_MAX);
    reply_refuse (&body, 5, KV_TOO_LARGE, "ERR too large");
    kv_reply_t *root;
    assert_int_equal (reply_tree_batch (s_bytes (&body), 4, &root), KV_OK);
    assert_int_equal (kv_reply_count (root), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal (kv_reply_code (kv_reply_item (root, i)), KV_TOO_LARGE);
        assert_string_equal (kv_reply_data (kv_reply_item (root, i), NULL), "ERR too large");
    }
    kv_reply_destroy (&root);
    assert_int_equal (reply_tree_single (s_bytes (&body), &root), KV_OK);
    assert_int_equal (kv_reply_code (root), KV_TOO_LARGE);
    kv_reply_destroy (&root);
    writer_free (&body);
}

static void test_reply_with_another_count_is_corrupt (void **state)
{
    (void)state;
    writer_t body = writer_make (SIZE_MAX);
    kv_reply_t *root;
    s_build (&body);
    assert_int_equal (reply_tree_batch (s_bytes (&body), 2, &root), KV_CORRUPT);
    assert_int_equal (reply_tree_batch (s_bytes (&body), 4, &root), KV_CORRUPT);
    assert_int_equal (reply_tree_single (s_bytes (&body), &root), KV_CORRUPT);
    writer_reset (&body);
    reply_begin (&body, 5, 1);
    result_nil (&body); /* one value for two commands is no refusal */
    assert_int_equal (reply_tree_batch (s_bytes (&body), 2, &root), KV_CORRUPT);
    assert_null (root);
    writer_free (&body);
}

static void test_reply_ext_and_huge_integers_are_corrupt (void **state)
{
    (void)state;
    kv_reply_t *root;
    const uint8_t ext[] = {0x93, 1, 5, 0x91, 0x92, 0, 0xd4, 1, 1};
    const uint8_t huge[] = {0x93, 1,    5,    0x91, 0x92, 0,    0xcf, 0xff,
                            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    assert_int_equal (reply_tree_single (kv_slice (ext, sizeof ext), &root), KV_CORRUPT);
    assert_int_equal (reply_tree_single (kv_slice (huge, sizeof huge), &root), KV_CORRUPT);
    assert_null (root);
}

/* Touches every value, so that a sanitizer sees every wrong pointer. */
static size_t s_walk (const kv_reply_t *reply)
{
    size_t size;
    const char *data = kv_reply_data (reply, &size);
    size_t sum = 1 + (unsigned char)data[size] + (size_t)kv_reply_int (reply);
    for (size_t i = 0; i < size; i++)
        sum += (unsigned char)data[i];
    for (size_t i = 0; i < kv_reply_count (reply); i++) {
        if (kv_reply_key (reply, i))
            sum += s_walk (kv_reply_key (reply, i));
        sum += s_walk (kv_reply_item (reply, i));
    }
    return kv_reply_details (reply) ? sum + s_walk (kv_reply_details (reply)) : sum;
}

static void s_try (const uint8_t *data, size_t size)
{
    /* A copy of the exact size, so that a sanitizer sees a read beyond it. */
    uint8_t *copy = malloc (size ? size : 1);
    assert_non_null (copy);
    memcpy (copy, data, size);
    kv_reply_t *root;
    if (reply_tree_batch (kv_slice (copy, size), 3, &root) == KV_OK)
        assert_true (s_walk (root) > 0 || root != NULL);
    kv_reply_destroy (&root);
    free (copy);
}

static void test_reply_damaged_is_refused_or_sound (void **state)
{
    (void)state;
    writer_t body = writer_make (SIZE_MAX);
    s_build (&body);
    for (size_t size = 0; size < body.size; size++)
        s_try (body.data, size);
    for (size_t i = 0; i < body.size; i++) {
        uint8_t kept = body.data[i];
        for (unsigned value = 0; value < 256; value++) {
            body.data[i] = (uint8_t)value;
            s_try (body.data, body.size);
        }
        body.data[i] = kept;
    }
    writer_free (&body);
}

static void test_reply_nested_too_deep_is_corrupt (void **state)
{
    (void)state;
    writer_t body = writer_make (SIZE_MAX);
    reply_begin (&body, 5, 1);
    result_value (&body);
    for (int i = 0; i < 1000; i++)
        writer_array (&body, 1);
    writer_nil (&body);
    kv_reply_t *root;
    assert_int_equal (reply_tree_single (s_bytes (&body), &root), KV_CORRUPT);
    writer_free (&body);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_reply_kinds_are_read),
        cmocka_unit_test (test_reply_errors_have_code_text_and_details),
        cmocka_unit_test (test_reply_refusal_stands_for_each_command),
        cmocka_unit_test (test_reply_with_another_count_is_corrupt),
        cmocka_unit_test (test_reply_ext_and_huge_integers_are_corrupt),
        cmocka_unit_test (test_reply_damaged_is_refused_or_sound),
        cmocka_unit_test (test_reply_nested_too_deep_is_corrupt),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
