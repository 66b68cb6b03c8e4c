/* Goal: nothing is logged that the log has no space for (R20): who would is refused before he has done
 * anything, with a reason (X5, X6), and what logs nothing goes on (H8).
 * Method: a log in memory with as much room as the test says, which asserts that no record takes more
 * (A2); commands of each kind, one by one and at random. */
#include "schema/slot.h"
#include "fake_log.h"
#include "server.h"

#define BUSY "!BUSY ERR space for the log is being prepared; retry"

typedef struct {
    server_t server;
    fake_log_t log;
} bed_t;

static bed_t *s_open (eviction_policy_t policy, uint64_t max_memory)
{
    bed_t *self = calloc (1, sizeof *self);
    assert_non_null (self);
    executor_options_t options = {.shards = SERVER_SHARDS,
                                  .max_value_bytes = 100000,
                                  .node_id = "node1",
                                  .version = "1.2.3",
                                  .max_memory = max_memory,
                                  .max_memory_policy = policy};
    self->server = (server_t){.executor = executor_new (&options),
                              .now_ms = 1000000,
                              .request = writer_make (SIZE_MAX),
                              .reply = writer_make (SIZE_MAX)};
    fake_log_open (&self->log, SERVER_SHARDS);
    executor_set_sink (self->server.executor, &self->log.sink);
    for (uint32_t i = 0; i < SERVER_SHARDS; i++)
        assert_int_equal (executor_own (self->server.executor, i, 1), KV_OK);
    return self;
}

static void s_close (bed_t *self)
{
    assert_true (executor_is_valid (self->server.executor));
    executor_destroy (&self->server.executor);
    writer_free (&self->server.request);
    writer_free (&self->server.reply);
    fake_log_close (&self->log);
    free (self);
}

static int s_set_up (void **state)
{
    *state = s_open (EVICT_NOTHING, 0);
    return 0;
}

static int s_tear_down (void **state)
{
    s_close (*state);
    return 0;
}

/* What is kept for epochs is all there is. */
static void s_fill (bed_t *self)
{
    self->log.room = SERVER_SHARDS * SHARD_KEPT_BYTES;
}

static void test_room_without_it_writes_are_refused_and_reads_go_on (void **state)
{
    bed_t *self = *state;
    server_t *s = &self->server;
    static const char *const writes[] = {
        "SET k w",         "SET n 1",    "INCR i",        "DEL k",         "UNLINK nosuch",
        "MSET k 1 l 2",    "FLUSHALL",   "EXPIRE k 1",    "GETEX k EX 10", "GETDEL k",
        "INCRBYFLOAT f 1", "RENAME k k", "SETRANGE k 1 x"};
    EXPECT (s, "SET k v", "OK");
    EXPECT (s, "SET i 5", "OK");
    s_fill (self);
    uint64_t records = self->log.records;
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++)
        EXPECT (s, writes[i], BUSY);
    EXPECT (s, "GET k", "\"v\"");
    EXPECT (s, "GET nosuch", "nil");
    EXPECT (s, "DBSIZE", "2");
    EXPECT (s, "PING", "PONG");
    EXPECT (s, "SET", "!WRONG_ARITY ERR wrong number of arguments for 'set' command");
    executor_set_disk_full (s->executor, true);
    const char *full = server_ask (s, "SET k w");
    assert_memory_equal (full, "!DISK_FULL ERR no space left",
                         strlen ("!DISK_FULL ERR no space left"));
    EXPECT (s, "GET k", "\"v\"");
    EXPECT (s, "GET i", "\"5\"");
    assert_true (self->log.records == records);
    self->log.room = UINT64_MAX;
    EXPECT (s, "SET k w", "OK");
}

