/* snapshot_load - puts the entries of a snapshot into a table, for recovery.
 *
 *   store_reserve (store, entries of the shard's chunk of kind SHARD), then for each chunk of kind
 *   ENTRIES:  snapshot_load (store, chunk.payload, &entries)
 *
 * The entries of a chunk are decoded and hashed some at a time, and the table's lines they go to
 * prefetched: about 100 ns an entry of 80 bytes, of which a third is the system handing out memory.
 * An entry that is there already is replaced: what comes later in a snapshot is not older.
 *
 * Pure. Owner: the table's thread. */
#ifndef KVDB_NODE_SNAPSHOT_LOAD_H
#define KVDB_NODE_SNAPSHOT_LOAD_H

#include "node/store.h"

/* KV_CORRUPT: the payload is not what it should be; entries before that are in the table. `entries` is
 * increased by how many were read. */
KV_CHECK_RESULT kv_status_t snapshot_load (store_t *store, kv_slice_t payload, uint64_t *entries);

#endif
