/* Goal: as test_commands.c, for the commands that compare, exchange, rename and describe.
 * Method: a conversation per command; test/integration/test_redis_parity.py has the same against a
 * redis-server. */
#include "server.h"

#define NOT_INTEGER "!BAD_VALUE ERR value is not an integer or out of range"
#define NOT_FLOAT "!BAD_VALUE ERR value is not a valid float"
#define SYNTAX "!SYNTAX ERR syntax error"
#define FIRST_VERSION "1099511627777" /* epoch 1, record 1 */

static void test_commands_set_if_equal (void **state)
{
    server_t *s = *state;
    EXPECT (s, "SET k v IFEQ v", "nil");
    EXPECT (s, "SET k v", "OK");
    EXPECT (s, "SET k w IFEQ x", "nil");
    EXPECT (s, "SET k w IFEQ v", "OK");
    EXPECT (s, "SET k x IFEQ y GET", "\"w\"");
    EXPECT (s, "GET k", "\"w\"");
    EXPECT (s, "SET k x GET IFEQ w EX 10", "\"w\"");
    EXPECT (s, "GET k", "\"x\"");
    EXPECT (s, "TTL k", "10");
    EXPECT (s, "SET k y IFEQ x KEEPTTL", "OK");
    EXPECT (s, "TTL k", "10");
    EXPECT (s, "SET k \"\" IFEQ y", "OK");
    EXPECT (s, "SET k v IFEQ \"\"", "OK");
    EXPECT (s, "SET k v IFEQ", SYNTAX);
    EXPECT (s, "SET k v NX IFEQ v", SYNTAX);
    EXPECT (s, "SET k v IFEQ v IFEQ v", SYNTAX);
    EXPECT (s, "SET k v IFEQ v XX", SYNTAX);
}

static void test_commands_set_if_version (void **state)
{
    server_t *s = *state;
    EXPECT (s, "GETVER k", "nil");
    EXPECT (s, "SET k v IFVER 7", "nil");
    EXPECT (s, "SET k v IFVER 0", "OK");
    EXPECT (s, "SET k v IFVER 0", "nil");
    EXPECT (s, "GETVER k", "[\"v\", " FIRST_VERSION "]");
    EXPECT (s, "OBJECT VERSION k", FIRST_VERSION);
    EXPECT (s, "SET k w IFVER " FIRST_VERSION, "OK");
    EXPECT (s, "SET k x IFVER " FIRST_VERSION, "nil");
    EXPECT (s, "GETVER k", "[\"w\", 1099511627778]");
    EXPECT (s, "EXPIRE k 10", "1"); /* a write to the key as well */
    EXPECT (s, "SET k x IFVER 1099511627778 GET", "\"w\"");
    EXPECT (s, "SET k x IFVER 1099511627779 GET KEEPTTL", "\"w\"");
    EXPECT (s, "GETVER k", "[\"x\", 1099511627780]");
    EXPECT (s, "SET k x IFVER -1", NOT_INTEGER);
    EXPECT (s, "SET k x IFVER 18446744073709551615", "nil");
    EXPECT (s, "SET k x IFVER 18446744073709551616", NOT_INTEGER);
    EXPECT (s, "SET k x IFVER 01", NOT_INTEGER);
    EXPECT (s, "SET k x IFVER 1 IFEQ x", SYNTAX);
}

static void test_commands_setnx_and_kin (void **state)
{
    server_t *s = *state;
    EXPECT (s, "SETNX k v", "1");
    EXPECT (s, "SETNX k w", "0");
    EXPECT (s, "SETEX k 10 x", "OK");
    EXPECT (s, "TTL k", "10");
    EXPECT (s, "PSETEX k 1500 y", "OK");
    EXPECT (s, "PTTL k", "1500");
    EXPECT (s, "GET k", "\"y\"");
    EXPECT (s, "SETEX k 0 v", "!BAD_VALUE ERR invalid expire time in 'setex' command");
    EXPECT (s, "PSETEX k -1 v", "!BAD_VALUE ERR invalid expire time in 'psetex' command");
    EXPECT (s, "SETEX k ten v", NOT_INTEGER);
    EXPECT (s, "SETEX k 10 @1001", "!TOO_LARGE ERR the value has 1001 bytes; 1000 are allowed");
    EXPECT (s, "GETSET k z", "\"y\"");
    EXPECT (s, "TTL k", "-1");
    EXPECT (s, "GETSET new v", "nil");
    EXPECT (s, "GETDEL k", "\"z\"");
    EXPECT (s, "GETDEL k", "nil");
    EXPECT (s, "DELIFEQ new w", "0");
    EXPECT (s, "DELIFEQ new v", "1");
    EXPECT (s, "DELIFEQ new v", "0");
}