static void test_room_saving_needs_none (void **state)
{
    bed_t *self = *state;
    server_t *s = &self->server;
    executor_set_persistent (s->executor, 777);
    s_fill (self);
    EXPECT (s, "BGSAVE", "Background saving started");
    assert_int_equal (executor_take_snapshot_wish (s->executor), SNAPSHOT_WISH_BACKGROUND);
    EXPECT (s, "SAVE", "OK"); /* it is how the log gets shorter */
    assert_int_equal (executor_take_snapshot_wish (s->executor), SNAPSHOT_WISH_WAIT);
    assert_int_equal (executor_take_snapshot_wish (s->executor), SNAPSHOT_WISH_NONE);
    EXPECT (s, "LASTSAVE", "777");
    assert_int_equal (executor_take_snapshot_wish (s->executor), SNAPSHOT_WISH_NONE);
}

static void test_room_a_read_that_would_log_an_expiry_is_refused (void **state)
{
    bed_t *self = *state;
    server_t *s = &self->server;
    EXPECT (s, "SET k v PX 10", "OK");
    EXPECT (s, "SET l w", "OK");
    s->now_ms += 10;
    s_fill (self);
    static const char *const reads[] = {"GET k", "TTL k", "EXISTS k l", "MGET l k", "STRLEN k"};
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++)
        EXPECT (s, reads[i], BUSY);
    assert_true (executor_take_log_wish (s->executor) > 0);
    EXPECT (s, "GET l", "\"w\"");
    EXPECT (s, "DBSIZE", "1"); /* it says so without a record */
    EXPECT (s, "KEYS *", "[\"l\"]");
    s->now_ms -= 10;
    EXPECT (s, "GET k", "\"v\""); /* it is still there */
    s->now_ms += 10;
    self->log.room = UINT64_MAX;
    EXPECT (s, "GET k", "nil");
    assert_int_equal (executor_tick (s->executor, s->now_ms, 100), 0);
}

static void test_room_expiry_in_the_background_waits_for_it (void **state)
{
    bed_t *self = *state;
    server_t *s = &self->server;
    for (int i = 0; i < 100; i++) {
        char command[64];
        snprintf (command, sizeof command, "SET key%d v PX 10", i);
        EXPECT (s, command, "OK");
    }
    s->now_ms += 10;
    s_fill (self);
    assert_int_equal (executor_tick (s->executor, s->now_ms, 1000), 0);
    self->log.room += 1000; /* a record takes about 50, as keys are short */
    size_t done = executor_tick (s->executor, s->now_ms, 1000);
    assert_in_range (done, 10, 50);
    assert_true (executor_stats (s->executor).keys == 100 - done);
    self->log.room = UINT64_MAX;
    assert_int_equal (executor_tick (s->executor, s->now_ms, 1000), 100 - done);
}

/* Large keys that expire in several shards at once: what is open already counts. */
static void test_room_open_records_count (void **state)
{
    bed_t *self = *state;
    server_t *s = &self->server;
    char *command = malloc (70000);
    assert_non_null (command);
    for (int i = 0; i < 40; i++) {
        int size = snprintf (command, 70000, "SET %02d", i);
        memset (command + size, 'k', 60000);
        snprintf (command + size + 60000, 100, " v PX 10");
        EXPECT (s, command, "OK");
    }
    free (command);
    s->now_ms += 10;
    s_fill (self);
    self->log.room += 3 * SHARD_DELETE_BYTES;
    size_t done = executor_tick (s->executor, s->now_ms, 1000); // A2
    assert_in_range (done, 1, 3);
}

