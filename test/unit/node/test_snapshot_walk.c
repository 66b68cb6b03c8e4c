/* Goal: a walk puts each key that stays into the chunks (V1), nothing that never was, a shard's entries
 * into chunks of its own (V2), and keeps to its bounds (V3); what it wrote can be loaded.
 *
 * Method: tables whose keys are put and removed at random between the steps. A key's value names the
 * key and its version, so an entry tells whether it ever was; a log of versions tells whether it was
 * there, and no older than what an earlier chunk said. */
#include "node/entry_pool.h"
#include "node/snapshot_load.h"
#include "node/snapshot_walk.h"
#include "fixture.h"

enum { SHARDS = 5, KEYS = 6000 };

typedef struct {
    bool there;
    bool stayed;       /* since the walk began */
    uint32_t version;  /* of its last put; the first is 1 */
    uint32_t at_begin; /* version it had as the walk began */
    uint32_t written;  /* version of its last appearance in a chunk; 0: none */
    uint32_t times;    /* appearances */
} fact_t;

typedef struct {
    uint64_t random;
    entry_pool_t *pool;
    store_t *stores[SHARDS];
    uint8_t secret[STORE_SECRET_BYTES];
    fact_t facts[SHARDS][KEYS];
    bool gone[SHARDS];
    size_t huge_bytes; /* key 0 of each shard has such a value; 0: a plain one */
    bool huge_shrinks; /* of odd versions it is a plain one */
    uint64_t taken;    /* entries in chunks */
    size_t largest_chunk;
    uint64_t torn; /* large values with bytes of more than one version, or that went meanwhile */
} bed_t;

static bed_t s_bed;

static bed_t *s_set_up (const char *name)
{
    bed_t *bed = &s_bed;
    memset (bed, 0, sizeof *bed);
    bed->random = fixture_seed (name);
    for (int i = 0; i < STORE_SECRET_BYTES; i++)
        bed->secret[i] = (uint8_t)fixture_random (&bed->random, 256);
    bed->pool = entry_pool_new ();
    for (int i = 0; i < SHARDS; i++)
        bed->stores[i] = store_new (bed->secret, bed->pool);
    return bed;
}

static void s_tear_down (bed_t *bed)
{
    for (int i = 0; i < SHARDS; i++) {
        assert_true (store_is_valid (bed->stores[i]));
        store_destroy (&bed->stores[i]);
    }
    entry_pool_destroy (&bed->pool);
}

static size_t s_value_bytes (const bed_t *bed, size_t n, uint32_t version)
{
    size_t plain = 4 + (n * 7 + version) % 60;
    bool is_plain = bed->huge_shrinks && version % 2 == 1;
    return n == 0 && bed->huge_bytes && !is_plain ? bed->huge_bytes : plain;
}

static int64_t s_expires_ms (size_t n, uint32_t version)
{
    return (n + version) % 3 ? 0 : (int64_t)(1000 + n + version);
}

/* The value of a version: the version, then bytes that follow from key and version. */
static uint8_t *s_value (const bed_t *bed, size_t n, uint32_t version)
{
    size_t bytes = s_value_bytes (bed, n, version);
    uint8_t *value = malloc (bytes);
    assert_non_null (value);
    memset (value, (int)(n + version), bytes);
    memcpy (value, &version, sizeof version);
    return value;
}

static kv_slice_t s_key (uint32_t shard, size_t n, char text[32])
{
    return kv_slice (text, (size_t)snprintf (text, 32, "%u:%zu", shard, n));
}

static void s_put (bed_t *bed, uint32_t shard, size_t n)
{
    char text[32];
    kv_slice_t key = s_key (shard, n, text);
    store_t *store = bed->stores[shard];
    fact_t *fact = &bed->facts[shard][n];
    uint32_t version = ++fact->version;
    uint8_t *value = s_value (bed, n, version);
    store_put (store, key, store_hash (store, key),
               kv_slice (value, s_value_bytes (bed, n, version)), s_expires_ms (n, version),
               version);
    free (value);
    fact->there = true;
}

