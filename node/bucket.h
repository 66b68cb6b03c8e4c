/* bucket - one cache line of a store's table, and the chain of overflow buckets behind it.
 *
 *   0..6    tag[7]    8 bits of the hash of each entry
 *   7       used      bits 0..6: the slots taken, lowest first; bit 7: slot 6 points to an overflow
 *                     bucket instead of an entry
 *   8..63   slot[7]   bits 0..47 the entry's address, bits 48..63 its mark: 16 more bits of the hash
 *
 *   hash    63..56 tag | ... | 23..8 mark | ...      the low bits are the bucket's number
 *
 * Tag and mark together keep a lookup from touching an entry in vain. The mark also tells to which
 * side an entry goes when its bucket is split, while the table has 2^8 to 2^24 buckets, so that
 * growing does not touch the entries at all.
 *
 *   B1  used slots are contiguous from slot 0.
 *   B2  an overflow bucket exists only behind a full one, and holds two entries at least (else its
 *       entry would fit into slot 6 of the bucket before).
 *
 * Owner: the store. */
#ifndef KVDB_NODE_BUCKET_H
#define KVDB_NODE_BUCKET_H

#include "node/entry.h"
#include "node/entry_pool.h"

enum {
    BUCKET_SLOTS = 7,
    BUCKET_CHAINED = 0x80,
    BUCKET_MARK_FIRST_BIT = 8,
    BUCKET_MARK_BITS = 16,
    BUCKET_ADDRESS_BITS = 48
};

typedef struct {
    uint8_t tag[BUCKET_SLOTS];
    uint8_t used;
    uint64_t slot[BUCKET_SLOTS];
} bucket_t;

_Static_assert(sizeof (bucket_t) == 64, "a bucket is a cache line");

/* An entry as a bucket holds it. */
typedef struct {
    uint64_t slot; /* mark and address */
    uint8_t tag;
} bucket_item_t;

bucket_item_t bucket_item (entry_t *entry, uint64_t hash);

static inline entry_t *bucket_entry (uint64_t slot)
{
    /* A slot is a number because it is more than an address. */
    /* NOLINTNEXTLINE(performance-no-int-to-ptr) */
    return (entry_t *)(uintptr_t)(slot & ((UINT64_C (1) << BUCKET_ADDRESS_BITS) - 1));
}

/* The entries in this bucket alone: slots 0 .. n - 1. */
static inline unsigned bucket_filled (const bucket_t *self)
{
    unsigned taken = (unsigned)__builtin_ctz (~(self->used & 0x7fU)); // B1
    return taken - (self->used >> 7);
}

/* The next bucket of the chain, or NULL. */
static inline bucket_t *bucket_next (const bucket_t *self)
{
    bool chained = (self->used & BUCKET_CHAINED) != 0;
    /* NOLINTNEXTLINE(performance-no-int-to-ptr) */
    return chained ? (bucket_t *)(uintptr_t)self->slot[BUCKET_SLOTS - 1] : NULL;
}

/* Finds an entry in a chain; NULL if it is not there. */
entry_t *bucket_find (const bucket_t *self, kv_slice_t key, uint64_t hash);

/* Hints that the entries a lookup of this hash would touch in this bucket are about to be read. */
void bucket_prefetch_entry (const bucket_t *self, uint64_t hash);

/* Lets the entry's slot point to its new address; `from` is only compared, never read. */
void bucket_replace (bucket_t *self, const entry_t *from, entry_t *to);

/* Adds to a chain's end; returns how many overflow buckets that took from the pool, 0 or 1. */
size_t bucket_append (bucket_t *self, entry_pool_t *pool, bucket_item_t item);

/* Takes an entry out of a chain, whose last entry fills the hole; the entry itself is not freed.
 * Returns how many overflow buckets went back to the pool, 0 or 1. */
size_t bucket_remove (bucket_t *self, entry_pool_t *pool, const entry_t *entry);

#endif