static void test_room_what_a_command_adds_itself_counts (void **state)
{
    bed_t *self = *state;
    server_t *s = &self->server;
    EXPECT (s, "SET k @50000", "OK");
    EXPECT (s, "SET f 1", "OK");
    s_fill (self);
    self->log.room += 4000;
    (void)executor_take_log_wish (s->executor);
    EXPECT (s, "RENAME k k", BUSY);
    EXPECT (s, "INCRBYFLOAT f 1e4900", BUSY);
    EXPECT (s, "SETRANGE k 90000 x",
            "9"
            "0001");
    uint64_t wish = executor_take_log_wish (s->executor);
    assert_in_range (wish, 50000, 60000);
    assert_int_equal (executor_take_log_wish (s->executor), 0);
    self->log.room = SERVER_SHARDS * SHARD_KEPT_BYTES + wish;
    EXPECT (s, "RENAME k k", BUSY); /* it has grown since */
    self->log.room = SERVER_SHARDS * SHARD_KEPT_BYTES + executor_take_log_wish (s->executor);
    EXPECT (s, "RENAME k k", "OK");
    self->log.room = SERVER_SHARDS * SHARD_KEPT_BYTES + 8000;
    server_ask (s, "INCRBYFLOAT f 1e4900");
    EXPECT (s, "STRLEN f", "4901");
}

/* A batch; its results' codes: '.' for success. */
static const char *s_batch (bed_t *self, uint32_t count, const char *const commands[])
{
    server_t *s = &self->server;
    reply_t reply;
    result_t result;
    writer_reset (&s->request);
    writer_reset (&s->reply);
    request_begin (&s->request, 1, count, false);
    for (uint32_t i = 0; i < count; i++)
        server_encode (&s->request, commands[i]);
    assert_int_equal (executor_run (s->executor, kv_slice (s->request.data, s->request.size),
                                    s->now_ms, &s->reply),
                      KV_OK);
    assert_int_equal (reply_decode (kv_slice (s->reply.data, s->reply.size), &reply), KV_OK);
    s->shown[0] = '\0';
    while (result_next (&reply, &result) == KV_OK)
        server_add (s, "%s ", result.status == KV_OK ? "." : kv_status_name (result.status));
    return s->shown;
}

static void test_room_nothing_overtakes_what_was_told_busy (void **state)
{
    bed_t *self = *state; // X6
    server_t *s = &self->server;
    static const char *const commands[] = {"SET k 1", "SET k @9000", "GET k",  "SET k 2",
                                           "PING",    "DBSIZE",      "INFO x", "NOSUCH"};
    s_fill (self);
    self->log.room += 2000;
    assert_string_equal (s_batch (self, 8, commands), ". BUSY BUSY BUSY . BUSY . UNKNOWN_COMMAND ");
    EXPECT (s, "GET k", "\"1\""); /* the next request is another matter */
    EXPECT (s, "SET k 3", "OK");
    executor_set_disk_full (s->executor, true); /* which is no promise that it goes on */
    assert_string_equal (s_batch (self, 4, commands), ". DISK_FULL . . ");
}

/* A value so large that many entries must go for the next command, which copies it. */
static void test_room_evictions_do_not_take_that_of_the_command (void **state)
{
    (void)state;
    bed_t *self = s_open (EVICT_ALLKEYS_LRU, 400000);
    server_t *s = &self->server;
    for (int i = 0; i < 1000; i++) {
        char command[64];
        snprintf (command, sizeof command, "SET key%d @900", i);
        EXPECT (s, command, "OK");
    }
    EXPECT (s, "SET {k}1 @90000", "OK");
    uint64_t evicted = executor_stats (s->executor).evicted_keys;
    writer_reset (&s->request);
    request_begin (&s->request, 1, 1, false);
    server_encode (&s->request, "COPY {k}1 {k}2");
    self->log.room = executor_bound (s->executor, kv_slice (s->request.data, s->request.size)) +
                     SERVER_SHARDS * SHARD_KEPT_BYTES;
    EXPECT (s, "COPY {k}1 {k}2", BUSY); // A2
    assert_true (executor_stats (s->executor).evicted_keys > evicted + 50);
    self->log.room = SERVER_SHARDS * SHARD_KEPT_BYTES + 300;
    EXPECT (s, "SET {k}1 @90000", BUSY); /* not OOM: it is the log that keeps it from evicting */
    self->log.room = UINT64_MAX;
    EXPECT (s, "COPY {k}1 {k}2", "1");
    s_close (self);
}

