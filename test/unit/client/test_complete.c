/* Goal: Tab offers what fits at the cursor and nothing else, and hints show what is still to come.
 * Method: tables of lines with the words and hints they are to give; every command's own argument
 * text; every beginning of lines with odd bytes, for the sanitizers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "client/kv_complete.h"
#include "schema/command.h"

/* The words for a line, each behind a space, and where the word they are for begins. */
static char *s_words (const char *line, size_t *from)
{
    static char *const ids[] = {(char *)"node1", (char *)"node2", (char *)"Other"};
    const kv_words_t nodes = {(char **)(uintptr_t)ids, 3, 3};
    kv_completion_t found;
    char *text;
    size_t size;
    kv_complete (kv_slice_text (line), &nodes, &found);
    *from = found.from;
    FILE *out = open_memstream (&text, &size);
    for (size_t i = 0; i < found.words.count; i++)
        fprintf (out, " %s", found.words.items[i]);
    fclose (out);
    kv_words_free (&found.words);
    return text;
}

static void test_complete_words (void **state)
{
    (void)state;
    static const struct {
        const char *line;
        size_t from;
        const char *words;
    } rows[] = {
        {"SHUTD", 0, " SHUTDOWN"},
        {"shutd", 0, " shutdown"},
        {"kv shutd", 3, " shutdown"},
        {"  Shutd", 2, " SHUTDOWN"},
        {"EXI", 0, " EXISTS EXIT"},
        {"nosuch", 0, ""},
        {"HELP @str", 5, " @string"},
        {"help @STR", 5, " @string"},
        {"HELP exi", 5, " exists exit"},
        {"HELP GET ", 9, ""},
        {"SHUTDOWN ", 9, " node1 node2 Other"},
        {"SHUTDOWN node", 9, " node1 node2"},
        {"SHUTDOWN Node", 9, ""},
        {"SHUTDOWN node1 ", 15, ""},
        {"GET ", 4, ""},
        {"SET k ", 6, ""},
        {"SET k v ", 8, " NX XX IFEQ IFVER GET EX PX EXAT PXAT KEEPTTL"},
        {"SET k v e", 8, " ex exat"},
        {"SET k v EX ", 11, ""},
        {"SET k v EX 10 ", 14, " NX XX IFEQ IFVER GET"},
        {"SET k v nx ex 10 ", 17, " GET"},
        {"SET k v nx ex 10 get ", 21, ""},
        {"SET \"a b\" 'c d' K", 16, " KEEPTTL"},
        {"SET k v bogus ", 14, ""},
        {"SCAN 0 MATCH * ", 15, " COUNT"},
        {"SCAN 0 match * c", 15, " count"},
        {"FLUSHALL ", 9, " ASYNC SYNC"},
        {"SET k \"a N", 9, ""},
        {"SET k v \"N", 8, ""},
        {"SET k v 'N", 8, ""},
        {"SET k 'a'b N", 11, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t from;
        char *words = s_words (rows[i].line, &from);
        if (strcmp (words, rows[i].words) != 0 || from != rows[i].from)
            fail_msg ("'%s' gives '%s' at %zu", rows[i].line, words, from);
        free (words);
    }
}

static void test_complete_offers_every_command_on_an_empty_line (void **state)
{
    (void)state;
    static const char *const lines[] = {"", " ", "KV ", "HELP "};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        size_t from;
        char *words = s_words (lines[i], &from);
        for (size_t id = 0; id < COMMAND_COUNT; id++) {
            char name[64];
            snprintf (name, sizeof name, " %s", command_spec ((command_id_t)id)->name);
            assert_non_null (strstr (words, name));
        }
        assert_non_null (strstr (words, " QUIT"));
        free (words);
    }
}

static void test_complete_asks_for_nodes_only_where_one_belongs (void **state)
{
    (void)state;
    kv_completion_t found;
    kv_complete (kv_slice_text ("SHUTDOWN "), NULL, &found);
    assert_true (found.wants_nodes);
    assert_int_equal (found.words.count, 0);
    kv_complete (kv_slice_text ("GET "), NULL, &found);
    assert_false (found.wants_nodes);
    kv_words_free (&found.words);
}

static void test_words_common_beginning (void **state)
{
    (void)state;
    kv_words_t words = {0};
    assert_int_equal (kv_words_common (&words), 0);
    kv_words_add (&words, kv_slice_text ("EXPIRE"));
    kv_words_add (&words, kv_slice_text ("EXPIRE"));
    assert_int_equal (words.count, 1);
    assert_int_equal (kv_words_common (&words), 6);
    kv_words_add (&words, kv_slice_text ("EXPIREAT"));
    assert_int_equal (kv_words_common (&words), 6);
    kv_words_add (&words, kv_slice_text ("EXISTS"));
    assert_int_equal (kv_words_common (&words), 2);
    kv_words_add (&words, kv_slice_text ("GET"));
    assert_int_equal (kv_words_common (&words), 0);
    kv_words_free (&words);
}

