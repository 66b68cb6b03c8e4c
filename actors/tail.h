/* tail - the newest records of many shards in memory, as they stand in the log: what streams are made of, and
 * what a follower has taken and not applied yet.
 *
 *   blocks    [ 3:a 7:b 3:c | 3:d 9:e 7:f | 9:g ...      in the order appended, oldest first
 *   shard 3     a,  c,        d                          its records, n rising by one
 *
 *   L1  a shard's records here follow each other without a gap; the last one is the last appended, or the
 *       one it was cut back to.
 *   L2  what is here reaches back to `reach`: the position before the shard's oldest record here, or its last
 *       position if there is none.
 *   L3  no record behind a shard's pin goes, however full it is. Others go oldest first, a block at a time,
 *       once there are more than bytes_max bytes.
 *   L4  a record taken out by tail_next is valid until the next append, cut or pin.
 *
 * So its memory is bytes_max and a block, beyond what is pinned; who pins bounds that (a follower by the
 * window of the stream it takes). Out of memory aborts. Pure. Owner: one thread. */
#ifndef KVDB_ACTORS_TAIL_H
#define KVDB_ACTORS_TAIL_H

#include "schema/record.h"

typedef struct tail tail_t;

enum { TAIL_BLOCK_BYTES = 256 * 1024 };

tail_t *tail_new (uint32_t shards, size_t bytes_max);
void tail_destroy (tail_t **self_p);

/* The shard's log ends there, and nothing of it is here: as after recovery or a full copy. */
void tail_restart (tail_t *self, uint32_t shard, uint64_t last);

/* The next record of its shard, copied. Decoded before: `bytes` is all of it, `previous` the shard's last. */
void tail_append (tail_t *self, const record_t *record, kv_slice_t bytes);

/* Nothing behind that position, which is here or is `reach`, is a record of the shard any more. */
void tail_cut (tail_t *self, uint32_t shard, uint64_t position);

/* What is behind that position stays (L3); positions rise. UINT64_MAX, as at first: all may go. */
void tail_pin (tail_t *self, uint32_t shard, uint64_t position);

uint64_t tail_reach (const tail_t *self, uint32_t shard); // L2
uint64_t tail_last (const tail_t *self, uint32_t shard);

/* The record behind a position of the shard's log: KV_OK; KV_END: that is the last one; KV_NOT_FOUND: it is
 * not here any more, or the position is none of this log's. */
KV_CHECK_RESULT kv_status_t tail_next (const tail_t *self, uint32_t shard, uint64_t position,
                                       kv_slice_t *record);

size_t
tail_bytes (const tail_t *self); /* of records, those that were cut and have not gone included */

/* L1, L2 and the count of bytes by a walk; for tests and debug builds. */
bool tail_is_valid (const tail_t *self);

#endif
