/* Goal: each format shows every kind of value, and JSON loses no byte.
 * Method: replies are built as a server would, printed to memory and compared as a whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "test/unit/client/fake_server.h"

#include "client/kv_print.h"
#include "client/reply_tree.h"

typedef void print_t (FILE *out, kv_format_t format, const kv_reply_t *reply);

/* Prints the reply in `body`, which is emptied, and compares. */
static void s_expect_by (print_t *print, writer_t *body, kv_format_t format, const char *expected)
{
    kv_reply_t *reply;
    char *text;
    size_t size;
    assert_int_equal (reply_tree_single (kv_slice (body->data, body->size), &reply), KV_OK);
    FILE *out = open_memstream (&text, &size);
    print (out, format, reply);
    fclose (out);
    assert_string_equal (text, expected);
    free (text);
    kv_reply_destroy (&reply);
    writer_free (body);
}

static void s_expect (writer_t *body, kv_format_t format, const char *expected)
{
    s_expect_by (kv_print_reply, body, format, expected);
}

static writer_t s_kinds (void)
{
    writer_t body = writer_make (SIZE_MAX);
    reply_begin (&body, 1, 1);
    fake_kinds (&body);
    return body;
}

/* A reply whose value is for the caller to append. */
static writer_t s_value (void)
{
    writer_t body = writer_make (SIZE_MAX);
    reply_begin (&body, 1, 1);
    result_value (&body);
    return body;
}

static void test_print_all_kinds (void **state)
{
    (void)state;
    writer_t body = s_kinds ();
    s_expect (&body, KV_FORMAT_TERMINAL,
              "1) (nil)\n2) (integer) -7\n3) (double) 2.5\n4) (true)\n5) text\n"
              "6) \"a\\x00\\xff\"\n7) (empty array)\n"
              "8) 1# \"one\" => (integer) 1\n   2# \"two\" => 1) (nil)\n");
    body = s_kinds ();
    s_expect (&body, KV_FORMAT_JSON,
              "[null, -7, 2.5, true, \"text\", {\"$base64\": \"YQD/\"}, [], "
              "{\"one\": 1, \"two\": [null]}]\n");
    body = s_value ();
    writer_array (&body, 4);
    writer_nil (&body);
    writer_int (&body, -7);
    writer_bin (&body, kv_slice_text ("a b"));
    writer_bool (&body, false);
    s_expect (&body, KV_FORMAT_RAW, "(nil)\n-7\na b\nfalse\n");
}

static void test_print_nested_arrays_are_indented (void **state)
{
    (void)state;
    writer_t body = s_value ();
    writer_array (&body, 10);
    for (int i = 0; i < 9; i++)
        writer_int (&body, i);
    writer_array (&body, 2);
    writer_bin (&body, kv_slice_text ("x"));
    writer_bin (&body, kv_slice_text ("y"));
    s_expect (&body, KV_FORMAT_TERMINAL,
              " 1) (integer) 0\n 2) (integer) 1\n 3) (integer) 2\n 4) (integer) 3\n"
              " 5) (integer) 4\n 6) (integer) 5\n 7) (integer) 6\n 8) (integer) 7\n"
              " 9) (integer) 8\n10) 1) \"x\"\n    2) \"y\"\n");
}

static void test_print_pages_stand_as_they_are (void **state)
{
    (void)state;
    static const struct {
        const char *page;
        kv_format_t format;
        const char *expected;
    } rows[] = {
        {"# A\r\nb:1\r\n", KV_FORMAT_TERMINAL, "# A\r\nb:1\r\n"},
        {"\"x\"", KV_FORMAT_TERMINAL, "\"x\"\n"},
        {"", KV_FORMAT_TERMINAL, "\n"},
        {"b:1\r\n", KV_FORMAT_RAW, "b:1\r\n\n"},
        {"b:1\r\n", KV_FORMAT_JSON, "\"b:1\\u000d\\n\"\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        writer_t body = s_value ();
        writer_bin (&body, kv_slice_text (rows[i].page));
        s_expect_by (kv_print_page, &body, rows[i].format, rows[i].expected);
    }
    writer_t body = s_value ();
    writer_nil (&body);
    s_expect_by (kv_print_page, &body, KV_FORMAT_TERMINAL, "(nil)\n");
}

static void test_print_errors (void **state)
{
    (void)state;
    static const struct {
        kv_format_t format;
        const char *text;
    } rows[] = {
        {KV_FORMAT_TERMINAL, "(error) BUSY wait\n"},
        {KV_FORMAT_RAW, "(error) BUSY wait\n"},
        {KV_FORMAT_JSON, "{\"error\": {\"code\": 30, \"name\": \"BUSY\", \"text\": \"BUSY wait\", "
                         "\"details\": {\"retry_ms\": 50}}}\n"},
    };
    for (size_t i = 0; i < 3; i++) {
        writer_t body = writer_make (SIZE_MAX);
        reply_begin (&body, 1, 1);
        result_retry (&body, KV_BUSY, "BUSY wait", 50);
        s_expect (&body, rows[i].format, rows[i].text);
    }
}

static void test_print_json_strings (void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        const char *json;
    } rows[] = {
        {"", "\"\"\n"},
        {"a\"\\\n\t\x01\x7f", "\"a\\\"\\\\\\n\\u0009\\u0001\\u007f\"\n"},
        {"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"\n"},
        {"\xff", "{\"$base64\": \"/w==\"}\n"},
        {"\xc3", "{\"$base64\": \"ww==\"}\n"},                 /* cut short */
        {"\xc0\x80", "{\"$base64\": \"wIA=\"}\n"},             /* overlong */
        {"\xed\xa0\x80", "{\"$base64\": \"7aCA\"}\n"},         /* a surrogate */
        {"\xf4\x90\x80\x80", "{\"$base64\": \"9JCAgA==\"}\n"}, /* beyond U+10FFFF */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        writer_t body = s_value ();
        writer_bin (&body, kv_slice_text (rows[i].bytes));
        s_expect (&body, KV_FORMAT_JSON, rows[i].json);
    }
}

static void test_print_json_maps_and_numbers (void **state)
{
    (void)state;
    writer_t body = s_value ();
    writer_map (&body, 2);
    writer_int (&body, -1);
    writer_double (&body, INFINITY);
    writer_bin (&body, kv_slice_text ("k"));
    writer_double (&body, 0.1);
    s_expect (&body, KV_FORMAT_JSON, "{\"-1\": \"inf\", \"k\": 0.1}\n");
    body = s_value ();
    writer_map (&body, 1);
    writer_bin (&body, kv_slice_text ("\xff"));
    writer_double (&body, (double)NAN);
    s_expect (&body, KV_FORMAT_JSON, "{\"$map\": [[{\"$base64\": \"/w==\"}, \"nan\"]]}\n");
    body = s_value ();
    writer_double (&body, 1.0 / 3);
    s_expect (&body, KV_FORMAT_RAW, "0.3333333333333333\n");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_print_all_kinds),
        cmocka_unit_test (test_print_nested_arrays_are_indented),
        cmocka_unit_test (test_print_pages_stand_as_they_are),
        cmocka_unit_test (test_print_errors),
        cmocka_unit_test (test_print_json_strings),
        cmocka_unit_test (test_print_json_maps_and_numbers),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
