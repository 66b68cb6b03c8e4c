/* Goal: chance, events and clocks are what their headers say; all else stands on them. */
#include "test_sim.h"

#include "sim_clock.h"
#include "sim_events.h"
#include "sim_random.h"

static void test_same_seed_gives_same_numbers_and_forks_differ (void **state)
{
    (void)state;
    sim_random_t a = sim_random_make (7);
    sim_random_t b = sim_random_make (7);
    for (int i = 0; i < 100; i++)
        assert_int_equal (sim_random_next (&a), sim_random_next (&b));
    sim_random_t c = sim_random_fork (&a, 1);
    sim_random_t d = sim_random_fork (&b, 2);
    assert_int_not_equal (sim_random_next (&c), sim_random_next (&d));
}

static void test_random_stays_within_its_bounds_and_reaches_them (void **state)
{
    (void)state;
    sim_random_t random = sim_random_make (1);
    bool least = false, most = false;
    for (int i = 0; i < 2000; i++) {
        int64_t number = sim_random_range (&random, -3, 3);
        assert_in_range (number + 3, 0, 6);
        least = least || number == -3;
        most = most || number == 3;
        assert_in_range (sim_random_scale (&random, 1, 1000), 1, 1000);
        assert_in_range (sim_random_scale (&random, 5, 5), 5, 5);
    }
    assert_true (least && most);
}

typedef struct {
    uint64_t seen[8];
    size_t count;
} heard_t;

static void s_hear (void *context, uint64_t number)
{
    heard_t *heard = context;
    heard->seen[heard->count++] = number;
}

static void test_events_happen_in_order_of_time_then_of_addition (void **state)
{
    (void)state;
    sim_events_t events = {.heap = NULL};
    heard_t heard = {.count = 0};
    sim_events_add (&events, 30, s_hear, &heard, 5);
    sim_events_add (&events, 10, s_hear, &heard, 1);
    sim_events_add (&events, 20, s_hear, &heard, 3);
    sim_events_add (&events, 10, s_hear, &heard, 2);
    sim_events_add (&events, 20, s_hear, &heard, 4);
    while (sim_events_step (&events))
        continue;
    assert_int_equal (heard.count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal (heard.seen[i], i + 1);
    assert_int_equal (events.now_us, 30);
    sim_events_add (&events, 5, s_hear, &heard, 6); /* the past is now */
    assert_true (sim_events_step (&events));
    assert_int_equal (events.now_us, 30);
    sim_events_free (&events);
}

static void test_clock_drifts_and_tells_when_it_will_show_a_time (void **state)
{
    (void)state;
    sim_clock_t fast = {.offset_us = 5000000, .drift_ppm = 100000};
    assert_int_equal (sim_clock_local_ms (&fast, 0), 5000);
    assert_int_equal (sim_clock_local_ms (&fast, 1000000), 6100);
    for (int64_t local_ms = 5000; local_ms < 7000; local_ms += 13) {
        int64_t at_us = sim_clock_when_us (&fast, local_ms);
        assert_int_equal (sim_clock_local_ms (&fast, at_us), local_ms);
    }
}

static void test_wall_bounds_hold_every_reading (void **state)
{
    (void)state;
    sim_random_t random = sim_random_make (3);
    for (int round = 0; round < 200; round++) {
        sim_clock_t clock = {.drift_ppm = sim_random_range (&random, -100000, 100000)};
        int64_t from_us = sim_random_range (&random, 0, 500000);
        int64_t to_us = from_us + sim_random_range (&random, 0, 500000);
        int64_t seen_least = INT64_MAX, seen_most = INT64_MIN, least_ms, most_ms;
        for (int64_t at_us = 0; at_us <= 1000000; at_us += 1000) {
            if (sim_random_below (&random, 200) == 0)
                sim_clock_jump (&clock, at_us, sim_random_range (&random, -900, 900));
            int64_t wall_ms = sim_clock_wall_ms (&clock, at_us);
            if (at_us < from_us || at_us > to_us)
                continue;
            seen_least = wall_ms < seen_least ? wall_ms : seen_least;
            seen_most = wall_ms > seen_most ? wall_ms : seen_most;
        }
        sim_clock_wall_bounds (&clock, from_us, to_us, &least_ms, &most_ms);
        assert_true (seen_most < seen_least || (least_ms <= seen_least && most_ms >= seen_most));
    }
}

int test_time (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_same_seed_gives_same_numbers_and_forks_differ),
        cmocka_unit_test (test_random_stays_within_its_bounds_and_reaches_them),
        cmocka_unit_test (test_events_happen_in_order_of_time_then_of_addition),
        cmocka_unit_test (test_clock_drifts_and_tells_when_it_will_show_a_time),
        cmocka_unit_test (test_wall_bounds_hold_every_reading),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
