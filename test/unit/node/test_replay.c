/* Goal: what a log says makes the same shards again, from the beginning or from a snapshot that was taken
 * while writes went on; what does not follow is refused; a shard that is kept serves nobody until it is
 * owned, under an epoch above all it had (R6, R8).
 * Method: random commands with a log in memory; a second executor reads it, and every entry is compared.
 * Records made by hand for what a log can say only after a fuzzy snapshot. */
#include "node/snapshot_walk.h"
#include "schema/slot.h"
#include "fake_log.h"
#include "server.h"

enum { LARGE_KEYS = 6, LARGE_LEAST = SNAPSHOT_CHUNK_BYTES, LARGE_MOST = 8 * SNAPSHOT_CHUNK_BYTES };

static executor_t *s_executor (uint64_t seed)
{
    executor_options_t options = {
        .shards = SERVER_SHARDS, .max_value_bytes = LARGE_MOST, .node_id = "n", .version = "1"};
    memcpy (options.secret, &seed, sizeof seed);
    return executor_new (&options);
}

typedef struct {
    server_t server;
    fake_log_t log;
    uint64_t random;
} bed_t;

static int s_set_up (void **state)
{
    bed_t *self = calloc (1, sizeof *self);
    assert_non_null (self);
    self->server = (server_t){.executor = s_executor (1),
                              .now_ms = 1000000,
                              .request = writer_make (SIZE_MAX),
                              .reply = writer_make (SIZE_MAX)};
    fake_log_open (&self->log, SERVER_SHARDS);
    executor_set_sink (self->server.executor, &self->log.sink);
    for (uint32_t i = 0; i < SERVER_SHARDS; i++)
        assert_int_equal (executor_own (self->server.executor, i, 1), KV_OK);
    *state = self;
    return 0;
}

static int s_tear_down (void **state)
{
    bed_t *self = *state;
    assert_true (executor_is_valid (self->server.executor));
    executor_destroy (&self->server.executor);
    writer_free (&self->server.request);
    writer_free (&self->server.reply);
    fake_log_close (&self->log);
    free (self);
    return 0;
}

typedef void (work_fn) (bed_t *self, int commands);

/* Commands of every kind that writes, some keys expiring on the way. */
static void s_work (bed_t *self, int commands)
{
    char command[128];
    for (int i = 0; i < commands; i++) {
        unsigned key = (unsigned)fixture_random (&self->random, 300);
        unsigned other = (unsigned)fixture_random (&self->random, 300);
        unsigned bytes = (unsigned)fixture_random (&self->random, 200);
        switch (fixture_random (&self->random, 16)) {
        case 0:
        case 1:
        case 2: snprintf (command, sizeof command, "SET k%u @%u", key, bytes); break;
        case 3: snprintf (command, sizeof command, "SET k%u @%u PX %u", key, bytes, other); break;
        case 4: snprintf (command, sizeof command, "APPEND k%u @%u", key, bytes / 10); break;
        case 5: snprintf (command, sizeof command, "SETRANGE k%u %u xyz", key, bytes); break;
        case 6: snprintf (command, sizeof command, "PEXPIRE k%u %u", key, other); break;
        case 7: snprintf (command, sizeof command, "PERSIST k%u", key); break;
        case 8: snprintf (command, sizeof command, "DEL k%u k%u", key, other); break;
        case 9: snprintf (command, sizeof command, "MSET k%u a k%u b", key, other); break;
        case 10: snprintf (command, sizeof command, "INCR n%u", key % 10); break;
        case 11: snprintf (command, sizeof command, "RENAME k%u k%u", key, other); break;
        case 12: snprintf (command, sizeof command, "COPY k%u k%u REPLACE", key, other); break;
        case 13: snprintf (command, sizeof command, "GET k%u", key); break;
        case 14: snprintf (command, sizeof command, "GETEX k%u PX %u", key, other); break;
        default:
            snprintf (command, sizeof command, "%s", bytes == 0 ? "FLUSHALL" : "PING");
            self->server.now_ms += (int64_t)fixture_random (&self->random, 10);
            (void)executor_tick (self->server.executor, self->server.now_ms, 5);
        }
        server_ask (&self->server, command);
    }
}

