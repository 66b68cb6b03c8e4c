/* Goal: a tail gives back each shard's newest records, as long as they may stay, and none that was cut.
 * Method: small cases; a random run against plain lists of every record there was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/tail.h"
#include "test/unit/schema/random.h"

enum { SHARDS = 5, STEPS = 60000, RECORDS_MOST = STEPS, BYTES_MAX = 2 * TAIL_BLOCK_BYTES };

static uint64_t s_at (uint64_t epoch, uint64_t n)
{
    return epoch << POSITION_N_BITS | n;
}

/* A record of one put whose value has that many bytes, all equal to the n of its position. */
static void s_append (tail_t *tail, uint32_t shard, uint64_t position, size_t value_bytes)
{
    static uint8_t value[400000];
    writer_t out = writer_make (SIZE_MAX);
    memset (value, (int)position_n (position), value_bytes);
    effect_t put = {
        .kind = EFFECT_PUT, .key = kv_slice_text ("k"), .value = kv_slice (value, value_bytes)};
    size_t start = record_begin (&out, shard, tail_last (tail, shard), position);
    record_effect (&out, &put);
    record_end (&out, start, 1);
    record_t record;
    assert_int_equal (record_decode (kv_slice (out.data, out.size), &record), KV_OK);
    tail_append (tail, &record, kv_slice (out.data, out.size));
    writer_free (&out);
}

/* The position of the record behind that one. */
static uint64_t s_next (const tail_t *tail, uint32_t shard, uint64_t position)
{
    kv_slice_t bytes;
    record_t record;
    effect_t effect;
    assert_int_equal (tail_next (tail, shard, position, &bytes), KV_OK);
    assert_int_equal (record_decode (bytes, &record), KV_OK);
    assert_int_equal (record.shard, shard);
    assert_int_equal (record.previous, position);
    kv_slice_t at = record.effects;
    assert_int_equal (effect_next (&at, &effect), KV_OK);
    if (effect.value.size)
        assert_int_equal (effect.value.data[effect.value.size - 1], record.position & 0xff);
    return record.position;
}

static void test_tail_gives_back_what_was_appended (void **state)
{
    (void)state;
    kv_slice_t bytes;
    tail_t *tail = tail_new (SHARDS, BYTES_MAX);
    assert_int_equal (tail_next (tail, 2, 0, &bytes), KV_END);
    s_append (tail, 2, s_at (1, 1), 5);
    s_append (tail, 3, s_at (1, 1), 5);
    s_append (tail, 2, s_at (4, 2), 0);
    assert_int_equal (s_next (tail, 2, 0), s_at (1, 1));
    assert_int_equal (s_next (tail, 2, s_at (1, 1)), s_at (4, 2));
    assert_int_equal (tail_next (tail, 2, s_at (4, 2), &bytes), KV_END);
    assert_int_equal (tail_next (tail, 2, s_at (2, 1), &bytes), KV_NOT_FOUND); /* of another log */
    assert_int_equal (tail_next (tail, 2, s_at (4, 3), &bytes), KV_NOT_FOUND);
    assert_true (tail_is_valid (tail));
    tail_destroy (&tail);
}

static void test_tail_goes_on_behind_a_cut_and_a_restart (void **state)
{
    (void)state;
    kv_slice_t bytes;
    tail_t *tail = tail_new (SHARDS, BYTES_MAX);
    for (uint64_t n = 1; n <= 5; n++)
        s_append (tail, 1, s_at (1, n), 10);
    tail_cut (tail, 1, s_at (1, 3));
    s_append (tail, 1, s_at (2, 4), 10);
    assert_int_equal (s_next (tail, 1, s_at (1, 3)), s_at (2, 4));
    assert_int_equal (tail_next (tail, 1, s_at (1, 4), &bytes), KV_NOT_FOUND);
    tail_restart (tail, 1, s_at (2, 90));
    assert_int_equal (tail_reach (tail, 1), s_at (2, 90));
    assert_int_equal (tail_next (tail, 1, s_at (1, 3), &bytes), KV_NOT_FOUND);
    s_append (tail, 1, s_at (2, 91), 10);
    assert_int_equal (s_next (tail, 1, s_at (2, 90)), s_at (2, 91));
    assert_true (tail_is_valid (tail));
    tail_destroy (&tail);
}

