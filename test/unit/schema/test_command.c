/* Goal: the command table is sound, and one command is read, found, checked and described as
 * command.h says.
 * Method: properties over every row of the table; single commands written with the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/command.h"
#include "schema/limits.h"
#include "test/unit/schema/random.h"

#include <ctype.h>

/* Reads what `encoded` holds as one command; the caller frees both. */
static kv_status_t s_read (command_t *command, const writer_t *encoded)
{
    reader_t at = reader_make (kv_slice (encoded->data, encoded->size));
    reader_t start = at;
    const char *why = NULL;
    kv_status_t status = command_read (command, &at, &why);
    assert_non_null (why);
    if (status == KV_OK) {
        assert_int_equal (reader_left (&at), 0);
        assert_ptr_equal (command->raw.data, encoded->data);
        assert_int_equal (command->raw.size, encoded->size);
    } else
        assert_ptr_equal (at.at, start.at); // D4
    return status;
}

static void s_write (writer_t *out, const char *name, uint32_t arguments)
{
    writer_array (out, 1 + arguments);
    writer_cstr (out, name);
    for (uint32_t i = 0; i < arguments; i++) {
        char text[16];
        snprintf (text, sizeof text, "a%u", i + 1);
        writer_cstr (out, text);
    }
}

static kv_status_t s_check (const char *name, uint32_t arguments, char text[256])
{
    writer_t encoded = writer_make (SIZE_MAX);
    command_t command = command_make ();
    s_write (&encoded, name, arguments);
    assert_int_equal (s_read (&command, &encoded), KV_OK);
    text[0] = '\0';
    kv_status_t status = command_check (&command, text, 256);
    command_free (&command);
    writer_free (&encoded);
    return status;
}

static void test_command_table_is_sorted (void **state)
{
    (void)state;
    for (int i = 1; i < COMMAND_COUNT; i++)
        assert_true (strcmp (command_spec ((command_id_t)(i - 1))->name,
                             command_spec ((command_id_t)i)->name) < 0);
}

static void test_command_rows_are_sound (void **state)
{
    (void)state;
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const command_spec_t *spec = command_spec ((command_id_t)i);
        assert_int_equal (spec->id, i);
        assert_true (strlen (spec->name) <= KV_COMMAND_NAME_BYTES_MAX);
        for (const char *c = spec->name; *c; c++)
            assert_true (isupper ((unsigned char)*c));
        assert_true (spec->least >= 1);
        assert_true (spec->most == 0 || spec->most >= spec->least);
        if (spec->keys == KEYS_FIRST || spec->keys == KEYS_ALL || spec->keys == KEYS_CURSOR)
            assert_true (spec->least >= 2);
        if (spec->keys == KEYS_PAIRS || command_keys_together (spec))
            assert_true (spec->least >= 3);
        /* What is split must say how it is put together; what is not, must not. */
        bool split = spec->keys == KEYS_ALL || spec->keys == KEYS_PAIRS || spec->keys == KEYS_EVERY;
        assert_int_equal (split, spec->merge != MERGE_NONE);
        assert_true (!spec->grows || spec->flags == COMMAND_WRITE);
        assert_true (strlen (spec->summary) > 10);
        assert_true (spec->summary[strlen (spec->summary) - 1] != '.');
        assert_int_equal (spec->arguments[0] == '\0', spec->most == 1);
    }
}

static void test_command_find_takes_any_case (void **state)
{
    (void)state;
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const command_spec_t *spec = command_spec ((command_id_t)i);
        char name[KV_COMMAND_NAME_BYTES_MAX + 2];
        size_t size = strlen (spec->name);
        for (size_t upper = 0; upper <= size; upper++) {
            for (size_t at = 0; at <= size; at++)
                name[at] = at < upper ? spec->name[at] : (char)tolower (spec->name[at]);
            assert_ptr_equal (command_find (kv_slice_text (name)), spec);
        }
        /* Not with a byte more, a byte less, or another byte. */
        assert_ptr_not_equal (command_find (kv_slice (name, size - 1)), spec);
        assert_null (command_find (kv_slice (name, size + 1))); /* the NUL of the text */
        name[size] = '_';
        assert_null (command_find (kv_slice (name, size + 1)));
        name[0] = (char)(name[0] ^ 0x40);
        assert_null (command_find (kv_slice (name, size)));
    }
}