static void s_remove (bed_t *bed, uint32_t shard, size_t n)
{
    char text[32];
    kv_slice_t key = s_key (shard, n, text);
    store_t *store = bed->stores[shard];
    entry_t *entry = store_find (store, key, store_hash (store, key));
    assert_non_null (entry);
    store_remove (store, entry);
    bed->facts[shard][n].there = false;
    bed->facts[shard][n].stayed = false;
}

/* A fresh table in the place of a shard's, as FLUSHALL does. */
static void s_replace (bed_t *bed, uint32_t shard)
{
    store_destroy (&bed->stores[shard]);
    bed->stores[shard] = store_new (bed->secret, bed->pool);
    for (size_t n = 0; n < KEYS; n++) {
        bed->facts[shard][n].there = false;
        bed->facts[shard][n].stayed = false;
    }
}

static const store_t *s_store_of (void *context, uint32_t shard)
{
    bed_t *bed = context;
    return bed->gone[shard] ? NULL : bed->stores[shard];
}

static void s_note_begin (bed_t *bed)
{
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        for (size_t n = 0; n < KEYS; n++) {
            fact_t *fact = &bed->facts[shard][n];
            fact->stayed = fact->there;
            fact->at_begin = fact->version;
            fact->written = 0;
            fact->times = 0;
        }
    }
    bed->taken = 0;
    bed->largest_chunk = 0;
}

/* V1 of a large value: each byte is one of the version the entry bears or of a later one; or zero where
 * the value had gone or become shorter. */
static void s_check_large (bed_t *bed, size_t n, const snapshot_entry_t *entry, const fact_t *fact)
{
    bool allowed[256] = {[0] = bed->huge_shrinks};
    uint32_t version = (uint32_t)entry->version;
    assert_int_equal (entry->value.size, s_value_bytes (bed, n, version));
    for (uint32_t later = version; later <= fact->version; later++)
        allowed[(uint8_t)(n + later)] = true;
    const uint8_t *at = entry->value.data;
    bool torn = false;
    for (size_t i = sizeof version; i < entry->value.size; i++) {
        if (!allowed[at[i]])
            fail_msg ("%zu: byte %zu is none of the key's", n, i);
        torn = torn || at[i] != (uint8_t)(n + version);
    }
    bed->torn += torn;
}

static void s_take_entry (bed_t *bed, uint32_t shard, const snapshot_entry_t *entry)
{
    char text[32] = {0};
    assert_true (entry->key.size < sizeof text);
    memcpy (text, entry->key.data, entry->key.size);
    char *colon;
    assert_int_equal (strtoul (text, &colon, 10), shard); // V2
    size_t n = strtoul (colon + 1, NULL, 10);
    assert_true (n < KEYS);
    fact_t *fact = &bed->facts[shard][n];
    uint32_t version = (uint32_t)entry->version;
    assert_in_range (version, 1, fact->version); /* it was */
    if (fact->stayed)
        assert_true (version >= fact->at_begin);
    assert_true (version >= fact->written); /* the last is the youngest */
    if (entry->value.size > 2 * SNAPSHOT_CHUNK_BYTES) {
        s_check_large (bed, n, entry, fact);
    } else {
        uint8_t *value = s_value (bed, n, version);
        assert_true (
            kv_slice_equal (entry->value, kv_slice (value, s_value_bytes (bed, n, version))));
        free (value);
    }
    assert_true (entry->expires_ms == s_expires_ms (n, version));
    fact->written = version;
    fact->times++;
    bed->taken++;
}

