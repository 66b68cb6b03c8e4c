/* Goal: one result per command whatever comes in (X1), replies within their limit (X2), nothing
 * served from shards that are elsewhere (X3). Method: hand-made requests of every odd kind. */
#include "schema/slot.h"
#include "server.h"

/* Runs what is in server->request; returns the decoded reply. */
static reply_t s_run (server_t *s)
{
    writer_reset (&s->reply);
    kv_status_t status = executor_run (s->executor, kv_slice (s->request.data, s->request.size),
                                       s->now_ms, &s->reply);
    assert_int_equal (status, KV_OK);
    reply_t reply;
    status = reply_decode (kv_slice (s->reply.data, s->reply.size), &reply);
    assert_int_equal (status, KV_OK);
    return reply;
}

static result_t s_next (reply_t *reply)
{
    result_t result;
    kv_status_t status = result_next (reply, &result);
    assert_int_equal (status, KV_OK);
    return result;
}

static void s_expect_refusal (server_t *s, kv_status_t code, const char *text)
{
    reply_t reply = s_run (s);
    assert_int_equal (reply.count, 1);
    result_t result = s_next (&reply);
    assert_int_equal (result.status, code);
    assert_int_equal (result.text.size, strlen (text));
    assert_memory_equal (result.text.data, text, result.text.size);
}

static void test_executor_answers_each_command_of_a_batch_in_order (void **state)
{
    server_t *s = *state;
    enum { COUNT = 1000 };
    request_begin (&s->request, 42, COUNT, false);
    for (int i = 0; i < COUNT; i++) {
        char command[64];
        snprintf (command, sizeof command, "INCRBY n%d %d", i % 100, i);
        server_encode (&s->request, command);
    }
    reply_t reply = s_run (s);
    assert_true (reply.id == 42);
    assert_int_equal (reply.count, COUNT); // X1
    int64_t sums[100] = {0};
    for (int i = 0; i < COUNT; i++) {
        result_t result = s_next (&reply);
        reader_t at = reader_make (result.value);
        int64_t number;
        assert_int_equal (reader_int (&at, &number), KV_OK);
        sums[i % 100] += i;
        assert_true (number == sums[i % 100]);
    }
    assert_true (executor_stats (s->executor).commands == COUNT);
    assert_true (executor_stats (s->executor).keys == 100);
}

static void test_executor_a_malformed_command_keeps_its_whole_batch_from_running (void **state)
{
    server_t *s = *state;
    for (int form = 1; form < 5; form++) {
        writer_reset (&s->request);
        request_begin (&s->request, 1, 2, false);
        server_encode (&s->request, "SET k v");
        writer_array (&s->request, form == 1 ? 0 : 2);
        if (form == 2)
            writer_int (&s->request, 1); /* a name that is no string */
        if (form > 2)
            writer_cstr (&s->request, "GET");
        if (form == 3)
            writer_nil (&s->request);
        if (form == 4)
            writer_array (&s->request, 0);
        if (form == 2)
            writer_cstr (&s->request, "k");
        reply_t reply = s_run (s);
        assert_int_equal (reply.count, 1);
        assert_int_equal (s_next (&reply).status, KV_BAD_REQUEST);
        EXPECT (s, "GET k", "nil");
    }
}

static void test_executor_takes_numbers_as_arguments (void **state)
{
    server_t *s = *state;
    request_begin (&s->request, 1, 1, false);
    writer_array (&s->request, 3);
    writer_cstr (&s->request, "incrby");
    writer_int (&s->request, 7);
    writer_int (&s->request, 35);
    reply_t reply = s_run (s);
    assert_int_equal (s_next (&reply).status, KV_OK);
    EXPECT (s, "GET 7", "\"35\"");
}

static void test_executor_refuses_whole_requests (void **state)
{
    server_t *s = *state;
    kv_slice_t junk = kv_slice_text ("\xc1 no msgpack");
    writer_reset (&s->reply);
    assert_int_equal (executor_run (s->executor, junk, 0, &s->reply), KV_BAD_REQUEST);
    assert_int_equal (s->reply.size, 0);
    assert_int_equal (executor_run (s->executor, kv_slice ("", 0), 0, &s->reply), KV_BAD_REQUEST);
    request_begin (&s->request, 9, 0, false);
    s_expect_refusal (s, KV_BAD_REQUEST, "ERR a batch holds one command at least");
    writer_reset (&s->request);
    request_begin (&s->request, 9, 1, false);
    s->request.data[1] = 2;
    server_encode (&s->request, "PING");
    s_expect_refusal (s, KV_BAD_VERSION, "ERR this server speaks protocol version 1");
}