static void test_command_find_refuses_other_names (void **state)
{
    (void)state;
    random_t random = random_make ("names");
    assert_null (command_find (kv_slice (NULL, 0)));
    assert_null (command_find (kv_slice_text ("ABCDEFGHIJKLMNOPQ")));
    assert_null (command_find (kv_slice ("GET\0", 4)));
    assert_null (command_find (kv_slice ("\0GET", 4)));
    for (int round = 0; round < 20000; round++) {
        uint8_t name[20];
        size_t size = random_below (&random, sizeof name);
        for (size_t i = 0; i < size; i++)
            name[i] = (uint8_t)random_next (&random);
        const command_spec_t *spec = command_find (kv_slice (name, size));
        if (spec)
            assert_true (kv_slice_is_word (kv_slice (name, size), spec->name));
    }
}

static bool s_has_subcommands (command_id_t id)
{
    return id == COMMAND_COMMAND || id == COMMAND_MEMORY || id == COMMAND_OBJECT;
}

static void test_command_arity_is_that_of_the_table (void **state)
{
    (void)state;
    char text[256];
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const command_spec_t *spec = command_spec ((command_id_t)i);
        for (uint32_t argc = 1; argc <= 12; argc++) {
            bool fits = argc >= spec->least && (spec->most == 0 || argc <= spec->most);
            if (fits && argc > 1 && s_has_subcommands (spec->id)) {
                assert_int_equal (s_check (spec->name, argc - 1, text), KV_SYNTAX);
                continue;
            }
            if (spec->keys == KEYS_PAIRS || spec->keys == KEYS_PAIRS_TOGETHER)
                fits = fits && argc % 2 == 1;
            assert_int_equal (s_check (spec->name, argc - 1, text), fits ? KV_OK : KV_WRONG_ARITY);
        }
    }
    assert_int_equal (s_check ("get", 0, text), KV_WRONG_ARITY);
    assert_string_equal (text, "ERR wrong number of arguments for 'get' command");
}

