/* Goal: UTF-8 is told as RFC 3629 defines it. Method: every code point, written out; what is no character. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/utf8.h"

static size_t s_write (uint32_t code, size_t size, uint8_t *at)
{
    static const uint8_t s_leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size; i > 1; i--, code >>= 6)
        at[i - 1] = (uint8_t)(0x80 | (code & 0x3f));
    at[0] = (uint8_t)(s_leads[size] | code);
    return size;
}

static size_t s_size (uint32_t code)
{
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

static void test_every_code_point_in_its_shortest_form_alone (void **state)
{
    (void)state;
    uint8_t bytes[4];
    for (uint32_t code = 0; code < 0x1fffff; code++) {
        bool good = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
        for (size_t size = s_size (code); size <= 4; size++) {
            bool shortest = size == s_size (code);
            if (size == 1 && code > 0x7f)
                continue;
            s_write (code, size, bytes);
            assert_int_equal (utf8_bytes (kv_slice (bytes, size)), good && shortest ? size : 0);
            if (size > 1)
                assert_int_equal (utf8_bytes (kv_slice (bytes, size - 1)), 0);
        }
    }
}

static void test_text_is_well_formed_to_its_end (void **state)
{
    (void)state;
    assert_true (utf8_is_text (kv_slice (NULL, 0)));
    assert_true (utf8_is_text (kv_slice_text ("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80")));
    assert_false (utf8_is_text (kv_slice_text ("a\xc3")));
    assert_false (utf8_is_text (kv_slice_text ("a\x80")));
    assert_false (utf8_is_text (kv_slice_text ("\xff")));
    assert_false (utf8_is_text (kv_slice_text ("\xc3(")));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_every_code_point_in_its_shortest_form_alone),
        cmocka_unit_test (test_text_is_well_formed_to_its_end),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
