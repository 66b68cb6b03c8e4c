/* Goal: each command means what it means to Redis 7, texts included. Method: a conversation per
 * command; the answers were compared with those of redis-server 7.0.15. */
#include "server.h"

#define NOT_INTEGER "!BAD_VALUE ERR value is not an integer or out of range"
#define SYNTAX "!SYNTAX ERR syntax error"
#define BAD_SET_EXPIRY "!BAD_VALUE ERR invalid expire time in 'set' command"
#define BAD_EXPIRY "!BAD_VALUE ERR invalid expire time in 'expire' command"

static void test_commands_set_and_get (void **state)
{
    server_t *s = *state;
    EXPECT (s, "GET k", "nil");
    EXPECT (s, "SET k v", "OK");
    EXPECT (s, "get k", "\"v\"");
    EXPECT (s, "SET k \"\"", "OK");
    EXPECT (s, "GET k", "\"\"");
    EXPECT (s, "GET", "!WRONG_ARITY ERR wrong number of arguments for 'get' command");
    EXPECT (s, "SET k", "!WRONG_ARITY ERR wrong number of arguments for 'set' command");
    EXPECT (s, "NOSUCH k",
            "!UNKNOWN_COMMAND ERR unknown command 'NOSUCH'; HELP lists those there "
            "are");
    EXPECT (s, "SET \"\" v", "!BAD_VALUE ERR a key has 1 byte at least; this one is empty");
    EXPECT (s, "GET @65537", "!TOO_LARGE ERR the key has 65537 bytes; 65536 are allowed");
    EXPECT (s, "SET @65536 v", "OK");
    EXPECT (s, "GET @65536", "\"v\"");
}

static void test_commands_set_conditions (void **state)
{
    server_t *s = *state;
    EXPECT (s, "SET k 1 XX", "nil");
    EXPECT (s, "SET k 1 NX", "OK");
    EXPECT (s, "SET k 2 NX", "nil");
    EXPECT (s, "SET k 2 xx", "OK");
    EXPECT (s, "SET k 3 GET", "\"2\"");
    EXPECT (s, "SET k 4 NX GET", "\"3\"");
    EXPECT (s, "SET k 4 GET XX", "\"3\"");
    EXPECT (s, "SET n 1 NX GET", "nil");
    EXPECT (s, "GET n", "\"1\"");
    EXPECT (s, "SET m 1 XX GET", "nil");
    EXPECT (s, "GET m", "nil");
    EXPECT (s, "SET k 1 NX XX", SYNTAX);
    EXPECT (s, "SET k 1 XX NX", SYNTAX);
    EXPECT (s, "SET k 1 NX NX", "nil");
    EXPECT (s, "SET k 1 FOO", SYNTAX);
    EXPECT (s, "GET k", "\"4\"");
}

static void test_commands_set_expiry (void **state)
{
    server_t *s = *state;
    EXPECT (s, "SET k v EX 10", "OK");
    EXPECT (s, "PTTL k", "10000");
    EXPECT (s, "SET k v px 1500", "OK");
    EXPECT (s, "PTTL k", "1500");
    EXPECT (s, "SET k w KEEPTTL", "OK");
    EXPECT (s, "PTTL k", "1500");
    EXPECT (s, "SET k w", "OK");
    EXPECT (s, "PTTL k", "-1");
    EXPECT (s, "SET k v EXAT 1001", "OK");
    EXPECT (s, "PTTL k", "1000");
    EXPECT (s, "SET k v PXAT 1000001", "OK");
    EXPECT (s, "PTTL k", "1");
    s->now_ms++;
    EXPECT (s, "GET k", "nil");
    EXPECT (s, "SET k v PXAT 1", "OK"); /* in the past: gone at once */
    EXPECT (s, "EXISTS k", "0");
    EXPECT (s, "SET k v", "OK");
    EXPECT (s, "SET k w EXAT 1 GET", "\"v\"");
    EXPECT (s, "EXISTS k", "0");
    EXPECT (s, "SET k v EX 10 EX 20", "OK");
    EXPECT (s, "PTTL k", "20000");
    EXPECT (s, "SET k v KEEPTTL KEEPTTL NX", "nil");
}

