#include "broker/router_parts.h"

#include "schema/limits.h"

#include <stdlib.h>

/* What is waited for is a node, not a shard's answer. */
static bool s_waits (const piece_t *piece)
{
    return piece->spec->keys == KEYS_COORDINATOR || piece->spec->keys == KEYS_NONE;
}

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
    for (uint32_t i = 0; i < scatter->count; i++) {
        bool waits = s_waits (&self->pieces[i]);
        self->states[i] = waits ? PIECE_WAITS : PIECE_HELD;
        self->waits += waits;
    }
    self->held = scatter->count - self->waits;
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

blob_t *pending_gather_reply (const pending_t *self)
{
    KV_ASSERT (self->undone == 0);
    writer_t reply = writer_make (KV_REPLY_BYTES_MAX);
    gather_write (self->gather, &reply);
    return blob_from_writer (&reply);
}

void pending_finish (pending_t *self, blob_t *reply)
{
    KV_ASSERT (!self->parts && !self->reply); // N1
    KV_ASSERT (self->undone == 0);
    blob_unref (&self->body);
    gather_destroy (&self->gather);
    self->reply = reply;
}

typedef struct {
    part_t *part;        /* NULL: free */
    uint32_t generation; /* of the part that is, or will be, in it */
    uint32_t next_free;
} table_slot_t;

enum { NO_SLOT = UINT32_MAX, SPARE_MAX = 1024 };

struct part_table {
    table_slot_t *slots;
    uint32_t capacity;
    uint32_t first_free;
    size_t count;
    part_t *spare; /* memory of whole parts, which come and go with every request */
    uint32_t spare_count;
    uint32_t first_generation; /* of a slot's first part */
};

part_table_t *part_table_new (uint32_t first_generation)
{
    part_table_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->first_generation = first_generation;
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
    while (self->spare) {
        part_t *part = self->spare;
        self->spare = part->next;
        free (part);
    }
    free (self->slots);
    free (self);
}

static void s_grow (part_table_t *self)
{
    uint32_t capacity = self->capacity ? 2 * self->capacity : 256;
    self->slots = realloc (self->slots, capacity * sizeof *self->slots);
    KV_ASSERT (self->slots != NULL);
    for (uint32_t i = capacity; i-- > self->capacity;) {
        self->slots[i] =
            (table_slot_t){.generation = self->first_generation, .next_free = self->first_free};
        self->first_free = i;
    }
    self->capacity = capacity;
}

static part_t *s_add (part_table_t *self, part_t *part, pending_t *pending, uint32_t node)
{
    if (self->first_free == NO_SLOT)
        s_grow (self);
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

part_t *part_table_add_whole (part_table_t *self, pending_t *pending, uint32_t node)
{
    part_t *part = self->spare;
    if (part) {
        self->spare = part->next;
        self->spare_count--;
    } else {
        part = malloc (sizeof *part);
        KV_ASSERT (part != NULL);
    }
    s_add (self, part, pending, node);
    part->whole = true;
    part->count = pending->piece_count;
    return part;
}

part_t *part_table_add (part_table_t *self, pending_t *pending, uint32_t node, uint32_t room)
{
    part_t *part = malloc (sizeof *part + room * sizeof part->pieces[0]);
    KV_ASSERT (part != NULL);
    return s_add (self, part, pending, node);
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
    if (part->whole && self->spare_count < SPARE_MAX) {
        part->next = self->spare;
        self->spare = part;
        self->spare_count++;
        return;
    }
    free (part);
}

size_t part_table_count (const part_table_t *self)
{
    return self->count;
}