/* Takes a chunk of a shard as a reader would. */
static void s_take (bed_t *bed, uint32_t shard, writer_t *chunk)
{
    assert_true (chunk->size > SNAPSHOT_CHUNK_HEADER_BYTES);
    bed->largest_chunk = chunk->size > bed->largest_chunk ? chunk->size : bed->largest_chunk;
    snapshot_chunk_seal (chunk->data, chunk->size, SNAPSHOT_ENTRIES, 0, shard);
    snapshot_chunk_t decoded;
    assert_int_equal (snapshot_chunk_decode (kv_slice (chunk->data, chunk->size), &decoded), KV_OK);
    kv_slice_t at = decoded.payload;
    snapshot_entry_t entry;
    size_t entries = 0;
    kv_status_t status;
    while ((status = snapshot_entry_next (&at, &entry)) == KV_OK) {
        s_take_entry (bed, shard, &entry);
        entries++;
    }
    assert_int_equal (status, KV_END);
    if (chunk->size > 2 * SNAPSHOT_CHUNK_BYTES)
        assert_int_equal (entries, 1); // V3
    writer_reset (chunk);
}

typedef void (between_fn) (bed_t *bed, size_t step);

/* One whole walk; `between` (or NULL) changes things between its steps. Returns its steps. */
static size_t s_walk (bed_t *bed, size_t budget, between_fn *between)
{
    static const uint32_t shards[SHARDS] = {3, 0, 4, 1, 2};
    snapshot_walk_t *walk = snapshot_walk_new ();
    snapshot_walk_begin (
        walk, &(snapshot_walk_options_t){
                  .shards = shards, .count = SHARDS, .store_of = s_store_of, .context = bed});
    s_note_begin (bed);
    writer_t chunk = writer_make (SNAPSHOT_CHUNK_BYTES_MAX);
    snapshot_step_t step = {0};
    uint64_t entries = 0;
    size_t steps = 0;
    while (!step.over) {
        step = snapshot_walk_step (walk, budget, &chunk);
        entries += step.entries;
        assert_true (step.entries < budget + 300); /* a batch of buckets more */
        if (step.due)
            s_take (bed, step.shard, &chunk);
        if (between && !step.over)
            between (bed, steps);
        assert_true (++steps < 1000000);
    }
    assert_true (chunk.size <= SNAPSHOT_CHUNK_HEADER_BYTES); /* nothing is left behind */
    assert_true (entries == bed->taken);
    step = snapshot_walk_step (walk, budget, &chunk);
    assert_true (step.over && !step.due && step.entries == 0);
    writer_free (&chunk);
    snapshot_walk_destroy (&walk);
    assert_null (walk);
    return steps;
}

static void s_check_stayed (const bed_t *bed) // V1
{
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        for (size_t n = 0; n < KEYS; n++) {
            const fact_t *fact = &bed->facts[shard][n];
            if (fact->stayed && fact->times == 0)
                fail_msg ("%u:%zu was there throughout and was not written", shard, n);
        }
    }
}

static void s_fill (bed_t *bed, uint32_t shard, size_t keys)
{
    for (size_t n = 0; n < keys; n++)
        s_put (bed, shard, n);
}

static void test_walk_over_a_still_store_writes_each_key_once (void **state)
{
    (void)state;
    for (size_t budget = 1; budget < 20000; budget = budget * 5 + 2) {
        bed_t *bed = s_set_up ("still store");
        s_fill (bed, 0, KEYS);
        s_fill (bed, 2, 1);
        s_fill (bed, 3, 500);
        s_walk (bed, budget, NULL);
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            for (size_t n = 0; n < KEYS; n++)
                assert_int_equal (bed->facts[shard][n].times, bed->facts[shard][n].there);
        }
        assert_true (bed->largest_chunk < 2 * SNAPSHOT_CHUNK_BYTES);
        s_tear_down (bed);
    }
}

static void test_walk_over_nothing_is_over_at_once (void **state)
{
    (void)state;
    bed_t *bed = s_set_up ("nothing");
    assert_int_equal (s_walk (bed, 1000, NULL), 1);
    for (int i = 0; i < SHARDS; i++)
        bed->gone[i] = true;
    assert_int_equal (s_walk (bed, 1000, NULL), 1);
    assert_int_equal (bed->taken, 0);
    s_tear_down (bed);
}

