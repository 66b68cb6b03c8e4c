/* Goal: G1-G3 of gather.h: what the pieces of a batch answer, in whatever order, makes the reply a
 * single store would have given; and of what failed in part, nobody says that nothing happened.
 * Method: random batches over random maps. A stand-in for the nodes answers each encoded piece
 * (batch.h); several answers share a reply, replies come in random order. The reply is decoded and
 * compared with the stand-in's answer to each whole command. Then the same with failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/gather.h"
#include "schema/limits.h"
#include "test/unit/actors/batch.h"

enum { COMMANDS_MAX = 40, ID = 4711 };

/* What became of a command's pieces. */
typedef struct {
    uint32_t pieces;
    uint32_t succeeded;
    uint32_t unknown;
    bool failed_with[100]; /* by status, as far as below 100 */
} outcome_t;

typedef struct {
    random_t random;
    shard_map_t *map;
    writer_t batch;
    command_t commands[COMMANDS_MAX];
    uint32_t count;
    scatter_t scatter;
    gather_t *gather;
    outcome_t outcomes[COMMANDS_MAX];
    uint32_t failure_percent;
} bed_t;

static void s_read (command_t *command, kv_slice_t bytes)
{
    reader_t at = reader_make (bytes);
    const char *why = NULL;
    char text[256];
    assert_int_equal (command_read (command, &at, &why), KV_OK);
    assert_int_equal (command_check (command, text, sizeof text), KV_OK);
}

static void s_make_batch (bed_t *self)
{
    size_t starts[COMMANDS_MAX + 1];
    random_t *random = &self->random;
    self->map = shard_map_new (1 + random_below (random, 100), 1 + random_below (random, 6));
    for (int move = 0; move < 10; move++)
        shard_map_assign (self->map, random_below (random, self->map->shards),
                          random_below (random, self->map->nodes));
    self->count = 1 + random_below (random, COMMANDS_MAX);
    self->batch = writer_make (SIZE_MAX);
    for (uint32_t i = 0; i < self->count; i++) {
        starts[i] = self->batch.size;
        batch_write_command (&self->batch, random, random_below (random, 5) ? 4 : 100,
                             self->map->shards);
    }
    starts[self->count] = self->batch.size;
    for (uint32_t i = 0; i < self->count; i++) {
        self->commands[i] = command_make ();
        s_read (&self->commands[i],
                kv_slice (self->batch.data + starts[i], starts[i + 1] - starts[i]));
    }
}

static void s_scatter (bed_t *self)
{
    char text[256];
    writer_t local = writer_make (SIZE_MAX);
    self->gather = gather_new (ID, self->count);
    for (uint32_t i = 0; i < self->count; i++) {
        const command_t *command = &self->commands[i];
        uint32_t first = self->scatter.count;
        if (command_is_local (command)) {
            writer_reset (&local);
            batch_execute (command, 0, &local);
            gather_settle (self->gather, i, kv_slice (local.data, local.size));
            continue;
        }
        assert_int_equal (
            scatter_command (&self->scatter, i, command, self->map, 10000, text, sizeof text),
            KV_OK);
        self->outcomes[i].pieces = self->scatter.count - first;
        gather_expect (self->gather, i, command->spec, self->scatter.count - first,
                       command_key_count (command));
    }
    writer_free (&local);
}

/* Writes the answer of one piece, or an error. */
static void s_answer (bed_t *self, const piece_t *piece, writer_t *out)
{
    static const kv_status_t errors[] = {KV_BUSY, KV_OUTCOME_UNKNOWN, KV_RETRY, KV_OUT_OF_MEMORY};
    outcome_t *outcome = &self->outcomes[piece->command];
    if (random_below (&self->random, 100) < self->failure_percent) {
        kv_status_t code = errors[random_below (&self->random, 4)];
        outcome->failed_with[code] = true;
        outcome->unknown += code == KV_OUTCOME_UNKNOWN;
        result_error (out, code, "ERR by chance");
        return;
    }
    command_t command = command_make ();
    writer_t bytes = writer_make (SIZE_MAX);
    scatter_encode (self->scatter.keys, piece, &self->commands[piece->command], &bytes);
    s_read (&command, kv_slice (bytes.data, bytes.size));
    batch_execute (&command, piece->shard, out);
    outcome->succeeded++;
    command_free (&command);
    writer_free (&bytes);
}

