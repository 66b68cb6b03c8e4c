#include "actors/shard_map.h"

#include "schema/limits.h"

#include <stdlib.h>

static void s_index (shard_map_t *self)
{
    for (uint32_t node = 0; node < self->nodes; node++)
        self->first_shards[node] = self->shards;
    for (uint32_t shard = self->shards; shard-- > 0;)
        self->first_shards[self->owners[shard]] = shard;
}

shard_map_t *shard_map_new (uint32_t shards, uint32_t nodes)
{
    KV_ASSERT (shards >= 1 && shards <= KV_SHARDS_MAX);
    KV_ASSERT (nodes >= 1 && nodes <= KV_NODES_MAX);
    shard_map_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    *self = (shard_map_t){.shards = shards, .nodes = nodes, .epoch = 1};
    self->owners = calloc (shards, sizeof *self->owners);
    self->epochs = calloc (shards, sizeof *self->epochs);
    self->first_shards = calloc (nodes, sizeof *self->first_shards);
    KV_ASSERT (self->owners && self->epochs && self->first_shards);
    for (uint32_t shard = 0; shard < shards; shard++) {
        self->owners[shard] = (uint16_t)(shard % nodes);
        self->epochs[shard] = self->epoch;
    }
    s_index (self);
    return self;
}

void shard_map_destroy (shard_map_t **self_p)
{
    shard_map_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free (self->owners);
    free (self->epochs);
    free (self->first_shards);
    free (self);
}

void shard_map_assign (shard_map_t *self, uint32_t shard, uint32_t node)
{
    KV_ASSERT (shard < self->shards);
    KV_ASSERT (node < self->nodes); // M1
    self->owners[shard] = (uint16_t)node;
    self->epochs[shard] = ++self->epoch; // M2
    s_index (self);
}

void shard_map_renew (shard_map_t *self, uint32_t node, uint64_t above)
{
    self->epoch = (above > self->epoch ? above : self->epoch) + 1; // M2
    for (uint32_t shard = 0; shard < self->shards; shard++) {
        if (self->owners[shard] == node)
            self->epochs[shard] = self->epoch;
    }
}

uint64_t shard_map_least_epoch (const shard_map_t *self, uint32_t node)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t shard = 0; shard < self->shards; shard++) {
        if (self->owners[shard] == node && self->epochs[shard] < least)
            least = self->epochs[shard];
    }
    return least;
}

void shard_map_load (shard_map_t *self, const uint16_t *owners, uint64_t epoch)
{
    for (uint32_t shard = 0; shard < self->shards; shard++) {
        KV_ASSERT (owners[shard] < self->nodes); // M1
        self->owners[shard] = owners[shard];
        self->epochs[shard] = epoch;
    }
    self->epoch = epoch;
    s_index (self);
}

void shard_map_learn (shard_map_t *self, uint32_t shard, uint32_t node, uint64_t epoch)
{
    KV_ASSERT (shard < self->shards);
    KV_ASSERT (node < self->nodes); // M1
    self->owners[shard] = (uint16_t)node;
    self->epochs[shard] = epoch;
    s_index (self);
}

uint32_t shard_map_count (const shard_map_t *self, uint32_t node)
{
    uint32_t count = 0;
    for (uint32_t shard = 0; shard < self->shards; shard++)
        count += self->owners[shard] == node;
    return count;
}
