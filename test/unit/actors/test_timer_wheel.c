/* Goal: T1 and T2 of timer_wheel.h, whatever the order of calls and however time goes on.
 * Method: random sets, clears and steps of time (also long pauses, also deadlines many rounds of the
 * wheel away) against a plain array of deadlines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/timer_wheel.h"
#include "test/unit/schema/random.h"

enum { TIMERS = 300, STEPS = 60000, ROUND_MS = TIMER_WHEEL_TICK_MS * TIMER_WHEEL_SLOTS };

typedef struct {
    timer_wheel_t wheel;
    wheel_timer_t timers[TIMERS];
    int64_t deadlines[TIMERS]; /* -1: not armed */
    int64_t now_ms;
    size_t armed;
} model_t;

static int64_t s_deadline (random_t *random, int64_t now_ms)
{
    switch (random_below (random, 6)) {
    case 0: return now_ms;
    case 1: return now_ms > 500 ? now_ms - random_below (random, 500) : 0;
    case 2: return now_ms + random_below (random, 3 * ROUND_MS);
    default: return now_ms + random_below (random, 200);
    }
}

static int64_t s_step (random_t *random)
{
    switch (random_below (random, 40)) {
    case 0: return random_below (random, 2 * ROUND_MS);
    case 1: return ROUND_MS;
    default: return random_below (random, 20);
    }
}

/* Takes all that is due and checks it against the array. */
static void s_drain (model_t *self)
{
    for (wheel_timer_t *timer; (timer = timer_wheel_next (&self->wheel, self->now_ms)) != NULL;) {
        size_t i = (size_t)(timer - self->timers);
        assert_true (i < TIMERS);
        assert_true (self->deadlines[i] >= 0);            // T1
        assert_true (self->deadlines[i] <= self->now_ms); // T2: not before
        assert_false (timer->armed);                      // T1
        self->deadlines[i] = -1;
        self->armed--;
    }
    for (size_t i = 0; i < TIMERS; i++) { // T2: not later than a tick
        bool overdue =
            self->deadlines[i] >= 0 && self->deadlines[i] + TIMER_WHEEL_TICK_MS <= self->now_ms;
        assert_false (overdue);
        assert_int_equal (self->timers[i].armed, self->deadlines[i] >= 0); // T1
    }
    assert_int_equal (self->wheel.count, self->armed);
}

static void s_change (model_t *self, random_t *random)
{
    size_t i = random_below (random, TIMERS);
    if (self->deadlines[i] < 0) {
        self->deadlines[i] = s_deadline (random, self->now_ms);
        timer_wheel_set (&self->wheel, &self->timers[i], self->deadlines[i]);
        self->armed++;
    } else if (random_below (random, 3) == 0) {
        timer_wheel_clear (&self->wheel, &self->timers[i]);
        self->deadlines[i] = -1;
        self->armed--;
    }
    timer_wheel_clear (&self->wheel, &(wheel_timer_t){.armed = false});
}

static void test_random_against_an_array (void **state)
{
    (void)state;
    random_t random = random_make ("timer_wheel");
    static const int64_t starts[] = {0, 1, 123456789, (int64_t)1 << 40};
    for (size_t start = 0; start < sizeof starts / sizeof starts[0]; start++) {
        model_t *self = calloc (1, sizeof *self);
        self->now_ms = starts[start];
        for (size_t i = 0; i < TIMERS; i++)
            self->deadlines[i] = -1;
        timer_wheel_init (&self->wheel, self->now_ms);
        for (int step = 0; step < STEPS; step++) {
            s_change (self, &random);
            if (random_below (&random, 4) == 0) {
                self->now_ms += s_step (&random);
                s_drain (self);
            }
        }
        free (self);
    }
}

/* A timer may set another, for now, while the wheel is being drained. */
static void test_set_while_draining (void **state)
{
    (void)state;
    timer_wheel_t *wheel = malloc (sizeof *wheel);
    wheel_timer_t timers[10] = {{.armed = false}};
    timer_wheel_init (wheel, 1000);
    timer_wheel_set (wheel, &timers[0], 1000);
    size_t seen = 0;
    while (timer_wheel_next (wheel, 1010)) {
        seen++;
        if (seen < 10)
            timer_wheel_set (wheel, &timers[seen], 1000 - (int64_t)seen);
    }
    assert_int_equal (seen, 10);
    free (wheel);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_random_against_an_array),
        cmocka_unit_test (test_set_while_draining),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