static void s_fail_here (bed_t *self, const piece_t *piece)
{
    outcome_t *outcome = &self->outcomes[piece->command];
    bool unknown = random_below (&self->random, 2);
    kv_status_t code = unknown ? KV_OUTCOME_UNKNOWN : KV_UNAVAILABLE;
    outcome->failed_with[code] = true;
    outcome->unknown += unknown;
    gather_piece_failed (self->gather, piece, code, "ERR the node is gone",
                         unknown ? 0 : random_below (&self->random, 50));
}

/* Answers pieces order[from..to) in one reply, as a node would. */
static void s_reply (bed_t *self, const uint32_t *order, uint32_t from, uint32_t to)
{
    writer_t bytes = writer_make (SIZE_MAX);
    reply_begin (&bytes, 1, to - from);
    for (uint32_t i = from; i < to; i++)
        s_answer (self, &self->scatter.pieces[order[i]], &bytes);
    blob_t *blob = blob_copy (kv_slice (bytes.data, bytes.size)); /* of its exact size */
    writer_free (&bytes);
    reply_t reply;
    result_t result;
    assert_int_equal (reply_decode (blob_bytes (blob), &reply), KV_OK);
    gather_keep (self->gather, blob);
    blob_unref (&blob);
    for (uint32_t i = from; i < to; i++) {
        assert_false (gather_is_complete (self->gather)); // G2
        assert_int_equal (result_next (&reply, &result), KV_OK);
        gather_piece (self->gather, self->scatter.keys, &self->scatter.pieces[order[i]], &result);
    }
}