/* The lower half of the keys is written again, but stays; the upper half comes and goes in phases, so
 * that the tables grow and shrink through several sizes. */
static void s_change (bed_t *bed, size_t step)
{
    size_t changes = fixture_random (&bed->random, 60);
    bool shrinking = step / 100 % 2 == 1;
    for (size_t i = 0; i < changes; i++) {
        uint32_t shard = (uint32_t)fixture_random (&bed->random, SHARDS);
        size_t n = fixture_random (&bed->random, KEYS);
        bool there = bed->facts[shard][n].there;
        if (n < KEYS / 2 && !there)
            continue;
        bool remove =
            n >= KEYS / 2 && there && fixture_random (&bed->random, 10) < (shrinking ? 9 : 2);
        if (remove)
            s_remove (bed, shard, n);
        else if (!shrinking || n < KEYS / 2)
            s_put (bed, shard, n);
    }
}

static void test_walk_writes_what_stays_while_all_else_changes (void **state)
{
    (void)state;
    bed_t *bed = s_set_up ("changes");
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        s_fill (bed, shard, shard == 1 ? 20 : KEYS / (shard + 1));
    for (size_t round = 0; round < 8; round++) {
        size_t budget = 1 + fixture_random (&bed->random, round % 2 ? 30 : 400);
        s_walk (bed, budget, s_change);
        s_check_stayed (bed);
    }
    s_tear_down (bed);
}

static void s_replace_tables (bed_t *bed, size_t step)
{
    if (step % 40 == 20) {
        uint32_t shard = (uint32_t)fixture_random (&bed->random, SHARDS);
        s_replace (bed, shard);
        s_fill (bed, shard, fixture_random (&bed->random, KEYS));
        bed->gone[shard] = fixture_random (&bed->random, 4) == 0;
        for (size_t n = 0; n < KEYS && bed->gone[shard]; n++)
            bed->facts[shard][n].stayed = false;
    }
    s_change (bed, step);
}

static void test_walk_goes_on_in_a_table_that_was_replaced (void **state)
{
    (void)state;
    bed_t *bed = s_set_up ("replaced");
    for (int round = 0; round < 8; round++) {
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            bed->gone[shard] = false;
            s_fill (bed, shard, KEYS / 2);
        }
        s_walk (bed, 50, s_replace_tables);
        s_check_stayed (bed);
    }
    s_tear_down (bed);
}

static void test_walk_puts_a_huge_value_into_a_chunk_of_its_own (void **state)
{
    (void)state;
    static const size_t sizes[] = {SNAPSHOT_CHUNK_BYTES / 2, SNAPSHOT_CHUNK_BYTES,
                                   3 * SNAPSHOT_CHUNK_BYTES, 40 * SNAPSHOT_CHUNK_BYTES};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        bed_t *bed = s_set_up ("huge");
        bed->huge_bytes = sizes[i];
        for (uint32_t shard = 0; shard < SHARDS; shard++)
            s_fill (bed, shard, shard == 2 ? 1 : 1000);
        s_walk (bed, 1000, i % 2 ? s_change : NULL);
        s_check_stayed (bed);
        size_t most =
            sizes[i] + 1000 > 2 * SNAPSHOT_CHUNK_BYTES ? sizes[i] + 100 : 2 * SNAPSHOT_CHUNK_BYTES;
        assert_in_range (bed->largest_chunk, sizes[i], most);
        s_tear_down (bed);
    }
}

/* V4: each step copies one piece. */
static void test_walk_copies_a_huge_value_in_pieces (void **state)
{
    (void)state;
    enum { PIECES = 21 };
    bed_t *bed = s_set_up ("pieces");
    bed->huge_bytes = PIECES * SNAPSHOT_PIECE_BYTES - 5;
    s_put (bed, 1, 0);
    s_put (bed, 4, 0);
    assert_int_equal (s_walk (bed, 1000, NULL), 2 * (1 + PIECES) + 1);
    assert_int_equal (bed->taken, 2);
    assert_int_equal (bed->torn, 0);
    s_tear_down (bed);
}

