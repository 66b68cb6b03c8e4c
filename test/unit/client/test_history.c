/* Goal: the history keeps what was typed, for its owner only, in bounded space, and a damaged file
 * costs no more than what is damaged.
 * Method: real files in a folder of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/kv_history.h"

typedef struct {
    char folder[64];
    char path[128];
} place_t;

static int s_setup (void **state)
{
    place_t *place = calloc (1, sizeof *place);
    snprintf (place->folder, sizeof place->folder, "/tmp/kvdb-history-XXXXXX");
    if (!mkdtemp (place->folder))
        return -1;
    snprintf (place->path, sizeof place->path, "%s/history", place->folder);
    *state = place;
    return 0;
}

static int s_teardown (void **state)
{
    place_t *place = *state;
    unlink (place->path);
    int failed = rmdir (place->folder); /* nothing else may be left in it */
    free (place);
    return failed;
}

static void s_put (const char *path, const void *data, size_t size)
{
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    assert_int_equal (fwrite (data, 1, size, file), size);
    assert_int_equal (fclose (file), 0);
}

static void s_collect (void *context, const char *text)
{
    fprintf (context, "%s|", text);
}

/* The lines that are kept, each before a bar. */
static char *s_lines (const char *path)
{
    char *text;
    size_t size;
    FILE *out = open_memstream (&text, &size);
    kv_history_load (path, s_collect, out);
    fclose (out);
    return text;
}

static void s_expect (const char *path, const char *expected)
{
    char *lines = s_lines (path);
    assert_string_equal (lines, expected);
    free (lines);
}

static unsigned s_mode (const char *path)
{
    struct stat about;
    assert_int_equal (stat (path, &about), 0);
    return about.st_mode & 0777;
}

static void test_history_lines_come_back_in_order (void **state)
{
    const place_t *place = *state;
    s_expect (place->path, "");
    assert_true (kv_history_add (place->path, kv_slice_text ("SET a 1")));
    assert_true (kv_history_add (place->path, kv_slice_text ("GET \"é ü\"")));
    s_expect (place->path, "SET a 1|GET \"é ü\"|");
    assert_int_equal (s_mode (place->path), 0600); // F2
}

static void test_history_refuses_what_is_not_to_be_kept (void **state)
{
    const place_t *place = *state;
    char *large = malloc (HISTORY_LINE_BYTES + 1);
    assert_non_null (large);
    memset (large, 'x', HISTORY_LINE_BYTES + 1);
    assert_false (kv_history_add (place->path, kv_slice_text ("")));
    assert_false (kv_history_add (place->path, kv_slice_text (" SET secret 1")));
    assert_false (kv_history_add (place->path, kv_slice_text ("a\nb")));
    assert_false (kv_history_add (place->path, kv_slice_text ("a\xff")));
    assert_false (kv_history_add (place->path, kv_slice (large, HISTORY_LINE_BYTES + 1)));
    s_expect (place->path, "");
    assert_true (kv_history_add (place->path, kv_slice (large, HISTORY_LINE_BYTES)));
    assert_true (kv_history_add (NULL, kv_slice_text ("GET a")));
    free (large);
}

static void test_history_closes_a_file_that_was_open_to_others (void **state)
{
    const place_t *place = *state;
    s_put (place->path, "GET a\n", 6);
    assert_int_equal (chmod (place->path, 0644), 0);
    s_expect (place->path, "GET a|");
    assert_int_equal (s_mode (place->path), 0600);
}

static void test_history_survives_damage (void **state) // F4
{
    const place_t *place = *state;
    static const char bytes[] = "GET a\n\0\0\0\nbad \xc3\n\x1b[2J\n\nGET b\r\nGET \xc3\xbc\nto";
    s_put (place->path, bytes, sizeof bytes - 1);
    s_expect (place->path, "GET a|GET \xc3\xbc|to|");
    assert_true (kv_history_add (place->path, kv_slice_text ("GET c")));
    s_expect (place->path, "GET a|GET \xc3\xbc|to|GET c|");
}

