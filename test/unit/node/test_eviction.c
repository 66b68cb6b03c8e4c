/* Goal: memory stays under max_memory but for one command's growth, what is evicted is what the policy
 * says, and the work per command is bounded (V1). Method: loads of random sizes against an executor,
 * looking at its memory after every command; for the LRU a Zipf load, whose hit rate is compared with
 * that of random eviction and of an exact LRU of the same size. */
#include "server.h"

#define OOM "!OUT_OF_MEMORY OOM command not allowed when used memory > 'maxmemory'."

enum {
    MAX_MEMORY = 1 << 20,
    SLACK = 2048 /* one value of SERVER_VALUE_BYTES_MAX, its overhead, a bucket and a heap node */
};

static void s_start (server_t *self, eviction_policy_t policy, uint64_t max_memory)
{
    executor_options_t options = {.shards = SERVER_SHARDS,
                                  .max_value_bytes = SERVER_VALUE_BYTES_MAX,
                                  .node_id = "node1",
                                  .version = "1.2.3",
                                  .max_memory = max_memory,
                                  .max_memory_policy = policy};
    *self = (server_t){.now_ms = 1000000};
    self->executor = executor_new (&options);
    self->request = writer_make (SIZE_MAX);
    self->reply = writer_make (SIZE_MAX);
    for (uint32_t i = 0; i < SERVER_SHARDS; i++)
        assert_int_equal (executor_own (self->executor, i, 1), KV_OK);
}

static void s_end (server_t *self)
{
    assert_true (executor_is_valid (self->executor)); // H5
    executor_destroy (&self->executor);
    writer_free (&self->request);
    writer_free (&self->reply);
}

static const char *s_set (server_t *self, uint64_t key, uint64_t bytes, const char *options)
{
    char command[128];
    snprintf (command, sizeof command, "SET key:%" PRIu64 " @%" PRIu64 " %s", key, bytes, options);
    return server_ask (self, command);
}

static const char *s_get (server_t *self, uint64_t key)
{
    char command[64];
    snprintf (command, sizeof command, "STRLEN key:%" PRIu64, key);
    return server_ask (self, command);
}

static void test_noeviction_refuses_writes_that_grow_and_nothing_else (void **state)
{
    (void)state;
    server_t server;
    server_t *s = &server;
    s_start (s, EVICT_NOTHING, MAX_MEMORY);
    uint64_t keys = 0;
    while (strcmp (s_set (s, keys, 500, ""), "OK") == 0) {
        keys++;
        assert_true (executor_stats (s->executor).bytes <= MAX_MEMORY + SLACK);
    }
    assert_true (keys > 1000);
    EXPECT (s, "SET key:0 x", OOM);
    EXPECT (s, "INCR n", OOM);
    EXPECT (s, "APPEND key:0 x", OOM);
    EXPECT (s, "MSETNX a 1", OOM);
    EXPECT (s, "SET", "!WRONG_ARITY ERR wrong number of arguments for 'set' command");
    EXPECT (s, "STRLEN key:0", "500");
    EXPECT (s, "EXPIRE key:0 100", "1");
    EXPECT (s, "RENAME key:0 key:0", "OK");
    EXPECT (s, "GETDEL none", "nil");
    EXPECT (s, "DEL key:1 key:2 key:3", "3");
    EXPECT (s, "SET key:1 x", "OK");
    assert_int_equal (executor_stats (s->executor).evicted_keys, 0);
    assert_non_null (strstr (server_ask (s, "INFO memory"),
                             "maxmemory:1048576\r\nmaxmemory_human:1.00M\r\n"
                             "maxmemory_policy:noeviction\r\n"));
    s_end (s);
}

/* Random sizes, replacements, appends and expiries: never refused, and never over the bound. */
static void s_load (eviction_policy_t policy, const char *options)
{
    server_t server;
    server_t *s = &server;
    uint64_t random = fixture_seed ("eviction load");
    s_start (s, policy, MAX_MEMORY);
    uint64_t most = 0;
    for (int i = 0; i < 60000; i++) {
        uint64_t key = fixture_random (&random, 20000);
        uint64_t bytes = fixture_random (&random, fixture_random (&random, 50) ? 100 : 1001);
        assert_string_equal (s_set (s, key, bytes, options), "OK");
        uint64_t used = executor_stats (s->executor).bytes;
        most = used > most ? used : most;
        s->now_ms += i % 100 == 0 ? 1000 : 0;
    }
    executor_stats_t stats = executor_stats (s->executor);
    print_message ("%s: %" PRIu64 " evicted, at most %" PRIu64 " bytes of %d\n",
                   eviction_policy_name (policy), stats.evicted_keys, most, MAX_MEMORY);
    assert_true (most <= MAX_MEMORY + SLACK);
    assert_true (stats.bytes > MAX_MEMORY / 10 * 9); /* nothing goes before it must */
    assert_true (stats.evicted_keys > 10000);
    char line[64];
    snprintf (line, sizeof line, "evicted_keys:%" PRIu64 "\r\n", stats.evicted_keys);
    assert_non_null (strstr (server_ask (s, "INFO stats"), line));
    s_end (s);
}

