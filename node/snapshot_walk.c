#include "node/snapshot_walk.h"

#include <stdlib.h>

enum {
    FITS_BYTES = 2 * SNAPSHOT_CHUNK_BYTES, /* V3 */
    MANY_ENTRIES = 1024, /* a shard of so many gets the memory of a whole chunk at once */
    ITEMS_FIRST = 256
};

/* An entry that was found, for as long as the table does not change. */
typedef struct {
    const entry_t *entry;
    uint64_t place; /* store_place, once it is wanted */
    size_t bytes;   /* in a chunk, at most */
} item_t;

/* A bucket whose items are among those that were found. */
typedef struct {
    size_t end;      /* index of the first item that is not its own */
    size_t bytes;    /* of its items */
    uint64_t cursor; /* behind it */
} stop_t;

/* A large entry that is being copied (V4): its head is in the chunk. */
typedef struct {
    size_t key_at, key_bytes; /* in the chunk */
    size_t value_at;          /* in the chunk: the bytes that are not copied yet */
    size_t done, left;        /* bytes of the value; left 0: there is none */
} large_t;

struct snapshot_walk {
    snapshot_walk_options_t options;
    size_t at;       /* index of the shard */
    uint64_t cursor; /* the place in its table up to which all is done */
    bool inside;     /* the cursor stands within a bucket, not at its beginning */
    large_t large;   /* the cursor is behind it */
    item_t *items;   /* owned */
    size_t item_count, item_room;
    stop_t stops[STORE_SCAN_BUCKETS];
    unsigned stop_count;
};

/* One step on its way. */
typedef struct {
    snapshot_walk_t *walk;
    const store_t *store;
    writer_t *chunk;
    size_t entries, buckets;
    bool full;
} pass_t;

snapshot_walk_t *snapshot_walk_new (void)
{
    snapshot_walk_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->item_room = ITEMS_FIRST;
    self->items = malloc (self->item_room * sizeof *self->items);
    KV_ASSERT (self->items != NULL);
    return self;
}

void snapshot_walk_destroy (snapshot_walk_t **self_p)
{
    snapshot_walk_t *self = *self_p;
    if (!self)
        return;
    free (self->items);
    free (self);
    *self_p = NULL;
}

void snapshot_walk_begin (snapshot_walk_t *self, const snapshot_walk_options_t *options)
{
    self->options = *options;
    self->at = 0;
    self->cursor = 0;
    self->inside = false;
    self->large.left = 0;
}

static void s_find (void *context, const entry_t *entry)
{
    pass_t *pass = context;
    snapshot_walk_t *walk = pass->walk;
    if (walk->item_count == walk->item_room) {
        walk->item_room *= 2;
        item_t *items = realloc (walk->items, walk->item_room * sizeof *items);
        KV_ASSERT (items != NULL);
        walk->items = items;
    }
    store_prefetch_expiry (pass->store, entry);
    size_t bytes = snapshot_entry_bytes (entry_key (entry).size, entry_value (entry).size, true);
    walk->items[walk->item_count++] = (item_t){.entry = entry, .bytes = bytes};
}

static void s_bucket_end (void *context, uint64_t cursor)
{
    snapshot_walk_t *walk = ((pass_t *)context)->walk;
    stop_t stop = {.end = walk->item_count, .cursor = cursor};
    size_t i = walk->stop_count ? walk->stops[walk->stop_count - 1].end : 0;
    for (; i < stop.end; i++)
        stop.bytes += walk->items[i].bytes;
    walk->stops[walk->stop_count++] = stop;
}

static snapshot_entry_t s_content (const pass_t *pass, const entry_t *entry)
{
    return (snapshot_entry_t){.key = entry_key (entry),
                              .value = entry_value (entry),
                              .version = entry_version (entry),
                              .expires_ms = store_expires_ms (pass->store, entry)};
}

static void s_copy (pass_t *pass, const entry_t *entry)
{
    snapshot_entry_t content = s_content (pass, entry);
    snapshot_entry_write (pass->chunk, &content);
    pass->entries++;
}

/* ---- large entries (V4) ------------------------------------------------------------------------- */

static void s_begin_large (pass_t *pass, const entry_t *entry)
{
    snapshot_entry_t content = s_content (pass, entry);
    const uint8_t *value = snapshot_entry_begin (pass->chunk, &content);
    KV_ASSERT (value != NULL);
    size_t value_at = (size_t)(value - pass->chunk->data);
    pass->walk->large = (large_t){.key_at = value_at - content.key.size,
                                  .key_bytes = content.key.size,
                                  .value_at = value_at,
                                  .left = content.value.size};
    pass->entries++;
}

/* The next piece, of what the key's value is now (V1). The entry may have moved, or gone. */
static void s_copy_piece (pass_t *pass)
{
    large_t *large = &pass->walk->large;
    uint8_t *chunk = pass->chunk->data;
    size_t bytes = large->left < SNAPSHOT_PIECE_BYTES ? large->left : SNAPSHOT_PIECE_BYTES;
    kv_slice_t key = kv_slice (chunk + large->key_at, large->key_bytes);
    const entry_t *entry = NULL;
    if (pass->store)
        entry = store_find (pass->store, key, store_hash (pass->store, key));
    kv_slice_t value = entry ? entry_value (entry) : kv_slice (NULL, 0);
    size_t there = value.size > large->done ? value.size - large->done : 0;
    if (there > bytes)
        there = bytes;
    if (there > 0)
        memcpy (chunk + large->value_at, value.data + large->done, there);
    memset (chunk + large->value_at + there, 0, bytes - there);
    large->value_at += bytes;
    large->done += bytes;
    large->left -= bytes;
    pass->full = large->left == 0;
}

