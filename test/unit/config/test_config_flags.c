/* Goal: flags and environment: what is recognised, where parsing ends, what errors say.
 * Method: tables of command lines; the first word stands for the program's name. */
#include "test/unit/config/sample_tables.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

enum { WORDS_MAX = 8 };

typedef struct {
    const char *words[WORDS_MAX]; /* after the program's name */
    const char *name;             /* of a row to look at; NULL: none */
    const char *value;            /* of that row, or the error if `name` is NULL */
    int operand;                  /* expected index; 0: not looked at */
} line_t;

static kv_status_t s_parse (sample_t *sample, const char *const *words, int *operand, int *argc)
{
    char *argv[WORDS_MAX + 2] = {(char *)(uintptr_t) "program"};
    *argc = 1;
    for (int i = 0; i < WORDS_MAX && words[i]; i++)
        argv[(*argc)++] = (char *)(uintptr_t)words[i];
    return config_flags (sample->config, *argc, argv, operand);
}

static void test_accepted_flags (void **state)
{
    (void)state;
    static const line_t cases[] = {
        {{"--persistence-fsync", "always"}, "kvdb.persistence.fsync", "always", 3},
        {{"--persistence-fsync=never"}, "kvdb.persistence.fsync", "never", 2},
        {{"--Persistence-FSYNC=OFF"}, "kvdb.persistence.fsync", "off", 2},
        {{"--persistence-autoflushinterval", "9"}, "kvdb.persistence.autoFlushInterval", "9", 3},
        {{"--port", "7100"}, "broker.port", "7100", 3},
        {{"--PORT=7100"}, "broker.port", "7100", 2},
        {{"--broker-port=7100"}, "broker.port", "7100", 2},
        {{"--broker-port=1", "--port", "2", "--broker-port=3"}, "broker.port", "3", 5},
        {{"--max-memory", "2g"}, "kvdb.max_memory", "2147483648", 3},
        {{"--max_memory", "2g"}, "kvdb.max_memory", "2147483648", 3},
        {{"-r", "0"}, "replicas", "0", 3},
        {{"-r=2"}, "replicas", "2", 2},
        {{"--replicas=2"}, "replicas", "2", 2},
        {{"--persistence-enableautoflush=false"}, "kvdb.persistence.enableAutoFlush", "false", 2},
        {{"--legacy"}, "kvdb.legacy", "true", 2},
        {{"--legacy", "false"}, "kvdb.legacy", "true", 2},
        {{"--legacy", "--legacy=no"}, "kvdb.legacy", "false", 3},
        {{"--offset", "-7"}, "kvdb.offset", "-7", 3},
        {{"--comment", "a=b"}, "kvdb.comment", "a=b", 3},
        {{"--comment=a=b"}, "kvdb.comment", "a=b", 2},
        {{"--comment=--x"}, "kvdb.comment", "--x", 2},
        {{"--comment="}, "kvdb.comment", "", 2},
        {{"--config", "sub/n.yaml"}, "config", "sub/n.yaml", 3},
        {{"INCRBY", "c", "-5"}, "broker.port", "7000", 1},
        {{"--port", "1", "INCRBY", "--port", "2"}, "broker.port", "1", 3},
        {{"--port", "1", "--", "--port", "2"}, "broker.port", "1", 4},
        {{"--"}, "broker.port", "7000", 2},
        {{"-", "--port", "2"}, "broker.port", "7000", 1},
        {{"", "--port", "2"}, "broker.port", "7000", 1},
        {{NULL}, "broker.port", "7000", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sample_t sample;
        int operand = 0;
        int argc;
        sample_start (&sample);
        kv_status_t status = s_parse (&sample, cases[i].words, &operand, &argc);
        if (status != KV_OK)
            print_error ("%s\n", config_error (sample.config));
        assert_int_equal (status, KV_OK);
        assert_int_equal (operand, cases[i].operand);
        size_t index;
        assert_true (config_find (sample.config, cases[i].name, &index));
        char *value = config_value (sample.config, index);
        assert_string_equal (value, cases[i].value);
        free (value);
        assert_false (config_wants_help (sample.config));
        sample_stop (&sample);
    }
}

static void test_refused_flags (void **state)
{
    (void)state;
    static const line_t cases[] = {
        {{"--prot", "7"}, NULL, "--prot: unknown flag; did you mean --port?", 0},
        {{"--persistance-fsync", "7"},
         NULL,
         "--persistance-fsync: unknown flag; did you mean --persistence-fsync?",
         0},
        {{"--kvdb-persistence-fsync=x"},
         NULL,
         "--kvdb-persistence-fsync: unknown flag; did you mean --persistence-fsync?",
         0},
        {{"--di", "7"}, NULL, "--di: unknown flag; did you mean --id?", 0},
        {{"--fsync=x"}, NULL, "--fsync: unknown flag; did you mean --persistence-fsync?", 0},
        {{"-port", "7"}, NULL, "-port: unknown flag; did you mean --port?", 0},
        {{"--hlep"}, NULL, "--hlep: unknown flag; did you mean --help?", 0},
        {{"-R", "7"}, NULL, "-R: unknown flag; did you mean -r?", 0},
        {{"--zzzzzzz"}, NULL, "--zzzzzzz: unknown flag; --help lists those that are allowed", 0},
        {{"--nodes=x"}, NULL, "--nodes: unknown flag; --help lists those that are allowed", 0},
        {{"--=x"}, NULL, "--: unknown flag; --help lists those that are allowed", 0},
        {{"--port"}, NULL, "--port: the value is missing; allowed is a number from 1 to 65535", 0},
        {{"--port", "--data"},
         NULL,
         "--port: the value is missing; allowed is a number from 1 to 65535 (after = if it begins "
         "with --)",
         0},
        {{"--port", "0"},
         NULL,
         "--port: \"0\" is out of range; allowed is a number from 1 to 65535",
         0},
        {{"--broker-port", "0x1"},
         NULL,
         "--broker-port: \"0x1\" is not a whole number; allowed is a number from 1 to 65535",
         0},
        {{"--port=x", "--port=1"},
         NULL,
         "--port: \"x\" is not a whole number; allowed is a number from 1 to 65535",
         0},
        {{"--port", ""}, NULL, "--port: \"\" is empty; allowed is a number from 1 to 65535", 0},
        {{"--legacy=maybe"},
         NULL,
         "--legacy: \"maybe\" is neither true nor false; allowed is true or false",
         0},
        {{"--comment", "a\nb"},
         NULL,
         "--comment: \"a\\x0ab\" is not on one line: it holds a control character; allowed is text "
         "of up to 40 bytes",
         0},
        {{"--comment", "\xff"},
         NULL,
         "--comment: \"\\xff\" is not valid UTF-8; allowed is text of up to 40 bytes",
         0},
        {{"--persistence-fsync=sometimes"},
         NULL,
         "--persistence-fsync: \"sometimes\" is not one of the choices; allowed is always, "
         "interval, never or off",
         0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sample_t sample;
        int operand;
        int argc;
        sample_start (&sample);
        assert_int_equal (s_parse (&sample, cases[i].words, &operand, &argc), KV_CONFIG);
        assert_string_equal (config_error (sample.config), cases[i].value);
        assert_true (sample_is_valid (&sample)); // E4
        sample_stop (&sample);
    }
}

static void test_help_and_version_end_parsing (void **state)
{
    (void)state;
    static const char *const help[WORDS_MAX] = {"--port", "1", "--HELP", "--nonsense"};
    static const char *const version[WORDS_MAX] = {"--version", "--nonsense"};
    sample_t sample;
    int operand;
    int argc;
    sample_start (&sample);
    assert_int_equal (s_parse (&sample, help, &operand, &argc), KV_OK);
    assert_true (config_wants_help (sample.config));
    assert_int_equal (operand, argc);
    assert_false (config_wants_version (sample.config));
    sample_stop (&sample);
    sample_start (&sample);
    assert_int_equal (s_parse (&sample, version, &operand, &argc), KV_OK);
    assert_true (config_wants_version (sample.config));
    sample_stop (&sample);
}

static void test_operands_are_refused_where_there_are_none (void **state)
{
    (void)state;
    static const char *const words[WORDS_MAX] = {"--legacy", "false"};
    sample_t sample;
    int argc;
    sample_start (&sample);
    assert_int_equal (s_parse (&sample, words, NULL, &argc), KV_CONFIG);
    assert_string_equal (config_error (sample.config),
                         "false: unexpected argument; allowed are flags, which --help lists");
    sample_stop (&sample);
}

/* One variable set, then the row's value, or the error if `name` is NULL. */
static void s_check_variable (const char *variable, const char *name, const char *expected)
{
    sample_t sample;
    char *environment[] = {(char *)(uintptr_t) "PATH=/bin", (char *)(uintptr_t)variable,
                           (char *)(uintptr_t) "KVDB_SOMETHING_ELSE=1", NULL};
    sample_start (&sample);
    kv_status_t status = config_environment (sample.config, environment);
    if (!name) {
        assert_int_equal (status, KV_CONFIG);
        assert_string_equal (config_error (sample.config), expected);
    } else {
        assert_int_equal (status, KV_OK);
        size_t index;
        assert_true (config_find (sample.config, name, &index));
        char *value = config_value (sample.config, index);
        assert_string_equal (value, expected);
        free (value);
    }
    sample_stop (&sample);
}

static void test_environment (void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"KVDB_PERSISTENCE_FSYNC=never", "kvdb.persistence.fsync", "never"},
        {"KVDB_PERSISTENCE_FILEPATH=x/y", "kvdb.persistence.filepath", "x/y"},
        {"KVDB_PERSISTENCE_ENABLEAUTOFLUSH=0", "kvdb.persistence.enableAutoFlush", "false"},
        {"KVDB_BROKER_PORT=7100", "broker.port", "7100"},
        {"KVDB_MAX_MEMORY=2m", "kvdb.max_memory", "2097152"},
        {"KVDB_COMMENT=a=b", "kvdb.comment", "a=b"},
        {"kvdb_broker_port=7100", "broker.port", "7000"},
        {"KVDB_BROKER_PORT", "broker.port", "7000"},
        {"KVDB_ID=x", "id", ""},                /* a flag only */
        {"KVDB_PORT=1", "broker.port", "7000"}, /* aliases are flags only */
        {"KVDB_BROKER_PORT=x", NULL,
         "KVDB_BROKER_PORT: \"x\" is not a whole number; allowed is a number from 1 to 65535"},
        {"KVDB_BROKER_PORT=", NULL,
         "KVDB_BROKER_PORT: \"\" is empty; allowed is a number from 1 to 65535"},
        {"KVDB_BROKER_HOST=\x1b[2J", NULL,
         "KVDB_BROKER_HOST: \"\\x1b[2J\" is not on one line: it holds a control character; allowed "
         "is text of 1 to 255 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        s_check_variable (cases[i][0], cases[i][1], cases[i][2]);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_accepted_flags),
        cmocka_unit_test (test_refused_flags),
        cmocka_unit_test (test_help_and_version_end_parsing),
        cmocka_unit_test (test_operands_are_refused_where_there_are_none),
        cmocka_unit_test (test_environment),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