/* Values that a snapshot copies over several steps (V4); mostly small changes to them. */
static void s_work_on_large (bed_t *self, int commands)
{
    char command[128];
    for (int i = 0; i < commands; i++) {
        unsigned key = (unsigned)fixture_random (&self->random, LARGE_KEYS);
        unsigned bytes = LARGE_LEAST + (unsigned)fixture_random (&self->random, LARGE_MOST / 2);
        unsigned number = (unsigned)fixture_random (&self->random, 1000000000);
        switch (fixture_random (&self->random, 60)) {
        case 0: snprintf (command, sizeof command, "SET L%u @%u", key, bytes); break;
        case 1: snprintf (command, sizeof command, "SET L%u @%u PX 3", key, bytes); break;
        case 2: snprintf (command, sizeof command, "SET L%u %u", key, number); break;
        case 3: snprintf (command, sizeof command, "DEL L%u", key); break;
        case 4: snprintf (command, sizeof command, "PEXPIRE L%u 1000000", key); break;
        case 5:
            snprintf (command, sizeof command, "RENAME L%u L%u", key, number % LARGE_KEYS);
            break;
        case 6:
        case 7:
        case 8: snprintf (command, sizeof command, "APPEND L%u %u", key, number); break;
        case 9: snprintf (command, sizeof command, "%s", number % 8 ? "PING" : "FLUSHALL"); break;
        case 10: self->server.now_ms += 5; /* falls through */
        default:
            snprintf (command, sizeof command, "SETRANGE L%u %u %u", key, bytes - LARGE_LEAST,
                      number);
        }
        server_ask (&self->server, command);
    }
}

typedef struct {
    const store_t *store, *other;
    uint64_t same;
} compared_t;

static void s_compare_entry (void *context, const entry_t *entry)
{
    compared_t *self = context;
    kv_slice_t key = entry_key (entry);
    const entry_t *twin = store_find (self->other, key, store_hash (self->other, key));
    assert_non_null (twin);
    assert_true (kv_slice_equal (entry_value (twin), entry_value (entry)));
    assert_true (entry_version (twin) == entry_version (entry)); // H2
    assert_true (store_expires_ms (self->other, twin) == store_expires_ms (self->store, entry));
    self->same++;
}

/* Both have the same shards. */
static uint64_t s_compare (const executor_t *one, const executor_t *other)
{
    uint64_t same = 0;
    for (uint32_t i = 0; i < SERVER_SHARDS; i++) {
        const shard_t *a = executor_shard (one, i);
        const shard_t *b = executor_shard (other, i);
        assert_true (shard_last (a) == shard_last (b));
        compared_t compared = {.store = shard_store (a), .other = shard_store (b)};
        assert_int_equal (store_count (compared.store), store_count (compared.other));
        uint64_t cursor = 0;
        do
            cursor = store_scan (compared.store, cursor, s_compare_entry, &compared);
        while (cursor);
        same += compared.same;
    }
    assert_true (executor_is_valid (one));
    assert_true (executor_is_valid (other));
    return same;
}

static void test_replay_of_a_log_makes_the_same_shards (void **state)
{
    bed_t *self = *state;
    self->random = fixture_seed ("replay");
    uint64_t same = 0;
    for (int round = 0; round < 20; round++) {
        s_work (self, 500);
        executor_t *other = s_executor (2 + (uint64_t)round);
        fake_log_replay (&self->log, 0, other);
        same += s_compare (self->server.executor, other);
        executor_destroy (&other);
    }
    assert_true (same > 1000);
}

/* ---- from a snapshot ----------------------------------------------------------------------------- */

static const store_t *s_store_of (void *context, uint32_t shard)
{
    return shard_store (executor_shard (context, shard));
}

