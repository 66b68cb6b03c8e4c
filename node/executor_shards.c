#include "node/executor_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CLEAR_AT_ONCE = 1024 /* a table of so few entries is freed on the spot */
};

/* ---- tables that are freed bit by bit --------------------------------------------------------- */

void executor_doom (executor_t *self, store_t *store, bool at_once)
{
    if (at_once || store_count (store) <= CLEAR_AT_ONCE) {
        store_destroy (&store);
        return;
    }
    if (self->doomed_count == self->doomed_capacity) {
        self->doomed_capacity = self->doomed_capacity ? 2 * self->doomed_capacity : 16;
        store_t **doomed = realloc (self->doomed, self->doomed_capacity * sizeof (store_t *));
        KV_ASSERT (doomed != NULL);
        self->doomed = doomed;
    }
    self->doomed[self->doomed_count++] = store;
    self->doomed_bytes += store_bytes (store);
}

size_t executor_drain_doomed (executor_t *self, size_t budget)
{
    size_t done = 0;
    while (self->doomed_count && done < budget) {
        store_t **last = &self->doomed[self->doomed_count - 1];
        size_t before = store_bytes (*last);
        size_t freed = store_drain (*last, budget - done);
        done += freed;
        self->doomed_bytes -= before - (freed ? store_bytes (*last) : 0);
        if (freed == 0) {
            store_destroy (last);
            self->doomed_count--;
        }
    }
    return done;
}

/* ---- owned and kept -------------------------------------------------------------------------- */

/* The shard is to be owned: it is here from now on. */
static shard_t *s_take (executor_t *self, uint32_t shard, uint64_t epoch)
{
    if (!self->kept[shard]) {
        uint64_t first =
            self->host.sink ? 0 : epoch; /* without a log there is nothing to open it in */
        self->kept[shard] = shard_new (shard, first, self->options.secret, &self->host);
    }
    self->shards[shard] = self->kept[shard];
    self->kept[shard] = NULL;
    sampler_add (&self->sampler, self->shards[shard]);
    self->host.kept_room += SHARD_KEPT_BYTES;
    return self->shards[shard];
}

kv_status_t executor_own (executor_t *self, uint32_t shard, uint64_t epoch)
{
    KV_ASSERT (shard < self->options.shards);
    shard_t *owned = self->shards[shard];
    const shard_t *there = owned ? owned : self->kept[shard];
    if (owned && epoch == shard_epoch (owned))
        return KV_OK;
    if (epoch == 0 || epoch > KV_EPOCH_MAX || (there && epoch <= shard_epoch (there)))
        return KV_BAD_VALUE;
    if (self->host.sink && self->host.sink->room (self->host.sink->context) < SHARD_OPEN_BYTES)
        return KV_DISK_FULL;
    if (!owned)
        owned = s_take (self, shard, epoch);
    if (epoch > shard_epoch (owned))
        shard_open_epoch (owned, epoch);
    shard_host_end (&self->host);
    return KV_OK;
}

void executor_disown (executor_t *self, uint32_t shard)
{
    KV_ASSERT (shard < self->options.shards);
    if (!self->shards[shard])
        return;
    sampler_remove (&self->sampler, self->shards[shard]);
    self->kept[shard] = self->shards[shard];
    self->shards[shard] = NULL;
    self->host.kept_room -= SHARD_KEPT_BYTES;
}

const shard_t *executor_shard (const executor_t *self, uint32_t shard)
{
    KV_ASSERT (shard < self->options.shards);
    return self->shards[shard] ? self->shards[shard] : self->kept[shard];
}

shard_t *executor_restore (executor_t *self, uint32_t shard)
{
    KV_ASSERT (shard < self->options.shards);
    KV_ASSERT (!self->shards[shard]);
    if (!self->kept[shard])
        self->kept[shard] = shard_new (shard, 0, self->options.secret, &self->host);
    return self->kept[shard];
}

uint64_t executor_highest_epoch (const executor_t *self)
{
    uint64_t highest = 0;
    for (uint32_t i = 0; i < self->options.shards; i++) {
        const shard_t *shard = executor_shard (self, i);
        if (shard && shard_epoch (shard) > highest)
            highest = shard_epoch (shard);
    }
    return highest;
}

bool executor_owns (const executor_t *self, uint32_t shard)
{
    return shard < self->options.shards && self->shards[shard];
}

void executor_set_owner (executor_t *self, uint32_t shard, const char *node_id,
                         const char *endpoint, uint64_t epoch)
{
    KV_ASSERT (shard < self->options.shards);
    owner_t *owner = self->owners[shard];
    if (!owner) {
        owner = calloc (1, sizeof *owner);
        KV_ASSERT (owner != NULL);
        self->owners[shard] = owner;
    }
    snprintf (owner->node_id, sizeof owner->node_id, "%s", node_id);
    snprintf (owner->endpoint, sizeof owner->endpoint, "%s", endpoint);
    owner->epoch = epoch;
}
