#include "actors/epoch_history.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 8 };

void epoch_history_free (epoch_history_t *self)
{
    free (self->opens);
    *self = (epoch_history_t){.opens = NULL};
}

static void s_reserve (epoch_history_t *self, size_t count)
{
    if (count <= self->capacity)
        return;
    size_t capacity = self->capacity ? self->capacity : FIRST_CAPACITY;
    while (capacity < count)
        capacity *= 2;
    epoch_open_t *opens = realloc (self->opens, capacity * sizeof *opens);
    KV_ASSERT (opens);
    self->opens = opens;
    self->capacity = capacity;
}

void epoch_history_copy (epoch_history_t *self, const epoch_history_t *from)
{
    if (self == from)
        return;
    s_reserve (self, from->count);
    if (from->count)
        memcpy (self->opens, from->opens, from->count * sizeof *from->opens);
    self->count = from->count;
}

kv_status_t epoch_history_add (epoch_history_t *self, uint64_t position, uint64_t previous)
{
    uint64_t newest = self->count ? self->opens[self->count - 1].position : 0;
    bool follows = self->count == 0 || previous >= newest;
    if (!follows || position_epoch (position) <= position_epoch (previous) ||
        position_epoch (position) <= position_epoch (newest) ||
        position_n (position) != position_n (previous) + 1)
        return KV_CORRUPT; // E1
    s_reserve (self, self->count + 1);
    self->opens[self->count++] = (epoch_open_t){position, previous};
    return KV_OK;
}

void epoch_history_cut (epoch_history_t *self, uint64_t position)
{
    while (self->count && self->opens[self->count - 1].position > position)
        self->count--;
}

/* The last position of the epoch that the open of that index begins. */
static uint64_t s_end (const epoch_history_t *self, uint64_t last, size_t index)
{
    return index + 1 < self->count ? self->opens[index + 1].previous : last;
}

bool epoch_history_has (const epoch_history_t *self, uint64_t last, uint64_t position)
{
    if (position == 0)
        return true;
    size_t low = 0;
    size_t high = self->count;
    while (low < high) { /* the first open beyond the position */
        size_t middle = low + (high - low) / 2;
        if (self->opens[middle].position <= position)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    const epoch_open_t *open = &self->opens[low - 1];
    return position_epoch (open->position) == position_epoch (position) &&
           position <= s_end (self, last, low - 1);
}

uint64_t epoch_history_fork (const epoch_history_t *a, uint64_t a_last, const epoch_history_t *b,
                             uint64_t b_last)
{
    size_t i = a->count;
    size_t j = b->count;
    while (i && j) {
        uint64_t a_open = a->opens[i - 1].position;
        uint64_t b_open = b->opens[j - 1].position;
        if (a_open == b_open) { // E2: the same up to where one of them ends
            uint64_t a_end = s_end (a, a_last, i - 1);
            uint64_t b_end = s_end (b, b_last, j - 1);
            return a_end < b_end ? a_end : b_end;
        }
        if (a_open > b_open)
            i--;
        else
            j--;
    }
    return 0;
}

void epoch_history_encode (writer_t *out, const epoch_history_t *self, size_t most)
{
    size_t count = self->count < most ? self->count : most;
    writer_array (out, (uint32_t)(2 * count));
    for (size_t i = self->count - count; i < self->count; i++) {
        writer_uint (out, self->opens[i].position);
        writer_uint (out, self->opens[i].previous);
    }
}

kv_status_t epoch_history_decode (reader_t *at, epoch_history_t *self)
{
    reader_t trial = *at;
    uint32_t numbers;
    epoch_history_free (self);
    if (reader_array (&trial, &numbers) != KV_OK || numbers % 2 != 0)
        return KV_BAD_REQUEST;
    for (uint32_t i = 0; i < numbers / 2; i++) {
        uint64_t position;
        uint64_t previous;
        if (reader_uint (&trial, &position) != KV_OK || reader_uint (&trial, &previous) != KV_OK ||
            epoch_history_add (self, position, previous) != KV_OK) {
            epoch_history_free (self);
            return KV_BAD_REQUEST;
        }
    }
    *at = trial;
    return KV_OK;
}