static void test_commands_set_refuses_bad_expiry (void **state)
{
    server_t *s = *state;
    EXPECT (s, "SET k v EX", SYNTAX);
    EXPECT (s, "SET k v EX 10 PX 10", SYNTAX);
    EXPECT (s, "SET k v EX 10 KEEPTTL", SYNTAX);
    EXPECT (s, "SET k v KEEPTTL EX 10", SYNTAX);
    EXPECT (s, "SET k v EX ten", NOT_INTEGER);
    EXPECT (s, "SET k v EX 1.5", NOT_INTEGER);
    EXPECT (s, "SET k v EX 0", BAD_SET_EXPIRY);
    EXPECT (s, "SET k v PX -1", BAD_SET_EXPIRY);
    EXPECT (s, "SET k v EXAT 0", BAD_SET_EXPIRY);
    EXPECT (s, "SET k v EX 9223372036854775807", BAD_SET_EXPIRY);
    EXPECT (s, "SET k v EX 9223372036854775", BAD_SET_EXPIRY);
    EXPECT (s, "SET k v PX 9223372036854775807", BAD_SET_EXPIRY);
    EXPECT (s, "SET k v PXAT 9223372036854775807", "OK");
    EXPECT (s, "TTL k", "9223372036853776"); /* (2^63 - 1 - 10^6 + 500) / 1000 */
    EXPECT (s, "SET k v EX ten FOO", SYNTAX);
}

static void test_commands_expire_and_ttl (void **state)
{
    server_t *s = *state;
    EXPECT (s, "EXPIRE k 10", "0");
    EXPECT (s, "TTL k", "-2");
    EXPECT (s, "SET k v", "OK");
    EXPECT (s, "TTL k", "-1");
    EXPECT (s, "EXPIRE k 10", "1");
    EXPECT (s, "TTL k", "10");
    s->now_ms += 1500;
    EXPECT (s, "TTL k", "9"); /* 8500 ms: rounded to the nearest, halves up */
    EXPECT (s, "PTTL k", "8500");
    s->now_ms++;
    EXPECT (s, "TTL k", "8");
    EXPECT (s, "PERSIST k", "1");
    EXPECT (s, "PERSIST k", "0");
    EXPECT (s, "PERSIST none", "0");
    EXPECT (s, "PEXPIRE k 1", "1");
    EXPECT (s, "GET k", "\"v\"");
    s->now_ms++;
    EXPECT (s, "GET k", "nil");
    EXPECT (s, "PERSIST k", "0");
    EXPECT (s, "SET k v", "OK");
    EXPECT (s, "EXPIRE k 0", "1");
    EXPECT (s, "GET k", "nil");
    EXPECT (s, "SET k v", "OK");
    EXPECT (s, "PEXPIRE k -5", "1");
    EXPECT (s, "GET k", "nil");
}

static void test_commands_expire_refuses_what_overflows (void **state)
{
    server_t *s = *state;
    EXPECT (s, "SET k v", "OK");
    EXPECT (s, "EXPIRE k ten", NOT_INTEGER);
    EXPECT (s, "EXPIRE k 9223372036854775807", BAD_EXPIRY);
    EXPECT (s, "EXPIRE k 9223372036854775", BAD_EXPIRY);
    EXPECT (s, "EXPIRE k -9223372036854775808", BAD_EXPIRY);
    EXPECT (s, "PEXPIRE k 9223372036854775807",
            "!BAD_VALUE ERR invalid expire time in 'pexpire' command");
    EXPECT (s, "TTL k", "-1");
    EXPECT (s, "PEXPIRE k -9223372036854775808", "1");
    EXPECT (s, "GET k", "nil");
    EXPECT (s, "EXPIRE none 9223372036854775807", BAD_EXPIRY); /* before the key is looked up */
}

