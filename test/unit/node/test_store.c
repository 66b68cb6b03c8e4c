/* Goal: the table holds what was put into it, through growth, shrinkage, overflow and scans.
 *
 * Method: a reference array indexed by key number; random operations on both. store_is_valid (S1..S4)
 * after each phase. Scans are checked for their promise: what is there from the first to the last
 * step is returned, whatever comes and goes in between. */
#include "node/entry_pool.h"
#include "node/siphash.h"
#include "node/store.h"
#include "fixture.h"

enum { KEYS_MOST = 40000 };

typedef struct {
    store_t *store;
    entry_pool_t *pool;
    uint64_t random;
    uint32_t value_bytes[KEYS_MOST]; /* + 1; 0: absent */
    int64_t expires_ms[KEYS_MOST];
    uint8_t seen[KEYS_MOST];
    size_t count;
} table_t;

static void s_set_up (table_t *table, const char *name)
{
    memset (table, 0, sizeof *table);
    table->random = fixture_seed (name);
    uint8_t secret[STORE_SECRET_BYTES];
    for (int i = 0; i < STORE_SECRET_BYTES; i++)
        secret[i] = (uint8_t)fixture_random (&table->random, 256);
    table->pool = entry_pool_new ();
    table->store = store_new (secret, table->pool);
}

static void s_tear_down (table_t *table)
{
    store_destroy (&table->store);
    assert_null (table->store);
    entry_pool_destroy (&table->pool); /* asserts that everything came back */
}

/* Writes key number n; returns its bytes and sets its hash. */
static kv_slice_t s_key (const table_t *table, size_t n, char text[16], uint64_t *hash)
{
    int size = snprintf (text, 16, "key:%zu", n);
    kv_slice_t key = kv_slice (text, (size_t)size);
    *hash = store_hash (table->store, key);
    return key;
}

static entry_t *s_find (const table_t *table, size_t n)
{
    char text[16];
    uint64_t hash;
    kv_slice_t key = s_key (table, n, text, &hash);
    return store_find (table->store, key, hash);
}

static void s_put (table_t *table, size_t n, size_t bytes, int64_t expires_ms)
{
    char text[16];
    uint64_t hash;
    kv_slice_t key = s_key (table, n, text, &hash);
    uint8_t *value = malloc (bytes + 1);
    assert_non_null (value);
    memset (value, (int)(n + bytes), bytes);
    entry_t *entry =
        store_put (table->store, key, hash, kv_slice (value, bytes), expires_ms, n + bytes);
    free (value);
    assert_true (entry_version (entry) == n + bytes);
    table->count += table->value_bytes[n] == 0;
    table->value_bytes[n] = (uint32_t)bytes + 1;
    table->expires_ms[n] = expires_ms;
}

static void s_remove (table_t *table, size_t n)
{
    store_remove (table->store, s_find (table, n));
    table->count--;
    table->value_bytes[n] = 0;
}

static void s_check_key (const table_t *table, size_t n)
{
    entry_t *entry = s_find (table, n);
    assert_true ((entry != NULL) == (table->value_bytes[n] != 0));
    if (!entry)
        return;
    kv_slice_t value = entry_value (entry);
    assert_int_equal (value.size, table->value_bytes[n] - 1);
    assert_ptr_equal (entry_value_data (entry), value.data);
    for (size_t i = 0; i < value.size; i += 1 + i / 8)
        assert_int_equal (value.data[i], (uint8_t)(n + value.size));
    assert_true (store_expires_ms (table->store, entry) == table->expires_ms[n]);
}

static void s_check_all (const table_t *table, size_t keys)
{
    assert_int_equal (store_count (table->store), table->count);
    for (size_t n = 0; n < keys; n++)
        s_check_key (table, n);
    assert_true (store_is_valid (table->store)); // S1..S4
    assert_true (entry_pool_is_valid (table->pool));
}

static table_t s_table;

