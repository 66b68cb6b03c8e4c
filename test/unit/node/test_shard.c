/* Goal: all changes up to shard_host_end are one record with the next position (H1, H2), which the sink
 * hears whole (H4), and what has expired is never seen (H3). Method: one change of each kind, looking
 * at position and version after it. */
#include "node/shard.h"
#include "node/entry_pool.h"
#include "fixture.h"

enum { EPOCH = 5 };

typedef struct {
    shard_host_t host;
    shard_t *shard;
} fixture_t;

static const uint8_t s_secret[STORE_SECRET_BYTES] = {3, 1, 4};

static int s_set_up (void **state)
{
    fixture_t *self = calloc (1, sizeof *self);
    self->host.pool = entry_pool_new ();
    self->shard = shard_new (9, EPOCH, s_secret, &self->host);
    *state = self;
    return 0;
}

static int s_tear_down (void **state)
{
    fixture_t *self = *state;
    shard_host_end (&self->host);
    shard_host_account (&self->host);
    assert_true (self->host.bytes == store_bytes (shard_store (self->shard))); // H5
    shard_destroy (&self->shard);
    assert_null (self->shard);
    assert_true (self->host.bytes == 0);
    assert_true (self->host.entries == 0); // H6
    entry_pool_destroy (&self->host.pool);
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

/* Ends the record, and requires the position it had. */
static void s_end (fixture_t *self, uint64_t n)
{
    shard_host_end (&self->host);
    assert_true (shard_last (self->shard) == s_position (n)); // H1
}

static void test_shard_every_record_takes_the_next_position (void **state)
{
    fixture_t *self = *state;
    assert_int_equal (shard_id (self->shard), 9);
    assert_true (shard_epoch (self->shard) == EPOCH);
    s_end (self, 0);
    entry_t *entry = s_put (self, "k", "v", 0);
    assert_true (entry_version (entry) == s_position (1)); // H2
    s_end (self, 1);
    entry = shard_set_value (self->shard, entry, kv_slice_text ("longer than before"));
    assert_true (entry_version (entry) == s_position (2));
    s_end (self, 2);
    entry = shard_write (self->shard, entry, 18, kv_slice_text ("!"));
    assert_true (entry_version (entry) == s_position (3));
    assert_true (kv_slice_equal (entry_value (entry), kv_slice_text ("longer than before!")));
    s_end (self, 3);
    entry = shard_set_expiry (self->shard, entry, 100);
    assert_true (entry_version (entry) == s_position (4));
    s_end (self, 4);
    shard_delete (self->shard, entry);
    s_end (self, 5);
    assert_null (s_find (self, "k", 0));
    s_end (self, 5); /* nothing was changed */
}

static void test_shard_effects_of_a_record_share_its_position (void **state)
{
    fixture_t *self = *state;
    entry_t *a = s_put (self, "a", "1", 0);
    entry_t *b = s_put (self, "b", "2", 0);
    b = shard_set_expiry (self->shard, b, 100);
    s_put (self, "c", "3", 0);
    shard_delete (self->shard, s_find (self, "c", 0));
    assert_true (entry_version (a) == s_position (1));
    assert_true (entry_version (b) == s_position (1)); // H2
    s_end (self, 1);
    assert_true (entry_version (s_put (self, "a", "4", 0)) == s_position (2));
}

static void test_shard_write_fills_up_with_zero_bytes (void **state)
{
    fixture_t *self = *state;
    entry_t *entry = s_put (self, "k", "abc", 0);
    entry = shard_write (self->shard, entry, 1, kv_slice_text ("X"));
    assert_true (kv_slice_equal (entry_value (entry), kv_slice_text ("aXc")));
    entry = shard_write (self->shard, entry, 5, kv_slice_text ("yz"));
    assert_true (kv_slice_equal (entry_value (entry), kv_slice ("aXc\0\0yz", 7)));
    entry = shard_write (self->shard, entry, 0, kv_slice ("", 0));
    assert_int_equal (entry_value (entry).size, 7);
}

/* What a sink is told, as text: "put a=1@50;" for each effect, "end 7;" for each end. */
typedef struct {
    char text[1024];
    uint64_t position; /* of the open record; 0: none */
} heard_t;

static void s_hear (heard_t *self, const char *format, ...) KV_PRINTF (2, 3);
static void s_hear (heard_t *self, const char *format, ...)
{
    size_t used = strlen (self->text);
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (self->text + used, sizeof self->text - used, format, arguments);
    va_end (arguments);
}

static void s_effect (void *context, const shard_t *shard, const effect_t *effect)
{
    static const char *const names[] = {"", "put", "write", "expire", "delete", "clear"};
    heard_t *self = context;
    assert_true (self->position == 0 || self->position == shard_last (shard)); // H4
    self->position = shard_last (shard);
    s_hear (self, "%s %.*s=%.*s@%d+%d;", names[effect->kind], (int)effect->key.size,
            (const char *)effect->key.data, (int)effect->value.size,
            (const char *)effect->value.data, (int)effect->expires_ms, (int)effect->offset);
}

static uint64_t s_effects_end (void *context, const shard_t *shard)
{
    heard_t *self = context;
    assert_true (self->position == shard_last (shard)); // H4
    self->position = 0;
    s_hear (self, "end %d;", (int)(shard_last (shard) - s_position (0)));
    return 0;
}

static uint64_t s_room (void *context)
{
    (void)context;
    return UINT64_MAX;
}

static void test_shard_the_sink_hears_each_record_once (void **state)
{
    fixture_t *self = *state;
    heard_t heard = {.position = 0};
    shard_sink_t sink = {s_effect, s_effects_end, s_room, &heard};
    self->host.sink = &sink;
    s_put (self, "a", "1", 50);
    entry_t *entry = s_put (self, "b", "2", 0);
    s_end (self, 1);
    entry = shard_set_value (self->shard, entry, kv_slice_text ("3"));
    entry = shard_write (self->shard, entry, 1, kv_slice_text ("4"));
    shard_set_expiry (self->shard, entry, 60);
    s_end (self, 2);
    assert_null (s_find (self, "a", 50)); // H3
    s_end (self, 3);
    assert_int_equal (shard_expire (self->shard, 60, 10), 1);
    s_end (self, 4);
    store_t *old = shard_clear (self->shard);
    store_destroy (&old);
    s_end (self, 5);
    s_end (self, 5);
    assert_string_equal (heard.text, "put a=1@50+0;put b=2@0+0;end 1;"
                                     "put b=3@0+0;write b=4@0+1;expire b=@60+0;end 2;"
                                     "delete a=@0+0;end 3;delete b=@0+0;end 4;clear =@0+0;end 5;");
    self->host.sink = NULL;
}

static void test_shard_put_takes_the_bytes_of_another_entry (void **state)
{
    fixture_t *self = *state;
    char name[16] = "k0";
    s_put (self, name, "the value that travels", 0);
    for (int i = 1; i < 500; i++) { /* the table is split under way */
        entry_t *from = s_find (self, name, 0);
        snprintf (name, sizeof name, "k%d", i);
        kv_slice_t key = kv_slice_text (name);
        uint64_t hash = store_hash (shard_store (self->shard), key);
        entry_t *to = shard_put (self->shard, key, hash, entry_value (from), 0);
        assert_true (kv_slice_equal (entry_value (to), entry_value (from)));
    }
    assert_true (kv_slice_equal (entry_value (s_find (self, "k499", 0)),
                                 kv_slice_text ("the value that travels")));
}

static void test_shard_clear_is_one_record (void **state)
{
    fixture_t *self = *state;
    s_put (self, "a", "1", 0);
    s_put (self, "b", "2", 50);
    s_end (self, 1);
    store_t *old = shard_clear (self->shard);
    s_end (self, 2);
    assert_int_equal (store_count (shard_store (self->shard)), 0);
    assert_null (s_find (self, "a", 0));
    assert_int_equal (store_count (old), 2);
    store_destroy (&old);
}

static void test_shard_an_expired_entry_is_deleted_when_met (void **state)
{
    fixture_t *self = *state;
    s_put (self, "k", "v", 100);
    s_end (self, 1);
    assert_non_null (s_find (self, "k", 99));
    assert_int_equal (shard_live_count (self->shard, 99), 1);
    assert_int_equal (shard_live_count (self->shard, 100), 0);
    assert_null (s_find (self, "k", 100)); // H3
    s_end (self, 2);                       /* the delete is a record */
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
    assert_int_equal (store_count (shard_store (self->shard)), 40);
}

static void test_shard_idle_counts_seconds_since_the_last_use (void **state)
{
    fixture_t *self = *state;
    shard_host_set_time (&self->host, 5000);
    entry_t *entry = s_put (self, "k", "v", 0);
    shard_host_set_time (&self->host, 12999);
    assert_int_equal (shard_idle_s (self->shard, entry), 7);
    assert_int_equal (shard_age (self->shard, entry), 1); /* nothing happened in between */
    kv_slice_t key = kv_slice_text ("k");
    uint64_t hash = store_hash (shard_store (self->shard), key);
    assert_ptr_equal (shard_peek (self->shard, key, hash, 0), entry);
    assert_int_equal (shard_idle_s (self->shard, entry), 7);
    assert_ptr_equal (s_find (self, "k", 0), entry);
    assert_int_equal (shard_idle_s (self->shard, entry), 0);
    entry = shard_set_expiry (self->shard, entry, 99999); /* a new entry with the old clock */
    shard_host_set_time (&self->host, 3000);
    assert_int_equal (shard_idle_s (self->shard, entry), 0); /* the clock was set back */
    for (int second = 1; second < SHARD_TICKS - 1; second++)
        shard_host_set_time (&self->host, (12 + second) * INT64_C (1000));
    assert_int_equal (shard_idle_s (self->shard, entry), SHARD_TICKS - 2);
    assert_int_equal (shard_age (self->shard, entry), SHARD_TICKS - 1);
    shard_host_set_time (&self->host, (12 + SHARD_TICKS) * INT64_C (1000));
    assert_int_equal (shard_age (self->shard, entry), 0); /* it starts again */
}

static void test_shard_ticks_as_entries_come_new (void **state)
{
    fixture_t *self = *state;
    char key[16];
    for (int round = 0; round < 3; round++) {
        uint16_t clock = self->host.clock;
        for (int i = 0; i < 6400; i++) {
            snprintf (key, sizeof key, "k%d", i);
            entry_t *entry = s_put (self, key, "v", 0);
            if (round > 0)
                shard_delete (self->shard, entry);
            if (round > 0)
                s_put (self, key, "v", 0);
        }
        assert_int_equal (self->host.entries, 6400); // H6
        if (round == 0) /* by seconds only, as long as nobody wants it otherwise */
            assert_int_equal (self->host.clock, clock);
        else
            assert_in_range ((uint16_t)(self->host.clock - clock), 62, 65);
        self->host.ticks_by_turnover = true;
    }
}

#define WITH_SHARD(test) cmocka_unit_test_setup_teardown (test, s_set_up, s_tear_down)

int main (void)
{
    const struct CMUnitTest tests[] = {
        WITH_SHARD (test_shard_every_record_takes_the_next_position),
        WITH_SHARD (test_shard_effects_of_a_record_share_its_position),
        WITH_SHARD (test_shard_write_fills_up_with_zero_bytes),
        WITH_SHARD (test_shard_the_sink_hears_each_record_once),
        WITH_SHARD (test_shard_put_takes_the_bytes_of_another_entry),
        WITH_SHARD (test_shard_clear_is_one_record),
        WITH_SHARD (test_shard_an_expired_entry_is_deleted_when_met),
        WITH_SHARD (test_shard_expire_keeps_to_its_budget),
        WITH_SHARD (test_shard_idle_counts_seconds_since_the_last_use),
        WITH_SHARD (test_shard_ticks_as_entries_come_new),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
