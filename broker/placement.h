/* placement - which nodes share the shards, in which order: decided when a cluster is made, and kept
 * in the broker's data directory (R15).
 *
 *   kvdb-placement 1
 *   shards 64
 *   node1
 *   node2
 *
 * home = shard mod nodes: another list, or another order, would give nearly every shard to a node
 * that does not hold its data. Shards cannot be moved yet, so a difference is refused.
 *
 * Owner: the broker's thread, as it starts. */
#ifndef KVDB_BROKER_PLACEMENT_H
#define KVDB_BROKER_PLACEMENT_H

#include "broker/kvdb_broker.h"
#include "schema/status.h"

/* Compares the options' nodes and shards with DIRECTORY/placement, or writes it if there is none.
 * KV_CONFIG if they differ, KV_IO; a line in `why` says what to do. */
KV_CHECK_RESULT kv_status_t placement_keep (const char *directory,
                                            const kv_broker_options_t *options, char *why,
                                            size_t why_bytes);

#endif