static void test_hint_shows_what_is_to_come (void **state)
{
    (void)state;
#define SET_OPTIONS                                                                                \
    "[NX|XX|IFEQ value|IFVER version] [GET] [EX seconds|PX milliseconds|EXAT unix-seconds|PXAT "   \
    "unix-milliseconds|KEEPTTL]"
    static const struct {
        const char *line;
        const char *hint;
    } rows[] = {
        {"", ""},
        {"SE", ""},
        {"KV", ""},
        {"EXIT", ""},
        {"nosuch a", ""},
        {"GET", " key"},
        {"get ", "key"},
        {"kv get ", "key"},
        {"GET a", ""},
        {"GET a ", ""},
        {"GET a b", ""},
        {"SET", " key value " SET_OPTIONS},
        {"SET k", " value " SET_OPTIONS},
        {"SET k v", " " SET_OPTIONS},
        {"SET k v ", SET_OPTIONS},
        {"SET k v n", " " SET_OPTIONS},
        {"SET k v n ", ""},
        {"SET k v q", ""},
        {"SET k v ex", " seconds [NX|XX|IFEQ value|IFVER version] [GET]"},
        {"SET k v ex 10 ", "[NX|XX|IFEQ value|IFVER version] [GET]"},
        {"SET \"a b", " value " SET_OPTIONS},
        {"SET \"a b\" 'c", " " SET_OPTIONS},
        {"SET \"a\"b", ""},
        {"MGET a b", " [key ...]"},
        {"MSET a ", "value [key value ...]"},
        {"MSET a 1 b ", "value [key value ...]"},
        {"MSET a 1 b 2 ", "[key value ...]"},
        {"SCAN 0 COUNT 5 ", "[MATCH pattern]"},
        {"PING ", "[message]"},
        {"PING hello", ""},
        {"HELP ", "[command|@group]"},
        {"INFO server ", "[section ...]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char hint[512];
        kv_hint (kv_slice_text (rows[i].line), hint, sizeof hint);
        if (strcmp (hint, rows[i].hint) != 0)
            fail_msg ("'%s' gives '%s', not '%s'", rows[i].line, hint, rows[i].hint);
    }
}

/* Behind its name alone, a command's hint is its argument text: none is too long or odd. */
static void test_hint_of_every_command (void **state)
{
    (void)state;
    for (size_t id = 0; id < COMMAND_COUNT; id++) {
        const command_spec_t *spec = command_spec ((command_id_t)id);
        char line[64];
        char hint[512];
        snprintf (line, sizeof line, "%s ", spec->name);
        kv_hint (kv_slice_text (line), hint, sizeof hint);
        assert_string_equal (hint, spec->arguments);
    }
}

static void test_hint_is_cut_to_its_room (void **state)
{
    (void)state;
    char hint[8];
    for (size_t bytes = 1; bytes <= sizeof hint; bytes++) {
        static const char *const lines[] = {"SET", "SET ", "SET k v EX "};
        for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
            memset (hint, 'x', sizeof hint);
            kv_hint (kv_slice_text (lines[i]), hint, bytes);
            assert_true (strlen (hint) < bytes);
        }
    }
    kv_hint (kv_slice_text ("SET"), hint, sizeof hint);
    assert_string_equal (hint, " key va");
}

static void test_any_bytes_are_survived (void **state)
{
    (void)state;
    static const char bytes[] = "SET \0\xff\"\\x0\x01 '\"' [NX| ] ... SHUTDOWN \xc3\xbc";
    static const char spaced[] = "SET   k\tv   NX   \\ \" EX";
    const struct {
        const char *text;
        size_t size;
    } lines[] = {{bytes, sizeof bytes}, {spaced, sizeof spaced}};
    for (size_t i = 0; i < 2; i++) {
        for (size_t from = 0; from < lines[i].size; from++) {
            for (size_t to = from; to < lines[i].size; to++) {
                size_t size = to - from;
                char *exact = malloc (size + 1); /* one byte more: malloc (0) may be NULL */
                assert_non_null (exact);
                memcpy (exact + 1, lines[i].text + from, size);
                kv_completion_t found;
                char hint[64];
                kv_complete (kv_slice (exact + 1, size), NULL, &found);
                assert_true (found.from <= size);
                kv_words_free (&found.words);
                kv_hint (kv_slice (exact + 1, size), hint, sizeof hint);
                free (exact);
            }
        }
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_complete_words),
        cmocka_unit_test (test_complete_offers_every_command_on_an_empty_line),
        cmocka_unit_test (test_complete_asks_for_nodes_only_where_one_belongs),
        cmocka_unit_test (test_words_common_beginning),
        cmocka_unit_test (test_hint_shows_what_is_to_come),
        cmocka_unit_test (test_hint_of_every_command),
        cmocka_unit_test (test_hint_is_cut_to_its_room),
        cmocka_unit_test (test_any_bytes_are_survived),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