/* What is being copied is put again, shortened, removed, and its table replaced or taken away. */
static void s_change_huge (bed_t *bed, size_t step)
{
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        if (fixture_random (&bed->random, 20) > 0)
            continue;
        switch (fixture_random (&bed->random, bed->huge_shrinks ? 6 : 3)) {
        case 4:
            if (bed->facts[shard][0].there)
                s_remove (bed, shard, 0);
            break;
        case 5:
            s_replace (bed, shard);
            s_fill (bed, shard, step % 20);
            bed->gone[shard] = step % 7 == 0;
            for (size_t n = 0; n < KEYS && bed->gone[shard]; n++)
                bed->facts[shard][n].stayed = false;
            break;
        default: s_put (bed, shard, 0);
        }
    }
}

static void test_walk_copies_a_huge_value_while_it_changes (void **state)
{
    (void)state;
    uint64_t torn[2] = {0};
    for (int round = 0; round < 20; round++) {
        bed_t *bed = s_set_up ("huge changes");
        bed->random += (uint64_t)round;
        bed->huge_bytes = 12 * SNAPSHOT_CHUNK_BYTES;
        bed->huge_shrinks = round % 2 == 1;
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            s_fill (bed, shard, 50);
            s_put (bed, shard, 0);
        }
        s_walk (bed, 1000, s_change_huge);
        s_check_stayed (bed);
        torn[bed->huge_shrinks] += bed->torn;
        s_tear_down (bed);
    }
    assert_true (torn[0] > 0 && torn[1] > 0); /* or nothing was tried */
}

/* All values so large that not even two go into one step: the walk stops within buckets. */
static void test_walk_stops_within_a_bucket (void **state)
{
    (void)state;
    enum { VALUES = 400 };
    bed_t *bed = s_set_up ("within a bucket");
    store_t *store = bed->stores[0];
    size_t bytes = 2 * SNAPSHOT_CHUNK_BYTES;
    size_t steps_each = 1 + bytes / SNAPSHOT_PIECE_BYTES; /* V4 */
    uint8_t *value = calloc (1, bytes);
    assert_non_null (value);
    for (uint32_t n = 0; n < VALUES; n++) {
        kv_slice_t key = kv_slice (&n, sizeof n);
        store_put (store, key, store_hash (store, key), kv_slice (value, bytes), 0, n);
    }
    free (value);
    uint8_t seen[VALUES] = {0};
    snapshot_walk_t *walk = snapshot_walk_new ();
    static const uint32_t shard = 0;
    snapshot_walk_begin (walk,
                         &(snapshot_walk_options_t){
                             .shards = &shard, .count = 1, .store_of = s_store_of, .context = bed});
    writer_t chunk = writer_make (SNAPSHOT_CHUNK_BYTES_MAX);
    snapshot_step_t step = {0};
    for (size_t steps = 0; !step.over; steps++) {
        step = snapshot_walk_step (walk, 1000, &chunk);
        assert_int_equal (step.entries, steps % steps_each == 0);
        assert_int_equal (step.due, steps % steps_each == steps_each - 1);
        assert_true (steps < steps_each * VALUES);
        if (!step.due)
            continue;
        kv_slice_t at = kv_slice (chunk.data + SNAPSHOT_CHUNK_HEADER_BYTES,
                                  chunk.size - SNAPSHOT_CHUNK_HEADER_BYTES);
        snapshot_entry_t entry;
        assert_int_equal (snapshot_entry_next (&at, &entry), KV_OK);
        assert_int_equal (snapshot_entry_next (&at, &entry), KV_END);
        uint32_t n;
        memcpy (&n, entry.key.data, sizeof n);
        seen[n]++;
        writer_reset (&chunk);
    }
    for (uint32_t n = 0; n < VALUES; n++)
        assert_int_equal (seen[n], 1);
    writer_free (&chunk);
    snapshot_walk_destroy (&walk);
    s_tear_down (bed);
}

