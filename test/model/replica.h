/* replica - what a follower, or a node that reads its log, would make of the records an executor emits.
 *
 *   a sink that keeps the effects of a record, and applies them when it ends, twice
 *
 * It checks that each record has the position behind the one before (H1), that its effects come whole
 * and before its end (H4), that applying them again changes nothing, and, on request, that its tables
 * hold what the executor's hold, versions included (H2). Owner: the model test. */
#ifndef KVDB_TEST_REPLICA_H
#define KVDB_TEST_REPLICA_H

#include "node/executor.h"

typedef struct replica replica_t;

replica_t *replica_new (uint32_t shards);
void replica_destroy (replica_t **self_p);

/* To be given to executor_set_sink; lives as long as the replica. */
const shard_sink_t *replica_sink (replica_t *self);

/* Aborts if a shard's tables differ. */
void replica_check (const replica_t *self);

/* Records with more than one effect, so far. */
uint64_t replica_compound_records (const replica_t *self);

#endif
