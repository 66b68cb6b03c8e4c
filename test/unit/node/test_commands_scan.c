/* Goal: SCAN and KEYS return what is there, shard by shard. Method: known keys, whole walks, cursors
 * of every kind, a shard that is not here. */
#include "server.h"

static void s_fill (server_t *s, int keys)
{
    char command[64];
    for (int i = 0; i < keys; i++) {
        snprintf (command, sizeof command, "SET key:%d v", i);
        EXPECT (s, command, "OK");
    }
}

/* Walks with `options`; counts the keys and the calls. */
static int s_walk (server_t *s, const char *options, int *calls)
{
    char cursor[32] = "0";
    int keys = 0;
    *calls = 0;
    do {
        char command[128];
        snprintf (command, sizeof command, "SCAN %s %s", cursor, options);
        const char *answer = server_ask (s, command);
        assert_int_equal (sscanf (answer, "[\"%31[0-9]\"", cursor), 1);
        const char *list = strstr (answer, ", [");
        assert_non_null (list);
        for (const char *at = list; (at = strstr (at, "key:")) != NULL; at++)
            keys++;
        ++*calls;
        assert_true (*calls < 10000);
    } while (strcmp (cursor, "0") != 0);
    return keys;
}

static void test_commands_scan_walks_all_shards (void **state)
{
    server_t *s = *state;
    int calls;
    assert_int_equal (s_walk (s, "", &calls), 0);
    assert_in_range (calls, SERVER_SHARDS, 4 * SERVER_SHARDS);
    s_fill (s, 1000);
    assert_int_equal (s_walk (s, "", &calls), 1000);
    assert_in_range (calls, 1000 / 25, 1000 / 8); /* a little more than ten keys a time */
    assert_int_equal (s_walk (s, "COUNT 100", &calls), 1000);
    assert_in_range (calls, 6, 20);
    assert_int_equal (s_walk (s, "COUNT 1", &calls), 1000);
    assert_int_equal (s_walk (s, "MATCH key:1?", &calls), 10);
    assert_int_equal (s_walk (s, "match key:[12]? count 50", &calls), 20);
    assert_int_equal (s_walk (s, "MATCH nothing", &calls), 0);
}

static void test_commands_scan_passes_over_what_has_expired (void **state)
{
    server_t *s = *state;
    int calls;
    s_fill (s, 100);
    for (int i = 0; i < 40; i++) {
        char command[64];
        snprintf (command, sizeof command, "PEXPIRE key:%d 10", i);
        EXPECT (s, command, "1");
    }
    s->now_ms += 10;
    assert_int_equal (s_walk (s, "", &calls), 60);
    EXPECT (s, "KEYS key:1", "[]");
    EXPECT (s, "KEYS key:41", "[\"key:41\"]");
    EXPECT (s, "DBSIZE", "60");
    while (executor_tick (s->executor, s->now_ms, 7))
        continue;
    assert_true (executor_stats (s->executor).keys == 60);
    assert_true (executor_stats (s->executor).expired_keys == 40);
    EXPECT (s, "DBSIZE", "60");
}

static void test_commands_scan_refuses_bad_arguments (void **state)
{
    server_t *s = *state;
    EXPECT (s, "SCAN x", "!BAD_VALUE ERR invalid cursor");
    EXPECT (s, "SCAN -1", "!BAD_VALUE ERR invalid cursor");
    EXPECT (s, "SCAN 01", "!BAD_VALUE ERR invalid cursor");
    EXPECT (s, "SCAN 4", "!BAD_VALUE ERR invalid cursor");                   /* shard 4 of 0..3 */
    EXPECT (s, "SCAN 4611686018427387904", "!BAD_VALUE ERR invalid cursor"); /* 2^62 */
    EXPECT (s, "SCAN 99999999999999999999", "!BAD_VALUE ERR invalid cursor");
    EXPECT (s, "SCAN 4611686018427371520", "[\"1\", []]"); /* the last place of shard 0 */
    EXPECT (s, "SCAN 3", "[\"0\", []]");
    EXPECT (s, "SCAN 0 COUNT", "!SYNTAX ERR syntax error");
    EXPECT (s, "SCAN 0 COUNT 0", "!SYNTAX ERR syntax error");
    EXPECT (s, "SCAN 0 COUNT x", "!BAD_VALUE ERR value is not an integer or out of range");
    EXPECT (s, "SCAN 0 TYPE string", "!SYNTAX ERR syntax error");
    EXPECT (s, "SCAN 0 MATCH @1025", "!TOO_LARGE ERR the pattern has 1025 bytes; 1024 are allowed");
    EXPECT (s, "KEYS @1025", "!TOO_LARGE ERR the pattern has 1025 bytes; 1024 are allowed");
    EXPECT (s, "SCAN 0 COUNT 9223372036854775807", "[\"1\", []]");
}

static void test_commands_scan_work_is_bounded (void **state)
{
    server_t *s = *state;
    s_fill (s, 120000);
    int calls;
    s->shown[0] = '\0';
    /* 30,000 keys a shard, in 6,000 buckets or more: one call must not visit them all. */
    const char *answer = server_ask (s, "SCAN 0 COUNT 9223372036854775807 MATCH nothing");
    assert_string_not_equal (answer, "[\"1\", []]");
    assert_int_equal (s_walk (s, "COUNT 1000000 MATCH nothing", &calls), 0);
    assert_in_range (calls, 2 * SERVER_SHARDS, 4 * SERVER_SHARDS);
}

static void test_commands_keys (void **state)
{
    server_t *s = *state;
    EXPECT (s, "KEYS *", "[]");
    EXPECT (s, "MSET one 1 two 2 three 3", "OK");
    EXPECT (s, "KEYS t[v-x]*", "[\"two\"]");
    EXPECT (s, "KEYS one", "[\"one\"]");
    assert_non_null (strstr (server_ask (s, "KEYS *"), "\"three\""));
    EXPECT (s, "DBSIZE", "3");
}

static void test_commands_scan_moved_shard (void **state)
{
    server_t *s = *state;
    executor_disown (s->executor, 2);
    EXPECT (s, "SCAN 2", "!MOVED MOVED 2 to a node unknown here; ask the broker");
    executor_set_owner (s->executor, 2, "node2", "tcp://10.0.0.2:7102", 9);
    EXPECT (s, "SCAN 2", "!MOVED MOVED 2 tcp://10.0.0.2:7102");
    EXPECT (s, "SCAN 1", "[\"2\", []]"); /* the walk goes on elsewhere */
    EXPECT (s, "KEYS *", "[]");
    EXPECT (s, "DBSIZE", "0");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER (test_commands_scan_walks_all_shards),
        WITH_SERVER (test_commands_scan_passes_over_what_has_expired),
        WITH_SERVER (test_commands_scan_refuses_bad_arguments),
        WITH_SERVER (test_commands_scan_work_is_bounded),
        WITH_SERVER (test_commands_keys),
        WITH_SERVER (test_commands_scan_moved_shard),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
