/* Goal: every change is one record with the next position (H1, H2), and what has expired is never
 * seen (H3). Method: one change of each kind, looking at position and version after it. */
#include "node/shard.h"
#include "node/entry_pool.h"
#include "fixture.h"

enum { EPOCH = 5 };

typedef struct {
    entry_pool_t *pool;
    shard_t *shard;
} fixture_t;

static const uint8_t s_secret[STORE_SECRET_BYTES] = {3, 1, 4};

static int s_set_up (void **state)
{
    fixture_t *self = calloc (1, sizeof *self);
    self->pool = entry_pool_new ();
    self->shard = shard_new (9, EPOCH, s_secret, self->pool);
    *state = self;
    return 0;
}

static int s_tear_down (void **state)
{
    fixture_t *self = *state;
    shard_destroy (&self->shard);
    assert_null (self->shard);
    entry_pool_destroy (&self->pool);
    free (self);
    return 0;
}

static uint64_t s_position (uint64_t n)
{
    return (uint64_t)EPOCH << POSITION_N_BITS | n;
}

static entry_t *s_put (fixture_t *self, const char *key, const char *value, int64_t expires_ms)
{
    kv_slice_t bytes = kv_slice_text (key);
    uint64_t hash = store_hash (shard_store (self->shard), bytes);
    return shard_put (self->shard, bytes, hash, kv_slice_text (value), expires_ms);
}

static entry_t *s_find (fixture_t *self, const char *key, int64_t now_ms)
{
    kv_slice_t bytes = kv_slice_text (key);
    uint64_t hash = store_hash (shard_store (self->shard), bytes);
    return shard_find (self->shard, bytes, hash, now_ms);
}

static void test_shard_every_change_takes_the_next_position (void **state)
{
    fixture_t *self = *state;
    assert_int_equal (shard_id (self->shard), 9);
    assert_true (shard_epoch (self->shard) == EPOCH);
    assert_true (shard_last (self->shard) == s_position (0));
    entry_t *entry = s_put (self, "k", "v", 0);
    assert_true (entry_version (entry) == s_position (1)); // H2
    entry = shard_set_value (self->shard, entry, kv_slice_text ("longer than before"));
    assert_true (entry_version (entry) == s_position (2));
    entry = shard_append (self->shard, entry, kv_slice_text ("!"));
    assert_true (entry_version (entry) == s_position (3));
    assert_true (kv_slice_equal (entry_value (entry), kv_slice_text ("longer than before!")));
    entry = shard_set_expiry (self->shard, entry, 100);
    assert_true (entry_version (entry) == s_position (4));
    shard_delete (self->shard, entry);
    assert_true (shard_last (self->shard) == s_position (5)); // H1
    assert_null (s_find (self, "k", 0));
    assert_true (shard_last (self->shard) == s_position (5));
}

static void test_shard_clear_is_one_record (void **state)
{
    fixture_t *self = *state;
    s_put (self, "a", "1", 0);
    s_put (self, "b", "2", 50);
    store_t *old = shard_clear (self->shard);
    assert_true (shard_last (self->shard) == s_position (3));
    assert_int_equal (store_count (shard_store (self->shard)), 0);
    assert_null (s_find (self, "a", 0));
    assert_int_equal (store_count (old), 2);
    store_destroy (&old);
}

static void test_shard_an_expired_entry_is_deleted_when_met (void **state)
{
    fixture_t *self = *state;
    s_put (self, "k", "v", 100);
    assert_non_null (s_find (self, "k", 99));
    assert_int_equal (shard_live_count (self->shard, 99), 1);
    assert_int_equal (shard_live_count (self->shard, 100), 0);
    assert_null (s_find (self, "k", 100));                    // H3
    assert_true (shard_last (self->shard) == s_position (2)); /* the delete is a record */
    assert_true (shard_expired_count (self->shard) == 1);
    assert_null (s_find (self, "k", 99)); /* gone for good */
}

static void test_shard_expire_keeps_to_its_budget (void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf (key, sizeof key, "k%d", i);
        s_put (self, key, "v", i < 60 ? 10 + i : 0);
    }
    assert_int_equal (shard_expire (self->shard, 9, 1000), 0);
    assert_int_equal (shard_expire (self->shard, 1000, 25), 25);
    assert_int_equal (shard_expire (self->shard, 1000, 1000), 35);
    assert_true (shard_expired_count (self->shard) == 60);
    assert_true (shard_last (self->shard) == s_position (160));
    assert_int_equal (store_count (shard_store (self->shard)), 40);
}

#define WITH_SHARD(test) cmocka_unit_test_setup_teardown (test, s_set_up, s_tear_down)

int main (void)
{
    const struct CMUnitTest tests[] = {
        WITH_SHARD (test_shard_every_change_takes_the_next_position),
        WITH_SHARD (test_shard_clear_is_one_record),
        WITH_SHARD (test_shard_an_expired_entry_is_deleted_when_met),
        WITH_SHARD (test_shard_expire_keeps_to_its_budget),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
