/* timer_wheel - many deadlines, set and cleared in constant time (Varghese and Lauck, SOSP 1987).
 *
 *   T1  a timer is in the wheel iff timer->armed.
 *   T2  timer_wheel_next never yields a timer before its deadline; it yields it at the first call
 *       whose now_ms is at least deadline + TIMER_WHEEL_TICK_MS.
 *
 *   T3  each slot is looked through once in a round, however often timer_wheel_next is called.
 *
 * Slots are TIMER_WHEEL_TICK_MS wide; a timer further away than the wheel is round goes round it
 * once more. Timers are members of the structs they belong to; the wheel owns none of them.
 * Pure: time comes in and never goes back. Owner: one thread. */
#ifndef KVDB_ACTORS_TIMER_WHEEL_H
#define KVDB_ACTORS_TIMER_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TIMER_WHEEL_TICK_MS = 8, TIMER_WHEEL_SLOTS = 1024 };

typedef struct wheel_timer wheel_timer_t;
struct wheel_timer {
    wheel_timer_t *previous, *next;
    int64_t deadline_ms;
    bool armed;
};

typedef struct {
    wheel_timer_t slots[TIMER_WHEEL_SLOTS]; /* list heads */
    wheel_timer_t due;                      /* list head: armed, and to be yielded next */
    int64_t tick;                           /* the first tick whose slot was not looked through */
    size_t count;                           /* armed timers */
} timer_wheel_t;

void timer_wheel_init (timer_wheel_t *self, int64_t now_ms);

/* Arms a timer that is not armed. A deadline in the past is due at once. */
void timer_wheel_set (timer_wheel_t *self, wheel_timer_t *timer, int64_t deadline_ms);

/* Disarms; does nothing if it is not armed. */
void timer_wheel_clear (timer_wheel_t *self, wheel_timer_t *timer);

/* Disarms and returns one timer that is due, or NULL when there is none left. Call until NULL. */
wheel_timer_t *timer_wheel_next (timer_wheel_t *self, int64_t now_ms);

#endif