static void test_room_evictions_stop_without_it (void **state)
{
    (void)state;
    bed_t *self = s_open (EVICT_ALLKEYS_LRU, 300000);
    server_t *s = &self->server;
    uint64_t random = fixture_seed ("room");
    uint64_t refused = 0;
    for (int i = 0; i < 20000; i++) {
        char command[64];
        self->log.room = fixture_random (&random, 150000);
        snprintf (command, sizeof command, "SET key%d @%d", i, (int)fixture_random (&random, 2000));
        const char *answer = server_ask (s, command); // A2
        refused += strcmp (answer, BUSY) == 0;
        if (strcmp (answer, BUSY) != 0)
            assert_string_equal (answer, "OK");
    }
    assert_in_range (refused, 1000, 19000);
    assert_true (executor_stats (s->executor).evicted_keys > 1000);
    s_close (self);
}

static void test_room_is_kept_for_epochs_to_open (void **state)
{
    bed_t *self = *state;
    server_t *s = &self->server;
    EXPECT (s, "SET k v", "OK");
    self->log.room = SERVER_SHARDS * SHARD_KEPT_BYTES + 2000;
    EXPECT (s, "SET k v", "OK");
    while (strcmp (server_ask (s, "SET k v"), "OK") == 0)
        continue;
    for (uint64_t epoch = 2; epoch < 2 + SHARD_KEPT_BYTES / SHARD_OPEN_BYTES; epoch++) {
        for (uint32_t i = 0; i < SERVER_SHARDS; i++)
            assert_int_equal (executor_own (s->executor, i, epoch), KV_OK); // A2
    }
    EXPECT (s, "GET k", "\"v\"");
}

/* A long key that has expired: it is deleted, put, and written to, all in one record. */
static void test_room_a_key_may_be_logged_three_times (void **state)
{
    bed_t *self = *state;
    server_t *s = &self->server;
    char *key = calloc (1, 60001);
    char *command = malloc (70000);
    assert_non_null (key);
    assert_non_null (command);
    memset (key, 'k', 60000);
    snprintf (command, 70000, "SET %s v PX 10", key);
    EXPECT (s, command, "OK");
    s->now_ms += 10;
    snprintf (command, 70000, "SETRANGE %s 3 x", key);
    writer_reset (&s->request);
    request_begin (&s->request, 1, 1, false);
    server_encode (&s->request, command);
    self->log.room = executor_bound (s->executor, kv_slice (s->request.data, s->request.size)) +
                     SERVER_SHARDS * SHARD_KEPT_BYTES;
    EXPECT (s, command, "4"); // A2
    free (command);
    free (key);
}

/* A large value stands in the log once, however often its key does. */
static void test_room_a_large_value_needs_it_once (void **state)
{
    bed_t *self = *state;
    server_t *s = &self->server;
    static const char *const commands[] = {"SET k @90000", "GETSET k @90000", "APPEND l @90000",
                                           "SETEX k 10 @90000", "SETRANGE m 2 @90000"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        writer_reset (&s->request);
        request_begin (&s->request, 1, 1, false);
        server_encode (&s->request, commands[i]);
        uint64_t bound = executor_bound (s->executor, kv_slice (s->request.data, s->request.size));
        assert_in_range (bound, 90000, 91000 + SERVER_SHARDS * SHARD_KEPT_BYTES);
        self->log.room = bound - 700;
        EXPECT (s, commands[i], BUSY);
        self->log.room = bound;
        assert_int_not_equal (server_ask (s, commands[i])[0], '!'); // A2
    }
}

