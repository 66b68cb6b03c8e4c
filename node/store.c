#include "node/store.h"

#include "node/bucket.h"
#include "node/expiry_heap.h"
#include "node/segments.h"
#include "node/siphash.h"

#include <stdlib.h>

enum {
    FIRST_LEVEL = 4, /* the table starts, and never shrinks below, 2^4 buckets */
    FIRST_BUCKETS = 1 << FIRST_LEVEL,
    BUCKET_LOG2 = 6,
    FILL_MOST = 5,  /* entries per bucket above which a bucket is split: 15 bytes an entry */
    FILL_LEAST = 3, /* below which two are merged; the distance keeps the two from alternating */
    CURSOR_BITS = 48
};

_Static_assert((int)FIRST_BUCKETS == (int)SEGMENTS_FIRST, "an empty table is one segment");

struct store {
    segments_t buckets; /* S2: 2^level + split */
    unsigned level;
    size_t split;       /* the next bucket to be split: 0 .. 2^level - 1 */
    size_t count;       /* entries */
    size_t entry_bytes; /* of all entries, as the pool rounds them */
    size_t overflows;   /* overflow buckets */
    siphash_key_t key;
    entry_pool_t *pool;  /* borrowed */
    expiry_heap_t *heap; /* owned */
};

static void s_prepare (store_t *self)
{
    self->buckets = segments_make (BUCKET_LOG2);
    self->level = FIRST_LEVEL;
    self->split = 0;
    for (int i = 0; i < FIRST_BUCKETS; i++)
        *(bucket_t *)segments_push (&self->buckets) = (bucket_t){.used = 0};
}

store_t *store_new (const uint8_t secret[STORE_SECRET_BYTES], entry_pool_t *pool)
{
    store_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->key = siphash_key (secret);
    self->pool = pool;
    self->heap = expiry_heap_new ();
    s_prepare (self);
    return self;
}

void store_destroy (store_t **self_p)
{
    store_t *self = *self_p;
    if (!self)
        return;
    while (store_drain (self, SIZE_MAX))
        continue;
    segments_free (&self->buckets);
    expiry_heap_destroy (&self->heap);
    free (self);
    *self_p = NULL;
}

uint64_t store_hash (const store_t *self, kv_slice_t key)
{
    return siphash_13 (self->key, key);
}

static inline bucket_t *s_bucket (const store_t *self, size_t index)
{
    return segments_at (&self->buckets, index);
}

/* S1: where a hash belongs. */
static inline size_t s_index (const store_t *self, uint64_t hash)
{
    size_t low = (size_t)hash & (((size_t)1 << self->level) - 1);
    size_t high = (size_t)hash & (((size_t)2 << self->level) - 1);
    return low < self->split ? high : low;
}

void store_prefetch_bucket (const store_t *self, uint64_t hash)
{
    __builtin_prefetch (s_bucket (self, s_index (self, hash)));
}

void store_prefetch_entry (const store_t *self, uint64_t hash)
{
    bucket_prefetch_entry (s_bucket (self, s_index (self, hash)), hash);
}

entry_t *store_find (const store_t *self, kv_slice_t key, uint64_t hash)
{
    return bucket_find (s_bucket (self, s_index (self, hash)), key, hash);
}

/* Whether the entry of a slot moves up when its bucket is split at this level. */
static bool s_moves_up (const store_t *self, uint64_t slot)
{
    unsigned bit = self->level;
    if (bit >= BUCKET_MARK_FIRST_BIT && bit < BUCKET_MARK_FIRST_BIT + BUCKET_MARK_BITS)
        return slot >> (64 - BUCKET_MARK_BITS + bit - BUCKET_MARK_FIRST_BIT) & 1;
    return store_hash (self, entry_key (bucket_entry (slot))) >> bit & 1;
}

static void s_free_overflow (store_t *self, bucket_t *bucket)
{
    entry_pool_give (self->pool, bucket, sizeof *bucket);
    self->overflows--;
}

