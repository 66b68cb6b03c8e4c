#include "actors/tail.h"

#include "schema/bytes.h"

#include <stdlib.h>

enum { FIRST_RECORDS = 16, SIZE_AT = 4, SHARD_AT = 8 };

typedef struct block block_t;
struct block {
    block_t *next;
    size_t size, capacity;
    uint8_t bytes[];
};

typedef struct {
    uint64_t position;
    const uint8_t *bytes; /* in a block */
} place_t;

/* A shard's records here: a ring. */
typedef struct {
    place_t *places; /* owned array [capacity], a power of two */
    size_t first, count, capacity;
    uint64_t reach, last, pin;
} chain_t;

struct tail {
    chain_t *chains; /* owned array [shards] */
    uint32_t shards;
    size_t bytes, bytes_max;
    block_t *oldest, *newest; /* owned list */
    bool is_stuck;            /* the oldest block has a pinned record, of stuck_shard */
    uint32_t stuck_shard;
};

static place_t *s_place (const chain_t *chain, size_t index)
{
    return &chain->places[(chain->first + index) & (chain->capacity - 1)];
}

static chain_t *s_chain (const tail_t *self, uint32_t shard)
{
    KV_ASSERT (shard < self->shards);
    return &self->chains[shard];
}

tail_t *tail_new (uint32_t shards, size_t bytes_max)
{
    tail_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self);
    self->chains = calloc (shards, sizeof *self->chains);
    KV_ASSERT (self->chains);
    self->shards = shards;
    self->bytes_max = bytes_max;
    for (uint32_t shard = 0; shard < shards; shard++)
        self->chains[shard].pin = UINT64_MAX;
    return self;
}

void tail_destroy (tail_t **self_p)
{
    tail_t *self = *self_p;
    if (!self)
        return;
    while (self->oldest) {
        block_t *next = self->oldest->next;
        free (self->oldest);
        self->oldest = next;
    }
    for (uint32_t shard = 0; shard < self->shards; shard++)
        free (self->chains[shard].places);
    free (self->chains);
    free (self);
    *self_p = NULL;
}

/* ---- letting go --------------------------------------------------------------------------------------- */

static size_t s_record_bytes (const uint8_t *record)
{
    return bytes_get32 (record + SIZE_AT);
}

/* Of the oldest block: a record that has not been cut is the first of its shard's. */
static bool s_is_first (const chain_t *chain, const uint8_t *record)
{
    return chain->count && s_place (chain, 0)->bytes == record;
}

/* L3: whether nothing in the oldest block is pinned. A shard's records there are its first ones. */
static bool s_may_go (tail_t *self)
{
    const block_t *block = self->oldest;
    for (uint32_t shard = 0; shard < self->shards; shard++) {
        const chain_t *chain = &self->chains[shard];
        for (size_t i = 0; i < chain->count && chain->pin != UINT64_MAX; i++) {
            const place_t *place = s_place (chain, i);
            if (place->bytes < block->bytes || place->bytes >= block->bytes + block->size)
                break;
            if (place->position > chain->pin) {
                self->is_stuck = true;
                self->stuck_shard = shard;
                return false;
            }
        }
    }
    return true;
}

static void s_drop_oldest (tail_t *self)
{
    block_t *block = self->oldest;
    for (size_t at = 0; at < block->size; at += s_record_bytes (block->bytes + at)) {
        chain_t *chain = s_chain (self, bytes_get16 (block->bytes + at + SHARD_AT));
        if (!s_is_first (chain, block->bytes + at))
            continue;
        chain->reach = s_place (chain, 0)->position;
        chain->first = (chain->first + 1) & (chain->capacity - 1);
        chain->count--;
    }
    self->bytes -= block->size;
    self->oldest = block->next;
    free (block);
}

static void s_shrink (tail_t *self)
{
    while (!self->is_stuck && self->bytes > self->bytes_max && self->oldest != self->newest &&
           s_may_go (self))
        s_drop_oldest (self);
}

static void s_unstick (tail_t *self, uint32_t shard)
{
    if (self->is_stuck && self->stuck_shard == shard)
        self->is_stuck = false;
    s_shrink (self);
}

/* ---- records ------------------------------------------------------------------------------------------ */