/* What a request copies may be what it has brought itself. */
static void test_room_bound_of_a_request_that_copies_what_it_sets (void **state)
{
    bed_t *self = *state;
    server_t *s = &self->server;
    static const char *const commands[] = {"SET {k}1 @50000", "COPY {k}1 {k}2", "RENAME {k}1 {k}3",
                                           "GETDEL {k}3"};
    writer_reset (&s->request);
    request_begin (&s->request, 1, 4, false);
    for (size_t i = 0; i < 4; i++)
        server_encode (&s->request, commands[i]);
    self->log.room = executor_bound (s->executor, kv_slice (s->request.data, s->request.size));
    assert_string_equal (s_batch (self, 4, commands), ". . . . ");
}

/* The bound of any command covers what it logs, expired keys on its way included. */
static void test_room_bounds_cover_what_is_logged (void **state)
{
    bed_t *self = *state;
    server_t *s = &self->server;
    static const char *const forms[] = {
        "SET k%u v",        "SET k%u @%u PX 5",  "INCR n%u",          "APPEND k%u @%u",
        "GETSET k%u x",     "SETEX k%u 1 y",     "RENAME k%u k%u",    "COPY k%u k%u REPLACE",
        "DEL k%u k%u",      "MSET k%u 1 k%u @9", "MGET k%u n%u k1",   "GETEX k%u PX 3",
        "EXPIRE k%u %u",    "PERSIST k%u",       "SETRANGE k%u %u z", "INCRBYFLOAT f%u 1e%u",
        "FLUSHALL",         "GETDEL k%u",        "EXISTS k%u k%u",    "MSETNX k%u 1 k%u 2",
        "SET k%u v KEEPTTL"};
    uint64_t random = fixture_seed ("bounds");
    uint64_t logged = 0;
    for (int i = 0; i < 50000; i++) {
        char command[128];
        unsigned a = (unsigned)fixture_random (&random, 30);
        unsigned b = (unsigned)fixture_random (&random, i % 100 == 0 ? 4000 : 30);
        const char *form = forms[fixture_random (&random, sizeof forms / sizeof forms[0])];
        if (strcmp (form, "FLUSHALL") == 0 && i % 50)
            continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf (command, sizeof command, form, a, b);
#pragma GCC diagnostic pop
        writer_reset (&s->request);
        request_begin (&s->request, 1, 1, false);
        server_encode (&s->request, command);
        uint64_t bound = executor_bound (s->executor, kv_slice (s->request.data, s->request.size));
        uint64_t before = self->log.bytes.size;
        server_ask (s, command);
        uint64_t bytes = self->log.bytes.size - before;
        if (bytes > bound)
            print_error ("%s\n", command);
        assert_true (bytes <= bound);
        logged += bytes;
        s->now_ms += (int64_t)fixture_random (&random, 3);
    }
    assert_true (logged > 0);
    assert_int_equal (executor_bound (s->executor, kv_slice_text ("\xc1")), 0);
}

#define WITH_BED(test) cmocka_unit_test_setup_teardown (test, s_set_up, s_tear_down)

int main (void)
{
    const struct CMUnitTest tests[] = {
        WITH_BED (test_room_without_it_writes_are_refused_and_reads_go_on),
        WITH_BED (test_room_saving_needs_none),
        WITH_BED (test_room_a_read_that_would_log_an_expiry_is_refused),
        WITH_BED (test_room_expiry_in_the_background_waits_for_it),
        WITH_BED (test_room_open_records_count),
        WITH_BED (test_room_what_a_command_adds_itself_counts),
        WITH_BED (test_room_nothing_overtakes_what_was_told_busy),
        cmocka_unit_test (test_room_evictions_do_not_take_that_of_the_command),
        cmocka_unit_test (test_room_evictions_stop_without_it),
        WITH_BED (test_room_is_kept_for_epochs_to_open),
        WITH_BED (test_room_a_key_may_be_logged_three_times),
        WITH_BED (test_room_a_large_value_needs_it_once),
        WITH_BED (test_room_bound_of_a_request_that_copies_what_it_sets),
        WITH_BED (test_room_bounds_cover_what_is_logged),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
