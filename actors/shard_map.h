/* shard_map - which node owns which shard, under which epoch. Nodes are indices into whatever list
 * the holder keeps.
 *
 *   M1  every shard has an owner < nodes.
 *   M2  epoch rises with every change made here; a map that follows another's takes over its epochs.
 *
 * The first placement is home = shard mod nodes. Pure. Owner: one thread. */
#ifndef KVDB_ACTORS_SHARD_MAP_H
#define KVDB_ACTORS_SHARD_MAP_H

#include "schema/slice.h"
#include "schema/status.h"

typedef struct {
    uint32_t shards;        /* 1 .. KV_SHARDS_MAX */
    uint32_t nodes;         /* 1 .. KV_NODES_MAX */
    uint64_t epoch;         /* of the newest assignment */
    uint16_t *owners;       /* owned array [shards]: index of the owner */
    uint64_t *epochs;       /* owned array [shards]: since when it has owned the shard */
    uint32_t *first_shards; /* owned array [nodes]: the lowest shard a node owns, or `shards` */
} shard_map_t;

/* The home placement, everything under epoch 1. */
shard_map_t *shard_map_new (uint32_t shards, uint32_t nodes);
void shard_map_destroy (shard_map_t **self_p);

/* Gives a shard to a node under the next epoch. */
void shard_map_assign (shard_map_t *self, uint32_t shard, uint32_t node);

/* Gives a node's shards to it anew, under one epoch that is also above `above`. */
void shard_map_renew (shard_map_t *self, uint32_t node, uint64_t above);

/* The least epoch of a node's shards; UINT64_MAX: it owns none. */
uint64_t shard_map_least_epoch (const shard_map_t *self, uint32_t node);

/* Takes over a placement learned from elsewhere: `owners` names a node of this map per shard. Every
 * shard gets the epoch. */
void shard_map_load (shard_map_t *self, const uint16_t *owners, uint64_t epoch);

/* Gives a shard to a node under an epoch learned from elsewhere. */
void shard_map_learn (shard_map_t *self, uint32_t shard, uint32_t node, uint64_t epoch);

/* How many shards a node owns. */
uint32_t shard_map_count (const shard_map_t *self, uint32_t node);

#endif
