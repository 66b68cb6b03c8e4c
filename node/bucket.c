#include "node/bucket.h"

bucket_item_t bucket_item (entry_t *entry, uint64_t hash)
{
    uint64_t address = (uint64_t)(uintptr_t)entry;
    KV_ASSERT (address >> BUCKET_ADDRESS_BITS == 0);
    uint64_t mark = hash >> BUCKET_MARK_FIRST_BIT << (64 - BUCKET_MARK_BITS);
    return (bucket_item_t){.slot = mark | address, .tag = (uint8_t)(hash >> 56)};
}

/* The tags and `used` as one word, tag 0 lowest: one load on a little-endian machine. */
static inline uint64_t s_tags (const bucket_t *self)
{
    const uint8_t *t = self->tag;
    return (uint64_t)t[0] | (uint64_t)t[1] << 8 | (uint64_t)t[2] << 16 | (uint64_t)t[3] << 24 |
           (uint64_t)t[4] << 32 | (uint64_t)t[5] << 40 | (uint64_t)t[6] << 48 |
           (uint64_t)self->used << 56;
}

/* Bit 8i + 7 is set if tag i equals the hash's tag, whether slot i is used or not. */
static inline uint64_t s_matches (const bucket_t *self, uint64_t hash)
{
    const uint64_t low7 = UINT64_C (0x007f7f7f7f7f7f7f);
    uint64_t differs = s_tags (self) ^ (hash >> 56) * UINT64_C (0x0101010101010101);
    uint64_t nonzero = ((differs & low7) + low7) | differs | low7;
    return ~nonzero & UINT64_C (0x0080808080808080);
}

static inline bool s_mark_is (uint64_t slot, uint64_t hash)
{
    return (uint16_t)(slot >> (64 - BUCKET_MARK_BITS)) == (uint16_t)(hash >> BUCKET_MARK_FIRST_BIT);
}

static inline bool s_has_key (const entry_t *entry, kv_slice_t key)
{
    return entry_key_bytes (entry) == key.size &&
           memcmp (entry->rest + entry_key_offset (entry), key.data, key.size) == 0;
}

entry_t *bucket_find (const bucket_t *self, kv_slice_t key, uint64_t hash)
{
    for (const bucket_t *at = self; at; at = bucket_next (at)) {
        unsigned filled = bucket_filled (at);
        for (uint64_t left = s_matches (at, hash); left; left &= left - 1) {
            unsigned i = (unsigned)__builtin_ctzll (left) / 8;
            if (i >= filled)
                break; // B1
            entry_t *entry = bucket_entry (at->slot[i]);
            if (s_mark_is (at->slot[i], hash) && s_has_key (entry, key))
                return entry;
        }
    }
    return NULL;
}

void bucket_prefetch_entry (const bucket_t *self, uint64_t hash)
{
    unsigned filled = bucket_filled (self);
    for (uint64_t left = s_matches (self, hash); left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll (left) / 8;
        if (i >= filled)
            break;
        if (s_mark_is (self->slot[i], hash)) {
            /* Header and key often straddle two lines; the value's bytes are wanted too. */
            const char *entry = (const char *)bucket_entry (self->slot[i]);
            __builtin_prefetch (entry);
            __builtin_prefetch (entry + 64);
            return;
        }
    }
    if (self->used & BUCKET_CHAINED)
        __builtin_prefetch (bucket_next (self));
}

/* The slot an entry stands in, its bucket in `where`; NULL if the chain has no such entry. */
static uint64_t *s_locate (bucket_t *self, const entry_t *entry, bucket_t **where)
{
    for (bucket_t *at = self; at; at = bucket_next (at)) {
        unsigned filled = bucket_filled (at);
        for (unsigned i = 0; i < filled; i++) {
            if (bucket_entry (at->slot[i]) == entry) {
                *where = at;
                return &at->slot[i];
            }
        }
    }
    return NULL;
}

void bucket_replace (bucket_t *self, const entry_t *from, entry_t *to)
{
    bucket_t *where;
    uint64_t *slot = s_locate (self, from, &where);
    KV_ASSERT (slot != NULL);
    *slot = (*slot & ~((UINT64_C (1) << BUCKET_ADDRESS_BITS) - 1)) | (uint64_t)(uintptr_t)to;
}

static void s_set (bucket_t *self, unsigned i, bucket_item_t item)
{
    self->tag[i] = item.tag;
    self->slot[i] = item.slot;
    self->used = (uint8_t)(self->used | 1U << i);
}

size_t bucket_append (bucket_t *self, entry_pool_t *pool, bucket_item_t item)
{
    while (self->used & BUCKET_CHAINED)
        self = bucket_next (self);
    unsigned filled = bucket_filled (self);
    if (filled < BUCKET_SLOTS) {
        s_set (self, filled, item);
        return 0;
    }
    enum { LAST = BUCKET_SLOTS - 1 };
    bucket_t *more = entry_pool_take (pool, sizeof *more);
    *more = (bucket_t){.used = 0};
    s_set (more, 0, (bucket_item_t){.slot = self->slot[LAST], .tag = self->tag[LAST]}); // B2
    s_set (more, 1, item);
    self->slot[LAST] = (uint64_t)(uintptr_t)more;
    self->tag[LAST] = 0;
    self->used |= BUCKET_CHAINED;
    return 1;
}

size_t bucket_remove (bucket_t *self, entry_pool_t *pool, const entry_t *entry)
{
    bucket_t *where = NULL;
    uint64_t *slot = s_locate (self, entry, &where);
    KV_ASSERT (slot != NULL);
    bucket_t *before = NULL;
    bucket_t *last = self;
    while (last->used & BUCKET_CHAINED) {
        before = last;
        last = bucket_next (last);
    }
    unsigned end = bucket_filled (last) - 1;
    *slot = last->slot[end];
    where->tag[slot - where->slot] = last->tag[end];
    last->used = (uint8_t)(last->used & ~(1U << end)); // B1
    if (!before || end != 1)
        return 0;
    bucket_item_t left = {.slot = last->slot[0], .tag = last->tag[0]};
    before->used = (uint8_t)(before->used & ~BUCKET_CHAINED);
    s_set (before, BUCKET_SLOTS - 1, left); // B2
    entry_pool_give (pool, last, sizeof *last);
    return 1;
}