static void test_store_random_operations (void **state)
{
    (void)state;
    enum { KEYS = 3000, STEPS = 100000 };
    table_t *table = &s_table;
    s_set_up (table, "store");
    for (int step = 0; step < STEPS; step++) {
        size_t n = fixture_random (&table->random, KEYS);
        size_t bytes = fixture_random (&table->random, n % 100 == 0 ? 30000 : 150);
        bool expires = fixture_random (&table->random, 3) == 0;
        int64_t expires_ms = expires ? 1 + (int64_t)fixture_random (&table->random, 1000) : 0;
        bool present = table->value_bytes[n] != 0;
        /* Phases in which the table mostly grows, and in which it mostly shrinks. */
        bool shrinking = step / 10000 % 2 == 1;
        uint64_t dice = fixture_random (&table->random, 10);
        if (present && dice < (shrinking ? 6 : 2)) {
            s_remove (table, n);
        } else if (present && dice == 7) {
            entry_t *entry =
                store_set_expiry (table->store, s_find (table, n), expires_ms, (uint64_t)step);
            assert_true (entry_version (entry) == (uint64_t)step);
            table->expires_ms[n] = expires_ms;
        } else if (present && dice == 8) {
            entry_t *entry =
                store_resize_value (table->store, s_find (table, n), bytes, (uint64_t)step);
            memset (entry_value_data (entry), (int)(n + bytes), bytes);
            table->value_bytes[n] = (uint32_t)bytes + 1;
        } else if (!shrinking || present) {
            s_put (table, n, bytes, expires_ms);
        }
        if (step % 10000 == 9999)
            s_check_all (table, KEYS);
    }
    s_tear_down (table);
}

static void test_store_grows_and_shrinks_back (void **state)
{
    (void)state;
    table_t *table = &s_table;
    s_set_up (table, "store growth");
    size_t empty = store_bytes (table->store);
    for (size_t n = 0; n < KEYS_MOST; n++)
        s_put (table, n, 10, 0);
    s_check_all (table, KEYS_MOST);
    size_t full = store_bytes (table->store);
    /* 19 or 20 bytes of key and value; overhead of 40 bytes an entry at the very most. */
    assert_true (full < (size_t)KEYS_MOST * 60);
    for (size_t n = 0; n < KEYS_MOST; n++)
        s_remove (table, n);
    s_check_all (table, KEYS_MOST);
    assert_int_equal (store_bytes (table->store), empty);
    s_tear_down (table);
}

static void test_store_reserve_makes_room_at_once (void **state)
{
    (void)state;
    static const size_t had[] = {0, 1, 60, 500};
    for (size_t i = 0; i < sizeof had / sizeof had[0]; i++) {
        for (size_t wanted = 0; wanted < KEYS_MOST / 2; wanted = wanted * 3 + 1) {
            table_t *table = &s_table;
            s_set_up (table, "store reserve");
            size_t small = store_buckets (table->store);
            for (size_t n = 0; n < had[i]; n++)
                s_put (table, n, 10, n % 3 ? 0 : 7);
            store_reserve (table->store, wanted);
            s_check_all (table, had[i] + 1); // S1..S4
            size_t buckets = store_buckets (table->store);
            for (size_t n = had[i]; n < wanted; n++)
                s_put (table, n, 10, 0);
            assert_int_equal (store_buckets (table->store), buckets); /* it did not grow */
            for (size_t n = wanted; n < wanted + wanted / 2; n++)
                s_put (table, n, 10, 0);
            s_check_all (table, KEYS_MOST);
            for (size_t n = 0; n < KEYS_MOST; n++) {
                if (table->value_bytes[n])
                    s_remove (table, n);
            }
            s_check_all (table, KEYS_MOST);
            assert_int_equal (store_buckets (table->store), small);
            s_tear_down (table);
        }
    }
}