static void test_commands_getex (void **state)
{
    server_t *s = *state;
    EXPECT (s, "GETEX k EX 0", "nil"); /* as Redis: the key is looked up first */
    EXPECT (s, "SET k v", "OK");
    EXPECT (s, "GETEX k", "\"v\"");
    EXPECT (s, "GETEX k EX 10", "\"v\"");
    EXPECT (s, "TTL k", "10");
    EXPECT (s, "GETEX k PERSIST", "\"v\"");
    EXPECT (s, "TTL k", "-1");
    EXPECT (s, "GETEX k PXAT 1001500", "\"v\"");
    EXPECT (s, "PTTL k", "1500");
    EXPECT (s, "GETEX k EX 0", "!BAD_VALUE ERR invalid expire time in 'getex' command");
    EXPECT (s, "GETEX k EX", SYNTAX);
    EXPECT (s, "GETEX k EX 1 PERSIST", SYNTAX);
    EXPECT (s, "GETEX k EX 1 PX 1", SYNTAX);
    EXPECT (s, "GETEX k EXAT 1", "\"v\""); /* in the past: gone */
    EXPECT (s, "EXISTS k", "0");
}

static void test_commands_ranges (void **state)
{
    server_t *s = *state;
    EXPECT (s, "GETRANGE k 0 -1", "\"\"");
    EXPECT (s, "SET k abcdef", "OK");
    EXPECT (s, "GETRANGE k 0 -1", "\"abcdef\"");
    EXPECT (s, "GETRANGE k 1 2", "\"bc\"");
    EXPECT (s, "GETRANGE k -2 -1", "\"ef\"");
    EXPECT (s, "GETRANGE k -1 -2", "\"\"");
    EXPECT (s, "GETRANGE k 0 -100", "\"a\"");
    EXPECT (s, "GETRANGE k -100 100", "\"abcdef\"");
    EXPECT (s, "GETRANGE k 6 9", "\"\"");
    EXPECT (s, "GETRANGE k -9223372036854775808 9223372036854775807", "\"abcdef\"");
    EXPECT (s, "GETRANGE k a 1", NOT_INTEGER);
    EXPECT (s, "EXPIRE k 10", "1");
    EXPECT (s, "SETRANGE k 2 XY", "6");
    EXPECT (s, "GET k", "\"abXYef\"");
    EXPECT (s, "TTL k", "10");
    EXPECT (s, "SETRANGE k 5 ZZ", "7");
    EXPECT (s, "GET k", "\"abXYeZZ\"");
    EXPECT (s, "SETRANGE k 0 \"\"", "7");
    EXPECT (s, "SETRANGE none 5 \"\"", "0");
    EXPECT (s, "EXISTS none", "0");
    EXPECT (s, "SETRANGE k -1 x", "!BAD_VALUE ERR offset is out of range");
    EXPECT (s, "SETRANGE k 1000 x", "!TOO_LARGE ERR the value has 1001 bytes; 1000 are allowed");
    EXPECT (s, "SETRANGE k 9223372036854775807 x",
            "!TOO_LARGE ERR the value has 9223372036854775808 bytes; 1000 are allowed");
    EXPECT (s, "SETRANGE new 3 x", "4");
    EXPECT (s, "STRLEN new", "4");
    EXPECT (s, "GETRANGE new 3 3", "\"x\"");
}

static void test_commands_incrbyfloat (void **state)
{
    server_t *s = *state;
    EXPECT (s, "INCRBYFLOAT f 10.5", "\"10.5\"");
    EXPECT (s, "INCRBYFLOAT f 0.1", "\"10.6\"");
    EXPECT (s, "INCRBYFLOAT f -10.6", "\"0\"");
    EXPECT (s, "INCRBYFLOAT f 5.0e3", "\"5000\"");
    EXPECT (s, "EXPIRE f 10", "1");
    EXPECT (s, "INCRBYFLOAT f 1e-17", "\"5000\""); /* beyond what a long double holds */
    EXPECT (s, "TTL f", "10");
    EXPECT (s, "INCRBYFLOAT f inf", "!BAD_VALUE ERR increment would produce NaN or Infinity");
    EXPECT (s, "INCRBYFLOAT f nan", NOT_FLOAT);
    EXPECT (s, "INCRBYFLOAT f \"1 \"", NOT_FLOAT);
    EXPECT (s, "INCRBYFLOAT f \" 1\"", NOT_FLOAT);
    EXPECT (s, "INCRBYFLOAT f 1e5000", NOT_FLOAT);
    EXPECT (s, "INCRBYFLOAT f 1e4000", "!TOO_LARGE ERR the value has 4000 bytes; 1000 are allowed");
    EXPECT (s, "SET f \"\"", "OK");
    EXPECT (s, "INCRBYFLOAT f 1", NOT_FLOAT);
}