/* Appends what `from` holds, its chain included, to `low` or, where the level's bit of the hash is
 * set, to `high`; frees the chain. */
static void s_distribute (store_t *self, bucket_t from, bucket_t *low, bucket_t *high)
{
    bucket_t *chained = NULL; /* the bucket of which `from` is a copy, unless it is the first */
    for (;;) {
        bucket_t *next = bucket_next (&from);
        unsigned filled = bucket_filled (&from);
        for (unsigned i = 0; i < filled; i++) {
            bucket_t *to = high && s_moves_up (self, from.slot[i]) ? high : low;
            bucket_item_t item = {.slot = from.slot[i], .tag = from.tag[i]};
            self->overflows += bucket_append (to, self->pool, item);
        }
        if (chained)
            s_free_overflow (self, chained);
        if (!next)
            return;
        chained = next;
        from = *next;
    }
}

/* One more bucket: bucket `split` shares its entries with it. */
static void s_grow (store_t *self)
{
    bucket_t *high = segments_push (&self->buckets);
    bucket_t *low = s_bucket (self, self->split);
    bucket_t from = *low;
    *low = (bucket_t){.used = 0};
    *high = (bucket_t){.used = 0};
    s_distribute (self, from, low, high);
    self->split++;
    if (self->split == (size_t)1 << self->level) {
        self->split = 0;
        self->level++;
    }
}

/* Puts what a chain holds where it belongs in the table as it is now, and frees the overflow buckets. */
static void s_spread (store_t *self, const bucket_t *chain)
{
    for (const bucket_t *at = chain; at;) {
        bucket_t from = *at;
        if (at != chain)
            s_free_overflow (self, (bucket_t *)(uintptr_t)at);
        for (unsigned i = 0; i < bucket_filled (&from); i++) {
            uint64_t hash = store_hash (self, entry_key (bucket_entry (from.slot[i])));
            bucket_item_t item = {.slot = from.slot[i], .tag = from.tag[i]};
            bucket_t *to = s_bucket (self, s_index (self, hash)); // S1
            self->overflows += bucket_append (to, self->pool, item);
        }
        at = bucket_next (&from);
    }
}

void store_reserve (store_t *self, size_t entries)
{
    size_t wanted = entries / FILL_MOST + 1;
    size_t had = self->buckets.count;
    if (wanted <= had)
        return;
    bucket_t *old = malloc (had * sizeof *old);
    KV_ASSERT (old != NULL);
    for (size_t i = 0; i < had; i++) {
        old[i] = *s_bucket (self, i);
        *s_bucket (self, i) = (bucket_t){.used = 0};
    }
    segments_extend (&self->buckets, wanted);
    self->level = 63U - (unsigned)__builtin_clzll (wanted);
    self->split = wanted - ((size_t)1 << self->level); // S2
    for (size_t i = 0; i < had; i++)
        s_spread (self, &old[i]);
    free (old);
}

/* One bucket less: the last one's entries go back to where it was split from. */
static void s_shrink (store_t *self)
{
    if (self->split == 0) {
        self->level--;
        self->split = (size_t)1 << self->level;
    }
    self->split--;
    bucket_t from = *s_bucket (self, self->buckets.count - 1);
    segments_pop (&self->buckets);
    s_distribute (self, from, s_bucket (self, self->split), NULL);
}

static size_t s_entry_rounded (const entry_t *entry)
{
    return entry_pool_rounded (entry_own_bytes (entry));
}

/* Sets the header and the key of a new entry. */
static entry_t *s_new_entry (store_t *self, kv_slice_t key, size_t value_bytes, bool has_expiry)
{
    KV_ASSERT (key.size >= 1 && key.size <= KV_KEY_BYTES_MAX);
    KV_ASSERT (value_bytes <= KV_VALUE_BYTES_MAX);
    size_t bytes = entry_bytes (key.size, value_bytes, has_expiry);
    entry_t *entry = entry_pool_take (self->pool, bytes);
    uint32_t flags = has_expiry ? ENTRY_HAS_EXPIRY : 0;
    entry->value_and_flags = (uint32_t)value_bytes | flags;
    entry->key_bytes_less_one = (uint16_t)(key.size - 1);
    entry->clock = 0;
    memcpy (entry->rest + entry_key_offset (entry), key.data, key.size);
    self->entry_bytes += entry_pool_rounded (bytes);
    return entry;
}

