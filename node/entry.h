/* entry - the layout of an entry in memory, for the modules of the table only (store, bucket,
 * expiry_heap); everyone else uses the accessors in store.h.
 *
 *   0..7    version
 *   8..11   bits 0..28 value bytes, bit 29 has_expiry, bits 30..31 spare
 *   12..13  key bytes - 1
 *   14..15  clock: when it was last used
 *   16..    [4 bytes: index in the expiry heap, if has_expiry] key, value */
#ifndef KVDB_NODE_ENTRY_H
#define KVDB_NODE_ENTRY_H

#include "node/store.h"
#include "schema/limits.h"

struct entry {
    uint64_t version;
    uint32_t value_and_flags;
    uint16_t key_bytes_less_one;
    uint16_t clock;
    uint8_t rest[];
};

_Static_assert(sizeof (entry_t) == 16, "the header is 16 bytes");
_Static_assert(KV_KEY_BYTES_MAX - 1 <= UINT16_MAX, "a key's length fits");

enum {
    ENTRY_VALUE_MASK = (1 << 29) - 1,
    ENTRY_HAS_EXPIRY = 1 << 29,
    ENTRY_HEAP_INDEX_BYTES = sizeof (uint32_t)
};

_Static_assert((int)KV_VALUE_BYTES_MAX <= (int)ENTRY_VALUE_MASK, "a value's length fits");

static inline bool entry_has_expiry (const entry_t *self)
{
    return (self->value_and_flags & ENTRY_HAS_EXPIRY) != 0;
}

static inline size_t entry_key_bytes (const entry_t *self)
{
    return (size_t)self->key_bytes_less_one + 1;
}

static inline size_t entry_value_bytes (const entry_t *self)
{
    return self->value_and_flags & ENTRY_VALUE_MASK;
}

/* Where the key starts in `rest`. */
static inline size_t entry_key_offset (const entry_t *self)
{
    return entry_has_expiry (self) ? ENTRY_HEAP_INDEX_BYTES : 0;
}

/* The bytes an entry takes before rounding. */
static inline size_t entry_bytes (size_t key_bytes, size_t value_bytes, bool has_expiry)
{
    return sizeof (entry_t) + (has_expiry ? ENTRY_HEAP_INDEX_BYTES : 0) + key_bytes + value_bytes;
}

static inline size_t entry_own_bytes (const entry_t *self)
{
    return entry_bytes (entry_key_bytes (self), entry_value_bytes (self), entry_has_expiry (self));
}

static inline uint32_t entry_heap_index (const entry_t *self)
{
    uint32_t index;
    memcpy (&index, self->rest, sizeof index);
    return index;
}

static inline void entry_set_heap_index (entry_t *self, uint32_t index)
{
    memcpy (self->rest, &index, sizeof index);
}

#endif