static void test_history_is_bounded (void **state) // F3
{
    const place_t *place = *state;
    FILE *file = fopen (place->path, "w");
    assert_non_null (file);
    for (int i = 0; i < 3 * HISTORY_LINES; i++)
        fprintf (file, "GET %d\n", i);
    fclose (file);
    char *lines = s_lines (place->path);
    assert_memory_equal (lines, "GET 2000|", 9);
    free (lines);
    struct stat about;
    assert_int_equal (stat (place->path, &about), 0);
    assert_int_equal (about.st_size, 9 * HISTORY_LINES);
    assert_int_equal (s_mode (place->path), 0600);
    char *again = s_lines (place->path);
    assert_memory_equal (again, "GET 2000|", 9);
    free (again);
}

static void test_history_reads_the_end_of_a_large_file (void **state)
{
    const place_t *place = *state;
    size_t size = 3 * HISTORY_FILE_BYTES;
    char *bytes = calloc (1, size);
    assert_non_null (bytes);
    memcpy (bytes + size - 12, "\nGET a\nGET b", 12);
    s_put (place->path, bytes, size);
    free (bytes);
    s_expect (place->path, "GET a|GET b|");
    struct stat about;
    assert_int_equal (stat (place->path, &about), 0);
    assert_int_equal (about.st_size, 12);
}

static void test_history_waits_for_nothing (void **state) // F5
{
    const place_t *place = *state;
    assert_int_equal (mkfifo (place->path, 0600), 0);
    s_expect (place->path, "");
    assert_true (kv_history_add (place->path, kv_slice_text ("GET a")));
    s_expect (place->folder, "");
    s_expect ("/dev/null", "");
    s_expect ("/nonexistent/history", "");
    assert_true (kv_history_add ("/nonexistent/history", kv_slice_text ("GET a")));
}

static void test_history_path (void **state)
{
    const place_t *place = *state;
    char state_home[256];
    char expected[512];
    snprintf (state_home, sizeof state_home, "%s/state", place->folder);
    snprintf (expected, sizeof expected, "%s/kvdb/history", state_home);
    char *path = kv_history_path (NULL, state_home, "/home-of-nobody");
    assert_string_equal (path, expected);
    assert_true (kv_history_add (path, kv_slice_text ("GET a")));
    s_expect (path, "GET a|");
    unlink (path);
    free (path);
    snprintf (expected, sizeof expected, "%s/kvdb", state_home);
    assert_int_equal (s_mode (expected), 0700);
    assert_int_equal (rmdir (expected), 0);
    assert_int_equal (rmdir (state_home), 0);
    path = kv_history_path (NULL, "relative", "/h");
    assert_string_equal (path, "/h/.kvdb_history");
    free (path);
    path = kv_history_path ("x", state_home, "/h");
    assert_string_equal (path, "x");
    free (path);
    assert_null (kv_history_path ("", state_home, "/h"));
    assert_null (kv_history_path (NULL, NULL, NULL));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_history_lines_come_back_in_order, s_setup,
                                         s_teardown),
        cmocka_unit_test_setup_teardown (test_history_refuses_what_is_not_to_be_kept, s_setup,
                                         s_teardown),
        cmocka_unit_test_setup_teardown (test_history_closes_a_file_that_was_open_to_others,
                                         s_setup, s_teardown),
        cmocka_unit_test_setup_teardown (test_history_survives_damage, s_setup, s_teardown),
        cmocka_unit_test_setup_teardown (test_history_is_bounded, s_setup, s_teardown),
        cmocka_unit_test_setup_teardown (test_history_reads_the_end_of_a_large_file, s_setup,
                                         s_teardown),
        cmocka_unit_test_setup_teardown (test_history_waits_for_nothing, s_setup, s_teardown),
        cmocka_unit_test_setup_teardown (test_history_path, s_setup, s_teardown),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