static void test_pinned_records_stay_and_go_once_they_are_not (void **state)
{
    (void)state;
    tail_t *tail = tail_new (SHARDS, BYTES_MAX);
    s_append (tail, 1, s_at (1, 1), 10);
    s_append (tail, 1, s_at (1, 2), 10);
    tail_pin (tail, 1, s_at (1, 1));
    for (uint64_t n = 1; n <= 40; n++)
        s_append (tail, 2, s_at (1, n), 100000);
    assert_true (tail_bytes (tail) > 4000000);
    assert_int_equal (s_next (tail, 1, s_at (1, 1)), s_at (1, 2)); // L3
    tail_pin (tail, 1, s_at (1, 2));
    assert_true (tail_bytes (tail) <= BYTES_MAX);
    assert_int_equal (tail_reach (tail, 1), s_at (1, 2));
    assert_true (position_n (tail_reach (tail, 2)) > 30);
    assert_true (tail_is_valid (tail));
    tail_destroy (&tail);
}

/* What the run knows of a shard: all of its log, by n. */
typedef struct {
    uint64_t positions[RECORDS_MOST + 1];
    uint64_t last_n, pin, epoch;
} known_t;

static void s_check (const tail_t *tail, const known_t *known, uint32_t shard)
{
    kv_slice_t bytes;
    uint64_t reach = tail_reach (tail, shard);
    assert_int_equal (known->positions[position_n (reach)], reach);
    assert_int_equal (tail_last (tail, shard), known->positions[known->last_n]);
    if (known->pin != UINT64_MAX)
        assert_true (reach <= known->pin); // L3
    for (uint64_t n = position_n (reach); n < known->last_n; n++)
        assert_int_equal (s_next (tail, shard, known->positions[n]), known->positions[n + 1]);
    for (uint64_t n = 0; n < position_n (reach); n++)
        assert_int_equal (tail_next (tail, shard, known->positions[n], &bytes), KV_NOT_FOUND);
}

static void s_step (random_t *random, tail_t *tail, known_t *known, uint32_t shard)
{
    uint64_t reach_n = position_n (tail_reach (tail, shard));
    uint32_t here = (uint32_t)(known->last_n - reach_n);
    switch (random_below (random, 60)) {
    case 0: {
        uint64_t least = known->pin != UINT64_MAX && known->pin > known->positions[reach_n]
                             ? position_n (known->pin)
                             : reach_n;
        known->last_n = least + random_below (random, (uint32_t)(known->last_n - least) + 1);
        tail_cut (tail, shard, known->positions[known->last_n]);
        known->epoch++;
        return;
    }
    case 1: {
        uint64_t position = known->positions[reach_n + random_below (random, here + 1)];
        if (known->pin == UINT64_MAX || position > known->pin)
            known->pin = position;
        tail_pin (tail, shard, known->pin);
        return;
    }
    case 2:
        known->pin = UINT64_MAX;
        tail_pin (tail, shard, known->pin);
        return;
    default: {
        uint64_t position = s_at (known->epoch, known->last_n + 1);
        size_t bytes =
            random_below (random, 50) ? random_below (random, 300) : random_below (random, 300000);
        s_append (tail, shard, position, bytes);
        known->positions[++known->last_n] = position;
        return;
    }
    }
}

static void test_random_run_against_lists (void **state)
{
    (void)state;
    random_t random = random_make (__func__);
    known_t *known = calloc (SHARDS, sizeof *known);
    assert_non_null (known);
    tail_t *tail = tail_new (SHARDS, BYTES_MAX);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        known[shard].pin = UINT64_MAX;
        known[shard].epoch = 1;
    }
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t shard = random_below (&random, SHARDS);
        s_step (&random, tail, &known[shard], shard);
        if (step % 512 == 0) {
            assert_true (tail_is_valid (tail));
            for (uint32_t i = 0; i < SHARDS; i++)
                s_check (tail, &known[i], i);
        }
    }
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        tail_pin (tail, shard, UINT64_MAX);
    assert_true (tail_bytes (tail) <= BYTES_MAX + 400000);
    tail_destroy (&tail);
    free (known);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_tail_gives_back_what_was_appended),
        cmocka_unit_test (test_tail_goes_on_behind_a_cut_and_a_restart),
        cmocka_unit_test (test_pinned_records_stay_and_go_once_they_are_not),
        cmocka_unit_test (test_random_run_against_lists),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