typedef struct {
    const char *name;
    const char *text; /* a value that is text, or */
    uint64_t number;  /* a number, or */
    bool session;     /* 16 bytes */
} option_t;

static void s_encode_with (server_t *s, const char *command, option_t option)
{
    writer_reset (&s->request);
    request_begin (&s->request, 1, 1, true);
    server_encode (&s->request, command);
    writer_map (&s->request, 1);
    writer_cstr (&s->request, option.name);
    if (option.session)
        writer_bin (&s->request, kv_slice ("0123456789abcdef", 16));
    else if (option.text)
        writer_cstr (&s->request, option.text);
    else
        writer_uint (&s->request, option.number);
}

static void test_executor_options (void **state)
{
    server_t *s = *state;
    const char *no_sessions =
        "ERR sessions are not served by this version; leave out 'session' and 'seq'";
    s_encode_with (s, "SET k v", (option_t){.name = "session", .session = true});
    s_expect_refusal (s, KV_NOT_SUPPORTED, no_sessions);
    s_encode_with (s, "SET k v", (option_t){.name = "seq", .number = 1});
    s_expect_refusal (s, KV_NOT_SUPPORTED, no_sessions);
    s_encode_with (s, "SET k v", (option_t){.name = "epoch", .number = 1});
    s_expect_refusal (s, KV_NOT_SUPPORTED,
                      "ERR epochs are not served by this version; leave out 'epoch'");
    s_encode_with (s, "SET k v", (option_t){.name = "durability", .text = "fsync"});
    s_expect_refusal (s, KV_NOT_SUPPORTED,
                      "ERR durability 'fsync' needs a log; set kvdb.persistence.fsync to always, "
                      "interval or never, or ask for 'local' or 'replicated'");
    EXPECT (s, "GET k", "nil");
    const char *const fine[] = {"local", "replicated"};
    for (int i = 0; i < 2; i++) {
        s_encode_with (s, "SET k v", (option_t){.name = "durability", .text = fine[i]});
        reply_t reply = s_run (s);
        assert_int_equal (s_next (&reply).status, KV_OK);
    }
    s_encode_with (s, "SET k v", (option_t){.name = "deadline_ms", .number = 5});
    reply_t reply = s_run (s);
    assert_int_equal (s_next (&reply).status, KV_OK);
}

static void test_executor_replaces_a_result_that_does_not_fit (void **state)
{
    server_t *s = *state;
    EXPECT (s, "SET k @1000", "OK");
    EXPECT (s, "SET small v", "OK");
    enum { COUNT = 20 };
    for (size_t limit = 4000; limit < 30000; limit += 777) {
        writer_reset (&s->request);
        request_begin (&s->request, 1, COUNT, false);
        for (int i = 0; i < COUNT; i++)
            server_encode (&s->request, i % 2 ? "GET small" : "MGET k k");
        writer_t small = writer_make (limit);
        kv_status_t status = executor_run (s->executor, kv_slice (s->request.data, s->request.size),
                                           s->now_ms, &small);
        assert_int_equal (status, KV_OK);
        assert_true (small.size <= limit);
        reply_t reply;
        status = reply_decode (kv_slice (small.data, small.size), &reply);
        assert_int_equal (status, KV_OK);
        assert_int_equal (reply.count, COUNT); // X1
        int fitted = 0;
        for (int i = 0; i < COUNT; i++) {
            result_t result = s_next (&reply);
            if (i % 2)
                assert_int_equal (result.status, KV_OK);
            else
                assert_true (result.status == KV_OK || result.status == KV_TOO_LARGE); // X2
            fitted += result.status == KV_OK;
        }
        assert_in_range (fitted, COUNT / 2, COUNT);
        writer_free (&small);
    }
}

