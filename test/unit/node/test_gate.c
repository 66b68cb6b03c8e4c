/* Goal: no reply leaves before the log has what it tells of (R3, H7), and what is durable holds up nobody.
 * Method: a log in memory that is durable up to where the test says; after each request, the lsn that
 * its reply is to wait for. */
#include "schema/slot.h"
#include "fake_log.h"
#include "server.h"

typedef struct {
    server_t server;
    fake_log_t log;
} bed_t;

static void s_open (bed_t *self)
{
    server_start (&self->server, SERVER_SHARDS, 0);
    fake_log_open (&self->log, SERVER_SHARDS);
    executor_set_sink (self->server.executor, &self->log.sink);
    for (uint32_t i = 0; i < SERVER_SHARDS; i++)
        assert_int_equal (executor_own (self->server.executor, i, 1), KV_OK);
    executor_set_durable (self->server.executor, self->log.bytes.size);
}

static int s_set_up (void **state)
{
    bed_t *self = malloc (sizeof *self);
    assert_non_null (self);
    s_open (self);
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

/* "a0" and "a1" live in shard 0, "b0" and "b1" in shard 1, and so on: digits before them see to that. */
static const char *s_named (const char *command, char text[256])
{
    size_t used = 0;
    for (const char *at = command; *at; at++) {
        bool is_key = *at >= 'a' && *at < 'a' + SERVER_SHARDS && (at == command || at[-1] == ' ');
        if (!is_key) {
            text[used++] = *at;
            continue;
        }
        char tag[16];
        uint32_t n = 0;
        do
            snprintf (tag, sizeof tag, "{%u}", n++);
        while (kv_shard_of (kv_slice_text (tag), SERVER_SHARDS) != (uint32_t)(*at - 'a'));
        used += (size_t)snprintf (text + used, 16, "%s", tag);
    }
    text[used] = '\0';
    return text;
}

static const char *s_ask (bed_t *self, const char *command)
{
    char text[256];
    return server_ask (&self->server, s_named (command, text));
}

static uint64_t s_end (const bed_t *self)
{
    return self->log.bytes.size;
}

static void s_sync (bed_t *self)
{
    executor_set_durable (self->server.executor, s_end (self));
}

/* Runs a command; the lsn that its reply waits for. */
static uint64_t s_gate (bed_t *self, const char *command)
{
    (void)s_ask (self, command);
    return executor_gate (self->server.executor);
}

/* It waits for the log's end, and for nothing once that is durable. */
static void s_expect_end (bed_t *self, const char *command)
{
    assert_true (s_gate (self, command) == s_end (self));
    assert_true (executor_gate (self->server.executor) > 0);
    s_sync (self);
    assert_int_equal (executor_gate (self->server.executor), 0);
}

static void test_gate_a_write_waits_for_its_own_record (void **state)
{
    bed_t *self = *state;
    s_expect_end (self, "SET a0 v");
    s_expect_end (self, "INCR b0");
    s_expect_end (self, "DEL a0");
    s_expect_end (self, "MSET a0 1 b1 2 c0 3");
    s_expect_end (self, "RENAME a0 a1");
    s_expect_end (self, "FLUSHALL");
    assert_int_equal (s_gate (self, "SET a0 v XX"), 0); /* nothing was done, and all is durable */
}

static void test_gate_a_present_entry_waits_for_its_record (void **state)
{
    bed_t *self = *state;
    uint64_t set = s_gate (self, "SET a0 v");
    assert_int_equal (s_gate (self, "GET b0"), 0); /* another shard is none of its business */
    assert_true (s_gate (self, "GET a0") == set);
    assert_true (s_gate (self, "STRLEN a0") == set);
    assert_true (s_gate (self, "TTL a0") == set);
    assert_true (s_gate (self, "EXISTS a0") == set);
    assert_true (s_gate (self, "OBJECT VERSION a0") == set);
    assert_true (s_gate (self, "SET a0 w NX") == set); /* it failed: it has seen the entry */
    assert_true (s_gate (self, "SETNX a0 w") == set);
    assert_true (s_gate (self, "DELIFEQ a0 other") == set);
    executor_set_durable (self->server.executor, set - 1);
    assert_true (s_gate (self, "GET a0") == set);
    s_sync (self);
    assert_int_equal (s_gate (self, "GET a0"), 0);
}

/* DEL is not durable yet; GET says nil; the machine dies; GET says 1. */
static void test_gate_an_absence_waits_for_the_shard (void **state)
{
    bed_t *self = *state;
    s_gate (self, "SET a0 1");
    s_sync (self);
    uint64_t del = s_gate (self, "DEL a0");
    assert_string_equal (s_ask (self, "GET a0"), "nil");
    assert_true (executor_gate (self->server.executor) == del);
    assert_true (s_gate (self, "EXISTS a1") == del); /* it was never there, as far as we know */
    assert_true (s_gate (self, "RENAME a1 a0") == del);
    assert_true (s_gate (self, "DEL a1") == del);
    assert_int_equal (s_gate (self, "GET b0"), 0);
    s_sync (self);
    assert_int_equal (s_gate (self, "GET a0"), 0);
}

static void test_gate_meeting_an_expired_key_waits_for_its_deletion (void **state)
{
    bed_t *self = *state;
    s_gate (self, "SET a0 1 PX 10");
    s_sync (self);
    self->server.now_ms += 10;
    uint64_t before = s_end (self);
    assert_true (s_gate (self, "GET a0") > before); /* the delete was logged */
    assert_true (executor_gate (self->server.executor) == s_end (self));
}

static void test_gate_settled_entries_wait_for_nothing (void **state)
{
    bed_t *self = *state;
    s_gate (self, "SET a0 old");
    s_sync (self);
    s_gate (self, "SET a1 new"); /* `a0` is settled from here on */
    for (int i = 0; i < 100; i++) {
        assert_int_equal (s_gate (self, "GET a0"), 0);
        assert_true (s_gate (self, "GET a1") > 0);
        assert_true (s_gate (self, "GET a9") == s_end (self)); /* but not what is absent */
        s_gate (self, "SET a2 newest");
    }
    assert_true (s_gate (self, "MGET a0 a1") > 0);
    assert_int_equal (s_gate (self, "MGET a0"), 0);
    s_sync (self);
    s_gate (self, "SET a3 newer still");
    assert_int_equal (s_gate (self, "MGET a0 a1 a2"), 0);
}

/* While the newest record is being written again and again, what is older waits for the sync under way, not
 * for the next one. */
static void test_gate_older_entries_wait_for_less_than_the_newest (void **state)
{
    bed_t *self = *state;
    uint64_t older = s_gate (self, "SET a0 v");
    for (int i = 0; i < 10; i++) {
        uint64_t newer = s_gate (self, "SET a1 w");
        assert_true (newer > older);
        assert_true (s_gate (self, "GET a0") == older);
        assert_true (s_gate (self, "GET a1") == newer);
        assert_true (s_gate (self, "MGET a0 a1") == newer);
        assert_true (s_gate (self, "GET a2") == newer); /* absent */
    }
    executor_set_durable (self->server.executor, older);
    assert_int_equal (s_gate (self, "GET a0"), 0);
    assert_true (s_gate (self, "GET a1") == s_end (self));
}

static void test_gate_several_keys_wait_for_what_each_has_seen (void **state)
{
    bed_t *self = *state;
    uint64_t a = s_gate (self, "SET a0 v");
    uint64_t b = s_gate (self, "SET b0 v");
    uint64_t c = s_gate (self, "SET c0 v");
    assert_true (s_gate (self, "MGET a0") == a);
    assert_true (s_gate (self, "MGET a0 b0") == b);
    assert_true (s_gate (self, "MGET d0 a0 c0") == c);
    assert_true (s_gate (self, "EXISTS b0 a0 a5") == b);
    assert_true (s_gate (self, "TOUCH d0 d1") == 0);
    assert_true (s_gate (self, "MSETNX a0 1 a1 2") == a); /* `a0` is there */
    assert_true (s_gate (self, "COPY b0 b0") == 0);       /* refused for its form */
    assert_true (s_gate (self, "RENAMENX a0 a0") == a);
}

static void test_gate_what_looks_at_all_waits_for_the_logs_end (void **state)
{
    bed_t *self = *state;
    static const char *const commands[] = {"DBSIZE", "SIZE",      "KEYS *", "ALL",
                                           "SCAN 0", "RANDOMKEY", "INFO",   "SCAN 1"};
    s_gate (self, "SET a0 v");
    uint64_t end = s_gate (self, "SET b0 v");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        assert_true (s_gate (self, commands[i]) == end);
    s_sync (self);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        assert_int_equal (s_gate (self, commands[i]), 0);
}

static void test_gate_what_knows_no_data_waits_for_nothing (void **state)
{
    bed_t *self = *state;
    static const char *const commands[] = {"PING",       "ECHO x", "TIME",        "HELP",
                                           "COMMAND",    "NOSUCH", "GET",         "SHUTDOWN x",
                                           "INCR a0 a1", "SET",    "COMMAND LIST"};
    s_gate (self, "SET a0 v");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        assert_int_equal (s_gate (self, commands[i]), 0);
}

static void test_gate_a_batch_waits_for_all_its_commands (void **state)
{
    bed_t *self = *state;
    static const char *const commands[] = {"GET b0", "PING", "SET c0 v", "GET d0"};
    char text[256];
    uint64_t b = s_gate (self, "SET b0 v");
    writer_reset (&self->server.request);
    writer_reset (&self->server.reply);
    request_begin (&self->server.request, 1, 4, false);
    for (size_t i = 0; i < 4; i++)
        server_encode (&self->server.request, s_named (commands[i], text));
    kv_slice_t body = kv_slice (self->server.request.data, self->server.request.size);
    assert_int_equal (executor_run (self->server.executor, body, 1000000, &self->server.reply),
                      KV_OK);
    assert_true (executor_gate (self->server.executor) == s_end (self));
    assert_true (s_end (self) > b);
    assert_int_equal (s_gate (self, "PING"), 0); /* the next request begins anew */
    kv_slice_t junk = kv_slice_text ("\xc1");
    s_gate (self, "SET a0 v");
    assert_int_equal (executor_run (self->server.executor, junk, 0, &self->server.reply),
                      KV_BAD_REQUEST);
    assert_int_equal (executor_gate (self->server.executor), 0);
}

/* Runs a command whose request asks for that durability. */
static uint64_t s_gate_of (bed_t *self, const char *command, const char *durability)
{
    char text[256];
    server_t *s = &self->server;
    writer_reset (&s->request);
    writer_reset (&s->reply);
    request_begin (&s->request, 1, 1, true);
    server_encode (&s->request, s_named (command, text));
    writer_map (&s->request, 1);
    writer_cstr (&s->request, "durability");
    writer_cstr (&s->request, durability);
    assert_int_equal (executor_run (s->executor, kv_slice (s->request.data, s->request.size),
                                    s->now_ms, &s->reply),
                      KV_OK);
    return executor_gate (s->executor);
}

static void test_gate_a_request_may_want_a_sync (void **state)
{
    bed_t *self = *state;
    executor_t *executor = self->server.executor;
    assert_int_equal (s_gate_of (self, "SET a0 v", "fsync"), 0); /* refused: nobody keeps the log */
    assert_int_equal (s_gate (self, "EXISTS a0"), 0);
    executor_set_persistent (executor, 0);
    assert_true (s_gate_of (self, "SET a0 v", "fsync") == s_end (self));
    assert_true (executor_wants_sync (executor));
    assert_true (s_gate_of (self, "GET a0", "local") == s_end (self));
    assert_false (executor_wants_sync (executor));
    assert_true (s_gate_of (self, "GET a0", "fsync") == s_end (self));
    assert_true (executor_wants_sync (executor));
    s_sync (self);
    assert_int_equal (s_gate_of (self, "GET a0", "fsync"), 0);
    (void)s_gate (self, "SET a0 w");
    assert_false (executor_wants_sync (executor));
    kv_slice_t junk = kv_slice_text ("\xc1");
    (void)s_gate_of (self, "GET a0", "fsync");
    assert_int_equal (executor_run (executor, junk, 0, &self->server.reply), KV_BAD_REQUEST);
    assert_false (executor_wants_sync (executor));
}

/* Against a plain record of who wrote what when: at any time, with a log that is synced now and then, a
 * reply waits for no less than what it tells of; and for nothing if all of that is durable for long. */
static void test_gate_is_never_too_low (void **state)
{
    bed_t *self = *state;
    enum { KEYS = 24, STEPS = 20000 };
    uint64_t wrote[KEYS] = {0}; /* lsn behind the key's last write */
    uint64_t last[SERVER_SHARDS] = {0};
    uint64_t durable = s_end (self);
    uint64_t free_reads = 0;
    uint64_t random = fixture_seed ("gate");
    for (int i = 0; i < STEPS; i++) {
        char command[64];
        uint32_t key = (uint32_t)fixture_random (&random, KEYS);
        uint32_t shard = key % SERVER_SHARDS;
        uint64_t dice = fixture_random (&random, 10);
        if (dice == 0) {
            durable += fixture_random (&random, s_end (self) - durable + 1);
            executor_set_durable (self->server.executor, durable);
        }
        snprintf (command, sizeof command, "%s %c%u%s",
                  dice < 3   ? "SET"
                  : dice < 4 ? "DEL"
                             : "GET",
                  'a' + (int)shard, key, dice < 3 ? " v" : "");
        uint64_t before = s_end (self);
        bool absent = strcmp (s_ask (self, command), "nil") == 0;
        uint64_t gate = executor_gate (self->server.executor);
        if (s_end (self) > before)
            wrote[key] = last[shard] = s_end (self);
        uint64_t least = absent || dice == 3 ? last[shard] : wrote[key];
        if (least > durable)
            assert_true (gate >= least);
        assert_true (gate <= last[shard]);
        free_reads += dice > 3 && gate == 0 && last[shard] > durable;
    }
    assert_true (free_reads > STEPS / 100);
}

#define WITH_BED(test) cmocka_unit_test_setup_teardown (test, s_set_up, s_tear_down)

int main (void)
{
    const struct CMUnitTest tests[] = {
        WITH_BED (test_gate_a_write_waits_for_its_own_record),
        WITH_BED (test_gate_a_present_entry_waits_for_its_record),
        WITH_BED (test_gate_an_absence_waits_for_the_shard),
        WITH_BED (test_gate_meeting_an_expired_key_waits_for_its_deletion),
        WITH_BED (test_gate_settled_entries_wait_for_nothing),
        WITH_BED (test_gate_older_entries_wait_for_less_than_the_newest),
        WITH_BED (test_gate_several_keys_wait_for_what_each_has_seen),
        WITH_BED (test_gate_what_looks_at_all_waits_for_the_logs_end),
        WITH_BED (test_gate_what_knows_no_data_waits_for_nothing),
        WITH_BED (test_gate_a_batch_waits_for_all_its_commands),
        WITH_BED (test_gate_a_request_may_want_a_sync),
        WITH_BED (test_gate_is_never_too_low),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
