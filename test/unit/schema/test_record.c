/* Goal: what was written is read back, and nothing else is taken for a record. Method: one of each
 * effect; every cut, and every bit flipped; records of chance; the vectors of schema/golden, which another
 * program has made: what breaks D1-D3 under a good CRC, and what every version must be able to read. */
#include "schema/limits.h"
#include "schema/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "test/unit/schema/golden.h"
#include "test/unit/schema/random.h"

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

static const completion_t s_completion = {.session = (const uint8_t *)"0123456789abcdef",
                                          .sequence = 70,
                                          .floor = 68,
                                          .expires_ms = 1700000000001,
                                          .result = {(const uint8_t *)"result", 6}};
static const int64_t s_time_ms = 1700000000000;

static writer_t s_write_all (void)
{
    writer_t out = writer_make (SIZE_MAX);
    writer_uint (&out, 5); /* it need not begin at 0 */
    size_t start = record_begin (&out, 63, UINT64_C (1) << 40 | 7, UINT64_C (1) << 40 | 8);
    for (size_t i = 0; i < EFFECTS; i++)
        record_effect (&out, &s_effects[i]);
    record_completion (&out, start, &s_completion);
    record_time (&out, start, s_time_ms);
    record_end (&out, start, EFFECTS);
    return out;
}

static void s_check_completion (const completion_t *got, const completion_t *wanted)
{
    assert_memory_equal (got->session, wanted->session, RECORD_SESSION_BYTES);
    assert_true (got->sequence == wanted->sequence);
    assert_true (got->floor == wanted->floor);
    assert_true (got->expires_ms == wanted->expires_ms);
    assert_true (kv_slice_equal (got->result, wanted->result));
}

