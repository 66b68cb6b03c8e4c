/* Goal: lines split as redis-cli splits them, and what kv prints in quotes reads back.
 * Method: a table of lines; all 256 bytes through kv_print_quoted and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "client/kv_line.h"
#include "client/kv_print.h"

static void test_line_arguments (void **state)
{
    (void)state;
    static const struct {
        const char *line;
        size_t argc;
        const char *argv[4];
    } rows[] = {
        {"", 0, {0}},
        {" \t\r\n", 0, {0}},
        {"GET k", 2, {"GET", "k"}},
        {"  GET   k  \r\n", 2, {"GET", "k"}},
        {"SET k \"a b\"", 3, {"SET", "k", "a b"}},
        {"SET k 'a b'", 3, {"SET", "k", "a b"}},
        {"SET k \"\"", 3, {"SET", "k", ""}},
        {"''", 1, {""}},
        {"ab\"cd\" e", 2, {"abcd", "e"}},
        {"\"\\n\\r\\t\\b\\a\\\\\\\"\\q\"", 1, {"\n\r\t\b\a\\\"q"}},
        {"\"\\x41\\x7A\\x7a\"", 1, {"Azz"}},
        {"\"\\xZZ\\x4\"", 1, {"xZZx4"}},
        {"'\\n\\x41\\''", 1, {"\\n\\x41'"}},
        {"a\\x41 b", 2, {"a\\x41", "b"}},
    };
    kv_line_t line = kv_line_make ();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *why;
        assert_int_equal (kv_line_split (&line, kv_slice_text (rows[i].line), &why), KV_OK);
        assert_int_equal (line.argc, rows[i].argc);
        for (size_t j = 0; j < line.argc; j++) {
            assert_string_equal (line.argv[j], rows[i].argv[j]);
            assert_int_equal (line.lens[j], strlen (rows[i].argv[j]));
        }
    }
    kv_line_free (&line);
}

static void test_line_broken_quotes_are_refused (void **state)
{
    (void)state;
    static const char *const lines[] = {"\"abc", "'abc",   "\"abc\\\"", "\"a\"b",
                                        "'a'b",  "GET \"", "'"};
    kv_line_t line = kv_line_make ();
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const char *why = NULL;
        assert_int_equal (kv_line_split (&line, kv_slice_text (lines[i]), &why), KV_SYNTAX);
        assert_non_null (why);
    }
    kv_line_free (&line);
}

static void test_line_many_arguments (void **state)
{
    (void)state;
    enum { MANY = 10000 };
    char *text = malloc (2 * MANY);
    assert_non_null (text);
    for (size_t i = 0; i < MANY; i++) {
        text[2 * i] = 'a';
        text[2 * i + 1] = ' ';
    }
    kv_line_t line = kv_line_make ();
    const char *why;
    assert_int_equal (kv_line_split (&line, kv_slice (text, 2 * MANY - 1), &why), KV_OK);
    assert_int_equal (line.argc, MANY);
    assert_string_equal (line.argv[MANY - 1], "a");
    free (text);
    kv_line_free (&line);
}

static void test_line_reads_what_print_quotes (void **state)
{
    (void)state;
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    char *text;
    size_t size;
    FILE *out = open_memstream (&text, &size);
    kv_print_quoted (out, kv_slice (bytes, sizeof bytes));
    fclose (out);
    kv_line_t line = kv_line_make ();
    const char *why;
    assert_int_equal (kv_line_split (&line, kv_slice (text, size), &why), KV_OK);
    assert_int_equal (line.argc, 1);
    assert_int_equal (line.lens[0], sizeof bytes);
    assert_memory_equal (line.argv[0], bytes, sizeof bytes);
    kv_line_free (&line);
    free (text);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_line_arguments),
        cmocka_unit_test (test_line_broken_quotes_are_refused),
        cmocka_unit_test (test_line_many_arguments),
        cmocka_unit_test (test_line_reads_what_print_quotes),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