static void test_store_reserve_that_is_not_used_goes_again (void **state)
{
    (void)state;
    table_t *table = &s_table;
    s_set_up (table, "store reserve unused");
    size_t small = store_buckets (table->store);
    store_reserve (table->store, 5000);
    assert_int_equal (store_count (table->store), 0);
    while (store_drain (table->store, 100) > 0)
        continue;
    assert_int_equal (store_buckets (table->store), small);
    store_reserve (table->store, 5000);
    s_put (table, 1, 10, 0);
    s_put (table, 2, 10, 0);
    for (int i = 0; i < 1000; i++) {
        s_remove (table, 1);
        s_put (table, 1, 10, 0);
    }
    s_check_all (table, 10);
    assert_int_equal (store_buckets (table->store), small);
    s_tear_down (table);
}

static void test_store_put_may_take_its_value_from_the_entry_it_replaces (void **state)
{
    (void)state;
    table_t *table = &s_table;
    s_set_up (table, "store aliasing");
    for (size_t bytes = 1; bytes < 40000; bytes += 1 + bytes / 3) {
        s_put (table, 1, bytes, 0);
        char text[16];
        uint64_t hash;
        (void)s_key (table, 1, text, &hash);
        entry_t *entry = s_find (table, 1);
        kv_slice_t half = kv_slice (entry_value (entry).data, bytes / 2);
        store_put (table->store, entry_key (entry), hash, half, 5, 9);
        entry = s_find (table, 1);
        assert_int_equal (entry_value (entry).size, bytes / 2);
        for (size_t i = 0; i < bytes / 2; i++)
            assert_int_equal (entry_value (entry).data[i], (uint8_t)(1 + bytes));
    }
    assert_true (store_is_valid (table->store));
    s_tear_down (table);
}

static void test_store_drain_empties_in_steps (void **state)
{
    (void)state;
    table_t *table = &s_table;
    s_set_up (table, "store drain");
    for (size_t n = 0; n < 10000; n++)
        s_put (table, n, 30, n % 2 ? 1000 : 0);
    int steps = 0;
    while (store_drain (table->store, 100) > 0)
        steps++;
    assert_in_range (steps, 50, 1000);
    assert_int_equal (store_count (table->store), 0);
    assert_int_equal (store_drain (table->store, 100), 0);
    assert_true (store_is_valid (table->store));
    table->count = 0;
    memset (table->value_bytes, 0, sizeof table->value_bytes);
    for (size_t n = 0; n < 100; n++)
        s_put (table, n, 30, 0);
    s_check_all (table, 1000);
    while (store_drain (table->store, 1) > 0) /* may also be broken off: destroy sees to the rest */
        break;
    s_tear_down (table);
}

static void test_store_next_to_expire_is_the_earliest (void **state)
{
    (void)state;
    table_t *table = &s_table;
    s_set_up (table, "store expiry");
    int64_t expires_ms;
    assert_null (store_next_to_expire (table->store, &expires_ms));
    for (size_t n = 0; n < 1000; n++)
        s_put (table, n, 3, n % 3 ? 1 + (int64_t)fixture_random (&table->random, 500) : 0);
    assert_int_equal (store_expiring_count (table->store), 666);
    int64_t before_ms = 0;
    for (size_t left = 666; left > 0; left--) {
        entry_t *entry = store_next_to_expire (table->store, &expires_ms);
        assert_true (expires_ms >= before_ms);
        assert_true (store_due_count (table->store, expires_ms) > 0);
        assert_true (store_due_count (table->store, expires_ms - 1) == 0);
        before_ms = expires_ms;
        store_remove (table->store, entry);
        if (left % 100 == 0)
            assert_true (store_is_valid (table->store)); // S4
    }
    s_tear_down (table);
}

static void s_see (void *context, const entry_t *entry)
{
    table_t *table = context;
    char text[32] = {0};
    kv_slice_t key = entry_key (entry);
    assert_true (key.size < sizeof text);
    memcpy (text, key.data, key.size);
    size_t n = strtoul (text + 4, NULL, 10);
    assert_true (n < KEYS_MOST);
    table->seen[n] = 1;
}

typedef struct {
    table_t *table;
    uint64_t cursor; /* behind the bucket told last */
    unsigned buckets;
} ahead_t;

static void s_see_ahead (void *context, const entry_t *entry)
{
    ahead_t *ahead = context;
    uint64_t place = store_place (ahead->table->store, entry);
    assert_true (place >= ahead->cursor || ahead->buckets == 0);
    s_see (ahead->table, entry);
}