static void test_commands_expire_with_conditions (void **state)
{
    server_t *s = *state;
    EXPECT (s, "SET k v", "OK");
    EXPECT (s, "EXPIRE k 10 XX", "0");
    EXPECT (s, "EXPIRE k 10 GT", "0"); /* no expiry counts as the latest */
    EXPECT (s, "EXPIRE k 10 NX", "1");
    EXPECT (s, "EXPIRE k 20 NX", "0");
    EXPECT (s, "EXPIRE k 5 GT", "0");
    EXPECT (s, "EXPIRE k 10 LT", "0");
    EXPECT (s, "EXPIRE k 20 xx gt", "1");
    EXPECT (s, "PEXPIRE k 15000 LT XX", "1");
    EXPECT (s, "EXPIREAT k 2000", "1");
    EXPECT (s, "EXPIREAT k 2000 GT", "0");
    EXPECT (s, "EXPIREAT k 2000 LT", "0");
    EXPECT (s, "EXPIRETIME k", "2000");
    EXPECT (s, "PEXPIREAT k 2000499 GT", "1");
    EXPECT (s, "EXPIRETIME k", "2000");
    EXPECT (s, "PEXPIRETIME k", "2000499");
    EXPECT (s, "EXPIRETIME none", "-2");
    EXPECT (s, "SET n v", "OK");
    EXPECT (s, "PEXPIRETIME n", "-1");
    EXPECT (s, "EXPIRE n 10 LT", "1");
    EXPECT (s, "EXPIRE k 10 NX XX",
            "!SYNTAX ERR NX and XX, GT or LT options at the same time are not compatible");
    EXPECT (s, "EXPIRE k 10 GT LT",
            "!SYNTAX ERR GT and LT options at the same time are not compatible");
    EXPECT (s, "EXPIRE k ten FOO", "!SYNTAX ERR Unsupported option FOO");
    EXPECT (s, "EXPIREAT k 9223372036854775807",
            "!BAD_VALUE ERR invalid expire time in 'expireat' command");
    EXPECT (s, "EXPIREAT k 1 GT", "0");
    EXPECT (s, "EXPIREAT k 1", "1");
    EXPECT (s, "EXISTS k", "0");
}

static void test_commands_rename_and_copy (void **state)
{
    server_t *s = *state;
    EXPECT (s, "RENAME {t}a {t}b", "!BAD_VALUE ERR no such key");
    EXPECT (s, "SETEX {t}a 10 1", "OK");
    EXPECT (s, "SET {t}b 2", "OK");
    EXPECT (s, "RENAMENX {t}a {t}b", "0");
    EXPECT (s, "RENAME {t}a {t}b", "OK");
    EXPECT (s, "EXISTS {t}a", "0");
    EXPECT (s, "GET {t}b", "\"1\"");
    EXPECT (s, "TTL {t}b", "10");
    EXPECT (s, "RENAMENX {t}b {t}c", "1");
    EXPECT (s, "RENAME {t}c {t}c", "OK");
    EXPECT (s, "RENAMENX {t}c {t}c", "0");
    EXPECT (s, "COPY {t}c {t}d", "1");
    EXPECT (s, "TTL {t}d", "10");
    EXPECT (s, "SET {t}c new", "OK");
    EXPECT (s, "COPY {t}c {t}d", "0");
    EXPECT (s, "COPY {t}c {t}d DB 0 REPLACE", "1");
    EXPECT (s, "MGET {t}c {t}d", "[\"new\", \"new\"]");
    EXPECT (s, "TTL {t}d", "-1");
    EXPECT (s, "COPY {t}none {t}d REPLACE", "0");
    EXPECT (s, "COPY {t}c {t}c", "!BAD_VALUE ERR source and destination objects are the same");
    EXPECT (s, "COPY {t}c {t}d DB 1", "!BAD_VALUE ERR DB index is out of range");
    EXPECT (s, "COPY {t}c {t}d DB", SYNTAX);
    EXPECT (s, "COPY {t}c {t}d FOO", SYNTAX);
    EXPECT (s, "DBSIZE", "2");
}