static void test_commands_numbers (void **state)
{
    server_t *s = *state;
    EXPECT (s, "INCR n", "1");
    EXPECT (s, "INCRBY n 41", "42");
    EXPECT (s, "DECR n", "41");
    EXPECT (s, "DECRBY n 50", "-9");
    EXPECT (s, "GET n", "\"-9\"");
    EXPECT (s, "EXPIRE n 10", "1");
    EXPECT (s, "INCRBY n 1000000", "999991");
    EXPECT (s, "TTL n", "10"); /* stays */
    EXPECT (s, "INCRBY n x", NOT_INTEGER);
    EXPECT (s, "INCRBY n 01", NOT_INTEGER);
    EXPECT (s, "SET n 9223372036854775807", "OK");
    EXPECT (s, "INCR n", "!BAD_VALUE ERR increment or decrement would overflow");
    EXPECT (s, "DECRBY n -1", "!BAD_VALUE ERR increment or decrement would overflow");
    EXPECT (s, "DECRBY n -9223372036854775808", "!BAD_VALUE ERR decrement would overflow");
    EXPECT (s, "INCRBY n -9223372036854775808", "-1");
    EXPECT (s, "SET n \" 1\"", "OK");
    EXPECT (s, "INCR n", NOT_INTEGER);
    EXPECT (s, "SET n \"\"", "OK");
    EXPECT (s, "INCR n", NOT_INTEGER);
}

static void test_commands_append_and_strlen (void **state)
{
    server_t *s = *state;
    EXPECT (s, "STRLEN k", "0");
    EXPECT (s, "APPEND k ab", "2");
    EXPECT (s, "EXPIRE k 10", "1");
    EXPECT (s, "APPEND k cd", "4");
    EXPECT (s, "APPEND k \"\"", "4");
    EXPECT (s, "GET k", "\"abcd\"");
    EXPECT (s, "TTL k", "10");
    EXPECT (s, "STRLEN k", "4");
    EXPECT (s, "APPEND new \"\"", "0");
    EXPECT (s, "EXISTS new", "1");
    EXPECT (s, "APPEND k @997", "!TOO_LARGE ERR the value has 1001 bytes; 1000 are allowed");
    EXPECT (s, "APPEND k @996", "1000");
    EXPECT (s, "STRLEN k", "1000");
}

static void test_commands_several_keys (void **state)
{
    server_t *s = *state;
    EXPECT (s, "MSET a 1 b 2 c 3", "OK");
    EXPECT (s, "MGET a none c a", "[\"1\", nil, \"3\", \"1\"]");
    EXPECT (s, "MSET a 1 b", "!WRONG_ARITY ERR wrong number of arguments for 'mset' command");
    EXPECT (s, "MSET a x a y", "OK");
    EXPECT (s, "GET a", "\"y\"");
    EXPECT (s, "EXPIRE a 10", "1");
    EXPECT (s, "MSET a z", "OK");
    EXPECT (s, "TTL a", "-1");
    EXPECT (s, "MSET a new d @1001", "!TOO_LARGE ERR the value has 1001 bytes; 1000 are allowed");
    EXPECT (s, "GET a", "\"z\""); /* nothing was changed */
    EXPECT (s, "EXISTS a b a none", "3");
    EXPECT (s, "DEL a none a", "1");
    EXPECT (s, "UNLINK b c", "2");
    EXPECT (s, "DBSIZE", "0");
}

static void test_commands_server (void **state)
{
    server_t *s = *state;
    EXPECT (s, "PING", "PONG");
    EXPECT (s, "PING hello", "\"hello\"");
    EXPECT (s, "PING a b", "!WRONG_ARITY ERR wrong number of arguments for 'ping' command");
    EXPECT (s, "ECHO \"a b\"", "\"a b\"");
    EXPECT (s, "HELP get", "GET key\n    Return the value of a key  [@string]");
    EXPECT (s, "HELP nosuch",
            "!UNKNOWN_COMMAND ERR no command or group 'nosuch'; HELP lists those there are");
    EXPECT (s, "SHUTDOWN node1", "!NOT_SUPPORTED ERR 'SHUTDOWN' is served by the broker");
    EXPECT (s, "TOPOLOGY", "!NOT_SUPPORTED ERR 'TOPOLOGY' is served by the broker");
}