static void s_check_effect (const effect_t *got, const effect_t *wanted)
{
    assert_int_equal (got->kind, wanted->kind);
    assert_true (kv_slice_equal (got->key, wanted->key));
    assert_true (kv_slice_equal (got->value, wanted->value));
    assert_int_equal (got->offset, wanted->offset);
    assert_int_equal (got->expires_ms, wanted->expires_ms);
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
    assert_true (record.has_completion);
    s_check_completion (&record.completion, &s_completion);
    assert_int_equal (record.time_ms, s_time_ms);
    assert_int_equal (record.effect_count, EFFECTS);
    kv_slice_t at = record.effects;
    for (size_t i = 0; i < EFFECTS; i++) {
        assert_int_equal (effect_next (&at, &effect), KV_OK);
        s_check_effect (&effect, &s_effects[i]);
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

/* ---- the vectors --------------------------------------------------------------------------------- */

static void s_print_effect (writer_t *out, const effect_t *effect)
{
    static const char *const names[] = {"", "PUT", "WRITE", "EXPIRE", "DELETE", "CLEAR", "OPEN"};
    char text[64];
    golden_put (out, names[effect->kind]);
    if (effect->kind != EFFECT_CLEAR && effect->kind != EFFECT_OPEN) {
        golden_put (out, " b");
        golden_print_bytes (out, effect->key);
    }
    if (effect->kind == EFFECT_PUT || effect->kind == EFFECT_WRITE) {
        golden_put (out, " b");
        golden_print_bytes (out, effect->value);
    }
    snprintf (text, sizeof text, " at %zu", effect->offset);
    golden_put (out, effect->kind == EFFECT_WRITE ? text : "");
    snprintf (text, sizeof text, " until %" PRId64, effect->expires_ms);
    golden_put (out, effect->expires_ms ? text : "");
}

static void s_print_completion (writer_t *out, const completion_t *completion)
{
    char text[128];
    golden_put (out, ", completion b");
    golden_print_bytes (out, kv_slice (completion->session, RECORD_SESSION_BYTES));
    snprintf (text, sizeof text, " %" PRIu64 " from %" PRIu64 " until %" PRId64 " b",
              completion->sequence, completion->floor, completion->expires_ms);
    golden_put (out, text);
    golden_print_bytes (out, completion->result);
}

/* The notation of records.tsv. */
static writer_t s_print (const record_t *record)
{
    writer_t out = writer_make (SIZE_MAX);
    char text[128];
    effect_t effect;
    kv_slice_t at = record->effects;
    snprintf (text, sizeof text,
              "shard %" PRIu32 ", %" PRIu64 ":%" PRIu64 " -> %" PRIu64 ":%" PRIu64 ", ",
              record->shard, position_epoch (record->previous), position_n (record->previous),
              position_epoch (record->position), position_n (record->position));
    golden_put (&out, text);
    for (uint32_t i = 0; i < record->effect_count; i++) {
        assert_int_equal (effect_next (&at, &effect), KV_OK);
        golden_put (&out, i ? ", " : "[");
        s_print_effect (&out, &effect);
    }
    assert_int_equal (effect_next (&at, &effect), KV_END);
    golden_put (&out, record->effect_count ? "]" : "[]");
    if (record->has_completion)
        s_print_completion (&out, &record->completion);
    snprintf (text, sizeof text, ", time %" PRId64, record->time_ms);
    golden_put (&out, record->time_ms ? text : "");
    return out;
}

/* There is one way to write a record. */
static void s_check_written (const record_t *record, kv_slice_t bytes)
{
    writer_t out = writer_make (SIZE_MAX);
    effect_t effect;
    kv_slice_t at = record->effects;
    size_t start = record_begin (&out, record->shard, record->previous, record->position);
    while (effect_next (&at, &effect) == KV_OK)
        record_effect (&out, &effect);
    if (record->has_completion)
        record_completion (&out, start, &record->completion);
    if (record->time_ms)
        record_time (&out, start, record->time_ms);
    record_end (&out, start, record->effect_count);
    assert_int_equal (out.size, record->bytes);
    assert_memory_equal (out.data, bytes.data, out.size);
    writer_free (&out);
}

static void s_check_row (const golden_row_t *row)
{
    writer_t raw = writer_make (SIZE_MAX);
    record_t record;
    golden_unhex (&raw, row->columns[2]);
    kv_slice_t bytes = golden_exact (kv_slice (raw.data, raw.size));
    kv_status_t status = record_decode (bytes, &record);
    if (strcmp (kv_status_name (status), row->columns[1]) != 0)
        print_error ("%s: %s\n", row->columns[0], kv_status_name (status));
    assert_string_equal (kv_status_name (status), row->columns[1]);
    if (status == KV_OK) {
        writer_t text = s_print (&record);
        assert_int_equal (text.size, strlen (row->columns[3]));
        assert_memory_equal (text.data, row->columns[3], text.size);
        writer_free (&text);
        s_check_written (&record, bytes);
    }
    free ((void *)(uintptr_t)bytes.data);
    writer_free (&raw);
}

static void test_records_are_as_listed (void **state)
{
    (void)state;
    golden_t golden = golden_open ("records.tsv");
    golden_row_t row;
    size_t rows = 0;
    for (; golden_next (&golden, &row, 4); rows++)
        s_check_row (&row);
    golden_close (&golden);
    assert_true (rows >= 60);
}

/* ---- chance -------------------------------------------------------------------------------------- */

enum { BYTES_MOST = 3000, KEY_MOST = 300 };

static effect_t s_random_effect (random_t *random, const uint8_t *pool)
{
    effect_t effect = {.kind = (effect_kind_t)(1 + random_below (random, 6))};
    if (effect.kind < EFFECT_CLEAR)
        effect.key =
            kv_slice (pool + random_below (random, 100), 1 + random_below (random, KEY_MOST));
    if (effect.kind <= EFFECT_WRITE)
        effect.value =
            kv_slice (pool + random_below (random, 100), random_below (random, BYTES_MOST - 100));
    if (effect.kind == EFFECT_WRITE)
        effect.offset = random_below (random, KV_VALUE_BYTES_MAX - BYTES_MOST);
    if ((effect.kind == EFFECT_PUT || effect.kind == EFFECT_EXPIRE) && random_below (random, 2))
        effect.expires_ms = 1 + (int64_t)(random_next (random) >> 2);
    return effect;
}

/* With a sequence, or of a floor alone; the session is made of `pool`. */
static completion_t s_random_completion (random_t *random, const uint8_t *pool)
{
    completion_t completion = {.session = pool + random_below (random, 1000),
                               .floor = 1 + (random_next (random) >> random_below (random, 64)) / 2,
                               .expires_ms = 1 + (int64_t)(random_next (random) >> 2)};
    if (random_below (random, 4)) {
        completion.sequence = completion.floor + random_below (random, 100);
        completion.result = kv_slice (pool, random_below (random, 200));
    }
    return completion;
}

/* Records back to back, as in a log; each with a completion, a time, both, or neither. */
static void test_a_run_of_random_records_is_read_back (void **state)
{
    (void)state;
    enum { RECORDS = 2000, MOST = 5 };
    static effect_t effects[RECORDS][MOST];
    static uint32_t counts[RECORDS];
    static completion_t completions[RECORDS]; /* without a session: none */
    static int64_t times[RECORDS];
    static uint8_t pool[BYTES_MOST];
    random_t random = random_make ("records");
    writer_t out = writer_make (SIZE_MAX);
    for (size_t i = 0; i < sizeof pool; i++)
        pool[i] = (uint8_t)random_next (&random);
    for (uint32_t i = 0; i < RECORDS; i++) {
        size_t start = record_begin (&out, i, i, (uint64_t)i + 1);
        counts[i] = random_below (&random, MOST + 1);
        for (uint32_t j = 0; j < counts[i]; j++) {
            effects[i][j] = s_random_effect (&random, pool);
            size_t before = out.size;
            record_effect (&out, &effects[i][j]);
            assert_true (out.size - before <=
                         record_effect_bytes (effects[i][j].key.size, effects[i][j].value.size));
        }
        if (random_below (&random, 2)) {
            completions[i] = s_random_completion (&random, pool);
            record_completion (&out, start, &completions[i]);
        }
        if (random_below (&random, 2)) {
            times[i] = 1 + (int64_t)(random_next (&random) >> 2);
            record_time (&out, start, times[i]);
        }
        record_end (&out, start, counts[i]);
    }
    kv_slice_t left = kv_slice (out.data, out.size);
    for (uint32_t i = 0; i < RECORDS; i++) {
        record_t record;
        effect_t effect;
        assert_int_equal (record_decode (left, &record), KV_OK);
        assert_int_equal (record.shard, i);
        assert_int_equal (record.effect_count, counts[i]);
        assert_int_equal (record.has_completion, completions[i].session != NULL);
        if (record.has_completion)
            s_check_completion (&record.completion, &completions[i]);
        assert_true (record.time_ms == times[i]);
        kv_slice_t at = record.effects;
        for (uint32_t j = 0; j < counts[i]; j++) {
            assert_int_equal (effect_next (&at, &effect), KV_OK);
            s_check_effect (&effect, &effects[i][j]);
        }
        left = kv_slice (left.data + record.bytes, left.size - record.bytes);
    }
    assert_int_equal (left.size, 0);
    writer_free (&out);
}

static void test_record_that_does_not_fit_writes_nothing_beyond (void **state)
{
    (void)state;
    const size_t ends[] = {RECORD_HEADER_BYTES, EFFECT_HEADER_BYTES + 4,
                           record_completion_bytes (s_completion.result.size), RECORD_TIME_BYTES};
    enum { PARTS = sizeof ends / sizeof ends[0] };
    size_t whole = ends[0] + ends[1] + ends[2] + ends[3];
    for (size_t limit = 0; limit <= whole; limit++) {
        writer_t out = writer_make (limit);
        size_t fits = 0;
        size_t start = record_begin (&out, 1, 10, 11);
        record_effect (&out, &s_effects[0]);
        record_completion (&out, start, &s_completion);
        record_time (&out, start, s_time_ms);
        record_end (&out, start, 1);
        for (size_t part = 0; part < PARTS && fits + ends[part] <= limit; part++)
            fits += ends[part];
        assert_int_equal (out.overflow, limit < whole);
        assert_int_equal (out.size, fits);
        writer_free (&out);
    }
}

/* As snapshots and copies have them: back to back, without records. */
static void test_completions_alone_are_read_back (void **state)
{
    (void)state;
    enum { COMPLETIONS = 500 };
    static completion_t completions[COMPLETIONS];
    static uint8_t pool[BYTES_MOST];
    random_t random = random_make ("completions");
    writer_t out = writer_make (SIZE_MAX);
    completion_t got;
    for (size_t i = 0; i < sizeof pool; i++)
        pool[i] = (uint8_t)random_next (&random);
    for (size_t i = 0; i < COMPLETIONS; i++) {
        completions[i] = s_random_completion (&random, pool);
        completion_write (&out, &completions[i]);
    }
    kv_slice_t at = kv_slice (out.data, out.size);
    for (size_t i = 0; i < COMPLETIONS; i++) {
        assert_int_equal (completion_next (&at, &got), KV_OK);
        s_check_completion (&got, &completions[i]);
    }
    assert_int_equal (completion_next (&at, &got), KV_END);
    size_t first = record_completion_bytes (completions[0].result.size);
    for (size_t size = 1; size < first; size++) {
        at = kv_slice (out.data, size);
        assert_int_equal (completion_next (&at, &got), KV_CORRUPT);
    }
    writer_free (&out);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_record_is_read_back),
        cmocka_unit_test (test_record_cut_anywhere_is_not_all_there),
        cmocka_unit_test (test_record_with_any_bit_flipped_is_refused),
        cmocka_unit_test (test_records_are_as_listed),
        cmocka_unit_test (test_a_run_of_random_records_is_read_back),
        cmocka_unit_test (test_record_that_does_not_fit_writes_nothing_beyond),
        cmocka_unit_test (test_completions_alone_are_read_back),
    };
    return cmocka_run_group_tests_name ("schema.record", tests, NULL, NULL);
}
