#include "replica.h"

#include "node/entry_pool.h"

#include <stdlib.h>

typedef struct {
    effect_t effect; /* its slices are copies, owned */
} kept_t;

/* One shard, from its first record on. */
typedef struct {
    const shard_t *source; /* NULL: not seen yet */
    store_t *store;
    uint64_t last; /* position of the newest record; 0: none */
    kept_t *kept;  /* of the open record */
    size_t count, capacity;
} copy_t;

struct replica {
    entry_pool_t *pool;
    shard_sink_t sink;
    copy_t *copies;
    uint32_t shards;
    uint64_t compound, lsn;
};

static const uint8_t s_secret[STORE_SECRET_BYTES] = {9};

static kv_slice_t s_copy (kv_slice_t bytes)
{
    uint8_t *copy = malloc (bytes.size + 1);
    KV_ASSERT (copy != NULL);
    if (bytes.size)
        memcpy (copy, bytes.data, bytes.size);
    return kv_slice (copy, bytes.size);
}

static void s_effect (void *context, const shard_t *shard, const effect_t *effect)
{
    replica_t *self = context;
    copy_t *copy = &self->copies[shard_id (shard)];
    uint64_t position = shard_last (shard);
    KV_ASSERT (copy->count > 0 || position > copy->last); // H1
    if (copy->source) {
        KV_ASSERT (copy->source == shard);
        KV_ASSERT (shard_previous (shard) == copy->last);
        KV_ASSERT (position_n (position) == position_n (copy->last) + 1); // H1: nothing is left out
    }
    if (copy->count == copy->capacity) {
        copy->capacity = copy->capacity ? 2 * copy->capacity : 8;
        copy->kept = realloc (copy->kept, copy->capacity * sizeof *copy->kept);
        KV_ASSERT (copy->kept != NULL);
    }
    kept_t *kept = &copy->kept[copy->count++];
    kept->effect = *effect;
    kept->effect.key = s_copy (effect->key);
    kept->effect.value = s_copy (effect->value);
}

static void s_write (copy_t *self, const effect_t *effect, entry_t *entry, uint64_t version)
{
    KV_ASSERT (entry != NULL);
    size_t before = entry_value (entry).size;
    size_t end = effect->offset + effect->value.size;
    size_t after = end > before ? end : before;
    entry = store_resize_value (self->store, entry, after, version);
    if (effect->offset > before)
        memset (entry_value_data (entry) + before, 0, effect->offset - before);
    memcpy (entry_value_data (entry) + effect->offset, effect->value.data, effect->value.size);
}

static void s_apply (replica_t *replica, copy_t *self, const effect_t *effect, uint64_t version)
{
    if (!self->store)
        self->store = store_new (s_secret, replica->pool);
    if (effect->kind == EFFECT_CLEAR) {
        store_destroy (&self->store);
        return;
    }
    uint64_t hash = store_hash (self->store, effect->key);
    entry_t *entry = store_find (self->store, effect->key, hash);
    switch (effect->kind) {
    case EFFECT_PUT:
        store_put (self->store, effect->key, hash, effect->value, effect->expires_ms, version);
        break;
    case EFFECT_WRITE: s_write (self, effect, entry, version); break;
    case EFFECT_EXPIRE:
        KV_ASSERT (entry != NULL);
        store_set_expiry (self->store, entry, effect->expires_ms, version);
        break;
    case EFFECT_DELETE:
        if (entry)
            store_remove (self->store, entry);
        break;
    case EFFECT_CLEAR:
    case EFFECT_OPEN: break;
    }
}

static void s_forget_record (copy_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        free ((void *)(uintptr_t)self->kept[i].effect.key.data);
        free ((void *)(uintptr_t)self->kept[i].effect.value.data);
    }
    self->count = 0;
}

/* What a record does is atomic, so a whole one may be applied again; after a part of it, it need not
 * make sense. An EXPIRE or WRITE of a key that the same record deletes later is not repeated. */
static bool s_may_repeat (const copy_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        if (self->kept[i].effect.kind == EFFECT_WRITE || self->kept[i].effect.kind == EFFECT_EXPIRE)
            return self->count == 1;
    }
    return true;
}

static uint64_t s_end (void *context, const shard_t *shard)
{
    replica_t *self = context;
    copy_t *copy = &self->copies[shard_id (shard)];
    KV_ASSERT (copy->count > 0); // H4
    int rounds = s_may_repeat (copy) ? 2 : 1;
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < copy->count; i++)
            s_apply (self, copy, &copy->kept[i].effect, shard_last (shard));
    }
    self->compound += copy->count > 1;
    copy->source = shard;
    copy->last = shard_last (shard);
    s_forget_record (copy);
    return ++self->lsn;
}

static uint64_t s_room (void *context)
{
    (void)context;
    return UINT64_MAX;
}

replica_t *replica_new (uint32_t shards)
{
    replica_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->pool = entry_pool_new ();
    self->sink = (shard_sink_t){s_effect, s_end, s_room, self};
    self->copies = calloc (shards, sizeof *self->copies);
    KV_ASSERT (self->copies != NULL);
    self->shards = shards;
    return self;
}

void replica_destroy (replica_t **self_p)
{
    replica_t *self = *self_p;
    for (uint32_t i = 0; i < self->shards; i++) {
        KV_ASSERT (self->copies[i].count == 0); // H4
        store_destroy (&self->copies[i].store);
        free (self->copies[i].kept);
    }
    entry_pool_destroy (&self->pool);
    free (self->copies);
    free (self);
    *self_p = NULL;
}

const shard_sink_t *replica_sink (replica_t *self)
{
    return &self->sink;
}

static void s_compare (void *context, const entry_t *entry)
{
    const copy_t *copy = context;
    kv_slice_t key = entry_key (entry);
    const entry_t *twin = store_find (copy->store, key, store_hash (copy->store, key));
    KV_ASSERT (twin != NULL);
    KV_ASSERT (kv_slice_equal (entry_value (twin), entry_value (entry)));
    KV_ASSERT (entry_version (twin) == entry_version (entry)); // H2
    KV_ASSERT (store_expires_ms (copy->store, twin) ==
               store_expires_ms (shard_store (copy->source), entry));
}

void replica_check (const replica_t *self)
{
    for (uint32_t i = 0; i < self->shards; i++) {
        copy_t *copy = &self->copies[i];
        if (!copy->source)
            continue;
        KV_ASSERT (shard_last (copy->source) == copy->last); // H1
        const store_t *store = shard_store (copy->source);
        KV_ASSERT (store_count (store) == (copy->store ? store_count (copy->store) : 0));
        uint64_t cursor = 0;
        do
            cursor = store_scan (store, cursor, s_compare, copy);
        while (cursor);
    }
}

uint64_t replica_compound_records (const replica_t *self)
{
    return self->compound;
}
