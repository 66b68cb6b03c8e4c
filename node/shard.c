#include "node/shard.h"

#include <stdlib.h>

struct shard {
    store_t *store;
    uint64_t last; /* H1 */
    uint64_t expired_count;
    uint32_t id;
    entry_pool_t *pool; /* borrowed */
    uint8_t secret[STORE_SECRET_BYTES];
};

enum { EPOCH_BITS = 64 - POSITION_N_BITS };

static const uint64_t s_n_mask = (UINT64_C (1) << POSITION_N_BITS) - 1;

shard_t *shard_new (uint32_t id, uint64_t epoch, const uint8_t secret[STORE_SECRET_BYTES],
                    entry_pool_t *pool)
{
    KV_ASSERT (epoch >> EPOCH_BITS == 0);
    shard_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->store = store_new (secret, pool);
    self->last = epoch << POSITION_N_BITS;
    self->id = id;
    self->pool = pool;
    memcpy (self->secret, secret, sizeof self->secret);
    return self;
}

store_t *shard_retire (shard_t **self_p)
{
    store_t *store = (*self_p)->store;
    free (*self_p);
    *self_p = NULL;
    return store;
}

void shard_destroy (shard_t **self_p)
{
    if (!*self_p)
        return;
    store_t *store = shard_retire (self_p);
    store_destroy (&store);
}

uint32_t shard_id (const shard_t *self)
{
    return self->id;
}

uint64_t shard_epoch (const shard_t *self)
{
    return self->last >> POSITION_N_BITS;
}

uint64_t shard_last (const shard_t *self)
{
    return self->last;
}

const store_t *shard_store (const shard_t *self)
{
    return self->store;
}

size_t shard_live_count (const shard_t *self, int64_t now_ms)
{
    return store_count (self->store) - store_due_count (self->store, now_ms);
}

/* The position of the next record. */
static uint64_t s_next (shard_t *self)
{
    KV_ASSERT ((self->last & s_n_mask) < s_n_mask);
    return ++self->last; // H1: n is the low part, and never carries into the epoch
}

static bool s_is_expired (const shard_t *self, const entry_t *entry, int64_t now_ms)
{
    int64_t expires_ms = store_expires_ms (self->store, entry);
    return expires_ms != 0 && expires_ms <= now_ms;
}

entry_t *shard_find (shard_t *self, kv_slice_t key, uint64_t hash, int64_t now_ms)
{
    entry_t *entry = store_find (self->store, key, hash);
    if (entry && s_is_expired (self, entry, now_ms)) {
        shard_delete (self, entry); // H3
        self->expired_count++;
        return NULL;
    }
    return entry;
}

entry_t *shard_put (shard_t *self, kv_slice_t key, uint64_t hash, kv_slice_t value,
                    int64_t expires_ms)
{
    return store_put (self->store, key, hash, value, expires_ms, s_next (self)); // H2
}

entry_t *shard_set_value (shard_t *self, entry_t *entry, kv_slice_t value)
{
    entry = store_resize_value (self->store, entry, value.size, s_next (self)); // H2
    if (value.size)
        memcpy (entry_value_data (entry), value.data, value.size);
    return entry;
}

entry_t *shard_append (shard_t *self, entry_t *entry, kv_slice_t bytes)
{
    size_t before = entry_value (entry).size;
    entry = store_resize_value (self->store, entry, before + bytes.size, s_next (self)); // H2
    if (bytes.size)
        memcpy (entry_value_data (entry) + before, bytes.data, bytes.size);
    return entry;
}

entry_t *shard_set_expiry (shard_t *self, entry_t *entry, int64_t expires_ms)
{
    return store_set_expiry (self->store, entry, expires_ms, s_next (self)); // H2
}

void shard_delete (shard_t *self, entry_t *entry)
{
    (void)s_next (self);
    store_remove (self->store, entry);
}

store_t *shard_clear (shard_t *self)
{
    (void)s_next (self);
    store_t *old = self->store;
    self->store = store_new (self->secret, self->pool);
    return old;
}

size_t shard_expire (shard_t *self, int64_t now_ms, size_t budget)
{
    size_t done = 0;
    while (done < budget) {
        int64_t expires_ms;
        entry_t *entry = store_next_to_expire (self->store, &expires_ms);
        if (!entry || expires_ms > now_ms)
            break;
        shard_delete (self, entry);
        done++;
    }
    self->expired_count += done;
    return done;
}

uint64_t shard_expired_count (const shard_t *self)
{
    return self->expired_count;
}
