#include "test/fault/fault_inode.h"

#include <stdlib.h>

enum { SECTOR_BYTES = 512 };

struct unsynced {
    unsynced_t *next;
    uint64_t sequence;
    enum { CHANGE_BYTES, CHANGE_LENGTH, CHANGE_EMPTIED } kind;
    uint64_t offset; /* of the bytes; or the length that the file has at least */
    size_t size;
    uint8_t bytes[];
};

uint64_t fault_random (uint64_t *random, uint64_t below)
{
    *random += UINT64_C (0x9e3779b97f4a7c15);
    uint64_t x = *random;
    x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
    return (x ^ x >> 31) % below;
}

/* ---- content ----------------------------------------------------------------------------------------- */

static void s_extend (content_t *self, size_t size)
{
    if (size <= self->size)
        return;
    if (size > self->capacity) {
        self->capacity = size < 2 * self->capacity ? 2 * self->capacity : size;
        self->data = realloc (self->data, self->capacity);
        KV_ASSERT (self->data != NULL);
    }
    memset (self->data + self->size, 0, size - self->size);
    self->size = size;
}

static void s_put (content_t *self, uint64_t offset, const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return;
    s_extend (self, (size_t)offset + size);
    memcpy (self->data + offset, bytes, size);
}

static void s_apply (content_t *self, const unsynced_t *change)
{
    switch (change->kind) {
    case CHANGE_BYTES: s_put (self, change->offset, change->bytes, change->size); return;
    case CHANGE_LENGTH: s_extend (self, (size_t)change->offset); return;
    case CHANGE_EMPTIED: self->size = 0; return;
    }
}

/* ---- changes ----------------------------------------------------------------------------------------- */

static void s_change (inode_t *self, const unsynced_t *head, kv_slice_t bytes)
{
    unsynced_t *change = malloc (sizeof *change + bytes.size);
    KV_ASSERT (change != NULL);
    *change = *head;
    change->size = bytes.size;
    if (bytes.size)
        memcpy (change->bytes, bytes.data, bytes.size);
    KV_ASSERT (!self->last || self->last->sequence < change->sequence);
    if (self->last)
        self->last->next = change;
    else
        self->first = change;
    self->last = change;
    s_apply (&self->seen, change);
}

void inode_write (inode_t *self, uint64_t sequence, uint64_t offset, kv_slice_t bytes)
{
    const unsynced_t head = {.sequence = sequence, .kind = CHANGE_BYTES, .offset = offset};
    if (bytes.size)
        s_change (self, &head, bytes);
}

void inode_extend (inode_t *self, uint64_t sequence, uint64_t bytes)
{
    const unsynced_t head = {.sequence = sequence, .kind = CHANGE_LENGTH, .offset = bytes};
    s_change (self, &head, kv_slice (NULL, 0));
}

void inode_empty (inode_t *self, uint64_t sequence)
{
    const unsynced_t head = {.sequence = sequence, .kind = CHANGE_EMPTIED};
    s_change (self, &head, kv_slice (NULL, 0));
}

static void s_pop (inode_t *self)
{
    unsynced_t *change = self->first;
    self->first = change->next;
    if (!self->first)
        self->last = NULL;
    free (change);
}

void inode_settle (inode_t *self, uint64_t sequence)
{
    while (self->first && self->first->sequence <= sequence) {
        s_apply (&self->durable, self->first);
        s_pop (self);
    }
}

/* ---- power loss -------------------------------------------------------------------------------------- */

/* Each sector that the write covers is new, unless an earlier write of it is lost or chance loses it:
 * so what a sector has is some first part of the writes to it. */
static void s_tear (content_t *content, const unsynced_t *write, uint8_t *lost, uint64_t *random)
{
    uint64_t at = write->offset;
    uint64_t end = write->offset + write->size;
    while (at < end) {
        uint64_t sector = at / SECTOR_BYTES;
        uint64_t next = (sector + 1) * SECTOR_BYTES;
        uint64_t stop = next < end ? next : end;
        lost[sector] = lost[sector] || fault_random (random, 4) == 0;
        if (!lost[sector])
            s_put (content, at, write->bytes + (at - write->offset), (size_t)(stop - at));
        at = stop;
    }
}

static void s_tear_all (inode_t *self, uint64_t *random)
{
    uint64_t end = 0;
    for (const unsynced_t *change = self->first; change; change = change->next)
        end = change->offset + change->size > end ? change->offset + change->size : end;
    size_t sectors = (size_t)(end / SECTOR_BYTES) + 1;
    uint8_t *lost = calloc (1, sectors);
    KV_ASSERT (lost != NULL);
    for (const unsynced_t *change = self->first; change; change = change->next) {
        if (change->kind == CHANGE_BYTES) {
            s_tear (&self->durable, change, lost, random);
            continue;
        }
        bool survives = fault_random (random, 2);
        if (survives)
            s_apply (&self->durable, change);
        if (change->kind == CHANGE_EMPTIED && !survives)
            break; /* what is behind it went into blocks that the file does not have */
        if (change->kind == CHANGE_EMPTIED)
            memset (lost, 0, sectors);
    }
    free (lost);
}

void inode_crash (inode_t *self, bool tear, uint64_t *random)
{
    if (tear && self->first && fault_random (random, 4))
        s_tear_all (self, random);
    while (self->first)
        s_pop (self);
    self->seen.size = 0;
    s_put (&self->seen, 0, self->durable.data, self->durable.size);
}

/* ---- life -------------------------------------------------------------------------------------------- */

void inode_set (inode_t *self, kv_slice_t bytes)
{
    while (self->first)
        s_pop (self);
    self->seen.size = self->durable.size = 0;
    s_put (&self->seen, 0, bytes.data, bytes.size);
    s_put (&self->durable, 0, bytes.data, bytes.size);
}

inode_t *inode_new (void)
{
    inode_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    return self;
}

void inode_destroy (inode_t **self_p)
{
    inode_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    while (self->first)
        s_pop (self);
    free (self->seen.data);
    free (self->durable.data);
    free (self);
}
