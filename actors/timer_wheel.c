#include "actors/timer_wheel.h"

#include "schema/status.h"

void timer_wheel_init (timer_wheel_t *self, int64_t now_ms)
{
    for (size_t i = 0; i < TIMER_WHEEL_SLOTS; i++)
        self->slots[i].next = self->slots[i].previous = &self->slots[i];
    self->tick = now_ms / TIMER_WHEEL_TICK_MS;
    self->count = 0;
}

static wheel_timer_t *s_slot (timer_wheel_t *self, int64_t tick)
{
    return &self->slots[(uint64_t)tick % TIMER_WHEEL_SLOTS];
}

void timer_wheel_set (timer_wheel_t *self, wheel_timer_t *timer, int64_t deadline_ms)
{
    KV_ASSERT (!timer->armed);
    /* Rounded up, so that a slot is due only when all its timers may be (T2). */
    int64_t tick = (deadline_ms + TIMER_WHEEL_TICK_MS - 1) / TIMER_WHEEL_TICK_MS;
    if (tick < self->tick)
        tick = self->tick;
    wheel_timer_t *slot = s_slot (self, tick);
    timer->deadline_ms = deadline_ms;
    timer->previous = slot->previous;
    timer->next = slot;
    slot->previous->next = timer;
    slot->previous = timer;
    timer->armed = true;
    self->count++;
}

void timer_wheel_clear (timer_wheel_t *self, wheel_timer_t *timer)
{
    if (!timer->armed)
        return;
    timer->previous->next = timer->next;
    timer->next->previous = timer->previous;
    timer->armed = false;
    KV_ASSERT (self->count > 0);
    self->count--;
}

wheel_timer_t *timer_wheel_next (timer_wheel_t *self, int64_t now_ms)
{
    int64_t now_tick = now_ms / TIMER_WHEEL_TICK_MS;
    if (now_tick - self->tick > TIMER_WHEEL_SLOTS)
        self->tick = now_tick - TIMER_WHEEL_SLOTS; /* a pause: every slot is looked at once */
    for (; self->tick <= now_tick; self->tick++) {
        wheel_timer_t *slot = s_slot (self, self->tick);
        for (wheel_timer_t *timer = slot->next; timer != slot; timer = timer->next) {
            if (timer->deadline_ms <= now_ms) {
                timer_wheel_clear (self, timer);
                return timer;
            }
        }
        if (self->tick == now_tick)
            break; /* timers may still be set for this tick */
    }
    return NULL;
}
