#include "actors/wal.h"

#include <stdlib.h>

enum { KEPT_BYTES = 4 * 1024 * 1024 /* a buffer that has grown beyond goes back to the system */ };

typedef struct {
    wal_segment_t segment;
    uint64_t end_lsn; /* of a sealed one */
} place_in_queue_t;

/* Segments in the order of their numbers. */
typedef struct {
    place_in_queue_t *items; /* owned */
    size_t head, count, capacity;
} queue_t;

struct wal {
    writer_t buffer; /* room for a block's header, then the records */
    wal_place_t place;
    uint64_t written, durable;
    wal_segment_t current; /* number 0: there was none yet */
    queue_t spare, sealed;
};

/* ---- the queues ------------------------------------------------------------------------------------ */

static void s_push (queue_t *self, const wal_segment_t *segment, uint64_t end_lsn)
{
    if (self->head + self->count == self->capacity) {
        if (self->head) {
            memmove (self->items, self->items + self->head, self->count * sizeof *self->items);
            self->head = 0;
        } else {
            self->capacity = self->capacity ? 2 * self->capacity : 8;
            self->items = realloc (self->items, self->capacity * sizeof *self->items);
            KV_ASSERT (self->items != NULL);
        }
    }
    self->items[self->head + self->count++] = (place_in_queue_t){*segment, end_lsn};
}

static bool s_pop (queue_t *self, wal_segment_t *segment, uint64_t *end_lsn)
{
    if (self->count == 0)
        return false;
    *segment = self->items[self->head].segment;
    *end_lsn = self->items[self->head].end_lsn;
    self->head = self->count > 1 ? self->head + 1 : 0;
    self->count--;
    return true;
}

/* ---- life ------------------------------------------------------------------------------------------ */

static void s_empty (wal_t *self)
{
    if (self->buffer.capacity > KEPT_BYTES)
        writer_free (&self->buffer);
    writer_reset (&self->buffer);
    (void)writer_claim (&self->buffer, WAL_BLOCK_HEADER_BYTES);
}

wal_t *wal_new (wal_place_t place)
{
    wal_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->buffer = writer_make (SIZE_MAX);
    self->place = place;
    self->place.restarts = true; // W5
    self->place.durable_lsn = place.lsn < place.durable_lsn ? place.lsn : place.durable_lsn;
    self->written = place.lsn;
    self->durable = place.lsn;
    s_empty (self);
    return self;
}

void wal_destroy (wal_t **self_p)
{
    wal_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    writer_free (&self->buffer);
    free (self->spare.items);
    free (self->sealed.items);
    free (self);
}

writer_t *wal_buffer (wal_t *self)
{
    return &self->buffer;
}

static uint64_t s_pending (const wal_t *self)
{
    return self->buffer.size - WAL_BLOCK_HEADER_BYTES;
}

uint64_t wal_appended_lsn (const wal_t *self)
{
    return self->written + s_pending (self);
}

uint64_t wal_written_lsn (const wal_t *self)
{
    return self->written;
}

uint64_t wal_durable_lsn (const wal_t *self)
{
    return self->durable;
}

void wal_set_durable (wal_t *self, uint64_t lsn)
{
    KV_ASSERT (lsn <= self->written); // A1
    if (lsn > self->durable)
        self->durable = lsn;
}

wal_segment_t wal_current (const wal_t *self)
{
    return self->current;
}

bool wal_next_sealed (wal_t *self, wal_segment_t *segment, uint64_t *end_lsn)
{
    return s_pop (&self->sealed, segment, end_lsn);
}

/* ---- space ----------------------------------------------------------------------------------------- */

/* The most that one more block in the segment can hold. */
static uint64_t s_left (const wal_segment_t *segment)
{
    uint64_t start = wal_align (segment->offset) + WAL_BLOCK_HEADER_BYTES;
    return segment->number && start < segment->bytes ? segment->bytes - start : 0;
}

uint64_t wal_spare_bytes (const wal_t *self)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < self->spare.count; i++)
        bytes += s_left (&self->spare.items[self->spare.head + i].segment);
    return bytes;
}

uint64_t wal_room (const wal_t *self)
{
    uint64_t room = s_left (&self->current) + wal_spare_bytes (self);
    uint64_t pending = s_pending (self);
    return room > pending ? room - pending : 0;
}

void wal_add_segment (wal_t *self, const wal_segment_t *segment)
{
    uint64_t last = self->spare.count
                        ? self->spare.items[self->spare.head + self->spare.count - 1].segment.number
                        : self->current.number;
    KV_ASSERT (last == 0 || segment->number == last + 1); // A4
    if (self->current.number == 0)
        self->current = *segment;
    else
        s_push (&self->spare, segment, 0);
}

static void s_advance (wal_t *self)
{
    uint64_t unused;
    s_push (&self->sealed, &self->current, self->place.lsn);
    bool there = s_pop (&self->spare, &self->current, &unused);
    KV_ASSERT (there); // A2
}

/* ---- writing --------------------------------------------------------------------------------------- */

/* One block of the records that begin at `at` in the buffer: its header goes over what is before them,
 * which is a header's room, or was written already. */
static kv_status_t s_write_block (wal_t *self, size_t at, size_t bytes, file_error_t *error)
{
    uint8_t *block = self->buffer.data + at - WAL_BLOCK_HEADER_BYTES;
    kv_slice_t payload = kv_slice (self->buffer.data + at, bytes);
    uint64_t offset = wal_align (self->current.offset);
    uint64_t durable =
        self->durable > self->place.durable_lsn ? self->durable : self->place.durable_lsn;
    wal_block_encode (&self->place, durable, payload, block);
    kv_status_t status = file_write (self->current.file, offset,
                                     kv_slice (block, WAL_BLOCK_HEADER_BYTES + bytes), error);
    self->current.offset = offset + WAL_BLOCK_HEADER_BYTES + bytes;
    /* Its space was there: a disk that is full is as unexpected as any other fault (R20). */
    return status ? KV_IO : KV_OK;
}

kv_status_t wal_write (wal_t *self, file_error_t *error)
{
    size_t at = WAL_BLOCK_HEADER_BYTES;
    while (at < self->buffer.size) {
        uint64_t left = s_left (&self->current);
        if (left == 0) {
            s_advance (self);
            continue;
        }
        size_t bytes = self->buffer.size - at < left ? self->buffer.size - at : (size_t)left;
        kv_status_t status = s_write_block (self, at, bytes, error);
        if (status)
            return status;
        at += bytes;
    }
    self->written = self->place.lsn;
    s_empty (self);
    return KV_OK;
}