/* ---- steps -------------------------------------------------------------------------------------- */

static int s_by_place (const void *a, const void *b)
{
    uint64_t left = ((const item_t *)a)->place;
    uint64_t right = ((const item_t *)b)->place;
    return (left > right) - (left < right);
}

/* Goes through the bucket at the cursor entry by entry, in the order of their places, so that the
 * walk can stop in the middle of it. Entries of the same place stay together. */
static void s_step_by_entry (pass_t *pass)
{
    snapshot_walk_t *walk = pass->walk;
    walk->item_count = 0;
    uint64_t end = store_scan (pass->store, walk->cursor, s_find, pass);
    size_t count = 0;
    for (size_t i = 0; i < walk->item_count; i++) {
        item_t item = walk->items[i];
        item.place = store_place (pass->store, item.entry);
        if (item.place >= walk->cursor)
            walk->items[count++] = item;
    }
    qsort (walk->items, count, sizeof *walk->items, s_by_place);
    for (size_t i = 0; i < count; i++) {
        const item_t *item = &walk->items[i];
        bool begun = pass->chunk->size > SNAPSHOT_CHUNK_HEADER_BYTES;
        bool alone = begun && item->bytes > SNAPSHOT_CHUNK_BYTES;
        bool tied = i > 0 && item->place == item[-1].place;
        if ((pass->full || alone) && !tied) {
            walk->cursor = item->place;
            walk->inside = true;
            pass->full = true;
            return;
        }
        if (item->bytes > SNAPSHOT_CHUNK_BYTES && walk->large.left == 0)
            s_begin_large (pass, item->entry);
        else
            s_copy (pass, item->entry);
        pass->full = pass->chunk->size >= SNAPSHOT_CHUNK_BYTES;
    }
    walk->cursor = end;
    walk->inside = false;
    pass->buckets++;
}

/* Finds the entries of some buckets, then copies them: their cache misses overlap. */
static void s_step_by_buckets (pass_t *pass)
{
    snapshot_walk_t *walk = pass->walk;
    walk->item_count = 0;
    walk->stop_count = 0;
    (void)store_scan_ahead (pass->store, walk->cursor, s_find, s_bucket_end, pass);
    size_t i = 0;
    for (unsigned bucket = 0; bucket < walk->stop_count && !pass->full; bucket++) {
        stop_t stop = walk->stops[bucket];
        if (pass->chunk->size + stop.bytes > FITS_BYTES) {
            s_step_by_entry (pass);
            return;
        }
        for (; i < stop.end; i++)
            s_copy (pass, walk->items[i].entry);
        walk->cursor = stop.cursor;
        pass->buckets++;
        pass->full = pass->chunk->size >= SNAPSHOT_CHUNK_BYTES;
    }
}

static void s_prepare (const pass_t *pass)
{
    writer_t *chunk = pass->chunk;
    if (chunk->size == 0)
        snapshot_chunk_begin (chunk);
    bool wanted = chunk->capacity < SNAPSHOT_CHUNK_BYTES && pass->store;
    if (!wanted || store_count (pass->store) < MANY_ENTRIES)
        return;
    /* A buffer that doubled its way up would be copied as often. */
    size_t size = chunk->size;
    (void)writer_claim (chunk, SNAPSHOT_CHUNK_BYTES);
    writer_cut (chunk, size);
}

/* Goes on in the table of the shard that is under way; true once the shard has ended. */
static bool s_shard_step (pass_t *pass, size_t budget)
{
    snapshot_walk_t *walk = pass->walk;
    if (walk->large.left > 0) {
        s_copy_piece (pass);
        return pass->full && walk->cursor == 0;
    }
    if (!pass->store)
        return true;
    do {
        if (walk->inside)
            s_step_by_entry (pass);
        else
            s_step_by_buckets (pass);
        KV_ASSERT (!pass->chunk->overflow);
        if (walk->cursor == 0)
            return walk->large.left == 0;
    } while (!pass->full && pass->entries < budget && pass->buckets < budget);
    return false;
}

snapshot_step_t snapshot_walk_step (snapshot_walk_t *self, size_t budget, writer_t *chunk)
{
    KV_ASSERT (budget > 0);
    pass_t pass = {.walk = self, .chunk = chunk};
    snapshot_step_t step = {0};
    while (self->at < self->options.count && !step.due) {
        step.shard = self->options.shards[self->at];
        pass.store = self->options.store_of (self->options.context, step.shard);
        s_prepare (&pass);
        bool ended = s_shard_step (&pass, budget);
        bool has_entries = chunk->size > SNAPSHOT_CHUNK_HEADER_BYTES;
        bool is_whole = self->large.left == 0;
        step.due = is_whole && (pass.full || (ended && has_entries)); // V2
        if (ended) {
            self->at++;
            self->cursor = 0;
            self->inside = false;
        }
        if (!is_whole || pass.entries >= budget || pass.buckets++ >= budget)
            break;
    }
    step.over = self->at == self->options.count;
    step.entries = pass.entries;
    return step;
}