static void test_lru_keeps_memory_under_its_bound (void **state)
{
    (void)state;
    s_load (EVICT_ALLKEYS_LRU, "");
}

static void test_ttl_keeps_memory_under_its_bound (void **state)
{
    (void)state;
    s_load (EVICT_VOLATILE_TTL, "EX 100000");
}

static void test_ttl_evicts_exactly_what_expires_next (void **state)
{
    (void)state;
    enum { KEYS = 3000 };
    server_t server;
    server_t *s = &server;
    uint64_t random = fixture_seed ("eviction ttl");
    s_start (s, EVICT_VOLATILE_TTL, MAX_MEMORY);
    static uint64_t order[KEYS]; /* a permutation: key i expires after 1000 + order[i] seconds */
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t at = fixture_random (&random, i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    for (uint64_t i = 0; i < KEYS; i++) {
        char options[32];
        snprintf (options, sizeof options, "EX %" PRIu64, 1000 + order[i]);
        assert_string_equal (s_set (s, i, 200, options), "OK");
    }
    EXPECT (s, "SET forever x", "OK");
    for (uint64_t i = 0; executor_stats (s->executor).evicted_keys < KEYS / 2; i++)
        assert_string_equal (s_set (s, 100000 + i, 200, ""), "OK");
    uint64_t evicted = executor_stats (s->executor).evicted_keys;
    for (uint64_t i = 0; i < KEYS; i++)
        assert_string_equal (s_get (s, i), order[i] < evicted ? "0" : "200");
    uint64_t fill = 200000;
    while (strcmp (s_set (s, fill++, 200, ""), "OK") == 0)
        continue;
    assert_int_equal (executor_stats (s->executor).evicted_keys, KEYS); /* what stays may stay */
    EXPECT (s, "SET more x", OOM);
    EXPECT (s, "STRLEN forever", "1");
    s_end (s);
}

static void test_a_large_debt_is_paid_in_bounded_steps (void **state)
{
    (void)state;
    enum { KEYS = 20000 };
    server_t server;
    server_t *s = &server;
    /* One command may go over the bound by its own size: here that of many keys. */
    s_start (s, EVICT_ALLKEYS_LRU, MAX_MEMORY);
    writer_reset (&s->request);
    request_begin (&s->request, 1, 1, false);
    writer_array (&s->request, 1 + 2 * KEYS);
    writer_cstr (&s->request, "MSET");
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        snprintf (key, sizeof key, "key:%d", i);
        writer_cstr (&s->request, key);
        writer_cstr (&s->request, "some forty bytes of value for each of them");
    }
    kv_status_t status = executor_run (s->executor, kv_slice (s->request.data, s->request.size),
                                       s->now_ms, &s->reply);
    assert_int_equal (status, KV_OK);
    assert_true (executor_stats (s->executor).bytes > MAX_MEMORY * 3 / 2);
    EXPECT (s, "SET x y", OOM); /* still over after EVICTION_MOST */
    assert_int_equal (executor_stats (s->executor).evicted_keys, EVICTION_MOST); // V1
    assert_int_equal (executor_tick (s->executor, s->now_ms, 100), 100);
    int refused = 0;
    while (strcmp (server_ask (s, "SET x y"), "OK") != 0)
        refused++;
    assert_in_range (refused, 1, KEYS / EVICTION_MOST);
    assert_true (executor_stats (s->executor).bytes <= MAX_MEMORY + SLACK);
    s_end (s);
}

static void test_what_was_flushed_makes_room (void **state)
{
    (void)state;
    server_t server;
    server_t *s = &server;
    s_start (s, EVICT_NOTHING, MAX_MEMORY);
    uint64_t keys = 0;
    while (strcmp (s_set (s, keys, 20, ""), "OK") == 0)
        keys++;
    EXPECT (s, "FLUSHALL ASYNC", "OK");
    for (uint64_t i = 0; i < keys / 2; i++)
        assert_string_equal (s_set (s, i, 20, ""), "OK");
    assert_int_equal (executor_stats (s->executor).evicted_keys, 0);
    s_end (s);
}