static uint8_t *s_room (tail_t *self, size_t bytes)
{
    block_t *block = self->newest;
    if (!block || block->capacity - block->size < bytes) {
        size_t capacity = bytes > TAIL_BLOCK_BYTES ? bytes : TAIL_BLOCK_BYTES;
        block_t *fresh = malloc (sizeof *fresh + capacity);
        KV_ASSERT (fresh);
        *fresh = (block_t){.capacity = capacity};
        if (block)
            block->next = fresh;
        else
            self->oldest = fresh;
        self->newest = block = fresh;
    }
    uint8_t *room = block->bytes + block->size;
    block->size += bytes;
    self->bytes += bytes;
    return room;
}

static void s_grow (chain_t *chain)
{
    if (chain->count < chain->capacity)
        return;
    size_t capacity = chain->capacity ? 2 * chain->capacity : FIRST_RECORDS;
    place_t *places = malloc (capacity * sizeof *places);
    KV_ASSERT (places);
    for (size_t i = 0; i < chain->count; i++)
        places[i] = *s_place (chain, i);
    free (chain->places);
    chain->places = places;
    chain->first = 0;
    chain->capacity = capacity;
}

void tail_append (tail_t *self, const record_t *record, kv_slice_t bytes)
{
    chain_t *chain = s_chain (self, record->shard);
    KV_ASSERT (bytes.size == record->bytes);
    KV_ASSERT (record->previous == chain->last); // L1
    KV_ASSERT (position_n (record->position) == position_n (record->previous) + 1);
    s_grow (chain);
    uint8_t *room = s_room (self, bytes.size);
    memcpy (room, bytes.data, bytes.size);
    *s_place (chain, chain->count++) = (place_t){record->position, room};
    chain->last = record->position;
    s_shrink (self);
}

void tail_restart (tail_t *self, uint32_t shard, uint64_t last)
{
    chain_t *chain = s_chain (self, shard);
    chain->first = chain->count = 0;
    chain->reach = chain->last = last;
    s_unstick (self, shard);
}

void tail_cut (tail_t *self, uint32_t shard, uint64_t position)
{
    chain_t *chain = s_chain (self, shard);
    while (chain->count && s_place (chain, chain->count - 1)->position > position)
        chain->count--;
    chain->last = chain->count ? s_place (chain, chain->count - 1)->position : chain->reach;
    KV_ASSERT (chain->last == position);
    s_unstick (self, shard);
}

void tail_pin (tail_t *self, uint32_t shard, uint64_t position)
{
    s_chain (self, shard)->pin = position;
    s_unstick (self, shard);
}

uint64_t tail_reach (const tail_t *self, uint32_t shard)
{
    return s_chain (self, shard)->reach;
}

uint64_t tail_last (const tail_t *self, uint32_t shard)
{
    return s_chain (self, shard)->last;
}

kv_status_t tail_next (const tail_t *self, uint32_t shard, uint64_t position, kv_slice_t *record)
{
    const chain_t *chain = s_chain (self, shard);
    if (position == chain->last)
        return KV_END;
    if (chain->count == 0)
        return KV_NOT_FOUND;
    size_t index = 0;
    if (position != chain->reach) {
        uint64_t first_n = position_n (s_place (chain, 0)->position);
        uint64_t n = position_n (position);
        if (n < first_n || n - first_n >= chain->count ||
            s_place (chain, n - first_n)->position != position)
            return KV_NOT_FOUND;
        index = n - first_n + 1;
    }
    const uint8_t *bytes = s_place (chain, index)->bytes;
    *record = kv_slice (bytes, s_record_bytes (bytes));
    return KV_OK;
}

size_t tail_bytes (const tail_t *self)
{
    return self->bytes;
}

bool tail_is_valid (const tail_t *self)
{
    size_t bytes = 0;
    for (const block_t *block = self->oldest; block; block = block->next)
        bytes += block->size;
    for (uint32_t shard = 0; shard < self->shards; shard++) {
        const chain_t *chain = &self->chains[shard];
        uint64_t previous = chain->reach;
        for (size_t i = 0; i < chain->count; i++) {
            record_t record;
            const place_t *place = s_place (chain, i);
            kv_slice_t rest = kv_slice (place->bytes, s_record_bytes (place->bytes));
            if (record_decode (rest, &record) != KV_OK || record.position != place->position ||
                record.previous != previous || record.shard != shard)
                return false; // L1, L2
            previous = place->position;
        }
        if (previous != chain->last)
            return false;
    }
    return bytes == self->bytes;
}
