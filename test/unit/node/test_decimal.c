/* Goal: integers are read as strictly as Redis reads them. Method: cases, and a round trip. */
#include "node/decimal.h"
#include "fixture.h"

static void s_good (const char *text, int64_t expected)
{
    int64_t number;
    assert_true (decimal_read (kv_slice_text (text), &number));
    assert_true (number == expected);
    char again[DECIMAL_TEXT_BYTES];
    assert_int_equal (decimal_write (again, number), strlen (text));
    assert_memory_equal (again, text, strlen (text));
}

static void test_decimal_accepts_shortest_forms (void **state)
{
    (void)state;
    s_good ("0", 0);
    s_good ("-1", -1);
    s_good ("42", 42);
    s_good ("9223372036854775807", INT64_MAX);
    s_good ("-9223372036854775808", INT64_MIN);
    s_good ("1000000000000000000", INT64_C (1000000000000000000));
}

static void test_decimal_refuses_anything_else (void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "01",
                                      "-0",
                                      "-01",
                                      "1.0",
                                      "1e3",
                                      "0x10",
                                      "9223372036854775808",
                                      "1\n",
                                      "--1",
                                      "٣",
                                      "-9223372036854775809",
                                      "inf",
                                      "1_000",
                                      "00",
                                      "18446744073709551616",
                                      "999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t number;
        assert_false (decimal_read (kv_slice_text (bad[i]), &number));
    }
    int64_t number;
    assert_false (decimal_read (kv_slice ("1\0", 2), &number));
}

static void test_decimal_round_trip (void **state)
{
    (void)state;
    uint64_t random = fixture_seed ("decimal");
    for (int i = 0; i < 100000; i++) {
        unsigned shift = (unsigned)fixture_random (&random, 64);
        int64_t number = (int64_t)fixture_random (&random, UINT64_MAX) >> shift;
        char text[DECIMAL_TEXT_BYTES];
        int64_t again;
        assert_true (decimal_read (kv_slice (text, decimal_write (text, number)), &again));
        assert_true (again == number);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_decimal_accepts_shortest_forms),
        cmocka_unit_test (test_decimal_refuses_anything_else),
        cmocka_unit_test (test_decimal_round_trip),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