/* ---- the hit rate of the LRU ----------------------------------------------------------------- */

enum { ZIPF_KEYS = 20000, ZIPF_ACCESSES = 200000, ZIPF_KEPT = 2000 };

static double s_weights[ZIPF_KEYS]; /* summed up */

static void s_make_zipf (void)
{
    double sum = 0;
    for (int i = 0; i < ZIPF_KEYS; i++) {
        sum += 1.0 / (i + 1);
        s_weights[i] = sum;
    }
}

static uint64_t s_zipf (uint64_t *random)
{
    double at = (double)fixture_random (random, UINT64_C (1) << 53) / (double)(UINT64_C (1) << 53) *
                s_weights[ZIPF_KEYS - 1];
    int low = 0;
    int high = ZIPF_KEYS - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (s_weights[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return (uint64_t)low;
}

/* The hits of a cache of ZIPF_KEPT keys that evicts the one used longest ago, or any. */
static int s_simulate (bool lru)
{
    static int64_t used[ZIPF_KEYS]; /* -1: not there */
    static uint64_t kept[ZIPF_KEPT];
    uint64_t random = 99;
    uint64_t draws = 7;
    int count = 0;
    int hits = 0;
    for (int i = 0; i < ZIPF_KEYS; i++)
        used[i] = -1;
    for (int64_t now = 0; now < ZIPF_ACCESSES; now++) {
        uint64_t key = s_zipf (&random);
        hits += used[key] >= 0;
        if (used[key] < 0 && count < ZIPF_KEPT) {
            kept[count++] = key;
        } else if (used[key] < 0) {
            uint64_t victim = fixture_random (&draws, ZIPF_KEPT);
            for (uint64_t i = 0; lru && i < ZIPF_KEPT; i++)
                victim = used[kept[i]] < used[kept[victim]] ? i : victim;
            used[kept[victim]] = -1;
            kept[victim] = key;
        }
        used[key] = now;
    }
    return hits;
}

/* The hits of an executor whose memory holds about as many. All within
 * one second: what the clock tells apart is told by the evictions alone. */
static int s_measure (uint64_t *kept)
{
    server_t server;
    server_t *s = &server;
    uint64_t random = 99;
    int hits = 0;
    s_start (s, EVICT_ALLKEYS_LRU, UINT64_C (295) * ZIPF_KEPT);
    for (int now = 0; now < ZIPF_ACCESSES; now++) {
        uint64_t key = s_zipf (&random);
        if (strcmp (s_get (s, key), "0") != 0)
            hits++;
        else
            assert_string_equal (s_set (s, key, 250, ""), "OK");
    }
    *kept = executor_stats (s->executor).keys;
    s_end (s);
    return hits;
}

static void test_lru_hits_more_than_random_eviction (void **state)
{
    (void)state;
    uint64_t kept;
    s_make_zipf ();
    int random = s_simulate (false);
    int exact = s_simulate (true);
    int sampled = s_measure (&kept);
    print_message (
        "hit rate of %d keys in %d under Zipf: random %.1f %%, sampled LRU %.1f %% (%" PRIu64
        " keys), exact LRU %.1f %%\n",
        ZIPF_KEPT, ZIPF_KEYS, random * 100.0 / ZIPF_ACCESSES, sampled * 100.0 / ZIPF_ACCESSES, kept,
        exact * 100.0 / ZIPF_ACCESSES);
    assert_in_range (kept, ZIPF_KEPT * 97 / 100, ZIPF_KEPT * 103 / 100);
    assert_true (sampled > random);
    /* At least four fifths of what exactness is worth. */
    assert_true ((sampled - random) * 5 > (exact - random) * 4);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_noeviction_refuses_writes_that_grow_and_nothing_else),
        cmocka_unit_test (test_lru_keeps_memory_under_its_bound),
        cmocka_unit_test (test_ttl_keeps_memory_under_its_bound),
        cmocka_unit_test (test_ttl_evicts_exactly_what_expires_next),
        cmocka_unit_test (test_a_large_debt_is_paid_in_bounded_steps),
        cmocka_unit_test (test_what_was_flushed_makes_room),
        cmocka_unit_test (test_lru_hits_more_than_random_eviction),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