static void test_executor_a_write_takes_effect_though_its_result_does_not_fit (void **state)
{
    server_t *s = *state;
    EXPECT (s, "SET k @1000", "OK");
    writer_reset (&s->request);
    request_begin (&s->request, 1, 1, false);
    server_encode (&s->request, "SET k new GET");
    writer_t small = writer_make (EXECUTOR_REPLY_BYTES_LEAST);
    writer_t filled = writer_make (1500);
    (void)writer_claim (&filled, 476); /* what other replies have taken already */
    kv_status_t status =
        executor_run (s->executor, kv_slice (s->request.data, s->request.size), s->now_ms, &filled);
    assert_int_equal (status, KV_OK);
    reply_t reply;
    status = reply_decode (kv_slice (filled.data + 476, filled.size - 476), &reply);
    assert_int_equal (status, KV_OK);
    assert_int_equal (s_next (&reply).status, KV_OK); /* 1000 bytes just fit into 1024 */
    EXPECT (s, "GET k", "\"new\"");
    EXPECT (s, "MSET a @1000 b @1000", "OK");
    writer_reset (&s->request);
    request_begin (&s->request, 1, 2, false);
    server_encode (&s->request, "SET a new GET");
    server_encode (&s->request, "GET a");
    status =
        executor_run (s->executor, kv_slice (s->request.data, s->request.size), s->now_ms, &small);
    assert_int_equal (status, KV_OK);
    status = reply_decode (kv_slice (small.data, small.size), &reply);
    assert_int_equal (status, KV_OK);
    assert_int_equal (s_next (&reply).status, KV_TOO_LARGE); /* room is kept for the second */
    assert_int_equal (s_next (&reply).status, KV_OK);
    EXPECT (s, "GET a", "\"new\"");
    writer_free (&small);
    writer_free (&filled);
}

static void test_executor_refuses_a_batch_whose_results_cannot_fit (void **state)
{
    server_t *s = *state;
    request_begin (&s->request, 3, 100, false);
    for (int i = 0; i < 100; i++)
        server_encode (&s->request, "INCR n");
    writer_t small = writer_make (2000);
    kv_status_t status =
        executor_run (s->executor, kv_slice (s->request.data, s->request.size), s->now_ms, &small);
    assert_int_equal (status, KV_OK);
    reply_t reply;
    status = reply_decode (kv_slice (small.data, small.size), &reply);
    assert_int_equal (status, KV_OK);
    assert_int_equal (reply.count, 1);
    assert_int_equal (s_next (&reply).status, KV_TOO_LARGE);
    EXPECT (s, "GET n", "nil"); /* nothing was executed */
    writer_free (&small);
}

static void test_executor_shards_elsewhere_are_moved (void **state)
{
    server_t *s = *state;
    uint32_t shard = kv_shard_of (kv_slice_text ("k"), SERVER_SHARDS);
    char moved[128];
    snprintf (moved, sizeof moved, "!MOVED MOVED %u to a node unknown here; ask the broker", shard);
    EXPECT (s, "SET k v", "OK");
    executor_disown (s->executor, shard);
    assert_false (executor_owns (s->executor, shard));
    EXPECT (s, "GET k", moved); // X3
    EXPECT (s, "SET k v", moved);
    EXPECT (s, "DEL k", moved);
    EXPECT (s, "MGET k", moved);
    EXPECT (s, "MSET k v", moved);
    EXPECT (s, "MSET other{k} v k w", moved);
    executor_set_owner (s->executor, shard, "node7", "tcp://127.0.0.1:7107", 12);
    snprintf (moved, sizeof moved, "!MOVED MOVED %u tcp://127.0.0.1:7107", shard);
    EXPECT (s, "GET k", moved);
    assert_int_equal (executor_own (s->executor, shard, 13), KV_OK);
    EXPECT (s, "GET k", "\"v\""); /* it was kept */
}

static void test_executor_moved_names_the_owner_in_its_details (void **state)
{
    server_t *s = *state;
    executor_disown (s->executor, 0);
    executor_set_owner (s->executor, 0, "node7", "tcp://127.0.0.1:7107", 12);
    request_begin (&s->request, 1, 1, false);
    server_encode (&s->request, "SCAN 0");
    reply_t reply = s_run (s);
    result_t result = s_next (&reply);
    assert_int_equal (result.status, KV_MOVED);
    reader_t at = reader_make (result.details);
    uint32_t count;
    assert_int_equal (reader_map (&at, &count), KV_OK);
    assert_int_equal (count, 4);
    const char *const texts[] = {"shard", NULL, "node", "node7", "endpoint", "tcp://127.0.0.1:7107",
                                 "epoch", NULL};
    const uint64_t numbers[] = {0, 0, 0, 0, 0, 0, 0, 12};
    for (int i = 0; i < 8; i++) {
        kv_slice_t text = {0};
        uint64_t number;
        if (texts[i]) {
            assert_int_equal (reader_bytes (&at, &text), KV_OK);
            assert_true (kv_slice_equal (text, kv_slice_text (texts[i])));
        } else {
            assert_int_equal (reader_uint (&at, &number), KV_OK);
            assert_true (number == numbers[i]);
        }
    }
}