static void test_commands_msetnx (void **state)
{
    server_t *s = *state;
    EXPECT (s, "MSETNX {t}a 1 {t}b 2", "1");
    EXPECT (s, "MSETNX {t}c 3 {t}b 4", "0");
    EXPECT (s, "MGET {t}a {t}b {t}c", "[\"1\", \"2\", nil]");
    EXPECT (s, "MSETNX {t}d 1 {t}d 2", "1");
    EXPECT (s, "GET {t}d", "\"2\"");
    EXPECT (s, "MSETNX {t}a 1 {t}b",
            "!WRONG_ARITY ERR wrong number of arguments for 'msetnx' command");
}

static void test_commands_of_several_shards_are_refused (void **state)
{
    server_t *s = *state;
    const char *const commands[] = {"RENAME foo bar", "RENAMENX foo bar", "COPY foo bar",
                                    "MSETNX foo 1 bar 2"};
    for (int i = 0; i < 4; i++) {
        const char *answer = server_ask (s, commands[i]);
        assert_non_null (strstr (answer, "!CROSS_SHARD CROSSSLOT Keys in request don't hash to the "
                                         "same slot"));
        assert_non_null (strstr (answer, "in braces"));
    }
    EXPECT (s, "DBSIZE", "0");
}

static void test_commands_touch_type_and_object (void **state)
{
    server_t *s = *state;
    EXPECT (s, "TYPE k", "none");
    EXPECT (s, "SET k v", "OK");
    EXPECT (s, "TYPE k", "string");
    s->now_ms += 5000;
    EXPECT (s, "EXISTS k", "1");
    EXPECT (s, "TTL k", "-1");
    EXPECT (s, "TYPE k", "string");
    EXPECT (s, "OBJECT IDLETIME k", "5");
    EXPECT (s, "TOUCH k none k", "2");
    EXPECT (s, "OBJECT idletime k", "0");
    s->now_ms += 3000;
    EXPECT (s, "GET k", "\"v\"");
    EXPECT (s, "OBJECT IDLETIME k", "0");
    EXPECT (s, "OBJECT ENCODING k", "raw");
    EXPECT (s, "OBJECT REFCOUNT k", "1");
    EXPECT (s, "OBJECT VERSION none", "nil");
    EXPECT (s, "OBJECT NO k", "!SYNTAX ERR unknown subcommand 'NO'. Try OBJECT HELP.");
    EXPECT (s, "OBJECT ENCODING",
            "!WRONG_ARITY ERR wrong number of arguments for 'object|encoding' command");
    assert_non_null (strstr (server_ask (s, "OBJECT FREQ k"), "!NOT_SUPPORTED"));
    assert_non_null (strstr (server_ask (s, "OBJECT HELP"), "IDLETIME key: "));
}

static void test_commands_memory_usage (void **state)
{
    server_t *s = *state;
    EXPECT (s, "MEMORY USAGE k", "nil");
    uint64_t before = executor_stats (s->executor).bytes;
    EXPECT (s, "SET k @1000", "OK");
    int64_t grown = (int64_t)(executor_stats (s->executor).bytes - before);
    int64_t usage = strtoll (server_ask (s, "MEMORY USAGE k"), NULL, 10);
    assert_true (usage >= grown); /* the entry, and its share of a table it has alone */
    assert_true (usage <= grown + 16 * 64);
    EXPECT (s, "EXPIRE k 10", "1");
    assert_true (strtoll (server_ask (s, "MEMORY USAGE k SAMPLES 5"), NULL, 10) >= usage + 16);
    EXPECT (s, "MEMORY USAGE k SAMPLES", SYNTAX);
    EXPECT (s, "MEMORY USAGE k SAMPLES -1", SYNTAX);
    EXPECT (s, "MEMORY DOCTOR", "!SYNTAX ERR unknown subcommand 'DOCTOR'. Try MEMORY HELP.");
}

static void test_commands_all_size_drop_save (void **state)
{
    server_t *s = *state;
    EXPECT (s, "ALL", "[]");
    EXPECT (s, "SET k v", "OK");
    EXPECT (s, "ALL", "[\"k\", \"v\"]");
    EXPECT (s, "SIZE", "1");
    EXPECT (s, "DROP", "OK");
    EXPECT (s, "SIZE", "0");
    EXPECT (s, "DROP NOW", SYNTAX);
    const char *off =
        "!NOT_SUPPORTED ERR persistence is off; set kvdb.persistence.fsync to always, "
        "interval or never";
    EXPECT (s, "SAVE", off);
    EXPECT (s, "BGSAVE", off);
    EXPECT (s, "LASTSAVE", off);
    assert_int_equal (executor_take_snapshot_wish (s->executor), SNAPSHOT_WISH_NONE);
}