static void test_command_unknown_is_named_but_not_at_length (void **state)
{
    (void)state;
    char text[256];
    assert_int_equal (s_check ("NOSUCH", 1, text), KV_UNKNOWN_COMMAND);
    assert_non_null (strstr (text, "'NOSUCH'"));
    char name[1000];
    memset (name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal (s_check (name, 0, text), KV_UNKNOWN_COMMAND);
    assert_true (strlen (text) < 250);
}

static void test_command_keys_stand_where_the_table_says (void **state)
{
    (void)state;
    const struct {
        const char *name;
        uint32_t arguments, keys, second;
    } cases[] = {
        {"SET", 2, 1, 0},       {"MGET", 3, 3, 2},   {"DEL", 5, 5, 2},    {"MSET", 6, 3, 3},
        {"DBSIZE", 0, 0, 0},    {"SCAN", 1, 0, 0},   {"PING", 0, 0, 0},   {"TOPOLOGY", 0, 0, 0},
        {"COPY", 5, 2, 2},      {"RENAME", 2, 2, 2}, {"MSETNX", 4, 2, 3}, {"OBJECT", 1, 0, 0},
        {"RANDOMKEY", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        writer_t encoded = writer_make (SIZE_MAX);
        command_t command = command_make ();
        s_write (&encoded, cases[i].name, cases[i].arguments);
        assert_int_equal (s_read (&command, &encoded), KV_OK);
        assert_int_equal (command_key_count (&command), cases[i].keys);
        if (cases[i].keys)
            assert_int_equal (command_key_index (&command, 0), 1);
        if (cases[i].keys > 1)
            assert_int_equal (command_key_index (&command, 1), cases[i].second);
        command_free (&command);
        writer_free (&encoded);
    }
}

/* Reads a command from its words. */
static void s_read_words (command_t *command, writer_t *encoded, const char *const *words)
{
    uint32_t count = 0;
    while (words[count])
        count++;
    writer_reset (encoded);
    writer_array (encoded, count);
    for (uint32_t i = 0; i < count; i++)
        writer_cstr (encoded, words[i]);
    assert_int_equal (s_read (command, encoded), KV_OK);
}

static void test_command_subcommands_are_checked (void **state)
{
    (void)state;
    const struct {
        const char *words[6];
        kv_status_t status;
        const char *text;
        bool local;
    } cases[] = {
        {{"OBJECT", "version", "k", NULL}, KV_OK, "", false},
        {{"OBJECT", "HELP", NULL}, KV_OK, "", true},
        {{"MEMORY", "USAGE", "k", "SAMPLES", "5", NULL}, KV_OK, "", false},
        {{"COMMAND", NULL}, KV_OK, "", true},
        {{"COMMAND", "DOCS", "get", NULL}, KV_OK, "", true},
        {{"OBJECT", NULL},
         KV_WRONG_ARITY,
         "ERR wrong number of arguments for 'object' command",
         true},
        {{"OBJECT", "ENCODING", NULL},
         KV_WRONG_ARITY,
         "ERR wrong number of arguments for 'object|encoding' command",
         true},
        {{"MEMORY", "NO", "k", NULL},
         KV_SYNTAX,
         "ERR unknown subcommand 'NO'. Try MEMORY HELP.",
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        writer_t encoded = writer_make (SIZE_MAX);
        command_t command = command_make ();
        char text[256] = "";
        s_read_words (&command, &encoded, cases[i].words);
        assert_int_equal (command_check (&command, text, sizeof text), cases[i].status);
        assert_string_equal (text, cases[i].text);
        assert_int_equal (command_is_local (&command), cases[i].local);
        command_free (&command);
        writer_free (&encoded);
    }
}

static kv_status_t s_check_key (size_t key_bytes, char text[256])
{
    writer_t encoded = writer_make (SIZE_MAX);
    command_t command = command_make ();
    char *key = calloc (1, key_bytes + 1);
    writer_array (&encoded, 5);
    writer_cstr (&encoded, "MSET");
    writer_cstr (&encoded, "short");
    writer_cstr (&encoded, "");
    writer_bin (&encoded, kv_slice (key, key_bytes));
    writer_cstr (&encoded, "value");
    assert_int_equal (s_read (&command, &encoded), KV_OK);
    kv_status_t status = command_check (&command, text, 256);
    free (key);
    command_free (&command);
    writer_free (&encoded);
    return status;
}

static void test_command_keys_have_bounds (void **state)
{
    (void)state;
    char text[256];
    assert_int_equal (s_check_key (1, text), KV_OK);
    assert_int_equal (s_check_key (KV_KEY_BYTES_MAX, text), KV_OK);
    assert_int_equal (s_check_key (KV_KEY_BYTES_MAX + 1, text), KV_TOO_LARGE);
    assert_non_null (strstr (text, "65537"));
    assert_int_equal (s_check_key (0, text), KV_BAD_VALUE);
}

static void test_command_numbers_become_text (void **state)
{
    (void)state;
    writer_t encoded = writer_make (SIZE_MAX);
    command_t command = command_make ();
    writer_array (&encoded, 10);
    writer_cstr (&encoded, "ECHO");
    writer_int (&encoded, 0);
    writer_int (&encoded, INT64_MIN);
    writer_cstr (&encoded, "between");
    writer_uint (&encoded, UINT64_MAX);
    writer_double (&encoded, 0.1);
    writer_double (&encoded, 1e300);
    writer_double (&encoded, 1.0 / 3);
    writer_double (&encoded, -1.7976931348623157e308);
    writer_double (&encoded, 3);
    assert_int_equal (s_read (&command, &encoded), KV_OK);
    const char *wanted[] = {"ECHO",
                            "0",
                            "-9223372036854775808",
                            "between",
                            "18446744073709551615",
                            "0.1",
                            "1e+300",
                            "0.3333333333333333",
                            "-1.7976931348623157e+308",
                            "3"};
    for (uint32_t i = 0; i < command.argc; i++)
        assert_true (kv_slice_equal (command.argv[i], kv_slice_text (wanted[i])));
    command_free (&command);
    writer_free (&encoded);
}

/* Many numbers, and a second command that is read into the same memory. */
static void test_command_is_read_again_and_again (void **state)
{
    (void)state;
    command_t command = command_make ();
    for (uint32_t arguments = 0; arguments < 3000; arguments = arguments * 3 + 1) {
        writer_t encoded = writer_make (SIZE_MAX);
        writer_array (&encoded, arguments + 1);
        writer_cstr (&encoded, "DEL");
        for (uint32_t i = 0; i < arguments; i++)
            writer_int (&encoded, (int64_t)i * 1000003);
        assert_int_equal (s_read (&command, &encoded), KV_OK);
        assert_int_equal (command.argc, arguments + 1);
        for (uint32_t i = 0; i < arguments; i++) {
            char text[32];
            snprintf (text, sizeof text, "%" PRId64, (int64_t)i * 1000003);
            assert_true (kv_slice_equal (command.argv[i + 1], kv_slice_text (text)));
        }
        writer_free (&encoded);
    }
    command_free (&command);
}

static void s_expect_bad (const char *bytes, size_t size, kv_status_t wanted)
{
    writer_t encoded = writer_make (SIZE_MAX);
    command_t command = command_make ();
    writer_raw (&encoded, kv_slice (bytes, size));
    assert_int_equal (s_read (&command, &encoded), wanted);
    command_free (&command);
    writer_free (&encoded);
}

static void test_command_of_a_wrong_form_is_refused (void **state)
{
    (void)state;
    s_expect_bad ("\x90", 1, KV_BAD_REQUEST);                /* empty */
    s_expect_bad ("\xa3GET", 4, KV_BAD_REQUEST);             /* text */
    s_expect_bad ("\x91\x01", 2, KV_BAD_REQUEST);            /* a name that is a number */
    s_expect_bad ("\x92\xa3GET\xc0", 6, KV_BAD_REQUEST);     /* nil */
    s_expect_bad ("\x92\xa3GET\xc3", 6, KV_BAD_REQUEST);     /* a bool */
    s_expect_bad ("\x92\xa3GET\x91\x01", 7, KV_BAD_REQUEST); /* an array */
    s_expect_bad ("\x92\xa3GET\xa5k", 7, KV_BAD_REQUEST);    /* a truncated string */
    s_expect_bad ("\x92\xa3GET\xcd\x01", 7, KV_BAD_REQUEST); /* a truncated number */
    s_expect_bad ("\x93\xa3GET\xa1k", 7, KV_BAD_REQUEST);    /* an argument is missing */
    writer_t encoded = writer_make (SIZE_MAX);
    command_t command = command_make ();
    s_write (&encoded, "DEL", KV_COMMAND_ARGS_MAX - 1);
    assert_int_equal (s_read (&command, &encoded), KV_OK);
    writer_reset (&encoded);
    s_write (&encoded, "DEL", KV_COMMAND_ARGS_MAX);
    assert_int_equal (s_read (&command, &encoded), KV_TOO_LARGE);
    command_free (&command);
    writer_free (&encoded);
}

/* The guess that a batch repeats its command must not outlive another name. */
static void test_command_spec_follows_the_name (void **state)
{
    (void)state;
    const char *names[] = {"GET", "GET", "get", "SET", "NOSUCH", "GE", "GETS", "Get", "DBSIZE"};
    command_t command = command_make ();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        writer_t encoded = writer_make (SIZE_MAX);
        s_write (&encoded, names[i], 1);
        assert_int_equal (s_read (&command, &encoded), KV_OK);
        assert_ptr_equal (command.spec, command_find (kv_slice_text (names[i])));
        writer_free (&encoded);
    }
    command_free (&command);
}

/* HELP's text, or NULL; the caller frees it. */
static char *s_help (const char *what)
{
    writer_t out = writer_make (SIZE_MAX);
    if (!command_help (&out, kv_slice_text (what))) {
        assert_int_equal (out.size, 0);
        return NULL;
    }
    reader_t at = reader_make (kv_slice (out.data, out.size));
    kv_slice_t text;
    assert_int_equal (reader_peek (&at), READER_TEXT);
    assert_int_equal (reader_bytes (&at, &text), KV_OK);
    assert_int_equal (reader_left (&at), 0);
    char *copy = strndup ((const char *)text.data, text.size);
    writer_free (&out);
    return copy;
}

static void test_command_help_describes_all_one_or_a_group (void **state)
{
    (void)state;
    char *all = s_help ("");
    for (int i = 0; i < COMMAND_COUNT; i++)
        assert_non_null (strstr (all, command_spec ((command_id_t)i)->summary));
    char *one = s_help ("get");
    assert_non_null (strstr (one, "GET key\n"));
    assert_null (strstr (one, "MGET"));
    char *group = s_help ("@expiry");
    assert_non_null (strstr (group, "PTTL"));
    assert_null (strstr (group, "MGET"));
    assert_null (s_help ("NOSUCH"));
    assert_null (s_help ("@nosuch"));
    assert_null (s_help ("@"));
    free (all);
    free (one);
    free (group);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_command_table_is_sorted),
        cmocka_unit_test (test_command_rows_are_sound),
        cmocka_unit_test (test_command_find_takes_any_case),
        cmocka_unit_test (test_command_find_refuses_other_names),
        cmocka_unit_test (test_command_arity_is_that_of_the_table),
        cmocka_unit_test (test_command_unknown_is_named_but_not_at_length),
        cmocka_unit_test (test_command_keys_stand_where_the_table_says),
        cmocka_unit_test (test_command_subcommands_are_checked),
        cmocka_unit_test (test_command_keys_have_bounds),
        cmocka_unit_test (test_command_numbers_become_text),
        cmocka_unit_test (test_command_is_read_again_and_again),
        cmocka_unit_test (test_command_of_a_wrong_form_is_refused),
        cmocka_unit_test (test_command_spec_follows_the_name),
        cmocka_unit_test (test_command_help_describes_all_one_or_a_group),
    };
    return cmocka_run_group_tests_name ("schema.command", tests, NULL, NULL);
}