static void test_commands_flushall (void **state)
{
    server_t *s = *state;
    const char *const forms[] = {"FLUSHALL", "FLUSHALL async", "FLUSHALL SYNC"};
    for (int i = 0; i < 3; i++) {
        for (int key = 0; key < 5000; key++) {
            char command[64];
            snprintf (command, sizeof command, "SET k%d v EX 100", key);
            EXPECT (s, command, "OK");
        }
        EXPECT (s, forms[i], "OK");
        EXPECT (s, "DBSIZE", "0");
        EXPECT (s, "GET k1", "nil");
        EXPECT (s, "SET k1 v", "OK");
        while (executor_tick (s->executor, s->now_ms, 100))
            continue;
        EXPECT (s, "GET k1", "\"v\"");
        EXPECT (s, "DBSIZE", "1");
    }
    EXPECT (s, "FLUSHALL now", SYNTAX);
}

static const char *s_info (void *context)
{
    (void)context;
    return "# Server\nuptime_in_seconds:7\n\n# Replication\nrole:owner\n";
}

static void test_commands_info (void **state)
{
    server_t *s = *state;
    executor_set_info (s->executor, s_info, NULL);
    EXPECT (s, "SET k v", "OK");
    EXPECT (s, "GET k", "\"v\"");
    EXPECT (s, "GET none", "nil");
    EXPECT (s, "INFO server",
            "# Server\r\nkvdb_version:1.2.3\r\nnode_id:node1\r\nmax_value_bytes:1000\r\n"
            "uptime_in_seconds:7\r\n");
    EXPECT (s, "INFO replication keyspace",
            "# Keyspace\r\nshards:4\r\nkeys:1\r\nexpires:0\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n"
            "\r\n# Replication\r\nrole:owner\r\n");
    EXPECT (s, "INFO nosuch", "");
    EXPECT (s, "INFO Stats",
            "# Stats\r\ntotal_commands_processed:6\r\ntotal_error_replies:0\r\n"
            "expired_keys:0\r\nevicted_keys:0\r\nkeyspace_hits:1\r\nkeyspace_misses:1\r\n");
    assert_non_null (strstr (server_ask (s, "INFO"), "used_memory:"));
    assert_non_null (strstr (server_ask (s, "INFO everything"), "# Replication"));
    EXPECT (s, "INCR k", NOT_INTEGER);
    EXPECT (s, "GET", "!WRONG_ARITY ERR wrong number of arguments for 'get' command");
    assert_null (strstr (server_ask (s, "INFO"), "cmdstat_"));
    const char *stats = server_ask (s, "INFO commandstats");
    assert_non_null (strstr (stats, "cmdstat_get:calls=2,rejected_calls=1,failed_calls=0\r\n"));
    assert_non_null (strstr (stats, "cmdstat_incr:calls=1,rejected_calls=0,failed_calls=1\r\n"));
    assert_non_null (strstr (server_ask (s, "INFO all"), "cmdstat_"));
    executor_set_info (s->executor, NULL, NULL);
    assert_null (strstr (server_ask (s, "INFO"), "# Replication"));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER (test_commands_set_and_get),
        WITH_SERVER (test_commands_set_conditions),
        WITH_SERVER (test_commands_set_expiry),
        WITH_SERVER (test_commands_set_refuses_bad_expiry),
        WITH_SERVER (test_commands_expire_and_ttl),
        WITH_SERVER (test_commands_expire_refuses_what_overflows),
        WITH_SERVER (test_commands_numbers),
        WITH_SERVER (test_commands_append_and_strlen),
        WITH_SERVER (test_commands_several_keys),
        WITH_SERVER (test_commands_server),
        WITH_SERVER (test_commands_flushall),
        WITH_SERVER (test_commands_info),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