static void test_executor_tick_is_fair_and_bounded (void **state)
{
    server_t *s = *state;
    for (int i = 0; i < 2000; i++) {
        char command[64];
        snprintf (command, sizeof command, "SET k%d v PX %d", i, 1 + i % 50);
        EXPECT (s, command, "OK");
    }
    assert_int_equal (executor_tick (s->executor, s->now_ms, 1000), 0);
    s->now_ms += 50;
    size_t done = 0;
    for (size_t step; (step = executor_tick (s->executor, s->now_ms, 100)) > 0; done += step)
        assert_true (step <= 100);
    assert_int_equal (done, 2000);
    assert_true (executor_stats (s->executor).keys == 0);
    assert_true (executor_stats (s->executor).expired_keys == 2000);
}

static void test_executor_many_keys_in_one_command (void **state)
{
    server_t *s = *state;
    enum { KEYS = 20000 };
    const char *const names[] = {"MSET", "MGET", "EXISTS", "DEL"};
    for (int command = 0; command < 4; command++) {
        writer_reset (&s->request);
        request_begin (&s->request, 1, 1, false);
        writer_array (&s->request, command == 0 ? 1 + 2 * KEYS : 1 + KEYS);
        writer_cstr (&s->request, names[command]);
        for (int i = 0; i < KEYS; i++) {
            writer_int (&s->request, i);
            if (command == 0)
                writer_int (&s->request, -i);
        }
        reply_t reply = s_run (s);
        result_t result = s_next (&reply);
        assert_int_equal (result.status, KV_OK);
        reader_t at = reader_make (result.value);
        int64_t number;
        uint32_t count;
        if (command == 1) {
            assert_int_equal (reader_array (&at, &count), KV_OK);
            assert_int_equal (count, KEYS);
        } else if (command > 1) {
            assert_int_equal (reader_int (&at, &number), KV_OK);
            assert_int_equal (number, KEYS);
        }
    }
    EXPECT (s, "DBSIZE", "0");
}

static void test_executor_while_loading_serves_nobody (void **state)
{
    server_t *s = *state;
    const char *loading = "!LOADING LOADING KvDB is loading the dataset in memory";
    static const char *const refused[] = {"GET k",    "SET k v",          "MGET k l", "DBSIZE",
                                          "SCAN 0",   "KEYS *",           "SAVE",     "BGSAVE",
                                          "FLUSHALL", "OBJECT ENCODING k"};
    static const char *const served[] = {"PING", "ECHO x", "TIME", "HELP", "COMMAND COUNT", "INFO"};
    EXPECT (s, "SET k v", "OK");
    executor_set_persistent (s->executor, 5);
    executor_set_loading (s->executor, true);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        EXPECT (s, refused[i], loading);
    EXPECT (s, "LASTSAVE", loading);
    for (size_t i = 0; i < sizeof served / sizeof served[0]; i++)
        assert_int_not_equal (server_ask (s, served[i])[0], '!');
    EXPECT (s, "GET", "!WRONG_ARITY ERR wrong number of arguments for 'get' command");
    assert_int_equal (executor_take_snapshot_wish (s->executor), SNAPSHOT_WISH_NONE);
    executor_set_loading (s->executor, false);
    EXPECT (s, "GET k", "\"v\"");
    EXPECT (s, "LASTSAVE", "5");
}

static void test_executor_counters_do_not_fall_with_a_shard (void **state)
{
    server_t *s = *state;
    EXPECT (s, "SET k v PX 1", "OK");
    s->now_ms++;
    EXPECT (s, "GET k", "nil");
    assert_int_equal (executor_stats (s->executor).expired_keys, 1);
    for (uint32_t i = 0; i < SERVER_SHARDS; i++)
        executor_disown (s->executor, i);
    assert_int_equal (executor_stats (s->executor).expired_keys, 1);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER (test_executor_answers_each_command_of_a_batch_in_order),
        WITH_SERVER (test_executor_a_malformed_command_keeps_its_whole_batch_from_running),
        WITH_SERVER (test_executor_takes_numbers_as_arguments),
        WITH_SERVER (test_executor_refuses_whole_requests),
        WITH_SERVER (test_executor_options),
        WITH_SERVER (test_executor_replaces_a_result_that_does_not_fit),
        WITH_SERVER (test_executor_a_write_takes_effect_though_its_result_does_not_fit),
        WITH_SERVER (test_executor_refuses_a_batch_whose_results_cannot_fit),
        WITH_SERVER (test_executor_shards_elsewhere_are_moved),
        WITH_SERVER (test_executor_moved_names_the_owner_in_its_details),
        WITH_SERVER (test_executor_tick_is_fair_and_bounded),
        WITH_SERVER (test_executor_many_keys_in_one_command),
        WITH_SERVER (test_executor_while_loading_serves_nobody),
        WITH_SERVER (test_executor_counters_do_not_fall_with_a_shard),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
