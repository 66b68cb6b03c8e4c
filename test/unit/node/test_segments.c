/* Goal: elements keep address and content while the array grows and shrinks. Method: an array much
 * longer than the mapped segments, walked up and down with swings at random places. */
#include "node/segments.h"
#include "fixture.h"

static void test_segments_elements_stay_where_they_are (void **state)
{
    (void)state;
    enum { COUNT = 200000, WATCHED = 1000 };
    segments_t array = segments_make (6);
    void *watched[COUNT / WATCHED];
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t *element = segments_push (&array);
        *element = i;
        if (i % WATCHED == 0)
            watched[i / WATCHED] = element;
    }
    assert_int_equal (array.count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true (*(uint64_t *)segments_at (&array, i) == i);
        if (i % WATCHED == 0)
            assert_ptr_equal (segments_at (&array, i), watched[i / WATCHED]);
    }
    segments_free (&array);
    assert_int_equal (segments_bytes (&array), 0);
}

static void test_segments_shrinking_leaves_the_rest_untouched (void **state)
{
    (void)state;
    uint64_t random = fixture_seed ("segments");
    segments_t array = segments_make (4);
    size_t goals[] = {100000, 10, 50000, 49000, 51000, 3, 0, 5000};
    for (size_t g = 0; g < sizeof goals / sizeof goals[0]; g++) {
        while (array.count != goals[g]) {
            bool up = array.count < goals[g];
            if (array.count > 0 && fixture_random (&random, 4) == 0)
                up = !up; /* swings across every border */
            if (up)
                *(uint64_t *)segments_push (&array) = array.count;
            else
                segments_pop (&array);
        }
        for (size_t i = 0; i < array.count; i++)
            assert_true (*(uint64_t *)segments_at (&array, i) == i + 1);
    }
    segments_free (&array);
}

static void test_segments_extended_are_zero (void **state)
{
    (void)state;
    uint64_t random = fixture_seed ("segments extended");
    for (int round = 0; round < 30; round++) {
        segments_t array = segments_make (round % 2 ? 4 : 6);
        size_t before = fixture_random (&random, round % 3 ? 100 : 20000);
        for (size_t i = 0; i < before; i++)
            memset (segments_push (&array), 0xff, (size_t)1 << array.element_log2);
        size_t kept = fixture_random (&random, before + 1);
        while (array.count > kept) /* what is left in held segments is not zero */
            segments_pop (&array);
        size_t wanted = kept + fixture_random (&random, 50000);
        segments_extend (&array, wanted);
        assert_int_equal (array.count, wanted);
        for (size_t i = 0; i < wanted; i++) {
            uint64_t word;
            memcpy (&word, segments_at (&array, i), sizeof word);
            assert_true (word == (i < kept ? UINT64_MAX : 0));
        }
        for (size_t i = 0; i < 1000; i++) {
            *(uint64_t *)segments_push (&array) = i;
            assert_true (*(uint64_t *)segments_at (&array, wanted + i) == i);
        }
        while (array.count)
            segments_pop (&array);
        segments_free (&array);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_segments_elements_stay_where_they_are),
        cmocka_unit_test (test_segments_shrinking_leaves_the_rest_untouched),
        cmocka_unit_test (test_segments_extended_are_zero),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