static void s_free_entry (store_t *self, entry_t *entry)
{
    self->entry_bytes -= s_entry_rounded (entry);
    entry_pool_give (self->pool, entry, entry_own_bytes (entry));
}

static void s_copy_value (entry_t *entry, kv_slice_t value)
{
    if (value.size)
        memmove (entry_value_data (entry), value.data, value.size);
}

static entry_t *s_insert (store_t *self, kv_slice_t key, uint64_t hash, kv_slice_t value,
                          int64_t expires_ms)
{
    entry_t *entry = s_new_entry (self, key, value.size, expires_ms != 0);
    s_copy_value (entry, value);
    if (expires_ms)
        expiry_heap_add (self->heap, entry, expires_ms); // S4
    bucket_t *bucket = s_bucket (self, s_index (self, hash));
    self->overflows += bucket_append (bucket, self->pool, bucket_item (entry, hash));
    self->count++;
    if (self->count > FILL_MOST * self->buckets.count)
        s_grow (self);
    return entry;
}

/* Replaces an entry by another of the same key in table and heap, and frees the old one. */
static void s_supersede (store_t *self, entry_t *old, entry_t *entry, uint64_t hash,
                         int64_t expires_ms)
{
    bucket_replace (s_bucket (self, s_index (self, hash)), old, entry);
    bool had_expiry = entry_has_expiry (old);
    if (had_expiry && entry_has_expiry (entry)) {
        entry_set_heap_index (entry, entry_heap_index (old));
        expiry_heap_moved (self->heap, entry);
        expiry_heap_change (self->heap, entry, expires_ms);
    } else if (had_expiry) {
        expiry_heap_remove (self->heap, old);
    } else if (entry_has_expiry (entry)) {
        expiry_heap_add (self->heap, entry, expires_ms);
    }
    s_free_entry (self, old); // S4
}

/* Makes the value of an entry whose expiry flag stays as it is `bytes` long. */
static entry_t *s_resize (store_t *self, entry_t *entry, size_t bytes, uint64_t hash)
{
    size_t before = entry_own_bytes (entry);
    size_t after = before - entry_value_bytes (entry) + bytes;
    self->entry_bytes += entry_pool_rounded (after) - entry_pool_rounded (before);
    entry_t *moved = entry_pool_resize (self->pool, entry, before, after);
    moved->value_and_flags =
        (moved->value_and_flags & ~(uint32_t)ENTRY_VALUE_MASK) | (uint32_t)bytes;
    if (moved != entry) {
        bucket_replace (s_bucket (self, s_index (self, hash)), entry, moved);
        if (entry_has_expiry (moved))
            expiry_heap_moved (self->heap, moved);
    }
    return moved;
}

entry_t *store_put (store_t *self, kv_slice_t key, uint64_t hash, kv_slice_t value,
                    int64_t expires_ms, uint64_t version)
{
    KV_ASSERT (value.size <= KV_VALUE_BYTES_MAX);
    entry_t *entry = store_find (self, key, hash);
    if (!entry) {
        entry = s_insert (self, key, hash, value, expires_ms);
        entry->version = version;
        return entry;
    }
    size_t bytes = entry_bytes (key.size, value.size, expires_ms != 0);
    bool fits = entry_pool_rounded (bytes) == s_entry_rounded (entry);
    bool stays = bytes <= ENTRY_POOL_BYTES_MAX || bytes == entry_own_bytes (entry);
    if (fits && stays && entry_has_expiry (entry) == (expires_ms != 0)) {
        /* In place: the value is moved while both its old and its new bytes are accessible. */
        if (value.size > entry_value_bytes (entry))
            entry = s_resize (self, entry, value.size, hash);
        s_copy_value (entry, value);
        entry = s_resize (self, entry, value.size, hash);
        if (expires_ms)
            expiry_heap_change (self->heap, entry, expires_ms);
    } else {
        entry_t *fresh = s_new_entry (self, key, value.size, expires_ms != 0);
        s_copy_value (fresh, value);
        s_supersede (self, entry, fresh, hash, expires_ms);
        entry = fresh;
    }
    entry->version = version;
    return entry;
}

