/* Goal: the table of status codes is sound: numbers unique and rising, every code described. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/status.h"

#include <string.h>

static const kv_status_t s_all[] = {
#define KV_STATUS(name, number, meaning) KV_##name,
#include "schema/status.def"
#undef KV_STATUS
};
enum { STATUS_COUNT = sizeof s_all / sizeof s_all[0] };

static void test_status_numbers_rise (void **state)
{
    (void)state;
    assert_int_equal (s_all[0], 0);
    for (size_t i = 1; i < STATUS_COUNT; i++)
        assert_true (s_all[i] > s_all[i - 1]);
}

/* The numbers travel and are stored; this list changes only by new lines. */
static void test_status_numbers_are_those_of_version_1 (void **state)
{
    (void)state;
    assert_int_equal (KV_OK, 0);
    assert_int_equal (KV_NOT_FOUND, 1);
    assert_int_equal (KV_END, 2);
    assert_int_equal (KV_ERR, 10);
    assert_int_equal (KV_BAD_REQUEST, 11);
    assert_int_equal (KV_BAD_VERSION, 12);
    assert_int_equal (KV_TOO_LARGE, 13);
    assert_int_equal (KV_UNKNOWN_COMMAND, 14);
    assert_int_equal (KV_WRONG_ARITY, 15);
    assert_int_equal (KV_SYNTAX, 16);
    assert_int_equal (KV_BAD_VALUE, 17);
    assert_int_equal (KV_WRONG_TYPE, 18);
    assert_int_equal (KV_NOT_SUPPORTED, 19);
    assert_int_equal (KV_DENIED, 20);
    assert_int_equal (KV_BUSY, 30);
    assert_int_equal (KV_UNAVAILABLE, 31);
    assert_int_equal (KV_OUTCOME_UNKNOWN, 32);
    assert_int_equal (KV_MOVED, 33);
    assert_int_equal (KV_RETRY, 34);
    assert_int_equal (KV_LOADING, 35);
    assert_int_equal (KV_DISK_FULL, 36);
    assert_int_equal (KV_OUT_OF_MEMORY, 37);
    assert_int_equal (KV_TIMEOUT, 38);
    assert_int_equal (KV_IO, 50);
    assert_int_equal (KV_CORRUPT, 51);
    assert_int_equal (KV_INTERNAL, 52);
    assert_int_equal (KV_CONFIG, 53);
}

static void test_status_names_and_meanings_exist (void **state)
{
    (void)state;
    for (size_t i = 0; i < STATUS_COUNT; i++) {
        assert_string_not_equal (kv_status_name (s_all[i]), "UNLISTED");
        assert_true (strlen (kv_status_meaning (s_all[i])) > 4);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal (kv_status_name (s_all[i]), kv_status_name (s_all[j]));
    }
    assert_string_equal (kv_status_name (KV_BUSY), "BUSY");
    assert_string_equal (kv_status_name ((kv_status_t)9999), "UNLISTED");
    assert_non_null (kv_status_meaning ((kv_status_t)9999));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_status_numbers_rise),
        cmocka_unit_test (test_status_numbers_are_those_of_version_1),
        cmocka_unit_test (test_status_names_and_meanings_exist),
    };
    return cmocka_run_group_tests_name ("schema.status", tests, NULL, NULL);
}
