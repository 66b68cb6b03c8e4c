/* Goal: the clocks run, agree with each other, and with the system's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/clock.h"

#include <time.h>

static void test_clocks_agree_and_never_go_back (void **state)
{
    (void)state;
    int64_t last_us = 0;
    for (int i = 0; i < 100000; i++) {
        int64_t now_us = clock_us ();
        assert_true (now_us >= last_us);
        last_us = now_us;
    }
    int64_t before_ms = clock_us () / 1000;
    int64_t now_ms = clock_ms ();
    int64_t after_ms = clock_us () / 1000;
    assert_true (before_ms <= now_ms && now_ms <= after_ms);
}

static void test_time_passes_as_the_system_says (void **state)
{
    (void)state;
    int64_t start_us = clock_us ();
    int64_t start_ms = clock_ms ();
    struct timespec wait = {.tv_nsec = 30 * 1000 * 1000};
    clock_nanosleep (CLOCK_BOOTTIME, 0, &wait, NULL);
    assert_true (clock_us () - start_us >= 30 * 1000);
    assert_true (clock_ms () - start_ms >= 29);
    time_t seconds = time (NULL);
    int64_t wall_ms = clock_wall_ms ();
    assert_true (wall_ms / 1000 - seconds >= 0 && wall_ms / 1000 - seconds <= 5);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_clocks_agree_and_never_go_back),
        cmocka_unit_test (test_time_passes_as_the_system_says),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
