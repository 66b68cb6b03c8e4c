/* Goal: the C codec means by a byte what every other client does.
 * Method: each vector of schema/golden is decoded from a block of exactly its size, printed in the
 * notation of the files and compared; what has one encoding only is encoded again. Every vector is
 * also cut at every place (long ones: near both ends): a part must never pass for the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/command.h"
#include "schema/limits.h"
#include "schema/request.h"
#include "schema/slot.h"
#include "test/unit/schema/golden.h"

typedef enum { KIND_VALUE, KIND_REQUEST, KIND_REPLY } kind_t;

static kv_slice_t s_bytes (const char *hex)
{
    writer_t bytes = writer_make (SIZE_MAX);
    golden_unhex (&bytes, hex);
    kv_slice_t exact = golden_exact (kv_slice (bytes.data, bytes.size));
    writer_free (&bytes);
    return exact;
}

static void s_release (kv_slice_t bytes)
{
    free ((void *)(uintptr_t)bytes.data);
}

/* Decodes with all that a receiver would do; `id` is set if `has_id`. */
static kv_status_t s_decode (kind_t kind, kv_slice_t bytes, bool *has_id, uint64_t *id)
{
    *has_id = false;
    *id = 0;
    if (kind == KIND_REQUEST) {
        request_t request;
        const char *why = NULL;
        kv_status_t status = request_decode (bytes, &request, &why);
        assert_non_null (why);
        *has_id = request.has_id;
        *id = request.id;
        return status;
    }
    if (kind == KIND_REPLY) {
        reply_t reply;
        kv_status_t status = reply_decode (bytes, &reply);
        result_t result;
        while (status == KV_OK)
            status = result_next (&reply, &result);
        *has_id = status == KV_END;
        *id = reply.id;
        return status == KV_END ? KV_OK : status;
    }
    reader_t at = reader_make (bytes);
    kv_status_t status = reader_skip (&at, NULL);
    return status == KV_OK && reader_left (&at) ? KV_BAD_REQUEST : status;
}

static void s_check_meaning (kv_slice_t bytes, const char *meaning)
{
    writer_t text = writer_make (SIZE_MAX);
    reader_t at = reader_make (bytes);
    golden_print (&text, &at);
    assert_int_equal (reader_left (&at), 0);
    assert_int_equal (text.size, strlen (meaning));
    assert_memory_equal (text.data, meaning, text.size);
    writer_free (&text);
}

/* Every cut of a short message, and a sample of those of a long one, is refused. */
static void s_check_cuts (kind_t kind, kv_slice_t bytes)
{
    for (size_t size = 0; size < bytes.size; size++) {
        if (size == 512 && bytes.size > 1024)
            size = bytes.size - 512;
        kv_slice_t part = golden_exact (kv_slice (bytes.data, size));
        bool has_id;
        uint64_t id;
        assert_int_equal (s_decode (kind, part, &has_id, &id), KV_BAD_REQUEST);
        s_release (part);
    }
}

static void s_check_row (kind_t kind, const golden_row_t *row)
{
    const char *status_name = row->columns[1];
    const char *id_text = row->columns[2];
    kv_slice_t bytes = s_bytes (row->columns[3]);
    bool has_id;
    uint64_t id;
    kv_status_t status = s_decode (kind, bytes, &has_id, &id);
    if (strcmp (kv_status_name (status), status_name) != 0)
        print_error ("%s: %s\n", row->columns[0], kv_status_name (status));
    assert_string_equal (kv_status_name (status), status_name);
    if (kind == KIND_REQUEST || status == KV_OK) {
        assert_int_equal (has_id, strcmp (id_text, "-") != 0);
        if (has_id)
            assert_true (id == strtoull (id_text, NULL, 10));
    }
    if (status == KV_OK) {
        s_check_meaning (bytes, row->columns[4]);
        s_check_cuts (kind, bytes);
    }
    s_release (bytes);
}

static void s_run (kind_t kind, const char *file, size_t least)
{
    golden_t golden = golden_open (file);
    golden_row_t row;
    size_t rows = 0;
    for (; golden_next (&golden, &row, 5); rows++)
        s_check_row (kind, &row);
    golden_close (&golden);
    assert_true (rows >= least);
}

static void test_requests_decode_as_listed (void **state)
{
    (void)state;
    s_run (KIND_REQUEST, "requests.tsv", 80);
}

static void test_replies_decode_as_listed (void **state)
{
    (void)state;
    s_run (KIND_REPLY, "replies.tsv", 30);
}

static void s_check_value (const golden_row_t *row)
{
    const char *form = row->columns[1];
    kv_slice_t bytes = s_bytes (row->columns[2]);
    bool has_id;
    uint64_t id;
    kv_status_t status = s_decode (KIND_VALUE, bytes, &has_id, &id);
    assert_int_equal (status, strcmp (form, "refused") == 0 ? KV_BAD_REQUEST : KV_OK);
    if (status == KV_OK) {
        s_check_meaning (bytes, row->columns[3]);
        s_check_cuts (KIND_VALUE, bytes);
        writer_t again = writer_make (SIZE_MAX);
        reader_t at = reader_make (bytes);
        golden_rewrite (&again, &at);
        bool same = kv_slice_equal (kv_slice (again.data, again.size), bytes);
        if (same != (strcmp (form, "shortest") == 0))
            print_error ("%s: not the form listed\n", row->columns[0]);
        assert_int_equal (same, strcmp (form, "shortest") == 0);
        writer_free (&again);
    }
    s_release (bytes);
}

static void test_values_read_and_write_as_listed (void **state)
{
    (void)state;
    golden_t golden = golden_open ("values.tsv");
    golden_row_t row;
    size_t rows = 0;
    for (; golden_next (&golden, &row, 4); rows++)
        s_check_value (&row);
    golden_close (&golden);
    assert_true (rows >= 100);
}

static void test_slots_are_as_listed (void **state)
{
    (void)state;
    golden_t golden = golden_open ("slots.tsv");
    golden_row_t row;
    size_t rows = 0;
    for (; golden_next (&golden, &row, 7); rows++) {
        kv_slice_t key = s_bytes (row.columns[1]);
        assert_int_equal (kv_slot (key), atoi (row.columns[4]));
        assert_int_equal (kv_shard_of (key, KV_SHARDS_DEFAULT), atoi (row.columns[5]));
        if (!memchr (key.data, '{', key.size))
            assert_int_equal (kv_crc16 (key), strtoul (row.columns[3], NULL, 16));
        s_release (key);
    }
    golden_close (&golden);
    assert_true (rows >= 40);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_requests_decode_as_listed),
        cmocka_unit_test (test_replies_decode_as_listed),
        cmocka_unit_test (test_values_read_and_write_as_listed),
        cmocka_unit_test (test_slots_are_as_listed),
    };
    return cmocka_run_group_tests_name ("schema.golden", tests, NULL, NULL);
}
