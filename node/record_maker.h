/* record_maker - puts the effects of commands together into records, one for each shard: those of several
 * shards may come mixed (MSET), and a record is whole only at its end.
 *
 *   R1  a record appended holds all effects its shard had since its last one, in order.
 *
 * Pure. Owner: the node's thread. */
#ifndef KVDB_NODE_RECORD_MAKER_H
#define KVDB_NODE_RECORD_MAKER_H

#include "node/shard.h"

typedef struct record_maker record_maker_t;

record_maker_t *record_maker_new (uint32_t shards);
void record_maker_destroy (record_maker_t **self_p);

/* As the sink of the shards hears them. */
void record_maker_effect (record_maker_t *self, const shard_t *shard, const effect_t *effect);

/* Appends the shard's record. It has at least one effect. */
void record_maker_end (record_maker_t *self, const shard_t *shard, writer_t *out);

#endif