static void s_note_bucket (void *context, uint64_t cursor)
{
    ahead_t *ahead = context;
    assert_true (cursor == 0 || cursor > ahead->cursor);
    ahead->cursor = cursor;
    ahead->buckets++;
}

static uint64_t s_scan (table_t *table, uint64_t cursor, bool by_many)
{
    if (!by_many)
        return store_scan (table->store, cursor, s_see, table);
    ahead_t ahead = {.table = table};
    uint64_t next = store_scan_ahead (table->store, cursor, s_see_ahead, s_note_bucket, &ahead);
    assert_true (next == ahead.cursor);
    assert_in_range (ahead.buckets, 1, STORE_SCAN_BUCKETS);
    return next;
}

/* One whole scan. `others` keys beyond the first `stable` come and go between the steps; the odds of
 * coming make the table grow, or shrink, through many sizes on the way. */
static void s_scan_while_changing (table_t *table, size_t stable, size_t others,
                                   uint64_t come_of_10, int changes)
{
    bool by_many = fixture_random (&table->random, 2) == 0;
    memset (table->seen, 0, sizeof table->seen);
    uint64_t cursor = 0;
    size_t steps = 0;
    do {
        cursor = s_scan (table, cursor, by_many);
        assert_true (cursor >> 48 == 0);
        for (int i = 0; i < changes; i++) {
            size_t n = stable + fixture_random (&table->random, others);
            bool come = fixture_random (&table->random, 10) < come_of_10;
            if (come && table->value_bytes[n] == 0)
                s_put (table, n, 5, 0);
            else if (!come && table->value_bytes[n])
                s_remove (table, n);
        }
        assert_true (++steps < (size_t)10 * KEYS_MOST);
    } while (cursor);
    for (size_t n = 0; n < stable; n++) {
        if (!table->seen[n])
            fail_msg ("key:%zu was not returned", n);
    }
}

static void test_store_scan_returns_what_stays (void **state)
{
    (void)state;
    enum { STABLE = 500, OTHERS = 20000, ROUNDS = 12 };
    table_t *table = &s_table;
    s_set_up (table, "store scan");
    for (size_t n = 0; n < STABLE; n++)
        s_put (table, n, 5, 0);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t come_of_10 = round % 2 ? 1 : 9;
        s_scan_while_changing (table, STABLE, OTHERS, come_of_10, round < 4 ? 3 : 40);
        assert_true (store_is_valid (table->store));
    }
    s_tear_down (table);
}

static void s_count_once (void *context, const entry_t *entry)
{
    table_t *table = context;
    char text[32] = {0};
    kv_slice_t key = entry_key (entry);
    memcpy (text, key.data, key.size);
    table->seen[strtoul (text + 4, NULL, 10)]++;
}

static void test_store_scan_without_changes_returns_each_key_once (void **state)
{
    (void)state;
    table_t *table = &s_table;
    s_set_up (table, "store scan once");
    bool by_many = false;
    for (size_t keys = 1; keys < 20000; keys = keys * 3 + 7) {
        by_many = !by_many;
        for (size_t n = 0; n < keys; n++)
            s_put (table, n, 1, 0);
        memset (table->seen, 0, sizeof table->seen);
        uint64_t cursor = 0;
        uint64_t before = 0;
        do {
            cursor = by_many ? store_scan_ahead (table->store, cursor, s_count_once, NULL, table)
                             : store_scan (table->store, cursor, s_count_once, table);
            assert_true (cursor == 0 || cursor > before); /* the order is by place */
            before = cursor;
        } while (cursor);
        for (size_t n = 0; n < keys; n++)
            assert_int_equal (table->seen[n], 1);
    }
    s_tear_down (table);
}

