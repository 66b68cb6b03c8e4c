#include "sim_values.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SLOTS_FIRST = 1024 };

typedef struct {
    size_t offset; /* into bytes */
    uint32_t size;
    uint32_t hash;
} value_t;

struct sim_values {
    uint8_t *bytes; /* owned */
    size_t bytes_used, bytes_capacity;
    value_t *values; /* owned; the value v is values[v - 1] */
    uint32_t count, capacity;
    uint32_t *slots; /* owned: open addressing; 0: free */
    uint32_t slot_count;
};

sim_values_t *sim_values_new (void)
{
    sim_values_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->slot_count = SLOTS_FIRST;
    self->slots = calloc (self->slot_count, sizeof *self->slots);
    KV_ASSERT (self->slots != NULL);
    return self;
}

void sim_values_destroy (sim_values_t **self_p)
{
    sim_values_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free (self->bytes);
    free (self->values);
    free (self->slots);
    free (self);
}

void sim_values_reset (sim_values_t *self)
{
    self->bytes_used = 0;
    self->count = 0;
    memset (self->slots, 0, self->slot_count * sizeof *self->slots);
}

static uint32_t s_hash (kv_slice_t bytes)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < bytes.size; i++)
        hash = (hash ^ bytes.data[i]) * 16777619U;
    return hash ^ hash >> 15;
}

static void s_grow_slots (sim_values_t *self)
{
    self->slot_count *= 2;
    free (self->slots);
    self->slots = calloc (self->slot_count, sizeof *self->slots);
    KV_ASSERT (self->slots != NULL);
    for (uint32_t i = 0; i < self->count; i++) {
        uint32_t at = self->values[i].hash & (self->slot_count - 1);
        while (self->slots[at])
            at = (at + 1) & (self->slot_count - 1);
        self->slots[at] = i + 1;
    }
}

static sim_value_t s_add (sim_values_t *self, kv_slice_t bytes, uint32_t hash)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 256;
        self->values = realloc (self->values, self->capacity * sizeof *self->values);
        KV_ASSERT (self->values != NULL);
    }
    if (self->bytes_capacity - self->bytes_used < bytes.size) {
        self->bytes_capacity = 2 * (self->bytes_used + bytes.size) + 4096;
        self->bytes = realloc (self->bytes, self->bytes_capacity);
        KV_ASSERT (self->bytes != NULL);
    }
    if (bytes.size)
        memcpy (self->bytes + self->bytes_used, bytes.data, bytes.size);
    self->values[self->count++] = (value_t){self->bytes_used, (uint32_t)bytes.size, hash};
    self->bytes_used += bytes.size;
    return self->count;
}

sim_value_t sim_values_of (sim_values_t *self, kv_slice_t bytes)
{
    uint32_t hash = s_hash (bytes);
    uint32_t at = hash & (self->slot_count - 1);
    for (; self->slots[at]; at = (at + 1) & (self->slot_count - 1)) {
        sim_value_t value = self->slots[at];
        if (self->values[value - 1].hash == hash &&
            kv_slice_equal (sim_values_bytes (self, value), bytes))
            return value;
    }
    sim_value_t value = s_add (self, bytes, hash);
    self->slots[at] = value;
    if (self->count * 2 > self->slot_count)
        s_grow_slots (self);
    return value;
}

kv_slice_t sim_values_bytes (const sim_values_t *self, sim_value_t value)
{
    if (value == 0)
        return kv_slice (NULL, 0);
    KV_ASSERT (value <= self->count);
    const value_t *there = &self->values[value - 1];
    return kv_slice (self->bytes + there->offset, there->size);
}

sim_value_t sim_values_join (sim_values_t *self, sim_value_t a, sim_value_t b)
{
    uint8_t joined[4096];
    kv_slice_t first = sim_values_bytes (self, a);
    kv_slice_t second = sim_values_bytes (self, b);
    KV_ASSERT (first.size + second.size <= sizeof joined);
    if (first.size)
        memcpy (joined, first.data, first.size);
    if (second.size)
        memcpy (joined + first.size, second.data, second.size);
    return sim_values_of (self, kv_slice (joined, first.size + second.size));
}

bool sim_values_number (const sim_values_t *self, sim_value_t value, int64_t *number)
{
    kv_slice_t bytes = sim_values_bytes (self, value);
    char text[24];
    int used = 0;
    if (bytes.size == 0 || bytes.size >= sizeof text)
        return false;
    memcpy (text, bytes.data, bytes.size);
    text[bytes.size] = '\0';
    return sscanf (text, "%" SCNd64 "%n", number, &used) == 1 && (size_t)used == bytes.size;
}

sim_value_t sim_values_of_number (sim_values_t *self, int64_t number)
{
    char text[24];
    int length = snprintf (text, sizeof text, "%" PRId64, number);
    return sim_values_of (self, kv_slice (text, (size_t)length));
}
