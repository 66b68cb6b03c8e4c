#include "node/sampler.h"

#include <stdlib.h>

enum {
    SHARD_TRIES = 16,
    KEY_TRIES = 256,
    CHAIN_MOST = 32, /* a bucket with more entries is one in millions */
    FEW = 64         /* in a shard of so many entries they are counted out */
};

void sampler_free (sampler_t *self)
{
    free (self->owned);
    *self = (sampler_t){0};
}

void sampler_add (sampler_t *self, shard_t *shard)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 64;
        self->owned = realloc (self->owned, self->capacity * sizeof (shard_t *));
        KV_ASSERT (self->owned != NULL);
    }
    self->owned[self->count++] = shard;
}

void sampler_remove (sampler_t *self, const shard_t *shard)
{
    uint32_t i = 0;
    while (i < self->count && self->owned[i] != shard)
        i++;
    KV_ASSERT (i < self->count); // M1
    self->owned[i] = self->owned[--self->count];
    self->largest = 0;
}

uint64_t sampler_random (sampler_t *self)
{
    self->state += UINT64_C (0x9e3779b97f4a7c15);
    uint64_t x = self->state;
    x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* 0 .. below - 1 */
static uint64_t s_below (sampler_t *self, uint64_t below)
{
    return (uint64_t)((unsigned __int128)sampler_random (self) * below >> 64);
}

static size_t s_entries (const shard_t *shard)
{
    return store_count (shard_store (shard));
}

/* Draws by counting all entries, and learns on the way how large the largest shard is. */
static shard_t *s_draw_exactly (sampler_t *self)
{
    uint64_t total = 0;
    self->largest = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        size_t entries = s_entries (self->owned[i]);
        total += entries;
        self->largest = entries > self->largest ? entries : self->largest;
    }
    uint64_t wanted = total ? s_below (self, total) : 0;
    for (uint32_t i = 0; i < self->count; i++) {
        size_t entries = s_entries (self->owned[i]);
        if (wanted < entries)
            return self->owned[i];
        wanted -= entries;
    }
    return NULL;
}

shard_t *sampler_shard (sampler_t *self)
{
    for (int i = 0; i < SHARD_TRIES && self->largest; i++) {
        shard_t *shard = self->owned[s_below (self, self->count)];
        size_t entries = s_entries (shard);
        if (entries > self->largest)
            self->largest = entries;
        if (s_below (self, self->largest) < entries)
            return shard;
    }
    return s_draw_exactly (self);
}

typedef struct {
    store_visit_fn *visit;
    void *context;
    size_t count;
} counted_t;

static void s_count (void *context, const entry_t *entry)
{
    counted_t *counted = context;
    counted->count++;
    counted->visit (counted->context, entry);
}

size_t sampler_visit (sampler_t *self, const shard_t *shard, store_visit_fn *visit, void *context)
{
    counted_t counted = {.visit = visit, .context = context};
    const store_t *store = shard_store (shard);
    store_visit (store, s_below (self, store_buckets (store)), s_count, &counted);
    return counted.count;
}

uint64_t sampler_live_count (const sampler_t *self, int64_t now_ms)
{
    uint64_t live = 0;
    for (uint32_t i = 0; i < self->count; i++)
        live += shard_live_count (self->owned[i], now_ms);
    return live;
}

/* Looks for the entry with a number among those visited. */
typedef struct {
    uint64_t wanted, seen;
    const entry_t *found;
} search_t;

static void s_search (void *context, const entry_t *entry)
{
    search_t *search = context;
    if (search->seen++ == search->wanted)
        search->found = entry;
}

/* Any entry of a shard that has one, by counting from a random one on. */
static const entry_t *s_count_out (sampler_t *self, const store_t *store)
{
    search_t search = {.wanted = s_below (self, store_count (store))};
    uint64_t cursor = 0;
    do
        cursor = store_scan (store, cursor, s_search, &search);
    while (cursor && !search.found);
    return search.found;
}

/* Any entry of a shard that has one. */
static const entry_t *s_entry (sampler_t *self, const shard_t *shard)
{
    const store_t *store = shard_store (shard);
    if (store_count (store) <= FEW)
        return s_count_out (self, store);
    search_t search = {0};
    do {
        search = (search_t){.wanted = s_below (self, CHAIN_MOST)};
        (void)sampler_visit (self, shard, s_search, &search);
    } while (!search.found);
    return search.found;
}

static bool s_is_live (const shard_t *shard, const entry_t *entry, int64_t now_ms)
{
    int64_t expires_ms = store_expires_ms (shard_store (shard), entry);
    return expires_ms == 0 || expires_ms > now_ms;
}

/* The first live entry of a walk. */
typedef struct {
    const shard_t *shard;
    int64_t now_ms;
    const entry_t *found;
} walk_t;

static void s_walk (void *context, const entry_t *entry)
{
    walk_t *walk = context;
    if (!walk->found && s_is_live (walk->shard, entry, walk->now_ms))
        walk->found = entry;
}

/* When nearly everything has expired and the background has not caught up yet. */
static const entry_t *s_first_live (const sampler_t *self, int64_t now_ms)
{
    walk_t walk = {.now_ms = now_ms};
    for (uint32_t i = 0; i < self->count && !walk.found; i++) {
        walk.shard = self->owned[i];
        uint64_t cursor = 0;
        do
            cursor = store_scan (shard_store (walk.shard), cursor, s_walk, &walk);
        while (cursor && !walk.found);
    }
    return walk.found;
}

kv_status_t sampler_key (sampler_t *self, int64_t now_ms, kv_slice_t *key)
{
    for (int i = 0; i < KEY_TRIES; i++) {
        const shard_t *shard = sampler_shard (self);
        if (!shard)
            return KV_NOT_FOUND;
        const entry_t *entry = s_entry (self, shard);
        if (s_is_live (shard, entry, now_ms)) {
            *key = entry_key (entry);
            return KV_OK;
        }
    }
    const entry_t *entry = s_first_live (self, now_ms);
    if (entry)
        *key = entry_key (entry);
    return entry ? KV_OK : KV_NOT_FOUND;
}
