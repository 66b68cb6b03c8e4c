#include "node/reply_gate.h"

#include <stdlib.h>
#include <string.h>

/* Held replies stand back to back: this, the envelope, the reply. */
typedef struct {
    uint64_t waits_for, tag;
    size_t envelope_bytes, reply_bytes;
} held_t;

struct reply_gate {
    uint8_t *data; /* owned */
    size_t head;   /* what is before it has left */
    size_t size, capacity;
};

enum { KEPT_BYTES = 1024 * 1024 }; /* more is given back once the gate is empty */

reply_gate_t *reply_gate_new (void)
{
    reply_gate_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    return self;
}

void reply_gate_destroy (reply_gate_t **self_p)
{
    reply_gate_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free (self->data);
    free (self);
}

static void s_rest (reply_gate_t *self)
{
    if (self->head < self->size)
        return;
    self->head = 0;
    self->size = 0;
    if (self->capacity > KEPT_BYTES) {
        free (self->data);
        self->data = NULL;
        self->capacity = 0;
    }
}

/* Room for so many more bytes behind what is held. */
static uint8_t *s_claim (reply_gate_t *self, size_t bytes)
{
    if (self->head > self->size / 2) { /* each byte is moved less than once */
        memmove (self->data, self->data + self->head, self->size - self->head);
        self->size -= self->head;
        self->head = 0;
    }
    if (bytes > self->capacity - self->size) {
        self->capacity = 2 * self->capacity + bytes;
        self->data = realloc (self->data, self->capacity);
        KV_ASSERT (self->data != NULL);
    }
    uint8_t *claimed = self->data + self->size;
    self->size += bytes;
    return claimed;
}

static uint8_t *s_put (uint8_t *at, kv_slice_t bytes)
{
    if (bytes.size)
        memcpy (at, bytes.data, bytes.size);
    return at + bytes.size;
}

void reply_gate_hold (reply_gate_t *self, uint64_t waits_for, const reply_route_t *route,
                      kv_slice_t reply)
{
    held_t held = {.waits_for = waits_for,
                   .tag = route->tag,
                   .envelope_bytes = route->envelope.size,
                   .reply_bytes = reply.size};
    s_rest (self);
    uint8_t *at = s_claim (self, sizeof held + held.envelope_bytes + held.reply_bytes);
    at = s_put (at, kv_slice (&held, sizeof held));
    at = s_put (at, route->envelope);
    (void)s_put (at, reply);
}

bool reply_gate_next (reply_gate_t *self, uint64_t reached, reply_route_t *route, kv_slice_t *reply)
{
    held_t held;
    s_rest (self);
    if (self->head == self->size)
        return false;
    const uint8_t *at = self->data + self->head;
    memcpy (&held, at, sizeof held);
    if (held.waits_for > reached)
        return false; // V1
    at += sizeof held;
    *route = (reply_route_t){.tag = held.tag, .envelope = kv_slice (at, held.envelope_bytes)};
    *reply = kv_slice (at + held.envelope_bytes, held.reply_bytes);
    self->head += sizeof held + held.envelope_bytes + held.reply_bytes;
    return true;
}

size_t reply_gate_bytes (const reply_gate_t *self)
{
    return self->size - self->head;
}
