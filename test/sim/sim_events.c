#include "sim_events.h"

#include "schema/status.h"

#include <stdlib.h>

void sim_events_free (sim_events_t *self)
{
    free (self->heap);
    *self = (sim_events_t){0};
}

static bool s_is_before (const sim_event_t *a, const sim_event_t *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void sim_events_add (sim_events_t *self, int64_t at_us, sim_event_fn *happens, void *context,
                     uint64_t number)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 256;
        self->heap = realloc (self->heap, self->capacity * sizeof *self->heap);
        KV_ASSERT (self->heap != NULL);
    }
    sim_event_t event = {.at_us = at_us < self->now_us ? self->now_us : at_us,
                         .order = self->added++,
                         .happens = happens,
                         .context = context,
                         .number = number};
    size_t at = self->count++;
    for (; at > 0 && s_is_before (&event, &self->heap[(at - 1) / 2]); at = (at - 1) / 2)
        self->heap[at] = self->heap[(at - 1) / 2];
    self->heap[at] = event;
}

static sim_event_t s_pop (sim_events_t *self)
{
    sim_event_t first = self->heap[0];
    sim_event_t last = self->heap[--self->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= self->count)
            break;
        if (child + 1 < self->count && s_is_before (&self->heap[child + 1], &self->heap[child]))
            child++;
        if (!s_is_before (&self->heap[child], &last))
            break;
        self->heap[at] = self->heap[child];
        at = child;
    }
    if (self->count)
        self->heap[at] = last;
    return first;
}

bool sim_events_step (sim_events_t *self)
{
    if (self->count == 0)
        return false;
    sim_event_t event = s_pop (self);
    KV_ASSERT (event.at_us >= self->now_us); // E1
    self->now_us = event.at_us;
    event.happens (event.context, event.number);
    return true;
}