/* Takes a snapshot while commands run, and loads its chunks into the other as they are made. */
static void s_snapshot (bed_t *self, executor_t *other, work_fn *work, uint64_t commands)
{
    static const uint32_t shards[SERVER_SHARDS] = {0, 1, 2, 3};
    snapshot_walk_options_t options = {.shards = shards,
                                       .count = SERVER_SHARDS,
                                       .store_of = s_store_of,
                                       .context = self->server.executor};
    snapshot_walk_t *walk = snapshot_walk_new ();
    snapshot_walk_begin (walk, &options);
    writer_t chunk = writer_make (SNAPSHOT_CHUNK_BYTES_MAX);
    snapshot_step_t step;
    do {
        step = snapshot_walk_step (walk, 1 + fixture_random (&self->random, 20), &chunk);
        if (step.due) {
            kv_slice_t payload = kv_slice (chunk.data + SNAPSHOT_CHUNK_HEADER_BYTES,
                                           chunk.size - SNAPSHOT_CHUNK_HEADER_BYTES);
            uint64_t entries = 0;
            shard_t *shard = executor_restore (other, step.shard);
            assert_int_equal (shard_load (shard, payload, &entries), KV_OK);
            assert_true (entries > 0);
            writer_reset (&chunk);
        }
        work (self, (int)fixture_random (&self->random, commands));
    } while (!step.over);
    writer_free (&chunk);
    snapshot_walk_destroy (&walk);
}

/* `commands` are those between two steps, at most. */
static uint64_t s_converge (bed_t *self, int rounds, work_fn *work, uint64_t commands)
{
    uint64_t same = 0;
    for (int round = 0; round < rounds; round++) {
        work (self, 300);
        size_t start_lsn = self->log.bytes.size;
        executor_t *other = s_executor (99);
        for (uint32_t i = 0; i < SERVER_SHARDS; i++) {
            shard_t *shard = executor_restore (other, i);
            shard_set_last (shard, shard_last (executor_shard (self->server.executor, i)));
            shard_reserve (shard, 100);
        }
        s_snapshot (self, other, work, commands);
        fake_log_replay (&self->log, start_lsn, other);
        same += s_compare (self->server.executor, other);
        executor_destroy (&other);
    }
    return same;
}

static void test_replay_from_a_fuzzy_snapshot_converges (void **state)
{
    bed_t *self = *state;
    self->random = fixture_seed ("fuzzy");
    assert_true (s_converge (self, 50, s_work, 30) > 1000);
}

/* V1: what a copy over several steps has mixed up, the log makes whole. */
static void test_replay_from_a_snapshot_of_large_values_that_change_converges (void **state)
{
    bed_t *self = *state;
    self->random = fixture_seed ("large");
    assert_true (s_converge (self, 30, s_work_on_large, 3) > 10);
}

/* ---- record by record ---------------------------------------------------------------------------- */

/* Applies a record of one effect at epoch 1. */
static kv_status_t s_apply (shard_t *shard, uint64_t previous, uint64_t n, effect_t effect)
{
    uint64_t epoch = UINT64_C (1) << POSITION_N_BITS;
    writer_t out = writer_make (SIZE_MAX);
    record_t record;
    size_t start =
        record_begin (&out, shard_id (shard), previous ? epoch | previous : 0, epoch | n);
    record_effect (&out, &effect);
    record_end (&out, start, 1);
    assert_int_equal (record_decode (kv_slice (out.data, out.size), &record), KV_OK);
    kv_status_t status = shard_apply (shard, &record);
    writer_free (&out);
    return status;
}

static effect_t s_effect (effect_kind_t kind, const char *key, const char *value)
{
    return (effect_t){.kind = kind, .key = kv_slice_text (key), .value = kv_slice_text (value)};
}

static const entry_t *s_find (const shard_t *shard, const char *key)
{
    kv_slice_t bytes = kv_slice_text (key);
    return store_find (shard_store (shard), bytes, store_hash (shard_store (shard), bytes));
}