static void test_walk_can_be_begun_anew (void **state)
{
    (void)state;
    bed_t *bed = s_set_up ("anew");
    s_fill (bed, 3, KEYS);
    static const uint32_t shards[] = {3};
    snapshot_walk_options_t options = {
        .shards = shards, .count = 1, .store_of = s_store_of, .context = bed};
    snapshot_walk_t *walk = snapshot_walk_new ();
    writer_t chunk = writer_make (SNAPSHOT_CHUNK_BYTES_MAX);
    snapshot_walk_begin (walk, &options);
    (void)snapshot_walk_step (walk, 100, &chunk);
    writer_reset (&chunk);
    snapshot_walk_begin (walk, &options);
    size_t entries = 0;
    snapshot_step_t step = {0};
    while (!step.over) {
        step = snapshot_walk_step (walk, 100, &chunk);
        entries += step.entries;
        if (step.due)
            writer_reset (&chunk);
    }
    assert_int_equal (entries, KEYS);
    writer_free (&chunk);
    snapshot_walk_destroy (&walk);
    s_tear_down (bed);
}

/* Loads a walk's chunks of one shard into a table, and compares the two. */
static void test_walk_can_be_loaded (void **state)
{
    (void)state;
    bed_t *bed = s_set_up ("load");
    s_fill (bed, 0, KEYS);
    store_t *from = bed->stores[0];
    store_t *to = bed->stores[1];
    store_reserve (to, store_count (from));
    snapshot_walk_t *walk = snapshot_walk_new ();
    static const uint32_t shard = 0;
    snapshot_walk_begin (walk,
                         &(snapshot_walk_options_t){
                             .shards = &shard, .count = 1, .store_of = s_store_of, .context = bed});
    writer_t chunk = writer_make (SNAPSHOT_CHUNK_BYTES_MAX);
    snapshot_step_t step = {0};
    uint64_t loaded = 0;
    while (!step.over) {
        step = snapshot_walk_step (walk, 100, &chunk);
        if (!step.due)
            continue;
        kv_slice_t payload = kv_slice (chunk.data + SNAPSHOT_CHUNK_HEADER_BYTES,
                                       chunk.size - SNAPSHOT_CHUNK_HEADER_BYTES);
        assert_int_equal (snapshot_load (to, payload, &loaded), KV_OK);
        uint64_t some = 0;
        payload.size--;
        assert_int_equal (snapshot_load (to, payload, &some), KV_CORRUPT);
        writer_reset (&chunk);
    }
    assert_true (loaded == KEYS);
    assert_int_equal (store_count (to), KEYS);
    for (size_t n = 0; n < KEYS; n++) {
        char text[32];
        kv_slice_t key = s_key (0, n, text);
        entry_t *entry = store_find (to, key, store_hash (to, key));
        entry_t *original = store_find (from, key, store_hash (from, key));
        assert_non_null (entry);
        assert_true (kv_slice_equal (entry_value (entry), entry_value (original)));
        assert_true (entry_version (entry) == entry_version (original));
        assert_true (store_expires_ms (to, entry) == store_expires_ms (from, original));
    }
    writer_free (&chunk);
    snapshot_walk_destroy (&walk);
    s_tear_down (bed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_walk_over_a_still_store_writes_each_key_once),
        cmocka_unit_test (test_walk_over_nothing_is_over_at_once),
        cmocka_unit_test (test_walk_writes_what_stays_while_all_else_changes),
        cmocka_unit_test (test_walk_goes_on_in_a_table_that_was_replaced),
        cmocka_unit_test (test_walk_puts_a_huge_value_into_a_chunk_of_its_own),
        cmocka_unit_test (test_walk_copies_a_huge_value_in_pieces),
        cmocka_unit_test (test_walk_copies_a_huge_value_while_it_changes),
        cmocka_unit_test (test_walk_stops_within_a_bucket),
        cmocka_unit_test (test_walk_can_be_begun_anew),
        cmocka_unit_test (test_walk_can_be_loaded),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
