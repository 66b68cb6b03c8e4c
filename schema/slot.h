/* slot - where a key lives: key -> slot -> shard -> home node.
 *
 *   slot  = CRC16-XMODEM (hashed part of the key) mod 16384
 *   shard = slot mod shards;  home = shard mod nodes
 *
 * The hashed part is what stands between the first '{' and the next '}' if that is not empty, else
 * the whole key: the rule of the Redis Cluster specification, so keys and habits carry over. */
#ifndef KVDB_SCHEMA_SLOT_H
#define KVDB_SCHEMA_SLOT_H

#include "schema/slice.h"

/* CRC-16/XMODEM (polynomial 0x1021, initial value 0, not reflected; ITU-T V.41). */
uint16_t kv_crc16 (kv_slice_t bytes);

/* 0 .. KV_SLOTS - 1. */
uint32_t kv_slot (kv_slice_t key);

/* 0 .. shards - 1; `shards` is 1 .. KV_SHARDS_MAX. */
static inline uint32_t kv_shard_of (kv_slice_t key, uint32_t shards)
{
    return kv_slot (key) % shards;
}

#endif