static void test_commands_time_and_command (void **state)
{
    server_t *s = *state;
    s->now_ms = 1700000000123;
    EXPECT (s, "TIME", "[1700000000, 123000]");
    char count[16];
    snprintf (count, sizeof count, "%d", COMMAND_COUNT);
    EXPECT (s, "COMMAND COUNT", count);
    EXPECT (s, "COMMAND INFO get nosuch MSETNX",
            "[[get, 2, [readonly], 1, 1, 1, [], [], [], []], nil, "
            "[msetnx, -3, [write, denyoom], 1, -1, 2, [], [], [], []]]");
    EXPECT (s, "COMMAND GETKEYS MSET a 1 b 2", "[\"a\", \"b\"]");
    EXPECT (s, "COMMAND GETKEYS RENAME a b", "[\"a\", \"b\"]");
    EXPECT (s, "COMMAND GETKEYS PING x", "!BAD_VALUE ERR The command has no key arguments");
    EXPECT (s, "COMMAND GETKEYS NOSUCH a", "!UNKNOWN_COMMAND ERR Invalid command specified");
    EXPECT (s, "COMMAND GETKEYS GET a b",
            "!WRONG_ARITY ERR Invalid number of arguments specified for command");
    EXPECT (s, "COMMAND DOCS strlen nosuch",
            "{strlen: {summary: Return the length of a value in bytes, 0 if absent, group: string, "
            "arguments: key}}");
    assert_non_null (strstr (server_ask (s, "COMMAND LIST"), "incrbyfloat"));
    assert_non_null (strstr (server_ask (s, "COMMAND"), "[unlink, -2"));
    EXPECT (s, "COMMAND NO", "!SYNTAX ERR unknown subcommand 'NO'. Try COMMAND HELP.");
}

/* Each of the keys comes up about as often as any other, in one shard or over several, and those that
 * have expired never do. */
static void test_commands_randomkey_is_fair (void **state)
{
    server_t *s = *state;
    enum { KEYS = 40, DRAWS = 8000 };
    EXPECT (s, "RANDOMKEY", "nil");
    EXPECT (s, "RANDOMKEY FOO", SYNTAX);
    char command[64];
    for (int i = 0; i < 2 * KEYS; i++) {
        /* 30 in one shard; the odd ones are about to expire */
        snprintf (command, sizeof command, "SET %s%d v%s", i < 60 ? "{t}" : "k", i,
                  i % 2 ? " PX 1" : "");
        EXPECT (s, command, "OK");
    }
    s->now_ms++;
    int seen[2 * KEYS] = {0};
    for (int i = 0; i < DRAWS; i++) {
        const char *key = server_ask (s, "RANDOMKEY");
        int number = (int)strtol (key + (key[1] == '{' ? 4 : 2), NULL, 10);
        assert_in_range (number, 0, 2 * KEYS - 1);
        seen[number]++;
    }
    for (int i = 0; i < 2 * KEYS; i++) {
        if (i % 2)
            assert_int_equal (seen[i], 0);
        else /* 200 on average; 6 sigma are 84 */
            assert_in_range (seen[i], 116, 284);
    }
    assert_non_null (strstr (server_ask (s, "RANDOMKEY WEIGHTED"), ", 40, "));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER (test_commands_set_if_equal),
        WITH_SERVER (test_commands_set_if_version),
        WITH_SERVER (test_commands_setnx_and_kin),
        WITH_SERVER (test_commands_getex),
        WITH_SERVER (test_commands_ranges),
        WITH_SERVER (test_commands_incrbyfloat),
        WITH_SERVER (test_commands_expire_with_conditions),
        WITH_SERVER (test_commands_rename_and_copy),
        WITH_SERVER (test_commands_msetnx),
        WITH_SERVER (test_commands_of_several_shards_are_refused),
        WITH_SERVER (test_commands_touch_type_and_object),
        WITH_SERVER (test_commands_memory_usage),
        WITH_SERVER (test_commands_all_size_drop_save),
        WITH_SERVER (test_commands_time_and_command),
        WITH_SERVER (test_commands_randomkey_is_fair),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