entry_t *store_resize_value (store_t *self, entry_t *entry, size_t bytes, uint64_t version)
{
    KV_ASSERT (bytes <= KV_VALUE_BYTES_MAX);
    entry = s_resize (self, entry, bytes, store_hash (self, entry_key (entry)));
    entry->version = version;
    return entry;
}

entry_t *store_set_expiry (store_t *self, entry_t *entry, int64_t expires_ms, uint64_t version)
{
    bool wanted = expires_ms != 0;
    if (wanted != entry_has_expiry (entry)) {
        kv_slice_t key = entry_key (entry);
        entry_t *fresh = s_new_entry (self, key, entry_value_bytes (entry), wanted);
        s_copy_value (fresh, entry_value (entry));
        s_supersede (self, entry, fresh, store_hash (self, key), expires_ms);
        entry = fresh;
    } else if (wanted) {
        expiry_heap_change (self->heap, entry, expires_ms);
    }
    entry->version = version;
    return entry;
}

void store_remove (store_t *self, entry_t *entry)
{
    uint64_t hash = store_hash (self, entry_key (entry));
    bucket_t *bucket = s_bucket (self, s_index (self, hash));
    self->overflows -= bucket_remove (bucket, self->pool, entry);
    if (entry_has_expiry (entry))
        expiry_heap_remove (self->heap, entry);
    s_free_entry (self, entry);
    self->count--;
    bool sparse = self->count < FILL_LEAST * self->buckets.count;
    if (sparse && self->buckets.count > FIRST_BUCKETS)
        s_shrink (self);
}

/* Frees the entries and the chain of the last bucket, and the bucket itself. */
static size_t s_drop_last_bucket (store_t *self)
{
    bucket_t *last = s_bucket (self, self->buckets.count - 1);
    size_t freed = 0;
    for (bucket_t *at = last; at;) {
        bucket_t *next = bucket_next (at);
        unsigned filled = bucket_filled (at);
        for (unsigned i = 0; i < filled; i++)
            s_free_entry (self, bucket_entry (at->slot[i]));
        freed += filled;
        if (at != last)
            s_free_overflow (self, at);
        at = next;
    }
    segments_pop (&self->buckets);
    return freed;
}

size_t store_drain (store_t *self, size_t budget)
{
    bool whole = self->buckets.count == ((size_t)1 << self->level) + self->split; // S2
    if (whole && self->count == 0 && self->buckets.count == FIRST_BUCKETS)
        return 0;
    expiry_heap_clear (self->heap);
    size_t done = 0;
    while (self->buckets.count && done < budget) {
        size_t freed = s_drop_last_bucket (self);
        self->count -= freed;
        done += freed + 1;
    }
    if (self->buckets.count == 0) {
        KV_ASSERT (self->count == 0); // S2
        segments_free (&self->buckets);
        s_prepare (self);
    }
    return done;
}

kv_slice_t entry_key (const entry_t *entry)
{
    return kv_slice (entry->rest + entry_key_offset (entry), entry_key_bytes (entry));
}

uint8_t *entry_value_data (entry_t *entry)
{
    return entry->rest + entry_key_offset (entry) + entry_key_bytes (entry);
}

kv_slice_t entry_value (const entry_t *entry)
{
    return kv_slice (entry->rest + entry_key_offset (entry) + entry_key_bytes (entry),
                     entry_value_bytes (entry));
}

uint64_t entry_version (const entry_t *entry)
{
    return entry->version;
}