static void test_replay_refuses_what_does_not_follow (void **state)
{
    (void)state;
    executor_t *executor = s_executor (1);
    shard_t *shard = executor_restore (executor, 2);
    assert_int_equal (s_apply (shard, 0, 1, (effect_t){.kind = EFFECT_OPEN}), KV_OK);
    assert_int_equal (s_apply (shard, 1, 2, s_effect (EFFECT_PUT, "k", "v")), KV_OK);
    uint64_t last = shard_last (shard);
    effect_t other = s_effect (EFFECT_PUT, "k", "other");
    assert_int_equal (s_apply (shard, 1, 2, other), KV_CORRUPT); /* once more */
    assert_int_equal (s_apply (shard, 3, 4, other), KV_CORRUPT); /* one is missing */
    assert_int_equal (s_apply (shard, 0, 3, other), KV_CORRUPT); /* another beginning */
    assert_int_equal (s_apply (shard, 2, (UINT64_C (1) << POSITION_N_BITS) - 1, other), KV_CORRUPT);
    assert_true (shard_last (shard) == last);
    assert_true (kv_slice_equal (entry_value (s_find (shard, "k")), kv_slice_text ("v")));
    assert_int_equal (s_apply (shard, 2, 3, other), KV_OK);
    assert_true (kv_slice_equal (entry_value (s_find (shard, "k")), kv_slice_text ("other")));
    assert_true (executor_is_valid (executor));
    executor_destroy (&executor);
}

static void test_replay_of_effects_on_what_is_not_there (void **state)
{
    (void)state;
    executor_t *executor = s_executor (1);
    shard_t *shard = executor_restore (executor, 0);
    assert_int_equal (s_apply (shard, 0, 1, (effect_t){.kind = EFFECT_OPEN}), KV_OK);
    effect_t expire = s_effect (EFFECT_EXPIRE, "k", "");
    expire.expires_ms = 5;
    assert_int_equal (s_apply (shard, 1, 2, expire), KV_OK);
    assert_int_equal (s_apply (shard, 2, 3, s_effect (EFFECT_DELETE, "k", "")), KV_OK);
    assert_null (s_find (shard, "k"));
    effect_t write = s_effect (EFFECT_WRITE, "k", "yz");
    write.offset = 3;
    assert_int_equal (s_apply (shard, 3, 4, write), KV_OK);
    assert_true (kv_slice_equal (entry_value (s_find (shard, "k")), kv_slice ("\0\0\0yz", 5)));
    assert_true (entry_version (s_find (shard, "k")) == shard_last (shard));
    assert_int_equal (s_apply (shard, 4, 5, expire), KV_OK); /* it has passed, and stays */
    assert_true (store_expires_ms (shard_store (shard), s_find (shard, "k")) == 5);
    assert_int_equal (s_apply (shard, 5, 6, (effect_t){.kind = EFFECT_CLEAR}), KV_OK);
    assert_int_equal (store_count (shard_store (shard)), 0);
    assert_true (executor_is_valid (executor)); // H6
    executor_destroy (&executor);
}

static void test_replay_leaves_a_past_expiry_to_whoever_owns_the_shard (void **state)
{
    bed_t *self = *state;
    server_t *s = &self->server;
    EXPECT (s, "SET k v PX 10", "OK");
    executor_t *other = s_executor (5);
    fake_log_replay (&self->log, 0, other);
    uint64_t records = self->log.records;
    assert_int_equal (executor_tick (other, s->now_ms + 100, 100), 0); /* kept: R1 */
    executor_set_sink (other, &self->log.sink);
    for (uint32_t i = 0; i < SERVER_SHARDS; i++)
        assert_int_equal (executor_own (other, i, 2), KV_OK);
    assert_int_equal (executor_tick (other, s->now_ms + 100, 100), 1);
    assert_true (self->log.records == records + SERVER_SHARDS + 1); /* opened, and deleted */
    executor_destroy (&other);
}