static void test_store_scan_takes_any_cursor (void **state)
{
    (void)state;
    table_t *table = &s_table;
    s_set_up (table, "store cursor");
    for (size_t n = 0; n < 1000; n++)
        s_put (table, n, 1, 0);
    for (int i = 0; i < 10000; i++) {
        uint64_t cursor = fixture_random (&table->random, UINT64_MAX);
        uint64_t next = store_scan (table->store, cursor, s_see, table);
        uint64_t place = cursor & ((UINT64_C (1) << 48) - 1);
        assert_true (next == 0 || next > place);
    }
    s_tear_down (table);
}

/* Patterns an attacker would send who knows everything but the secret: keys that collide under
 * common unkeyed hashes or under another secret, runs of one byte, single-bit differences. The
 * longest chain must stay as short as for random keys. */
static void s_count_entries (void *context, const entry_t *entry)
{
    *(size_t *)context += entry_key (entry).size > 0;
}

static size_t s_longest_chain (const store_t *store)
{
    size_t longest = 0;
    uint64_t cursor = 0;
    do {
        size_t entries = 0;
        cursor = store_scan (store, cursor, s_count_entries, &entries);
        longest = entries > longest ? entries : longest;
    } while (cursor);
    return longest;
}

typedef size_t (pattern_fn) (uint64_t i, uint8_t key[64]);

static size_t s_run_of_one_byte (uint64_t i, uint8_t key[64])
{
    memset (key, (int)(i % 256), 1 + i / 256 % 60);
    memcpy (key + 56, &i, sizeof i);
    return 64;
}

static size_t s_high_bits_only (uint64_t i, uint8_t key[64])
{
    memset (key, 0, 64);
    uint64_t shifted = i << 40;
    memcpy (key, &shifted, sizeof shifted);
    return 8;
}

static size_t s_one_bit_each (uint64_t i, uint8_t key[64])
{
    memset (key, 0, 64);
    for (int bit = 0; bit < 16; bit++)
        key[(size_t)bit * 4] = (uint8_t)((i >> bit & 1) << (bit % 8));
    return 64;
}

/* Keys whose hashes under a guessed secret all end in eight zero bits. */
static size_t s_aimed_with_a_wrong_secret (uint64_t i, uint8_t key[64])
{
    static const uint8_t guess[SIPHASH_KEY_BYTES] = {1};
    uint64_t n = i << 20;
    do {
        n++;
        memcpy (key, &n, sizeof n);
    } while (siphash_13 (siphash_key (guess), kv_slice (key, sizeof n)) % 256 != 0);
    return sizeof n;
}

static void test_store_cannot_be_aimed_at (void **state)
{
    (void)state;
    static pattern_fn *const patterns[] = {s_run_of_one_byte, s_high_bits_only, s_one_bit_each,
                                           s_aimed_with_a_wrong_secret};
    for (size_t p = 0; p < sizeof patterns / sizeof patterns[0]; p++) {
        table_t *table = &s_table;
        s_set_up (table, "store chosen keys");
        for (uint64_t i = 0; i < 10000; i++) {
            uint8_t bytes[64];
            kv_slice_t key = kv_slice (bytes, patterns[p](i, bytes));
            store_put (table->store, key, store_hash (table->store, key), key, 0, 1);
        }
        /* Buckets hold 5 to 10 entries on average; 10,000 Poisson draws stay below 32. */
        assert_true (s_longest_chain (table->store) < 32);
        assert_true (store_is_valid (table->store));
        s_tear_down (table);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_store_random_operations),
        cmocka_unit_test (test_store_grows_and_shrinks_back),
        cmocka_unit_test (test_store_reserve_makes_room_at_once),
        cmocka_unit_test (test_store_reserve_that_is_not_used_goes_again),
        cmocka_unit_test (test_store_put_may_take_its_value_from_the_entry_it_replaces),
        cmocka_unit_test (test_store_drain_empties_in_steps),
        cmocka_unit_test (test_store_next_to_expire_is_the_earliest),
        cmocka_unit_test (test_store_scan_returns_what_stays),
        cmocka_unit_test (test_store_scan_without_changes_returns_each_key_once),
        cmocka_unit_test (test_store_scan_takes_any_cursor),
        cmocka_unit_test (test_store_cannot_be_aimed_at),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