uint16_t entry_clock (const entry_t *entry)
{
    return entry->clock;
}

void entry_set_clock (entry_t *entry, uint16_t clock)
{
    entry->clock = clock;
}

int64_t store_expires_ms (const store_t *self, const entry_t *entry)
{
    return entry_has_expiry (entry) ? expiry_heap_deadline (self->heap, entry) : 0;
}

void store_prefetch_expiry (const store_t *self, const entry_t *entry)
{
    if (entry_has_expiry (entry))
        expiry_heap_prefetch (self->heap, entry);
}

/* The lowest `bits` bits of a number in reverse. */
static uint64_t s_reverse (uint64_t number, unsigned bits)
{
    number = __builtin_bswap64 (number);
    number = (number >> 4 & UINT64_C (0x0f0f0f0f0f0f0f0f)) |
             (number & UINT64_C (0x0f0f0f0f0f0f0f0f)) << 4;
    number = (number >> 2 & UINT64_C (0x3333333333333333)) |
             (number & UINT64_C (0x3333333333333333)) << 2;
    number = (number >> 1 & UINT64_C (0x5555555555555555)) |
             (number & UINT64_C (0x5555555555555555)) << 1;
    return number >> (64 - bits);
}

/* The place in the order where the range of the bucket that covers `cursor` ends. */
static uint64_t s_range_end (const store_t *self, uint64_t cursor, size_t *index)
{
    *index = s_index (self, s_reverse (cursor, CURSOR_BITS));
    bool is_split = *index >= (size_t)1 << self->level || *index < self->split;
    unsigned shift = CURSOR_BITS - (is_split ? self->level + 1 : self->level);
    return ((cursor >> shift) + 1) << shift;
}

size_t store_buckets (const store_t *self)
{
    return self->buckets.count;
}

static void s_visit_chain (const store_t *self, size_t index, store_visit_fn *visit, void *context)
{
    for (const bucket_t *at = s_bucket (self, index); at; at = bucket_next (at)) {
        unsigned filled = bucket_filled (at);
        for (unsigned i = 0; i < filled; i++)
            visit (context, bucket_entry (at->slot[i]));
    }
}

void store_visit (const store_t *self, size_t index, store_visit_fn *visit, void *context)
{
    const bucket_t *first = s_bucket (self, index);
    for (unsigned i = 0; i < bucket_filled (first); i++)
        __builtin_prefetch (bucket_entry (first->slot[i]));
    s_visit_chain (self, index, visit, context);
}

uint64_t store_scan (const store_t *self, uint64_t cursor, store_visit_fn *visit, void *context)
{
    cursor &= (UINT64_C (1) << CURSOR_BITS) - 1;
    size_t index;
    uint64_t next = s_range_end (self, cursor, &index);
    if (next >> CURSOR_BITS == 0)
        store_prefetch_bucket (self, s_reverse (next, CURSOR_BITS));
    store_visit (self, index, visit, context);
    return next >> CURSOR_BITS ? 0 : next;
}

uint64_t store_scan_ahead (const store_t *self, uint64_t cursor, store_visit_fn *visit,
                           store_bucket_end_fn *bucket_end, void *context)
{
    size_t index[STORE_SCAN_BUCKETS];
    uint64_t end[STORE_SCAN_BUCKETS];
    unsigned count = 0;
    uint64_t next = cursor & ((UINT64_C (1) << CURSOR_BITS) - 1);
    while (count < STORE_SCAN_BUCKETS && next >> CURSOR_BITS == 0) {
        next = s_range_end (self, next, &index[count]);
        __builtin_prefetch (s_bucket (self, index[count]));
        end[count++] = next >> CURSOR_BITS ? 0 : next;
    }
    for (unsigned i = 0; i < count; i++) {
        const bucket_t *bucket = s_bucket (self, index[i]);
        for (unsigned slot = 0; slot < bucket_filled (bucket); slot++) {
            const char *entry = (const char *)bucket_entry (bucket->slot[slot]);
            __builtin_prefetch (entry);
            __builtin_prefetch (entry + 64);
        }
        if (bucket_next (bucket))
            __builtin_prefetch (bucket_next (bucket));
    }
    for (unsigned i = 0; i < count; i++) {
        s_visit_chain (self, index[i], visit, context);
        if (bucket_end)
            bucket_end (context, end[i]);
    }
    return next >> CURSOR_BITS ? 0 : next;
}