static void s_answer_all (bed_t *self)
{
    uint32_t count = self->scatter.count;
    uint32_t *order = calloc (count + 1, sizeof *order);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = random_below (&self->random, i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    for (uint32_t from = 0; from < count;) {
        uint32_t to = from + 1 + random_below (&self->random, 8);
        to = to < count ? to : count;
        if (self->failure_percent && random_below (&self->random, 200) < self->failure_percent) {
            to = from + 1;
            s_fail_here (self, &self->scatter.pieces[order[from]]);
        } else
            s_reply (self, order, from, to);
        from = to;
    }
    free (order);
    assert_true (gather_is_complete (self->gather)); // G2
}

/* Every element of `all`, an array, stands as often in `got`, another. (A set has no order.) */
static void s_same_set (kv_slice_t got, kv_slice_t all)
{
    reader_t a = reader_make (got);
    reader_t b = reader_make (all);
    uint32_t count;
    uint32_t same;
    assert_int_equal (reader_array (&a, &count), KV_OK);
    assert_int_equal (reader_array (&b, &same), KV_OK);
    assert_int_equal (count, same);
    uint64_t sums[2] = {0, 0};
    for (uint32_t i = 0; i < count; i++) {
        kv_slice_t element;
        assert_int_equal (reader_skip (&a, &element), KV_OK);
        sums[0] += batch_hash (element) * batch_hash (element);
        assert_int_equal (reader_skip (&b, &element), KV_OK);
        sums[1] += batch_hash (element) * batch_hash (element);
    }
    assert_int_equal (reader_left (&a), 0);
    assert_true (sums[0] == sums[1]);
}

/* What one store would have said: the stand-in's answer to the whole command; for a command to every
 * node, to the owners one after the other. */
static void s_expected (bed_t *self, uint32_t index, writer_t *out)
{
    const command_t *command = &self->commands[index];
    bool same = command->spec->merge == MERGE_ALL_OK || command->spec->merge == MERGE_PICK;
    if (command->spec->keys != KEYS_EVERY || same) {
        uint32_t shard = command->spec->keys == KEYS_NONE ? 0 : self->map->shards;
        batch_execute (command, shard, out);
        return;
    }
    int64_t sum = 0;
    int64_t least = INT64_MAX;
    uint32_t elements = 0;
    writer_t joined = writer_make (SIZE_MAX);
    for (uint32_t node = 0; node < self->map->nodes; node++) {
        uint32_t shard = self->map->first_shards[node];
        if (shard == self->map->shards)
            continue;
        writer_t one = writer_make (SIZE_MAX);
        reply_begin (&one, 1, 1);
        batch_execute (command, shard, &one);
        reply_t reply;
        result_t result;
        int64_t number = 0;
        uint32_t count = 0;
        assert_int_equal (reply_decode (kv_slice (one.data, one.size), &reply), KV_OK);
        assert_int_equal (result_next (&reply, &result), KV_OK);
        reader_t at = reader_make (result.value);
        bool is_number = command->spec->merge == MERGE_SUM || command->spec->merge == MERGE_LEAST;
        if (is_number)
            assert_int_equal (reader_int (&at, &number), KV_OK);
        else
            assert_int_equal (reader_array (&at, &count), KV_OK);
        sum += number;
        least = number < least ? number : least;
        elements += count;
        writer_raw (&joined, kv_slice (at.at, reader_left (&at)));
        writer_free (&one);
    }
    if (command->spec->merge == MERGE_SUM)
        result_int (out, sum);
    else if (command->spec->merge == MERGE_LEAST)
        result_int (out, least);
    else {
        result_value (out);
        writer_array (out, elements);
        writer_raw (out, kv_slice (joined.data, joined.size));
    }
    writer_free (&joined);
}

static void s_check_success (bed_t *self, uint32_t index, const result_t *result)
{
    writer_t expected = writer_make (SIZE_MAX);
    s_expected (self, index, &expected);
    if (self->commands[index].spec->merge == MERGE_CONCAT) {
        reader_t at = reader_make (kv_slice (expected.data, expected.size));
        uint32_t count;
        int64_t code;
        assert_int_equal (reader_array (&at, &count), KV_OK);
        assert_int_equal (reader_int (&at, &code), KV_OK);
        s_same_set (result->value, kv_slice (at.at, reader_left (&at)));
    } else
        assert_true (kv_slice_equal (result->raw, kv_slice (expected.data, expected.size)));
    writer_free (&expected);
}

static void s_check_failure (bed_t *self, uint32_t index, const result_t *result)
{
    const outcome_t *outcome = &self->outcomes[index];
    const command_spec_t *spec = self->commands[index].spec;
    bool in_part = spec->flags == COMMAND_WRITE && outcome->succeeded > 0;
    if (outcome->unknown > 0 || in_part) {
        assert_int_equal (result->status, KV_OUTCOME_UNKNOWN); // G3
        return;
    }
    assert_true (result->status < 100 && outcome->failed_with[result->status]);
    assert_true (result->text.size > 0);
}

static void s_check (bed_t *self)
{
    writer_t out = writer_make (SIZE_MAX);
    gather_write (self->gather, &out);
    reply_t reply;
    result_t result;
    assert_int_equal (reply_decode (kv_slice (out.data, out.size), &reply), KV_OK);
    assert_int_equal (reply.id, ID);
    assert_int_equal (reply.count, self->count); // G1
    for (uint32_t i = 0; i < self->count; i++) {
        assert_int_equal (result_next (&reply, &result), KV_OK);
        const outcome_t *outcome = &self->outcomes[i];
        if (outcome->succeeded == outcome->pieces)
            s_check_success (self, i, &result);
        else
            s_check_failure (self, i, &result);
    }
    assert_int_equal (result_next (&reply, &result), KV_END);
    writer_free (&out);
}

static void s_run (bed_t *self)
{
    s_make_batch (self);
    s_scatter (self);
    s_answer_all (self);
    s_check (self);
    for (uint32_t i = 0; i < self->count; i++)
        command_free (&self->commands[i]);
    memset (self->outcomes, 0, sizeof self->outcomes);
    gather_destroy (&self->gather);
    assert_null (self->gather);
    scatter_free (&self->scatter);
    shard_map_destroy (&self->map);
    writer_free (&self->batch);
}

static void test_random_batches_answer_as_one_store (void **state)
{
    (void)state;
    bed_t *bed = calloc (1, sizeof *bed);
    bed->random = random_make ("gather");
    for (int round = 0; round < 1500; round++)
        s_run (bed);
    free (bed);
}

static void test_random_failures_never_hide_an_effect (void **state)
{
    (void)state;
    bed_t *bed = calloc (1, sizeof *bed);
    bed->random = random_make ("gather failures");
    for (int round = 0; round < 1500; round++) {
        bed->failure_percent = 1 + random_below (&bed->random, 60);
        s_run (bed);
    }
    free (bed);
}

/* Splits "NAME a b" over two shards and has the second piece answer with `value`, encoded. */
static kv_status_t s_odd_answer (const char *name, uint32_t arguments, kv_slice_t value,
                                 int64_t *number)
{
    static const char *const words[] = {"a", "1", "b", "2"};
    shard_map_t *map = shard_map_new (64, 2);
    scatter_t scatter = {.count = 0};
    command_t command = command_make ();
    char text[256];
    writer_t bytes = writer_make (SIZE_MAX);
    writer_array (&bytes, 1 + arguments);
    writer_cstr (&bytes, name);
    for (uint32_t i = 0; i < arguments; i++)
        writer_cstr (&bytes, words[arguments == 2 ? 2 * i : i]);
    s_read (&command, kv_slice (bytes.data, bytes.size));
    assert_int_equal (scatter_command (&scatter, 0, &command, map, 1000, text, sizeof text), KV_OK);
    assert_int_equal (scatter.count, 2);
    gather_t *gather = gather_new (1, 1);
    gather_expect (gather, 0, command.spec, 2, command_key_count (&command));
    writer_t answer = writer_make (SIZE_MAX);
    reply_begin (&answer, 1, 2);
    for (int i = 0; i < 2; i++) {
        result_value (&answer);
        writer_raw (&answer, value);
    }
    blob_t *blob = blob_from_writer (&answer);
    reply_t reply;
    result_t result;
    assert_int_equal (reply_decode (blob_bytes (blob), &reply), KV_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal (result_next (&reply, &result), KV_OK);
        gather_piece (gather, scatter.keys, &scatter.pieces[i], &result);
    }
    writer_t out = writer_make (SIZE_MAX);
    gather_write (gather, &out);
    assert_int_equal (reply_decode (kv_slice (out.data, out.size), &reply), KV_OK);
    assert_int_equal (result_next (&reply, &result), KV_OK);
    kv_status_t status = result.status;
    reader_t at = reader_make (result.value);
    if (number && status == KV_OK)
        assert_int_equal (reader_int (&at, number), KV_OK);
    writer_free (&out);
    writer_free (&bytes);
    blob_unref (&blob);
    gather_destroy (&gather);
    scatter_free (&scatter);
    command_free (&command);
    shard_map_destroy (&map);
    return status;
}

/* A node's answer that has not the form it should have is an error, not a crash. */
static void test_answers_out_of_form (void **state)
{
    (void)state;
    static const uint8_t nil = 0xc0;
    static const uint8_t largest[] = {0xd3, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t two[] = {0x92, 1, 2};
    static const uint8_t one[] = {0x91, 1};
    int64_t number = 0;
    assert_int_equal (s_odd_answer ("EXISTS", 2, kv_slice (one + 1, 1), &number), KV_OK);
    assert_int_equal (number, 2);
    assert_int_equal (s_odd_answer ("EXISTS", 2, kv_slice (&nil, 1), NULL), KV_INTERNAL);
    assert_int_equal (s_odd_answer ("EXISTS", 2, kv_slice (largest, sizeof largest), NULL),
                      KV_INTERNAL); /* the sum of two overflows */
    assert_int_equal (s_odd_answer ("MGET", 2, kv_slice (one, sizeof one), NULL), KV_OK);
    assert_int_equal (s_odd_answer ("MGET", 2, kv_slice (two, sizeof two), NULL), KV_INTERNAL);
    assert_int_equal (s_odd_answer ("MGET", 2, kv_slice (&nil, 1), NULL), KV_INTERNAL);
    assert_int_equal (s_odd_answer ("MSET", 4, kv_slice (&nil, 1), NULL), KV_OK);
    static const uint8_t none[] = {0x93, 0xc0, 0, 7}; /* no key, of a node that has none */
    assert_int_equal (s_odd_answer ("RANDOMKEY", 0, kv_slice (none, sizeof none), NULL), KV_OK);
    assert_int_equal (s_odd_answer ("RANDOMKEY", 0, kv_slice (two, sizeof two), NULL), KV_INTERNAL);
    assert_int_equal (s_odd_answer ("RANDOMKEY", 0, kv_slice (&nil, 1), NULL), KV_INTERNAL);
    /* A write that was answered somehow has been done somewhere. */
    assert_int_equal (s_odd_answer ("DEL", 2, kv_slice (largest, sizeof largest), NULL),
                      KV_OUTCOME_UNKNOWN); // G3
}

/* What RANDOMKEY picks from nodes whose weights are 1, 0, 2 and 5, each offering its own number. */
static int64_t s_pick_one (random_t *random)
{
    static const uint64_t weights[] = {1, 0, 2, 5};
    gather_t *gather = gather_new (1, 1);
    piece_t piece = {.command = 0, .spec = command_find (kv_slice_text ("RANDOMKEY"))};
    gather_expect (gather, 0, piece.spec, 4, 0);
    for (uint64_t node = 0; node < 4; node++) {
        writer_t answer = writer_make (SIZE_MAX);
        reply_begin (&answer, 1, 1);
        result_value (&answer);
        writer_array (&answer, 3);
        writer_uint (&answer, node);
        writer_uint (&answer, weights[node]);
        writer_uint (&answer, random_next (random));
        blob_t *blob = blob_from_writer (&answer);
        reply_t reply;
        result_t result;
        assert_int_equal (reply_decode (blob_bytes (blob), &reply), KV_OK);
        assert_int_equal (result_next (&reply, &result), KV_OK);
        gather_keep (gather, blob);
        blob_unref (&blob);
        gather_piece (gather, NULL, &piece, &result);
    }
    writer_t out = writer_make (SIZE_MAX);
    gather_write (gather, &out);
    reply_t reply;
    result_t result;
    int64_t node = -1;
    assert_int_equal (reply_decode (kv_slice (out.data, out.size), &reply), KV_OK);
    assert_int_equal (result_next (&reply, &result), KV_OK);
    reader_t at = reader_make (result.value);
    assert_int_equal (reader_int (&at, &node), KV_OK);
    writer_free (&out);
    gather_destroy (&gather);
    return node;
}

static void test_a_pick_is_as_likely_as_its_weight (void **state)
{
    (void)state;
    random_t random = random_make ("pick");
    int seen[4] = {0};
    for (int i = 0; i < 8000; i++)
        seen[s_pick_one (&random)]++;
    assert_int_equal (seen[1], 0);
    assert_in_range (seen[0], 820, 1180); /* 6 sigma around 1000, 2000, 5000 */
    assert_in_range (seen[2], 1765, 2235);
    assert_in_range (seen[3], 4735, 5265);
}

/* Settles `count` commands with texts of `bytes` bytes and writes within `limit`. */
static uint32_t s_within (size_t limit, uint32_t count, size_t bytes, uint32_t *refused)
{
    gather_t *gather = gather_new (ID, count);
    char *text = calloc (1, bytes + 1);
    memset (text, 'x', bytes);
    writer_t result = writer_make (SIZE_MAX);
    result_bytes (&result, kv_slice (text, bytes));
    for (uint32_t i = 0; i < count; i++)
        gather_settle (gather, i, kv_slice (result.data, result.size));
    writer_t out = writer_make (limit);
    gather_write (gather, &out);
    assert_false (out.overflow);
    assert_true (out.size <= limit);
    reply_t reply;
    result_t one;
    *refused = 0;
    assert_int_equal (reply_decode (kv_slice (out.data, out.size), &reply), KV_OK);
    assert_int_equal (reply.id, ID);
    while (result_next (&reply, &one) == KV_OK) {
        *refused += one.status == KV_TOO_LARGE;
        assert_true (one.status == KV_OK || one.status == KV_TOO_LARGE);
    }
    writer_free (&out);
    writer_free (&result);
    free (text);
    gather_destroy (&gather);
    return reply.count;
}

static void test_reply_over_its_limit (void **state)
{
    (void)state;
    uint32_t refused;
    assert_int_equal (s_within (10000, 5, 1000, &refused), 5);
    assert_int_equal (refused, 0);
    assert_int_equal (s_within (10000, 12, 1000, &refused), 12);
    assert_in_range (refused, 3, 4);
    assert_int_equal (s_within (10000, 1, 20000, &refused), 1);
    assert_int_equal (refused, 1);
    /* Not even the refusals fit: one for all. */
    assert_int_equal (s_within (300, 100, 1000, &refused), 1);
    assert_int_equal (refused, 1);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_random_batches_answer_as_one_store),
        cmocka_unit_test (test_random_failures_never_hide_an_effect),
        cmocka_unit_test (test_answers_out_of_form),
        cmocka_unit_test (test_a_pick_is_as_likely_as_its_weight),
        cmocka_unit_test (test_reply_over_its_limit),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
