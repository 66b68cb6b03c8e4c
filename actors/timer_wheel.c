#include "actors/timer_wheel.h"

#include "schema/status.h"

void timer_wheel_init (timer_wheel_t *self, int64_t now_ms)
{
    for (size_t i = 0; i < TIMER_WHEEL_SLOTS; i++)
        self->slots[i].next = self->slots[i].previous = &self->slots[i];
    self->due.next = self->due.previous = &self->due;
    self->tick = now_ms / TIMER_WHEEL_TICK_MS;
    self->count = 0;
}

static wheel_timer_t *s_slot (timer_wheel_t *self, int64_t tick)
{
    return &self->slots[(uint64_t)tick % TIMER_WHEEL_SLOTS];
}

static void s_append (wheel_timer_t *list, wheel_timer_t *timer)
{
    timer->previous = list->previous;
    timer->next = list;
    list->previous->next = timer;
    list->previous = timer;
}

static void s_unlink (wheel_timer_t *timer)
{
    timer->previous->next = timer->next;
    timer->next->previous = timer->previous;
}

void timer_wheel_set (timer_wheel_t *self, wheel_timer_t *timer, int64_t deadline_ms)
{
    KV_ASSERT (!timer->armed);
    /* Rounded up, so that when a tick has come all its timers of this round are due (T2). */
    int64_t tick = (deadline_ms + TIMER_WHEEL_TICK_MS - 1) / TIMER_WHEEL_TICK_MS;
    timer->deadline_ms = deadline_ms;
    timer->armed = true;
    s_append (tick < self->tick ? &self->due : s_slot (self, tick), timer);
    self->count++;
}

void timer_wheel_clear (timer_wheel_t *self, wheel_timer_t *timer)
{
    if (!timer->armed)
        return;
    s_unlink (timer);
    timer->armed = false;
    KV_ASSERT (self->count > 0);
    self->count--;
}

/* T3: moves what is due in one slot to the list of the due; later rounds' timers stay. */
static void s_look_through (timer_wheel_t *self, wheel_timer_t *slot, int64_t now_ms)
{
    for (wheel_timer_t *timer = slot->next; timer != slot;) {
        wheel_timer_t *next = timer->next;
        if (timer->deadline_ms <= now_ms) {
            s_unlink (timer);
            s_append (&self->due, timer);
        }
        timer = next;
    }
}

wheel_timer_t *timer_wheel_next (timer_wheel_t *self, int64_t now_ms)
{
    int64_t now_tick = now_ms / TIMER_WHEEL_TICK_MS;
    if (now_tick - self->tick >= TIMER_WHEEL_SLOTS)
        self->tick = now_tick - TIMER_WHEEL_SLOTS + 1; /* a pause: every slot once */
    for (; self->tick <= now_tick; self->tick++)
        s_look_through (self, s_slot (self, self->tick), now_ms);
    wheel_timer_t *timer = self->due.next;
    if (timer == &self->due)
        return NULL;
    timer_wheel_clear (self, timer);
    return timer;
}