/* ---- kept shards and epochs ---------------------------------------------------------------------- */

static void test_kept_shard_serves_nobody_until_it_is_owned_again (void **state)
{
    bed_t *self = *state;
    server_t *s = &self->server;
    uint32_t shard = kv_shard_of (kv_slice_text ("k"), SERVER_SHARDS);
    EXPECT (s, "SET k v", "OK");
    uint64_t bytes = executor_stats (s->executor).bytes;
    uint64_t last = shard_last (executor_shard (s->executor, shard));
    uint64_t records = self->log.records;
    executor_disown (s->executor, shard);
    assert_false (executor_owns (s->executor, shard));
    assert_true (executor_is_valid (s->executor));
    assert_memory_equal (server_ask (s, "GET k"), "!MOVED", 6); // X3
    EXPECT (s, "DBSIZE", "0");
    EXPECT (s, "FLUSHALL", "OK");
    assert_true (executor_stats (s->executor).bytes == bytes); /* it takes memory all the same */
    assert_true (executor_stats (s->executor).keys == 0);
    assert_int_equal (executor_own (s->executor, shard, 1), KV_BAD_VALUE);
    assert_int_equal (executor_own (s->executor, shard, 0), KV_BAD_VALUE);
    assert_int_equal (executor_own (s->executor, shard, KV_EPOCH_MAX + 1), KV_BAD_VALUE);
    assert_false (executor_owns (s->executor, shard));
    assert_true (self->log.records == records);
    assert_int_equal (executor_own (s->executor, shard, 7), KV_OK);
    assert_true (self->log.records == records + 1); /* the epoch's first record (R8) ... */
    uint64_t opened = shard_last (executor_shard (s->executor, shard));
    assert_true (position_epoch (opened) == 7);
    assert_true (position_n (opened) == position_n (last) + 1); /* ... n goes on (R1) */
    assert_true (shard_previous (executor_shard (s->executor, shard)) == last);
    EXPECT (s, "GET k", "\"v\"");
    assert_true (executor_stats (s->executor).keys == 1);
}

static void test_epochs_rise_under_the_same_owner_too (void **state)
{
    bed_t *self = *state;
    server_t *s = &self->server;
    uint64_t records = self->log.records;
    assert_int_equal (executor_own (s->executor, 0, 1), KV_OK); /* nothing new */
    assert_true (self->log.records == records);
    assert_int_equal (executor_own (s->executor, 0, 3), KV_OK);
    assert_int_equal (executor_own (s->executor, 0, 2), KV_BAD_VALUE);
    assert_true (self->log.records == records + 1);
    assert_int_equal (executor_highest_epoch (s->executor), 3);
    executor_disown (s->executor, 0);
    assert_int_equal (executor_highest_epoch (s->executor), 3); /* kept ones count */
    executor_t *other = s_executor (5);
    assert_int_equal (executor_highest_epoch (other), 0);
    fake_log_replay (&self->log, 0, other);
    assert_int_equal (executor_highest_epoch (other), 3);
    executor_destroy (&other);
}

#define WITH_BED(test) cmocka_unit_test_setup_teardown (test, s_set_up, s_tear_down)

int main (void)
{
    const struct CMUnitTest tests[] = {
        WITH_BED (test_replay_of_a_log_makes_the_same_shards),
        WITH_BED (test_replay_from_a_fuzzy_snapshot_converges),
        WITH_BED (test_replay_from_a_snapshot_of_large_values_that_change_converges),
        cmocka_unit_test (test_replay_refuses_what_does_not_follow),
        cmocka_unit_test (test_replay_of_effects_on_what_is_not_there),
        WITH_BED (test_replay_leaves_a_past_expiry_to_whoever_owns_the_shard),
        WITH_BED (test_kept_shard_serves_nobody_until_it_is_owned_again),
        WITH_BED (test_epochs_rise_under_the_same_owner_too),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
