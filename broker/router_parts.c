#include "broker/router_parts.h"

#include <stdlib.h>

pending_t *pending_new (kv_slice_t envelope, blob_t *body, const scatter_t *scatter)
{
    size_t pieces_bytes = scatter->count * sizeof (piece_t);
    pending_t *self = malloc (sizeof *self + pieces_bytes + scatter->count + envelope.size);
    KV_ASSERT (self != NULL);
    *self = (pending_t){.body = body, .piece_count = scatter->count, .undone = scatter->count};
    self->pieces = (piece_t *)(self + 1);
    self->states = (uint8_t *)self->pieces + pieces_bytes;
    uint8_t *envelope_copy = self->states + scatter->count;
    if (scatter->count)
        memcpy (self->pieces, scatter->pieces, pieces_bytes);
    memset (self->states, PIECE_HELD, scatter->count);
    if (envelope.size)
        memcpy (envelope_copy, envelope.data, envelope.size);
    self->envelope = kv_slice (envelope_copy, envelope.size);
    if (scatter->key_count) {
        self->keys = malloc (scatter->key_count * sizeof *self->keys);
        KV_ASSERT (self->keys != NULL);
        memcpy (self->keys, scatter->keys, scatter->key_count * sizeof *self->keys);
    }
    return self;
}

void pending_destroy (pending_t **self_p)
{
    pending_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    KV_ASSERT (!self->parts && !self->timer.armed);
    blob_unref (&self->body);
    blob_unref (&self->reply);
    gather_destroy (&self->gather);
    free (self->keys);
    free (self);
}

void pending_expect (pending_t *self)
{
    for (uint32_t i = 0; i < self->piece_count;) {
        const piece_t *piece = &self->pieces[i];
        uint32_t pieces = 0;
        uint32_t keys = 0;
        for (; i < self->piece_count && self->pieces[i].command == piece->command; i++) {
            pieces++;
            keys += self->pieces[i].key_count;
        }
        gather_expect (self->gather, piece->command, piece->spec, pieces, keys);
    }
}

void pending_need_gather (pending_t *self)
{
    if (self->gather)
        return;
    self->gather = gather_new (self->id, self->commands);
    pending_expect (self);
}

typedef struct {
    part_t *part;        /* NULL: free */
    uint32_t generation; /* of the part that is, or will be, in it */
    uint32_t next_free;
} table_slot_t;

enum { NO_SLOT = UINT32_MAX };

struct part_table {
    table_slot_t *slots;
    uint32_t capacity;
    uint32_t first_free;
    size_t count;
};

part_table_t *part_table_new (void)
{
    part_table_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->first_free = NO_SLOT;
    return self;
}

void part_table_destroy (part_table_t **self_p)
{
    part_table_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    KV_ASSERT (self->count == 0);
    free (self->slots);
    free (self);
}

static void s_grow (part_table_t *self)
{
    uint32_t capacity = self->capacity ? 2 * self->capacity : 256;
    self->slots = realloc (self->slots, capacity * sizeof *self->slots);
    KV_ASSERT (self->slots != NULL);
    for (uint32_t i = capacity; i-- > self->capacity;) {
        self->slots[i] = (table_slot_t){.generation = 1, .next_free = self->first_free};
        self->first_free = i;
    }
    self->capacity = capacity;
}

part_t *part_table_add (part_table_t *self, pending_t *pending, uint32_t node, uint32_t count)
{
    if (self->first_free == NO_SLOT)
        s_grow (self);
    part_t *part = malloc (sizeof *part + count * sizeof part->pieces[0]);
    KV_ASSERT (part != NULL);
    uint32_t at = self->first_free;
    table_slot_t *slot = &self->slots[at];
    self->first_free = slot->next_free;
    slot->part = part;
    *part = (part_t){.tag = (uint64_t)slot->generation << 32 | at,
                     .pending = pending,
                     .next = pending->parts,
                     .node = node};
    pending->parts = part; // A2
    self->count++;
    return part;
}

part_t *part_table_find (const part_table_t *self, uint64_t tag)
{
    uint32_t at = (uint32_t)tag;
    if (at >= self->capacity || self->slots[at].generation != (uint32_t)(tag >> 32))
        return NULL; // A1
    return self->slots[at].part;
}

void part_table_remove (part_table_t *self, part_t **part_p)
{
    part_t *part = *part_p;
    *part_p = NULL;
    part_t **link = &part->pending->parts;
    while (*link != part) {
        KV_ASSERT (*link != NULL); // A2
        link = &(*link)->next;
    }
    *link = part->next;
    table_slot_t *slot = &self->slots[(uint32_t)part->tag];
    KV_ASSERT (slot->part == part);
    slot->part = NULL;
    slot->generation++;
    slot->next_free = self->first_free;
    self->first_free = (uint32_t)part->tag;
    self->count--;
    free (part);
}

size_t part_table_count (const part_table_t *self)
{
    return self->count;
}