uint64_t store_place (const store_t *self, const entry_t *entry)
{
    return s_reverse (store_hash (self, entry_key (entry)), CURSOR_BITS);
}

entry_t *store_next_to_expire (const store_t *self, int64_t *expires_ms)
{
    return expiry_heap_first (self->heap, expires_ms);
}

size_t store_count (const store_t *self)
{
    return self->count;
}

size_t store_expiring_count (const store_t *self)
{
    return expiry_heap_count (self->heap);
}

size_t store_due_count (const store_t *self, int64_t now_ms)
{
    return expiry_heap_due (self->heap, now_ms);
}

size_t store_bytes (const store_t *self)
{
    return self->entry_bytes + segments_bytes (&self->buckets) +
           self->overflows * sizeof (bucket_t) + expiry_heap_bytes (self->heap) + sizeof *self;
}

size_t store_usage (const store_t *self, const entry_t *entry)
{
    size_t table = segments_bytes (&self->buckets) + self->overflows * sizeof (bucket_t);
    size_t expiring = expiry_heap_count (self->heap);
    size_t node = entry_has_expiry (entry) ? expiry_heap_bytes (self->heap) / expiring : 0;
    return s_entry_rounded (entry) + table / self->count + node;
}

typedef struct {
    size_t entries, expiring, bytes, overflows;
} census_t;

/* Checks one entry's place and adds it to the census. */
static bool s_entry_is_valid (const store_t *self, const bucket_t *at, unsigned i, size_t index,
                              census_t *census)
{
    entry_t *entry = bucket_entry (at->slot[i]);
    uint64_t hash = store_hash (self, entry_key (entry));
    bucket_item_t item = bucket_item (entry, hash);
    if (s_index (self, hash) != index || item.slot != at->slot[i] || item.tag != at->tag[i])
        return false; // S1
    if (bucket_find (s_bucket (self, index), entry_key (entry), hash) != entry)
        return false; /* a key stands in the table once */
    census->entries++;
    census->expiring += entry_has_expiry (entry);
    census->bytes += s_entry_rounded (entry);
    return true;
}

static bool s_chain_is_valid (const store_t *self, size_t index, census_t *census)
{
    for (const bucket_t *at = s_bucket (self, index); at; at = bucket_next (at)) {
        unsigned filled = bucket_filled (at);
        unsigned chained = at->used >> 7;
        if ((at->used & 0x7fU) != (1U << (filled + chained)) - 1)
            return false; // B1
        if (chained && filled != BUCKET_SLOTS - 1)
            return false; // S3
        bool overflow = at != s_bucket (self, index);
        if (overflow && filled < 2)
            return false; // B2
        census->overflows += overflow;
        for (unsigned i = 0; i < filled; i++) {
            if (!s_entry_is_valid (self, at, i, index, census))
                return false;
        }
    }
    return true;
}

bool store_is_valid (const store_t *self)
{
    census_t census = {0};
    for (size_t i = 0; i < self->buckets.count; i++) {
        if (!s_chain_is_valid (self, i, &census))
            return false;
    }
    if (self->buckets.count != ((size_t)1 << self->level) + self->split)
        return false; // S2
    if (census.entries != self->count || census.bytes != self->entry_bytes)
        return false; // S2
    if (census.overflows != self->overflows)
        return false;
    /* E2 gives every node an entry of its own, so equal counts mean equal sets. */
    bool all_in_heap = census.expiring == expiry_heap_count (self->heap);
    return all_in_heap && expiry_heap_is_valid (self->heap); // S4
}
