/* sampler - random entries of the shards a node owns: for eviction, and for RANDOMKEY.
 *
 *   M1  `owned` lists the shards that are here, each once, in no order.
 *
 * A shard is drawn in proportion to its entries, by rejection: any of them, kept with a chance of its
 * entries by those of the largest; after some misses the entries are counted out. Within a shard a bucket is drawn, and an entry in it likewise.
 *
 * Pure: the generator (splitmix64) gets its seed passed in. Owner: the executor. */
#ifndef KVDB_NODE_SAMPLER_H
#define KVDB_NODE_SAMPLER_H

#include "node/shard.h"

typedef struct {
    shard_t **owned; /* owned array of borrowed shards */
    uint32_t count, capacity;
    size_t largest; /* entries of the largest shard, as far as known; 0: not known */
    uint64_t state; /* of the generator */
} sampler_t;

void sampler_free (sampler_t *self);

/* The shard has come, or will be gone. */
void sampler_add (sampler_t *self, shard_t *shard);
void sampler_remove (sampler_t *self, const shard_t *shard);

uint64_t sampler_random (sampler_t *self);

/* A shard with an entry, or NULL if there is none. */
shard_t *sampler_shard (sampler_t *self);

/* Visits the entries of a random bucket; returns how many. */
size_t sampler_visit (sampler_t *self, const shard_t *shard, store_visit_fn *visit, void *context);

/* How many entries are live at now_ms, and one of them, each with the same chance (but for about 1 in
 * 10^6, and where nearly all others have expired). The key is valid until the next change. */
uint64_t sampler_live_count (const sampler_t *self, int64_t now_ms);
KV_CHECK_RESULT kv_status_t sampler_key (sampler_t *self, int64_t now_ms, kv_slice_t *key);

#endif
